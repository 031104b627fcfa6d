//! `str.to_int`: numbers out of text.

use regalloc2::VReg;

use super::{Cx, Val};
use crate::bpf::frame::Mem;
use crate::bpf::insn::{AluOp, Cond, Size, Src};
use crate::lir::Value;

/// White space, among the values of digits.
const BLANK: u8 = 64;
/// Anything else.
const OTHER: u8 = 255;

/// What a byte counts for: its value as a digit, which letters of either case have too, or one of the above. As a
/// table of constants it costs the verifier one way through a loop.
fn class(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'z' => byte - b'a' + 10,
        b'A'..=b'Z' => byte - b'A' + 10,
        b' ' | b'\t'..=b'\r' => BLANK,
        _ => OTHER,
    }
}

impl Cx<'_> {
    /// C's strtol with 64 bits that wrap, so that addresses can be read.
    pub(super) fn text_to_int(&mut self, text: Value, base: Value) -> Val {
        let text = self.text(text);
        let width = self.text_width(text);
        let text = self.padded_text(text, width);
        let rounds = text.width() as i32;
        let base = self.reg(base);
        let (done, result) = self.join();
        let refuse = self.code.block(self.is_cold());
        self.in_block(refuse, |cx| {
            let zero = cx.imm(0);
            cx.jump(done, vec![zero]);
        });
        self.jump_if(Cond::Gt, base, Src::Imm(36), refuse);
        self.jump_if(Cond::Eq, base, Src::Imm(1), refuse);
        let byte_at = |cx: &mut Self, index: VReg| {
            let address = cx.byte_address(text, index);
            cx.load(Size::B, Mem::Ptr(address, 0))
        };

        // White space.
        let (head, index) = self.count_up(rounds as u32, refuse);
        let byte = byte_at(self, index);
        let more = self.code.block(self.is_cold());
        self.in_block(more, |cx| {
            let next = cx.alu(AluOp::Add, index, Src::Imm(1));
            cx.jump(head, vec![next]);
        });
        let class = self.digit(byte);
        self.jump_if(Cond::Eq, class, Src::Imm(i32::from(BLANK)), more);
        let start = self.forget(index);

        // A sign: -1 in `negative` for a minus, else 0.
        let minus = self.flag_value(Cond::Eq, true, byte, Src::Imm(i32::from(b'-')));
        let plus = self.flag_value(Cond::Eq, true, byte, Src::Imm(i32::from(b'+')));
        let sign = self.alu(AluOp::Or, plus, Src::Reg(minus));
        let start = self.alu(AluOp::Add, start, Src::Reg(sign));
        let negative = self.neg(minus);

        // A prefix: 0x with base 16 or 0; a 0 alone makes base 0 mean 8.
        let first = byte_at(self, start);
        let after = self.alu(AluOp::Add, start, Src::Imm(1));
        let second = byte_at(self, after);
        let lower = self.alu(AluOp::Or, second, Src::Imm(0x20));
        let third = self.alu(AluOp::Add, start, Src::Imm(2));
        let third = byte_at(self, third);
        let (ready, digits, radix) = {
            let (block, start) = self.join();
            let radix = self.code.vreg();
            self.code.blocks[block.0 as usize].params.push(radix);
            (block, start, radix)
        };
        let plain = self.code.block(self.is_cold());
        self.in_block(plain, |cx| {
            // Not hexadecimal.
            let octal = cx.code.block(cx.is_cold());
            let given = cx.code.block(cx.is_cold());
            cx.in_block(octal, |cx| {
                let eight = cx.imm(8);
                cx.jump(ready, vec![start, eight]);
            });
            cx.in_block(given, |cx| cx.jump(ready, vec![start, base]));
            cx.jump_if(Cond::Ne, base, Src::Imm(0), given);
            cx.jump_if(Cond::Eq, first, Src::Imm(i32::from(b'0')), octal);
            let ten = cx.imm(10);
            cx.jump(ready, vec![start, ten]);
        });
        self.jump_if(Cond::Ne, first, Src::Imm(i32::from(b'0')), plain);
        self.jump_if(Cond::Ne, lower, Src::Imm(i32::from(b'x')), plain);
        let other = self.alu(AluOp::And, base, Src::Imm(!16));
        self.jump_if(Cond::Ne, other, Src::Imm(0), plain);
        // "0x" without a digit behind it is the number 0.
        let digit = self.digit(third);
        self.jump_if(Cond::Ge, digit, Src::Imm(16), plain);
        let sixteen = self.imm(16);
        let behind = self.alu(AluOp::Add, start, Src::Imm(2));
        self.jump(ready, vec![behind, sixteen]);

        // Digits.
        self.enter(ready);
        let radix = self.forget(radix);
        let zero = self.imm(0);
        let first_round = self.imm(0);
        let (head, round) = self.counted_loop(rounds as u32);
        let sum = self.code.vreg();
        self.code.blocks[head.0 as usize].params.push(sum);
        let (end, total) = self.join();
        self.jump(head, vec![first_round, zero]);
        self.enter(head);
        let out = self.code.block(self.is_cold());
        self.in_block(out, |cx| cx.jump(end, vec![sum]));
        self.jump_if(Cond::Ge, round, Src::Imm(rounds), out);
        let at = self.alu(AluOp::Add, digits, Src::Reg(round));
        let byte = byte_at(self, at);
        let digit = self.digit(byte);
        self.jump_if(Cond::Ge, digit, Src::Reg(radix), out);
        let next = self.alu(AluOp::Mul, sum, Src::Reg(radix));
        let next = self.alu(AluOp::Add, next, Src::Reg(digit));
        let following = self.alu(AluOp::Add, round, Src::Imm(1));
        self.jump(head, vec![following, next]);

        self.enter(end);
        let signed = self.alu(AluOp::Xor, total, Src::Reg(negative));
        let signed = self.alu(AluOp::Sub, signed, Src::Reg(negative));
        self.jump(done, vec![signed]);
        self.enter(done);
        Val::Reg(result)
    }

    /// What a byte counts for.
    fn digit(&mut self, byte: VReg) -> VReg {
        let table = self
            .plan
            .constant(&(0..=255).map(class).collect::<Vec<_>>());
        let entry = self.address_at(Mem::Rodata(table), byte, 256);
        self.load(Size::B, Mem::Ptr(entry, 0))
    }
}
