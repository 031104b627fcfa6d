//! eBPF instructions as data, generic over what names a register: [`Reg`] in finished
//! code, an operand number in the templates of `vcode`.
//!
//! Jump targets count *instructions of this list* forward from the next one (a 64-bit
//! immediate load is one instruction here, two slots in the encoding); `encode` turns them into slots.

/// A physical register, r0 to r10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reg(pub u8);

impl Reg {
    /// Return value.
    pub const R0: Reg = Reg(0);
    /// First argument; the context at a program's entry.
    pub const R1: Reg = Reg(1);
    /// Second argument.
    pub const R2: Reg = Reg(2);
    /// Third argument.
    pub const R3: Reg = Reg(3);
    /// Fourth argument.
    pub const R4: Reg = Reg(4);
    /// Fifth argument.
    pub const R5: Reg = Reg(5);
    /// Frame pointer, read-only.
    pub const FP: Reg = Reg(10);
}

/// Second operand of arithmetic, comparisons and stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Src<R> {
    /// A register.
    Reg(R),
    /// A constant, sign-extended to 64 bits.
    Imm(i32),
}

impl<R> Src<R> {
    /// The same with the register replaced.
    pub fn map<S>(self, f: impl FnOnce(R) -> S) -> Src<S> {
        match self {
            Src::Reg(reg) => Src::Reg(f(reg)),
            Src::Imm(imm) => Src::Imm(imm),
        }
    }
}

/// Two-operand arithmetic; the number is the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AluOp {
    /// `+=`
    Add = 0x00,
    /// `-=`
    Sub = 0x10,
    /// `*=`
    Mul = 0x20,
    /// Unsigned `/=`; 0 for a zero divisor.
    Div = 0x30,
    /// `|=`
    Or = 0x40,
    /// `&=`
    And = 0x50,
    /// `<<=`
    Lsh = 0x60,
    /// Logical `>>=`
    Rsh = 0x70,
    /// Unsigned `%=`; the dividend for a zero divisor.
    Mod = 0x90,
    /// `^=`
    Xor = 0xa0,
    /// `=`
    Mov = 0xb0,
    /// Arithmetic `>>=`
    Arsh = 0xc0,
}

/// Conditions of jumps; the number is the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cond {
    /// `==`
    Eq = 0x10,
    /// Unsigned `>`
    Gt = 0x20,
    /// Unsigned `>=`
    Ge = 0x30,
    /// `&` gives non-zero
    Set = 0x40,
    /// `!=`
    Ne = 0x50,
    /// Signed `>`
    Sgt = 0x60,
    /// Signed `>=`
    Sge = 0x70,
    /// Unsigned `<`
    Lt = 0xa0,
    /// Unsigned `<=`
    Le = 0xb0,
    /// Signed `<`
    Slt = 0xc0,
    /// Signed `<=`
    Sle = 0xd0,
}

impl Cond {
    /// The opposite condition, if the instruction set has it.
    pub fn inverse(self) -> Option<Cond> {
        Some(match self {
            Cond::Eq => Cond::Ne,
            Cond::Ne => Cond::Eq,
            Cond::Gt => Cond::Le,
            Cond::Le => Cond::Gt,
            Cond::Ge => Cond::Lt,
            Cond::Lt => Cond::Ge,
            Cond::Sgt => Cond::Sle,
            Cond::Sle => Cond::Sgt,
            Cond::Sge => Cond::Slt,
            Cond::Slt => Cond::Sge,
            Cond::Set => return None,
        })
    }

    /// The condition with its operands exchanged.
    #[must_use]
    pub fn swapped(self) -> Cond {
        match self {
            Cond::Eq | Cond::Ne | Cond::Set => self,
            Cond::Gt => Cond::Lt,
            Cond::Lt => Cond::Gt,
            Cond::Ge => Cond::Le,
            Cond::Le => Cond::Ge,
            Cond::Sgt => Cond::Slt,
            Cond::Slt => Cond::Sgt,
            Cond::Sge => Cond::Sle,
            Cond::Sle => Cond::Sge,
        }
    }
}

/// Width of a memory access; the number is the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Size {
    /// 4 bytes.
    W = 0x00,
    /// 2 bytes.
    H = 0x08,
    /// 1 byte.
    B = 0x10,
    /// 8 bytes.
    D = 0x18,
}

impl Size {
    /// The width of so many bytes: 1, 2, 4; anything else is 8.
    pub fn of_bytes(bytes: u8) -> Size {
        match bytes {
            1 => Size::B,
            2 => Size::H,
            4 => Size::W,
            _ => Size::D,
        }
    }

    /// Bytes.
    pub fn bytes(self) -> u8 {
        match self {
            Size::B => 1,
            Size::H => 2,
            Size::W => 4,
            Size::D => 8,
        }
    }
}

/// Atomic operations; the number is the immediate of the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum AtomicOp {
    /// Add; every kernel.
    Add = 0x00,
    /// Add and give the old value; kernel 5.12.
    FetchAdd = 0x01,
    /// Exchange; kernel 5.12.
    Xchg = 0xe1,
}

/// A map of the image, by its number in `plan::Maps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MapId(pub u32);

