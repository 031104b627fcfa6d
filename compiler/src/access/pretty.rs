//! Text of C data: `$x$`, `$$vars`, `$$parms`, `$$return`, `$$name`.

use rtap_grammar::ast::{self, ExprKind as Ast};
use rtap_grammar::diag::codes;
use rtap_grammar::source::Span;

use super::CType;
use crate::btf::{PlaceKind, place};
use crate::hir::{Expr, ExprKind, PointText, Print, PrintArg, PrintKind, Ty};
use crate::lir::{Channel, Conv, ConvFlag, ConvKind, ConvSize, Format, Piece, Space};
use crate::resolve::{Cx, error};

/// A text with conversions and their arguments, put together piece by piece.
#[derive(Default)]
struct Text {
    pieces: Vec<Piece>,
    args: Vec<PrintArg>,
}

impl Text {
    fn plain(&mut self, text: &str) {
        if let Some(Piece::Text(last)) = self.pieces.last_mut() {
            last.extend_from_slice(text.as_bytes());
        } else if !text.is_empty() {
            self.pieces.push(Piece::Text(text.into()));
        }
    }

    fn value(&mut self, kind: ConvKind, flag: Option<ConvFlag>, value: Expr) {
        self.pieces.push(Piece::Conv(Conv {
            flag,
            width: ConvSize::None,
            precision: ConvSize::None,
            kind,
        }));
        self.args.push(PrintArg::Value(value));
    }

    fn finish(self, span: Span) -> Expr {
        let kind = PrintKind::Format(Format {
            pieces: self.pieces,
            channel: Channel::Out,
        });
        let print = Print {
            kind,
            args: self.args,
            channel: Channel::Out,
        };
        Expr::new(ExprKind::Sprint(print), Ty::Str, span)
    }
}

impl Cx<'_> {
    /// `$$vars` and its like; `pretty` for `$$vars$`.
    pub(super) fn vars_text(&mut self, name: &ast::Ident, pretty: bool, span: Span) -> Expr {
        let Some(vars) = self.scope.vars.clone() else {
            return self.fail(
                codes::NO_CONTEXT,
                format!("'{}' in a function", name.as_str()),
                span,
                "functions have no probe point of their own",
            );
        };
        let wanted: Vec<String> = match name.as_str() {
            "$$name" => {
                return Expr::new(ExprKind::PointText(PointText::Function), Ty::Str, span);
            }
            "$$vars" | "$$parms" | "$$args" => {
                vars.list(self).into_iter().map(|v| v.name).collect()
            }
            "$$locals" => Vec::new(),
            "$$return" => vars
                .result(self)
                .map(|_| "return".to_owned())
                .into_iter()
                .collect(),
            _ => match vars.get(self, name.as_str().trim_start_matches('$'), span) {
                Some(typed) => return typed.expr,
                None => {
                    return self.fail(
                        codes::UNKNOWN_CONTEXT_VAR,
                        format!("there is no '{}'", name.as_str()),
                        span,
                        "known are $$vars, $$parms, $$locals, $$return and $$name",
                    );
                }
            },
        };
        let mut text = Text::default();
        for (index, name) in wanted.iter().enumerate() {
            let Some(typed) = vars.get(self, name, span) else {
                continue;
            };
            text.plain(&format!("{}{name}=", if index == 0 { "" } else { " " }));
            if pretty {
                self.pretty_value(&mut text, typed.expr, &typed.ty, span);
            } else {
                text.value(ConvKind::HexLower, Some(ConvFlag::Alternate), typed.expr);
            }
        }
        text.finish(span)
    }

    /// `x$` and `x$$`.
    pub(super) fn pretty(&mut self, base: &ast::Expr, _deep: bool, span: Span) -> Expr {
        if let Ast::ContextVar(name) = &base.kind
            && name.as_str().starts_with("$$")
        {
            return self.vars_text(name, true, span);
        }
        let Some((start, steps)) = self.base_and_steps(base) else {
            return error(span);
        };
        let mut text = Text::default();
        if steps.is_empty() {
            let typed = start;
            self.pretty_value(&mut text, typed.expr, &typed.ty, span);
        } else {
            let Some(located) = self.locate(start, &steps, span) else {
                return error(span);
            };
            let kind = located.place.kind;
            let pointee = match kind {
                PlaceKind::Pointer(to) => self.char_pointee(to, span),
                _ => false,
            };
            let value = self.read(located, span);
            pretty_kind(&mut text, value, kind, pointee, span);
        }
        text.finish(span)
    }

    fn char_pointee(&mut self, to: crate::btf::TypeId, span: Span) -> bool {
        self.btf(None, span).is_some_and(|btf| btf.is_char(to))
    }

    fn pretty_value(&mut self, text: &mut Text, value: Expr, ty: &CType, span: Span) {
        let CType::Value(ty) = ty else {
            text.value(ConvKind::Decimal, None, value);
            return;
        };
        let Some(btf) = self.btf(ty.module.as_deref(), span) else {
            return;
        };
        let kind = place(&btf, ty.id).map_or(PlaceKind::Opaque, |place| place.kind);
        let is_text = btf.is_char_pointer(ty.id);
        pretty_kind(text, value, kind, is_text, span);
    }
}

/// A value as SystemTap shows it.
fn pretty_kind(text: &mut Text, value: Expr, kind: PlaceKind, is_text: bool, span: Span) {
    match kind {
        PlaceKind::Integer { signed: false } => text.value(ConvKind::Unsigned, None, value),
        PlaceKind::Pointer(_) if is_text => {
            let read = ExprKind::ReadStr {
                addr: Box::new(value),
                space: Space::Kernel,
            };
            text.plain("\"");
            text.value(ConvKind::Str, None, Expr::new(read, Ty::Str, span));
            text.plain("\"");
        }
        PlaceKind::CharArray { .. } => {
            text.plain("\"");
            text.value(ConvKind::Str, None, value);
            text.plain("\"");
        }
        PlaceKind::Pointer(_) | PlaceKind::Array { .. } => {
            text.value(ConvKind::Pointer, None, value);
        }
        PlaceKind::Integer { signed: true }
        | PlaceKind::Enum { .. }
        | PlaceKind::Float
        | PlaceKind::Composite
        | PlaceKind::Opaque => text.value(ConvKind::Decimal, None, value),
    }
}
