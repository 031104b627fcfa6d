//! Reading traced memory, through the probe_read helpers: a bad address is an error, never a fault.

use regalloc2::VReg;

use super::call::Arg;
use super::text::{Text, TextMem};
use super::{Cx, Dest, Lowered, Val};
use crate::bpf::frame::{Access, Mem};
use crate::bpf::helpers::Helper;
use crate::bpf::insn::{AluOp, Cond, Size, Src};
use crate::image::width_bytes;
use crate::lir::{SiteId, Space, Ty, Value};

impl Cx<'_> {
    pub(super) fn read_int(
        &mut self,
        addr: Value,
        space: Space,
        size: u8,
        signed: bool,
        site: SiteId,
    ) -> Val {
        let saved = self.saved_regs[addr];
        if let Some(reg) = saved.and_then(|offset| self.saved_register(offset)) {
            return Val::Reg(reg);
        }
        // Held in a register: the error's argument may need it afterwards.
        let addr = match self.int(addr) {
            Val::Const(addr) => Val::Const(addr),
            val => Val::Reg(self.val_reg(val)),
        };
        let by_helper = |cx: &mut Self| cx.read_by_helper(addr, space, size, site);
        let reg = match (space, self.program.direct_reads) {
            (Space::Kernel, Some(reads)) => self.read_directly(reads, addr, size, by_helper),
            _ => by_helper(self),
        };
        Val::Reg(if signed && size < 8 {
            self.extend_reg(reg, size * 8, true)
        } else {
            reg
        })
    }

    fn read_by_helper(&mut self, addr: Val, space: Space, size: u8, site: SiteId) -> VReg {
        let helper = match space {
            Space::Kernel => Helper::ProbeReadKernel,
            Space::User => Helper::ProbeReadUser,
        };
        let buffer = self.temp(8);
        let args = [Arg::Addr(buffer), Arg::Imm(i64::from(size)), addr.into()];
        let result = self.call(helper, &args);
        let result = self.brought_in(space, result, |cx| cx.call(Helper::CopyFromUser, &args));
        let fail = self.fail(site, addr);
        self.jump_if(Cond::Ne, result, Src::Imm(0), fail);
        self.load(Size::of_bytes(size), buffer)
    }

    /// The result of reading (negative: failed). Memory of a process may be a page that it has not
    /// touched yet, such as one with string literals: a program that may sleep tries again, by `read`, which
    /// brings pages in.
    fn brought_in(
        &mut self,
        space: Space,
        result: VReg,
        read: impl FnOnce(&mut Self) -> VReg,
    ) -> VReg {
        if space == Space::Kernel || !self.program.sleepable {
            return result;
        }
        let (done, last) = self.join();
        let again = self.cold(|cx| {
            let result = read(cx);
            cx.jump(done, vec![result]);
        });
        self.jump_if(Cond::Slt, result, Src::Imm(0), again);
        self.jump(done, vec![result]);
        self.enter(done);
        last
    }

    /// Brings in the pages of `bytes` bytes and one more from an address on.
    fn touch(&mut self, addr: Val, bytes: u32) {
        const PAGE_BYTES: usize = 4096;
        let byte = self.temp(8);
        for offset in (0..bytes).step_by(PAGE_BYTES).chain([bytes]) {
            let at = match addr {
                Val::Reg(reg) => Arg::Reg(self.alu(AluOp::Add, reg, Src::Imm(offset as i32))),
                Val::Const(addr) => Arg::Imm(addr.wrapping_add(i64::from(offset))),
                other => other.into(),
            };
            // What cannot be brought in, the next attempt at reading shows.
            self.call_void(Helper::CopyFromUser, &[Arg::Addr(byte), Arg::Imm(1), at]);
        }
    }

    pub(super) fn read_str(
        &mut self,
        addr: Value,
        len: Option<Value>,
        space: Space,
        site: SiteId,
        dest: Dest,
    ) -> Lowered<Val> {
        let Some(Ty::Str { cap, late: false }) = dest.ty else {
            return Err(self.internal("string of no width"));
        };
        let addr = match self.int(addr) {
            Val::Const(value) => Val::Const(value),
            val => Val::Reg(self.val_reg(val)),
        };
        let helper = match space {
            Space::Kernel => Helper::ProbeReadKernelStr,
            Space::User => Helper::ProbeReadUserStr,
        };
        let width = width_bytes(Ty::str(cap));
        // A size that is not constant asks for initialised memory on the stack.
        let access = if len.is_some() {
            Access::Variable
        } else {
            dest.access()
        };
        let mem = self.buffers.alloc(width, access, dest.range);
        let padded = dest.padded;
        if padded {
            self.zero(mem, width);
        } else {
            self.store_imm(mem.at(width - 8), 0);
        }
        let len = match len.map(|len| self.int(len)) {
            None => Val::Const(i64::from(cap)),
            Some(Val::Const(len)) => Val::Const(len.clamp(0, i64::from(cap))),
            Some(val) => {
                let len = self.val_reg(val);
                // A negative length is none: clear it by its own sign.
                let sign = self.alu(AluOp::Arsh, len, Src::Imm(63));
                let some = self.alu(AluOp::Xor, sign, Src::Imm(-1));
                Val::Reg(self.alu(AluOp::And, len, Src::Reg(some)))
            }
        };
        let size = match len {
            Val::Reg(len) => Arg::Clamped(len, cap as i32),
            Val::Const(len) => Arg::Imm(len + 1),
            other => other.into(),
        };
        let args = [Arg::Addr(mem), size, addr.into()];
        let result = self.call(helper, &args);
        let result = self.brought_in(space, result, |cx| {
            cx.touch(addr, cap);
            cx.call(helper, &args)
        });
        self.unless_none(result, len, (site, addr));
        Ok(Val::Text(Text::Mem(TextMem {
            mem,
            cap,
            padded,
            late: false,
        })))
    }

    /// Raises an error where reading failed, unless there was nothing to be read: no address is bad then.
    fn unless_none(&mut self, result: VReg, len: Val, (site, addr): (SiteId, Val)) {
        let fail = self.fail(site, addr);
        let done = self.code.block(self.is_cold());
        let failed = match len {
            Val::Const(0) => return,
            Val::Reg(len) => self.cold(|cx| {
                cx.jump_if(Cond::Ne, len, Src::Imm(0), fail);
                cx.jump(done, Vec::new());
            }),
            _ => fail,
        };
        self.jump_if(Cond::Slt, result, Src::Imm(0), failed);
        self.jump(done, Vec::new());
        self.enter(done);
    }

    /// Memory in hexadecimal: read whole, then made into digits.
    pub(super) fn read_hex(
        &mut self,
        addr: Value,
        len: Value,
        space: Space,
        site: SiteId,
        dest: Dest,
    ) -> Lowered<Val> {
        let Some(Ty::Str { cap, late: false }) = dest.ty else {
            return Err(self.internal("string of no width"));
        };
        let most = cap / 2;
        let addr = match self.int(addr) {
            Val::Const(value) => Val::Const(value),
            val => Val::Reg(self.val_reg(val)),
        };
        let len = self.int(len);
        let len = self.field_size(len);
        let len = self.at_most(len, most);
        let (read, copy) = match space {
            Space::Kernel => (Helper::ProbeReadKernel, Helper::ProbeReadKernel),
            Space::User => (Helper::ProbeReadUser, Helper::CopyFromUser),
        };
        // The verifier must see the size bounded by the room.
        let room = (most + 1).next_power_of_two().max(8);
        let bytes = TextMem {
            mem: self.temp_variable(room),
            cap: most,
            padded: false,
            late: false,
        };
        let size = Arg::Masked(len, room as i32 - 1);
        let args = [Arg::Addr(bytes.mem), size, addr.into()];
        let result = self.call(read, &args);
        let result = self.brought_in(space, result, |cx| cx.call(copy, &args));
        self.unless_none(result, Val::Reg(len), (site, addr));
        let digits = TextMem {
            mem: self
                .buffers
                .alloc(width_bytes(Ty::str(cap)), Access::Variable, dest.range),
            cap,
            padded: dest.padded,
            late: false,
        };
        if digits.padded {
            self.zero(digits.mem, digits.width());
        } else {
            self.store_imm(digits.mem, 0);
        }
        self.hex_digits(bytes, len, digits);
        Ok(Val::Text(Text::Mem(digits)))
    }

    /// Writes the digits of `len` bytes.
    fn hex_digits(&mut self, bytes: TextMem, len: VReg, digits: TextMem) {
        let done = self.code.block(self.is_cold());
        let (head, index) = self.count_up(bytes.cap, done);
        self.jump_if(Cond::Ge, index, Src::Reg(len), done);
        let at = self.byte_address(bytes, index);
        let byte = self.load(Size::B, Mem::Ptr(at, 0));
        let high = self.alu(AluOp::Rsh, byte, Src::Imm(4));
        let high = self.hex_digit(high, b'a');
        let low = self.alu(AluOp::And, byte, Src::Imm(15));
        let low = self.hex_digit(low, b'a');
        let twice = self.alu(AluOp::Lsh, index, Src::Imm(1));
        let to = self.byte_address(digits, twice);
        self.store(Size::B, Mem::Ptr(to, 0), Src::Reg(high));
        let one = self.alu(AluOp::Add, twice, Src::Imm(1));
        let to = self.byte_address(digits, one);
        self.store(Size::B, Mem::Ptr(to, 0), Src::Reg(low));
        let end = self.alu(AluOp::Add, twice, Src::Imm(2));
        let to = self.byte_address(digits, end);
        self.store(Size::B, Mem::Ptr(to, 0), Src::Imm(0));
        let next = self.alu(AluOp::Add, index, Src::Imm(1));
        self.jump(head, vec![next]);
        self.enter(done);
    }
}