/// A 64-bit value that is loaded whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wide {
    /// A number.
    Imm(i64),
    /// A map's file descriptor, for helper calls.
    Map(MapId),
    /// The address of a byte in a one-element array map.
    MapValue(MapId, u32),
    /// The address of a subprogram, by its number.
    Function(u32),
}

/// An instruction. `R` names registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insn<R> {
    /// Arithmetic on 64 bits, or on 32 bits with the upper half zeroed.
    Alu {
        /// What is done.
        op: AluOp,
        /// 64 bits.
        wide: bool,
        /// First operand and result.
        dst: R,
        /// Second operand.
        src: Src<R>,
    },
    /// `dst = -dst`, 64 bits.
    Neg {
        /// Operand and result.
        dst: R,
    },
    /// Conversion from the machine's order to little-endian: nothing on little-endian
    /// machines, except that the verifier forgets what it knows of a 64-bit value.
    ToLe {
        /// Operand and result.
        dst: R,
        /// 16, 32 or 64.
        bits: i32,
    },
    /// Conversion from the machine's order to big-endian.
    ToBe {
        /// Operand and result.
        dst: R,
        /// 16, 32 or 64.
        bits: i32,
    },
    /// Load a 64-bit value; two slots.
    LoadWide {
        /// Result.
        dst: R,
        /// Which.
        value: Wide,
    },
    /// Load from memory.
    Load {
        /// Width.
        size: Size,
        /// Sign-extend (kernel 6.6), else zero-extend.
        signed: bool,
        /// Result.
        dst: R,
        /// Base address.
        base: R,
        /// Bytes added to it.
        off: i16,
    },
    /// Store to memory.
    Store {
        /// Width.
        size: Size,
        /// Base address.
        base: R,
        /// Bytes added to it.
        off: i16,
        /// What is stored.
        src: Src<R>,
    },
    /// Atomic read-modify-write.
    Atomic {
        /// What is done.
        op: AtomicOp,
        /// Width: 4 or 8 bytes.
        size: Size,
        /// Base address.
        base: R,
        /// Bytes added to it.
        off: i16,
        /// Operand; the old value with `FetchAdd` and `Xchg`.
        src: R,
    },
    /// Jump.
    Jump {
        /// How many instructions on, 0 being the next.
        target: i32,
    },
    /// Jump on a condition.
    JumpIf {
        /// The condition.
        cond: Cond,
        /// Compare 64 bits.
        wide: bool,
        /// First operand.
        left: R,
        /// Second operand.
        right: Src<R>,
        /// How many instructions on, 0 being the next.
        target: i32,
    },
    /// Call a kernel helper.
    Call(super::helpers::Helper),
    /// Call a function of the kernel itself, by its id in the kernel's BTF.
    CallKernel(u32),
    /// Call a subprogram of the image, by its number.
    CallFn(u32),
    /// Call one of the functions apart ([`super::vcode::Apart`]), by its number among them: becomes a
    /// `CallFn` when all functions have theirs.
    CallApart(u32),
    /// Leave the program or subprogram.
    Exit,
}

impl<R> Insn<R> {
    /// The function apart that is called, or passed to a helper that calls it.
    pub fn called_apart(&self) -> Option<u32> {
        match self {
            Insn::LoadWide {
                value: Wide::Function(number),
                ..
            }
            | Insn::CallApart(number) => Some(*number),
            _ => None,
        }
    }

    /// 8-byte slots in the encoding.
    pub fn slots(&self) -> i32 {
        match self {
            Insn::LoadWide { .. } => 2,
            _ => 1,
        }
    }

    /// The same instruction with its registers renamed.
    pub fn map<S>(self, mut f: impl FnMut(R) -> S) -> Insn<S> {
        match self {
            Insn::Alu { op, wide, dst, src } => Insn::Alu {
                op,
                wide,
                dst: f(dst),
                src: src.map(f),
            },
            Insn::Neg { dst } => Insn::Neg { dst: f(dst) },
            Insn::ToLe { dst, bits } => Insn::ToLe { dst: f(dst), bits },
            Insn::ToBe { dst, bits } => Insn::ToBe { dst: f(dst), bits },
            Insn::LoadWide { dst, value } => Insn::LoadWide { dst: f(dst), value },
            Insn::Load {
                size,
                signed,
                dst,
                base,
                off,
            } => Insn::Load {
                size,
                signed,
                dst: f(dst),
                base: f(base),
                off,
            },
            Insn::Store {
                size,
                base,
                off,
                src,
            } => Insn::Store {
                size,
                base: f(base),
                off,
                src: src.map(f),
            },
            Insn::Atomic {
                op,
                size,
                base,
                off,
                src,
            } => Insn::Atomic {
                op,
                size,
                base: f(base),
                off,
                src: f(src),
            },
            Insn::Jump { target } => Insn::Jump { target },
            Insn::JumpIf {
                cond,
                wide,
                left,
                right,
                target,
            } => Insn::JumpIf {
                cond,
                wide,
                left: f(left),
                right: right.map(f),
                target,
            },
            Insn::Call(helper) => Insn::Call(helper),
            Insn::CallKernel(function) => Insn::CallKernel(function),
            Insn::CallFn(func) => Insn::CallFn(func),
            Insn::CallApart(number) => Insn::CallApart(number),
            Insn::Exit => Insn::Exit,
        }
    }
}
