//! Operators: their spelling and how tightly they bind.

/// Operators before their operand, other than `++`, `--` and `&`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `-x`
    Neg,
    /// `+x`
    Plus,
    /// `!x`
    Not,
    /// `~x`
    BitNot,
}

impl UnaryOp {
    /// As it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            UnaryOp::Neg => "-",
            UnaryOp::Plus => "+",
            UnaryOp::Not => "!",
            UnaryOp::BitNot => "~",
        }
    }
}

/// `++` and `--`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IncDecOp {
    /// `++`
    Inc,
    /// `--`
    Dec,
}

impl IncDecOp {
    /// As it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            IncDecOp::Inc => "++",
            IncDecOp::Dec => "--",
        }
    }
}

/// Operators between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "`symbol` is their documentation")]
pub enum BinaryOp {
    OrOr,
    AndAnd,
    BitOr,
    BitXor,
    BitAnd,
    Lt,
    Le,
    Gt,
    Ge,
    Eq,
    Ne,
    Shl,
    Shr,
    /// `>>>`, the shift that brings in zeros.
    ShrLogical,
    /// `.`, string concatenation.
    Concat,
    Add,
    Sub,
    Mul,
    Div,
    Rem,
}

impl BinaryOp {
    /// As it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::OrOr => "||",
            BinaryOp::AndAnd => "&&",
            BinaryOp::BitOr => "|",
            BinaryOp::BitXor => "^",
            BinaryOp::BitAnd => "&",
            BinaryOp::Lt => "<",
            BinaryOp::Le => "<=",
            BinaryOp::Gt => ">",
            BinaryOp::Ge => ">=",
            BinaryOp::Eq => "==",
            BinaryOp::Ne => "!=",
            BinaryOp::Shl => "<<",
            BinaryOp::Shr => ">>",
            BinaryOp::ShrLogical => ">>>",
            BinaryOp::Concat => ".",
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Rem => "%",
        }
    }

    /// How tightly it binds.
    pub fn precedence(self) -> Precedence {
        match self {
            BinaryOp::OrOr => Precedence::OrOr,
            BinaryOp::AndAnd => Precedence::AndAnd,
            BinaryOp::BitOr => Precedence::BitOr,
            BinaryOp::BitXor => Precedence::BitXor,
            BinaryOp::BitAnd => Precedence::BitAnd,
            BinaryOp::Lt
            | BinaryOp::Le
            | BinaryOp::Gt
            | BinaryOp::Ge
            | BinaryOp::Eq
            | BinaryOp::Ne => Precedence::Compare,
            BinaryOp::Shl | BinaryOp::Shr | BinaryOp::ShrLogical => Precedence::Shift,
            BinaryOp::Concat => Precedence::Concat,
            BinaryOp::Add | BinaryOp::Sub => Precedence::Add,
            BinaryOp::Mul | BinaryOp::Div | BinaryOp::Rem => Precedence::Mul,
        }
    }
}

/// Assignment operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AssignOp {
    /// `=`
    Set,
    /// `<<<`, which adds a value to a statistic.
    Push,
    /// `op=` for the operators that have it: `+ - * / % << >> & ^ | .`
    Compute(BinaryOp),
}

impl AssignOp {
    /// As it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            AssignOp::Set => "=",
            AssignOp::Push => "<<<",
            AssignOp::Compute(BinaryOp::Add) => "+=",
            AssignOp::Compute(BinaryOp::Sub) => "-=",
            AssignOp::Compute(BinaryOp::Mul) => "*=",
            AssignOp::Compute(BinaryOp::Div) => "/=",
            AssignOp::Compute(BinaryOp::Rem) => "%=",
            AssignOp::Compute(BinaryOp::Shl) => "<<=",
            AssignOp::Compute(BinaryOp::Shr) => ">>=",
            AssignOp::Compute(BinaryOp::BitAnd) => "&=",
            AssignOp::Compute(BinaryOp::BitXor) => "^=",
            AssignOp::Compute(BinaryOp::BitOr) => "|=",
            AssignOp::Compute(BinaryOp::Concat) => ".=",
            AssignOp::Compute(other) => other.symbol(),
        }
    }
}

/// The levels of the expression grammar, loosest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the operators")]
pub enum Precedence {
    Assign,
    Ternary,
    OrOr,
    AndAnd,
    BitOr,
    BitXor,
    BitAnd,
    In,
    Compare,
    Shift,
    Concat,
    Add,
    Mul,
    Unary,
    IncDec,
    /// `&x` and whatever binds tighter.
    AddressOf,
    /// `->`, `[ ]` and the `$` suffixes.
    Postfix,
    /// Literals, names, calls, parentheses.
    Primary,
}
