//! Expressions as source.

use super::{ERROR, Printer};
use crate::ast::*;

/// How tightly an expression holds together.
fn precedence(e: &Expr) -> Precedence {
    match &e.kind {
        ExprKind::Assign { .. } => Precedence::Assign,
        ExprKind::Ternary { .. } => Precedence::Ternary,
        ExprKind::Binary { op, .. } => op.precedence(),
        ExprKind::In { .. } => Precedence::In,
        ExprKind::Regex { .. } => Precedence::Compare,
        ExprKind::Unary { .. } => Precedence::Unary,
        ExprKind::IncDec { .. } => Precedence::IncDec,
        ExprKind::AddressOf(_) => Precedence::AddressOf,
        ExprKind::Member { .. } | ExprKind::Subscript { .. } | ExprKind::Pretty { .. } => {
            Precedence::Postfix
        }
        ExprKind::Number(_)
        | ExprKind::String(_)
        | ExprKind::Name(_)
        | ExprKind::Index { .. }
        | ExprKind::Call { .. }
        | ExprKind::ContextVar(_)
        | ExprKind::At { .. }
        | ExprKind::Embedded(_)
        | ExprKind::Error => Precedence::Primary,
    }
}

/// The level above, for operands that may not be of the same.
fn tighter(level: Precedence) -> Precedence {
    use Precedence::*;
    match level {
        Assign => Ternary,
        Ternary => OrOr,
        OrOr => AndAnd,
        AndAnd => BitOr,
        BitOr => BitXor,
        BitXor => BitAnd,
        BitAnd => In,
        In => Compare,
        Compare => Shift,
        Shift => Concat,
        Concat => Add,
        Add => Mul,
        Mul => Unary,
        Unary => IncDec,
        IncDec => AddressOf,
        AddressOf => Postfix,
        Postfix | Primary => Primary,
    }
}

impl Printer {
    /// An expression where one of this level or tighter can be.
    pub(super) fn expr(&mut self, e: &Expr, least: Precedence) {
        let own = precedence(e);
        let needed = if self.explicit {
            least > Precedence::Assign && own < Precedence::Postfix
        } else {
            own < least
        };
        if needed {
            self.parens(e);
        } else {
            self.bare(e);
        }
    }

    fn parens(&mut self, e: &Expr) {
        self.put("(");
        self.bare(e);
        self.put(")");
    }

    fn bare(&mut self, e: &Expr) {
        match &e.kind {
            // Literals have no sign: a negative value is one that has wrapped.
            ExprKind::Number(n) => self.put(&(*n as u64).to_string()),
            ExprKind::String(s) => self.string(s),
            ExprKind::Name(name) | ExprKind::ContextVar(name) => self.put(name.as_str()),
            ExprKind::Index { array, keys } => {
                self.indexable(array);
                self.put("[");
                self.list(keys, Printer::key);
                self.put("]");
            }
            ExprKind::Call { name, args } => {
                self.put(name.as_str());
                self.args(args);
            }
            ExprKind::At { op, args } => {
                self.put("@");
                self.put(op.name());
                self.args(args);
            }
            ExprKind::Member { base, field } => {
                self.postfix_base(base, true);
                self.put("->");
                self.put(field.as_str());
            }
            ExprKind::Subscript { base, index } => {
                self.postfix_base(base, false);
                self.put("[");
                self.expr(index, Precedence::Assign);
                self.put("]");
            }
            ExprKind::Pretty { base, deep } => {
                self.postfix_base(base, true);
                // Directly after a name the dollar would be part of it.
                if matches!(base.kind, ExprKind::Name(_)) {
                    self.put(" ");
                }
                self.put(if *deep { "$$" } else { "$" });
            }
            ExprKind::AddressOf(e) => {
                self.put("&");
                self.expr(e, Precedence::Postfix);
            }
            ExprKind::Unary { op, operand } => {
                self.put(op.symbol());
                // `--`, `++` and `!~` are other operators.
                let prefix = matches!(
                    operand.kind,
                    ExprKind::IncDec { prefix: true, .. } | ExprKind::Unary { .. }
                );
                if prefix {
                    self.parens(operand);
                } else {
                    self.expr(operand, Precedence::Unary);
                }
            }
            ExprKind::IncDec {
                op,
                prefix,
                operand,
            } => {
                if *prefix {
                    self.put(op.symbol());
                }
                self.expr(operand, Precedence::AddressOf);
                if !*prefix {
                    self.put(op.symbol());
                }
            }
            ExprKind::Binary { op, lhs, rhs } => {
                let level = op.precedence();
                // A match is on the level of comparisons but no part of their chain.
                if level == Precedence::Compare && matches!(lhs.kind, ExprKind::Regex { .. }) {
                    self.parens(lhs);
                } else {
                    self.expr(lhs, level);
                }
                self.infix(op.symbol());
                self.expr(rhs, tighter(level));
            }
            ExprKind::Ternary {
                cond,
                then,
                otherwise,
            } => {
                self.expr(cond, Precedence::OrOr);
                self.infix("?");
                self.expr(then, Precedence::Assign);
                self.infix(":");
                self.expr(otherwise, Precedence::Ternary);
            }
            ExprKind::Assign { op, target, value } => {
                self.expr(target, Precedence::OrOr);
                self.infix(op.symbol());
                self.expr(value, Precedence::Assign);
            }
            ExprKind::Regex {
                expr,
                negated,
                pattern,
            } => {
                self.expr(expr, Precedence::Shift);
                self.infix(if *negated { "!~" } else { "=~" });
                self.string(&pattern.value);
            }
            ExprKind::In { keys, array } => {
                match keys.as_slice() {
                    [Key::Expr(key)] => self.expr(key, Precedence::Compare),
                    keys => {
                        self.put("[");
                        self.list(keys, Printer::key);
                        self.put("]");
                    }
                }
                self.put(" in ");
                self.indexable(array);
            }
            ExprKind::Embedded(code) => self.embedded(code),
            ExprKind::Error => self.put(ERROR),
        }
    }

    fn infix(&mut self, symbol: &str) {
        self.put(" ");
        self.put(symbol);
        self.put(" ");
    }

    /// What `->`, `[` or `$` follows. A plain name before `[` would be an array.
    fn postfix_base(&mut self, base: &Expr, name_too: bool) {
        if matches!(base.kind, ExprKind::Name(_)) && !name_too {
            self.parens(base);
        } else {
            self.expr(base, Precedence::Postfix);
        }
    }

    fn args(&mut self, args: &[Expr]) {
        self.put("(");
        self.list(args, |p, e| p.expr(e, Precedence::Assign));
        self.put(")");
    }

    pub(super) fn key(&mut self, key: &Key) {
        match key {
            Key::Expr(e) => self.expr(e, Precedence::Assign),
            Key::Any(_) => self.put("*"),
        }
    }

    pub(super) fn indexable(&mut self, array: &Indexable) {
        match array {
            Indexable::Array(name) => self.put(name.as_str()),
            Indexable::Hist(e) => self.expr(e, Precedence::Postfix),
        }
    }
}
