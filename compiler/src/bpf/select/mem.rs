//! Reading traced memory, through the probe_read helpers: a bad address is an error, never a fault.

use regalloc2::VReg;

use super::build::Arg;
use super::text::{Text, TextMem};
use super::{Cx, Dest, Lowered, Val};
use crate::bpf::frame::Access;
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
        let addr = self.int(addr);
        let helper = match space {
            Space::Kernel => Helper::ProbeReadKernel,
            Space::User => Helper::ProbeReadUser,
        };
        let buffer = self.temp(8);
        // Held in a register: the error's argument may need it afterwards.
        let addr = match addr {
            Val::Const(_) => addr,
            val => Val::Reg(self.val_reg(val)),
        };
        let args = [Arg::Addr(buffer), Arg::Imm(i64::from(size)), addr.into()];
        let result = self.call(helper, &args);
        let result = self.brought_in(space, result, |cx| cx.call(Helper::CopyFromUser, &args));
        let fail = self.fail(site, addr);
        self.jump_if(Cond::Ne, result, Src::Imm(0), fail);
        let reg = self.load(Size::of_bytes(size), buffer);
        Val::Reg(if signed && size < 8 {
            self.extend_reg(reg, size * 8, true)
        } else {
            reg
        })
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
        let size = match len {
            None => Arg::Imm(i64::from(cap) + 1),
            Some(len) => match self.int(len) {
                Val::Const(len) => Arg::Imm(len.clamp(0, i64::from(cap)) + 1),
                val => {
                    let len = self.val_reg(val);
                    // A negative length is none: clear it by its own sign.
                    let sign = self.alu(AluOp::Arsh, len, Src::Imm(63));
                    let some = self.alu(AluOp::Xor, sign, Src::Imm(-1));
                    let len = self.alu(AluOp::And, len, Src::Reg(some));
                    Arg::Clamped(len, cap as i32)
                }
            },
        };
        let args = [Arg::Addr(mem), size, addr.into()];
        let result = self.call(helper, &args);
        let result = self.brought_in(space, result, |cx| {
            cx.touch(addr, cap);
            cx.call(helper, &args)
        });
        let fail = self.fail(site, addr);
        self.jump_if(Cond::Slt, result, Src::Imm(0), fail);
        Ok(Val::Text(Text::Mem(TextMem {
            mem,
            cap,
            padded,
            late: false,
        })))
    }
}
