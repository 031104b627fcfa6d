//! The built-in `@word` operators: one table.

/// A built-in operator spelt `@word(…)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the table's rows are their documentation")]
pub enum AtOp {
    Cast,
    Var,
    Defined,
    Probewrite,
    Entry,
    Perf,
    Const,
    Enum,
    EnumName,
    Kregister,
    Uregister,
    Kderef,
    Uderef,
    Count,
    Sum,
    Min,
    Max,
    Avg,
    Variance,
    HistLinear,
    HistLog,
}

/// What an operator takes in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgKind {
    /// Any expression.
    Expr,
    /// A string literal.
    String,
    /// A number literal, perhaps with a sign.
    Number,
    /// A plain name, or `$name`.
    Variable,
}

use ArgKind::{Expr, Number, String, Variable};

/// One operator.
struct Row {
    op: AtOp,
    name: &'static str,
    /// How many arguments must be given; `args` has the most that may be.
    min: usize,
    args: &'static [ArgKind],
}

const fn row(op: AtOp, name: &'static str, min: usize, args: &'static [ArgKind]) -> Row {
    Row {
        op,
        name,
        min,
        args,
    }
}

/// In the order of the enumeration.
static TABLE: [Row; 21] = [
    row(AtOp::Cast, "cast", 2, &[Expr, String, String]),
    row(AtOp::Var, "var", 1, &[String, String]),
    row(AtOp::Defined, "defined", 1, &[Expr]),
    row(AtOp::Probewrite, "probewrite", 1, &[Variable]),
    row(AtOp::Entry, "entry", 1, &[Expr]),
    row(AtOp::Perf, "perf", 1, &[String]),
    row(AtOp::Const, "const", 1, &[String]),
    row(AtOp::Enum, "enum", 1, &[String]),
    row(AtOp::EnumName, "enumname", 1, &[Expr, String, String]),
    row(AtOp::Kregister, "kregister", 1, &[Expr]),
    row(AtOp::Uregister, "uregister", 1, &[Expr]),
    row(AtOp::Kderef, "kderef", 2, &[Expr, Expr]),
    row(AtOp::Uderef, "uderef", 2, &[Expr, Expr]),
    row(AtOp::Count, "count", 1, &[Expr]),
    row(AtOp::Sum, "sum", 1, &[Expr]),
    row(AtOp::Min, "min", 1, &[Expr]),
    row(AtOp::Max, "max", 1, &[Expr]),
    row(AtOp::Avg, "avg", 1, &[Expr]),
    row(AtOp::Variance, "variance", 1, &[Expr, Number]),
    row(
        AtOp::HistLinear,
        "hist_linear",
        4,
        &[Expr, Number, Number, Number],
    ),
    row(AtOp::HistLog, "hist_log", 1, &[Expr]),
];

impl AtOp {
    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The operator of a word, the `@` not included.
    pub fn from_name(name: &str) -> Option<AtOp> {
        TABLE.iter().find(|r| r.name == name).map(|r| r.op)
    }

    /// The word, the `@` not included.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// How few arguments it takes.
    pub fn min_args(self) -> usize {
        self.row().min
    }

    /// How many arguments it takes at most.
    pub fn max_args(self) -> usize {
        self.row().args.len()
    }

    /// What it takes, argument by argument.
    pub fn arg_kinds(self) -> &'static [ArgKind] {
        self.row().args
    }

    /// Every operator.
    pub fn all() -> impl Iterator<Item = AtOp> {
        TABLE.iter().map(|r| r.op)
    }

    /// Whether it is `@hist_log` or `@hist_linear`, whose value can only be printed, indexed or iterated.
    pub fn is_hist(self) -> bool {
        matches!(self, AtOp::HistLinear | AtOp::HistLog)
    }

    /// Whether it reads one number out of a statistic: `@count` to `@variance`.
    pub fn is_stat(self) -> bool {
        matches!(
            self,
            AtOp::Count | AtOp::Sum | AtOp::Min | AtOp::Max | AtOp::Avg | AtOp::Variance
        )
    }

    /// Whether `foreach` may sort by it.
    pub fn sorts(self) -> bool {
        self.is_stat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_at_their_operators_places() {
        for (i, r) in TABLE.iter().enumerate() {
            assert_eq!(r.op as usize, i, "@{}", r.name);
            assert_eq!(AtOp::from_name(r.name), Some(r.op));
            assert!(r.min <= r.args.len(), "@{}", r.name);
        }
    }
}
