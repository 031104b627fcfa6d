//! Integers: arithmetic, comparisons, signed division out of unsigned.

use regalloc2::VReg;

use super::template::Template;
use super::{Cx, Val};
use crate::bpf::insn::{AluOp, Cond, Insn, Src};
use crate::lir::{BinOp, CmpOp, SiteId, Value};

impl Cx<'_> {
    pub(super) fn bin(&mut self, op: BinOp, a: Value, b: Value) -> Val {
        let (a, b) = (self.int(a), self.int(b));
        if let (Val::Const(a), Val::Const(b)) = (a, b) {
            return Val::Const(fold(op, a, b));
        }
        let (alu, commutes) = match op {
            BinOp::Add => (AluOp::Add, true),
            BinOp::Sub => (AluOp::Sub, false),
            BinOp::Mul => (AluOp::Mul, true),
            BinOp::And => (AluOp::And, true),
            BinOp::Or => (AluOp::Or, true),
            BinOp::Xor => (AluOp::Xor, true),
            BinOp::Shl => (AluOp::Lsh, false),
            BinOp::Shr => (AluOp::Rsh, false),
            BinOp::Sar => (AluOp::Arsh, false),
        };
        let (a, b) = if commutes && matches!(a, Val::Const(_)) {
            (b, a)
        } else {
            (a, b)
        };
        if let (BinOp::Add, Val::Core(core), other) | (BinOp::Add, other, Val::Core(core)) =
            (op, a, b)
        {
            let other = self.val_reg(other);
            return Val::Reg(self.add_core(other, core));
        }
        // The prologue has the process id already.
        if let (BinOp::Shr, Val::Reg(a), Val::Const(32), Some(tgid)) = (op, a, b, self.tgid)
            && Some(a) == self.pid_tgid
        {
            return Val::Reg(tgid);
        }
        let shift = matches!(op, BinOp::Shl | BinOp::Shr | BinOp::Sar);
        let a = self.val_reg(a);
        let b = match b {
            Val::Const(count) if shift => Src::Imm((count & 63) as i32),
            b => self.val_src(b),
        };
        // A register's shift count is taken modulo 64 by the machine.
        match (alu, b) {
            (
                AluOp::Add
                | AluOp::Sub
                | AluOp::Or
                | AluOp::Xor
                | AluOp::Lsh
                | AluOp::Rsh
                | AluOp::Arsh,
                Src::Imm(0),
            ) => Val::Reg(a),
            _ => Val::Reg(self.alu(alu, a, b)),
        }
    }

    pub(super) fn val_src(&mut self, val: Val) -> Src<VReg> {
        match val {
            Val::Const(value) => match i32::try_from(value) {
                Ok(imm) => Src::Imm(imm),
                Err(_) => Src::Reg(self.imm(value)),
            },
            val => Src::Reg(self.val_reg(val)),
        }
    }

    pub(super) fn extend(&mut self, value: Value, bits: u8, signed: bool) -> Val {
        let shift = 64 - i64::from(bits);
        match self.int(value) {
            Val::Const(value) if signed => Val::Const(value << shift >> shift),
            Val::Const(value) => Val::Const(((value as u64) << shift >> shift) as i64),
            val => {
                let reg = self.val_reg(val);
                Val::Reg(self.extend_reg(reg, bits, signed))
            }
        }
    }

    pub(super) fn extend_reg(&mut self, reg: VReg, bits: u8, signed: bool) -> VReg {
        if !signed && bits == 32 {
            let result = self.code.vreg();
            let mut t = Template::default();
            let src = t.read(reg);
            let dst = t.write(result);
            t.add(Insn::Alu {
                op: AluOp::Mov,
                wide: false,
                dst,
                src: Src::Reg(src),
            });
            self.push(t);
            return result;
        }
        if !signed && bits < 32 {
            return self.alu(AluOp::And, reg, Src::Imm(((1u32 << bits) - 1) as i32));
        }
        let shift = Src::Imm(64 - i32::from(bits));
        let high = self.alu(AluOp::Lsh, reg, shift);
        let back = if signed { AluOp::Arsh } else { AluOp::Rsh };
        self.alu(back, high, shift)
    }

    /// A comparison as condition, left register and right operand; `Err` if its outcome
    /// is known.
    fn compare_parts(
        &mut self,
        op: CmpOp,
        a: Value,
        b: Value,
    ) -> Result<(Cond, VReg, Src<VReg>), bool> {
        let (a, b) = (self.int(a), self.int(b));
        if let (Val::Const(a), Val::Const(b)) = (a, b) {
            return Err(match op {
                CmpOp::Eq => a == b,
                CmpOp::Ne => a != b,
                CmpOp::Lt => a < b,
                CmpOp::Le => a <= b,
                CmpOp::Gt => a > b,
                CmpOp::Ge => a >= b,
                CmpOp::Ult => (a as u64) < b as u64,
            });
        }
        let cond = match op {
            CmpOp::Eq => Cond::Eq,
            CmpOp::Ne => Cond::Ne,
            CmpOp::Lt => Cond::Slt,
            CmpOp::Le => Cond::Sle,
            CmpOp::Gt => Cond::Sgt,
            CmpOp::Ge => Cond::Sge,
            CmpOp::Ult => Cond::Lt,
        };
        let (cond, a, b) = if matches!(a, Val::Const(_)) {
            (cond.swapped(), b, a)
        } else {
            (cond, a, b)
        };
        let left = self.val_reg(a);
        let right = self.val_src(b);
        Ok((cond, left, right))
    }

    pub(super) fn compare(&mut self, op: CmpOp, a: Value, b: Value) -> Val {
        match self.compare_parts(op, a, b) {
            Ok((cond, left, right)) => Val::Reg(self.flag_value(cond, true, left, right)),
            Err(known) => Val::Const(i64::from(known)),
        }
    }

    pub(super) fn compare_flag(&mut self, op: CmpOp, a: Value, b: Value) -> Val {
        match self.compare_parts(op, a, b) {
            Ok((cond, left, right)) => Val::Flag(cond, left, right),
            Err(known) => Val::Const(i64::from(known)),
        }
    }

    /// 1 if the condition holds, else 0.
    pub(super) fn flag_value(
        &mut self,
        cond: Cond,
        wide: bool,
        left: VReg,
        right: Src<VReg>,
    ) -> VReg {
        let reg = self.code.vreg();
        let mut t = Template::default();
        let left = t.read(left);
        let right = right.map(|right| t.read(right));
        let dst = t.write_early(reg);
        t.alu(AluOp::Mov, dst, Src::Imm(1));
        t.add(Insn::JumpIf {
            cond,
            wide,
            left,
            right,
            target: 1,
        });
        t.alu(AluOp::Mov, dst, Src::Imm(0));
        self.push(t);
        reg
    }

    /// Quotient or remainder, rounded towards zero. Older kernels have unsigned division only:
    /// divide the absolute values, then give the result its sign.
    pub(super) fn divide(&mut self, a: Value, b: Value, site: SiteId, rem: bool) -> Val {
        let divisor = self.int(b);
        let dividend = self.int(a);
        if let (Val::Const(a), Val::Const(b)) = (dividend, divisor)
            && b != 0
        {
            return Val::Const(if rem {
                a.wrapping_rem(b)
            } else {
                a.wrapping_div(b)
            });
        }
        let op = if rem { AluOp::Mod } else { AluOp::Div };
        match divisor {
            Val::Const(0) => {
                let fail = self.fail(site, Val::Const(0));
                self.jump(fail, Vec::new());
                let dead = self.code.block(true);
                self.enter(dead);
                return Val::Const(0);
            }
            Val::Const(b) => {
                let a = self.val_reg(dividend);
                let sign = self.alu(AluOp::Arsh, a, Src::Imm(63));
                let abs = self.with_sign(a, sign);
                let by = b.unsigned_abs() as i64;
                let by = self.val_src(Val::Const(by));
                let result = self.alu(op, abs, by);
                let result = self.with_sign(result, sign);
                return Val::Reg(if b < 0 && !rem {
                    self.neg(result)
                } else {
                    result
                });
            }
            Val::Reg(_) | Val::Core(_) | Val::Flag(..) | Val::Text(_) => {}
        }
        let b = self.val_reg(divisor);
        let fail = self.fail(site, Val::Const(0));
        self.jump_if(Cond::Eq, b, Src::Imm(0), fail);
        let a = self.val_reg(dividend);
        let sign_a = self.alu(AluOp::Arsh, a, Src::Imm(63));
        let abs_a = self.with_sign(a, sign_a);
        let sign_b = self.alu(AluOp::Arsh, b, Src::Imm(63));
        let abs_b = self.with_sign(b, sign_b);
        let result = self.alu(op, abs_a, Src::Reg(abs_b));
        let sign = if rem {
            sign_a
        } else {
            self.alu(AluOp::Xor, sign_a, Src::Reg(sign_b))
        };
        Val::Reg(self.with_sign(result, sign))
    }

    /// `value`, negated if `sign` is -1 (it is 0 otherwise).
    fn with_sign(&mut self, value: VReg, sign: VReg) -> VReg {
        let flipped = self.alu(AluOp::Xor, value, Src::Reg(sign));
        self.alu(AluOp::Sub, flipped, Src::Reg(sign))
    }
}

fn fold(op: BinOp, a: i64, b: i64) -> i64 {
    match op {
        BinOp::Add => a.wrapping_add(b),
        BinOp::Sub => a.wrapping_sub(b),
        BinOp::Mul => a.wrapping_mul(b),
        BinOp::And => a & b,
        BinOp::Or => a | b,
        BinOp::Xor => a ^ b,
        BinOp::Shl => a.wrapping_shl(b as u32 & 63),
        BinOp::Shr => (a as u64).wrapping_shr(b as u32 & 63) as i64,
        BinOp::Sar => a.wrapping_shr(b as u32 & 63),
    }
}
