//! The conditions of `%( … %? … %)`.
//!
//! In: a condition's tokens, macros expanded. Out: its truth, or the place and text of what is wrong.
//! Grammar: `A op B`, joined by `&&`, those joined by `||`, no parentheses.

use super::compare::{is_pattern, matches_pattern, versions};
use super::facts::PreprocessorFacts;
use crate::dialect::Dialect;
use crate::lexer::{Token, TokenKind, number_value, string_value};
use crate::source::Span;
use bstr::BString;
use std::cmp::Ordering;

/// What is wrong with a condition.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) span: Span,
    pub(super) text: String,
    pub(super) help: Option<String>,
}

fn wrong<T>(span: Span, text: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong {
        span,
        text: text.into(),
        help: None,
    })
}

/// Whether the condition holds. `span` is its place, for when it is empty.
pub(super) fn evaluate(
    tokens: &[Token<'_>],
    span: Span,
    facts: &dyn PreprocessorFacts,
) -> Result<bool, Wrong> {
    let mut any = false;
    for alternative in tokens.split(|t| t.kind == TokenKind::OrOr) {
        let mut all = true;
        for comparison in alternative.split(|t| t.kind == TokenKind::AndAnd) {
            // Each is evaluated even if the result is known, so that mistakes do not hide.
            all &= compare(comparison, span, facts)?;
        }
        any |= all;
    }
    Ok(any)
}

/// A comparison operator.
#[derive(Debug, Clone, Copy)]
struct Op<'t> {
    kind: TokenKind,
    token: &'t Token<'t>,
}

impl Op<'_> {
    fn holds(self, order: Ordering) -> bool {
        match self.kind {
            TokenKind::EqEq => order.is_eq(),
            TokenKind::NotEq => order.is_ne(),
            TokenKind::Lt => order.is_lt(),
            TokenKind::Le => order.is_le(),
            TokenKind::Gt => order.is_gt(),
            _ => order.is_ge(),
        }
    }

    /// For what can only be equal or not.
    fn equality(self, equal: bool) -> Result<bool, Wrong> {
        match self.kind {
            TokenKind::EqEq => Ok(equal),
            TokenKind::NotEq => Ok(!equal),
            _ => wrong(
                self.token.span,
                "this can only be compared with '==' and '!='",
            ),
        }
    }

    fn is_equality(self) -> bool {
        matches!(self.kind, TokenKind::EqEq | TokenKind::NotEq)
    }
}

