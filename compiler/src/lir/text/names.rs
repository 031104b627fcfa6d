//! Words for the enumerations that LIR text mentions, each list read in both directions.

use crate::lir::{
    BinOp, Channel, CmpOp, ConvFlag, ConvKind, CoreKind, Env, ErrorKind, PointText, Space,
};

/// The word of `value`.
pub(super) fn word<T: PartialEq>(names: &[(T, &'static str)], value: &T) -> &'static str {
    let found = names.iter().find(|(v, _)| v == value);
    found.map_or("?", |(_, name)| name)
}

/// The value of a word.
pub(super) fn value<T: Copy>(names: &[(T, &'static str)], word: &str) -> Option<T> {
    let found = names.iter().find(|(_, name)| *name == word);
    found.map(|(v, _)| *v)
}

pub(super) const BIN: &[(BinOp, &str)] = &[
    (BinOp::Add, "add"),
    (BinOp::Sub, "sub"),
    (BinOp::Mul, "mul"),
    (BinOp::And, "and"),
    (BinOp::Or, "or"),
    (BinOp::Xor, "xor"),
    (BinOp::Shl, "shl"),
    (BinOp::Shr, "shr"),
    (BinOp::Sar, "sar"),
];

pub(super) const CMP: &[(CmpOp, &str)] = &[
    (CmpOp::Eq, "eq"),
    (CmpOp::Ne, "ne"),
    (CmpOp::Lt, "lt"),
    (CmpOp::Le, "le"),
    (CmpOp::Gt, "gt"),
    (CmpOp::Ge, "ge"),
    (CmpOp::Ult, "ult"),
];

pub(super) const ENV: &[(Env, &str)] = &[
    (Env::PidTgid, "pid_tgid"),
    (Env::UidGid, "uid_gid"),
    (Env::Cpu, "cpu"),
    (Env::KtimeNs, "ktime_ns"),
    (Env::BootNs, "boot_ns"),
    (Env::RealNs, "real_ns"),
    (Env::Jiffies, "jiffies"),
    (Env::CurrentTask, "current_task"),
    (Env::CgroupId, "cgroup_id"),
    (Env::Random, "random"),
    (Env::Point, "point"),
    (Env::TargetPid, "target_pid"),
];

pub(super) const SPACE: &[(Space, &str)] = &[(Space::Kernel, "kernel"), (Space::User, "user")];

pub(super) const POINT_TEXT: &[(PointText, &str)] = &[
    (PointText::Full, "full"),
    (PointText::Function, "function"),
    (PointText::Module, "module"),
];

pub(super) const CHANNEL: &[(Channel, &str)] = &[
    (Channel::Out, "out"),
    (Channel::Warn, "warn"),
    (Channel::Log, "log"),
    (Channel::System, "system"),
    (Channel::Printk, "printk"),
];

pub(super) const CONV: &[(ConvKind, &str)] = &[
    (ConvKind::Decimal, "d"),
    (ConvKind::Unsigned, "u"),
    (ConvKind::Octal, "o"),
    (ConvKind::HexLower, "x"),
    (ConvKind::HexUpper, "X"),
    (ConvKind::Pointer, "p"),
    (ConvKind::Char, "c"),
    (ConvKind::Str, "s"),
    (ConvKind::Binary, "b"),
    (ConvKind::Memory, "m"),
    (ConvKind::MemoryHex, "M"),
];

pub(super) const FLAG: &[(ConvFlag, &str)] = &[
    (ConvFlag::Zero, "0"),
    (ConvFlag::Plus, "+"),
    (ConvFlag::Left, "-"),
    (ConvFlag::Space, "_"),
    (ConvFlag::Alternate, "#"),
];

pub(super) const CORE: &[(CoreKind, &str)] = &[
    (CoreKind::FieldByteOffset, "field_byte_offset"),
    (CoreKind::FieldByteSize, "field_byte_size"),
    (CoreKind::FieldExists, "field_exists"),
    (CoreKind::FieldLshift, "field_lshift"),
    (CoreKind::FieldRshift, "field_rshift"),
    (CoreKind::TypeSize, "type_size"),
    (CoreKind::EnumValue, "enum_value"),
];

/// Errors without details of their own; `array_overflow n` has one.
pub(super) const ERROR: &[(ErrorKind, &str)] = &[
    (ErrorKind::DivisionByZero, "division_by_zero"),
    (ErrorKind::EmptyStat, "empty_stat"),
    (ErrorKind::HistRange, "hist_range"),
    (ErrorKind::ReadFault(Space::Kernel), "kernel_read_fault"),
    (ErrorKind::ReadFault(Space::User), "user_read_fault"),
    (ErrorKind::StringFault(Space::Kernel), "kernel_string_fault"),
    (ErrorKind::StringFault(Space::User), "user_string_fault"),
    (ErrorKind::MaxAction, "max_action"),
    (ErrorKind::MaxNesting, "max_nesting"),
    (ErrorKind::Script, "script"),
    (ErrorKind::NoEntry, "no_entry"),
    (ErrorKind::IterationTooBig, "iteration_too_big"),
    (ErrorKind::UserFn, "user_fn"),
    (ErrorKind::NoOverload, "no_overload"),
    (ErrorKind::MatchRange, "match_range"),
    (ErrorKind::NoCount, "no_count"),
    (ErrorKind::Call, "call"),
    (ErrorKind::RecursiveCall, "recursive_call"),
    (ErrorKind::Probe, "probe"),
];