fn compare(tokens: &[Token<'_>], span: Span, facts: &dyn PreprocessorFacts) -> Result<bool, Wrong> {
    let (left, op, right) = match tokens {
        [left, op, right] => (left, op, right),
        [] => return wrong(span, "a comparison is missing here"),
        [first, ..] => {
            let place = tokens
                .last()
                .map_or(first.span, |last| first.span.to(last.span));
            return wrong(
                place,
                "expected one comparison such as 'kernel_v >= \"5.10\"'",
            );
        }
    };
    if !is_comparison(op.kind) {
        return wrong(op.span, "expected '==', '!=', '<', '<=', '>' or '>='");
    }
    let op = Op {
        kind: op.kind,
        token: op,
    };
    match (left.kind, right.kind) {
        (TokenKind::String, TokenKind::String) => {
            let order = string(left).cmp(&string(right));
            Ok(op.holds(order))
        }
        (TokenKind::Number, TokenKind::Number) => Ok(op.holds(number(left)?.cmp(&number(right)?))),
        (TokenKind::Ident, _) => named(left, op, right, facts),
        (TokenKind::String | TokenKind::Number, _) => wrong(
            right.span,
            "expected a value of the same kind as on the left",
        ),
        _ => unknown_left(left),
    }
}

fn is_comparison(kind: TokenKind) -> bool {
    use TokenKind::{EqEq, Ge, Gt, Le, Lt, NotEq};
    matches!(kind, EqEq | NotEq | Lt | Le | Gt | Ge)
}

fn string(token: &Token<'_>) -> String {
    let mut value = BString::default();
    string_value(token.text, Dialect::NEWEST, &mut value);
    String::from_utf8_lossy(&value).into_owned()
}

fn number(token: &Token<'_>) -> Result<i64, Wrong> {
    number_value(token.text).or_else(|why| wrong(token.span, why))
}

const NAMES: [&str; 7] = [
    "kernel_v",
    "kernel_vr",
    "systemtap_v",
    "arch",
    "runtime",
    "systemtap_privilege",
    "guru_mode",
];

fn unknown_left<T>(left: &Token<'_>) -> Result<T, Wrong> {
    Err(Wrong {
        span: left.span,
        text: "no such thing to compare".to_owned(),
        help: Some(
            crate::diag::did_you_mean(left.text, NAMES).unwrap_or_else(|| {
                format!(
                    "conditions know {}, CONFIG_…, strings and numbers",
                    NAMES.join(", ")
                )
            }),
        ),
    })
}

/// A comparison whose left side is a name.
fn named(
    left: &Token<'_>,
    op: Op<'_>,
    right: &Token<'_>,
    facts: &dyn PreprocessorFacts,
) -> Result<bool, Wrong> {
    if left.text.starts_with("CONFIG_") {
        return config(left.text, op, right, facts);
    }
    if left.text == "guru_mode" {
        let wanted = if right.kind == TokenKind::Number {
            number(right)?
        } else {
            -1
        };
        if wanted != 0 && wanted != 1 {
            return wrong(right.span, "expected 0 or 1");
        }
        return op.equality((wanted == 1) == facts.guru());
    }
    if !NAMES.contains(&left.text) {
        return unknown_left(left);
    }
    if right.kind != TokenKind::String {
        return wrong(right.span, "expected a string literal");
    }
    let right_value = string(right);
    let version = match left.text {
        "kernel_v" => facts.kernel_v(),
        "kernel_vr" => facts.kernel_vr(),
        "systemtap_v" => facts.systemtap_v(),
        "arch" => return op.equality(matches_pattern(&right_value, &facts.arch())),
        "runtime" => return op.equality(matches_pattern(&right_value, &facts.runtime())),
        _ => {
            if !["stapusr", "stapsys", "stapdev"].contains(&right_value.as_str()) {
                return wrong(
                    right.span,
                    "expected \"stapusr\", \"stapsys\" or \"stapdev\"",
                );
            }
            return op.equality(right_value == facts.privilege());
        }
    };
    if op.is_equality() && is_pattern(&right_value) {
        return op.equality(matches_pattern(&right_value, &version));
    }
    Ok(op.holds(versions(&version, &right_value)))
}

/// `CONFIG_X` against a pattern, a number, or another option.
fn config(
    name: &str,
    op: Op<'_>,
    right: &Token<'_>,
    facts: &dyn PreprocessorFacts,
) -> Result<bool, Wrong> {
    let value = facts.config(name).unwrap_or_default();
    match right.kind {
        TokenKind::String => op.equality(matches_pattern(&string(right), &value)),
        TokenKind::Number => {
            let right_value = number(right)?;
            // An option that is not set counts as 0.
            let left = if value.is_empty() {
                Ok(0)
            } else {
                number_value(&value)
            };
            match left {
                Ok(left) => Ok(op.holds(left.cmp(&right_value))),
                Err(_) => wrong(right.span, format!("{name} is {value}, which is no number")),
            }
        }
        TokenKind::Ident if right.text.starts_with("CONFIG_") => {
            let other = facts.config(right.text).unwrap_or_default();
            let order = match (number_value(&value), number_value(&other)) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                _ => value.cmp(&other),
            };
            Ok(op.holds(order))
        }
        _ => wrong(
            right.span,
            "expected a string, a number or another CONFIG_ name",
        ),
    }
}
