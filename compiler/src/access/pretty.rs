//! Text of C data: `$x$`, `$$vars`, `$$parms`, `$$return`, `$$name`.

use rtap_grammar::ast::{self, ExprKind as Ast};
use rtap_grammar::diag::codes;
use rtap_grammar::source::Span;

use super::path::Located;
use super::{CType, Step};
use crate::btf::{PlaceKind, place};
use crate::hir::{Expr, ExprKind, PointText, Print, PrintArg, PrintKind, Ty};
use crate::lir::{Channel, Conv, ConvFlag, ConvKind, ConvSize, Format, Piece};
use crate::probes::{Typed, VarInfo};
use crate::resolve::{Cx, error};

/// Levels of structures that `$$` shows.
const MOST_LEVELS: u32 = 4;
/// Values that one text shows.
const MOST_VALUES: usize = 64;

fn names(vars: Vec<VarInfo>) -> Vec<String> {
    vars.into_iter().map(|var| var.name).collect()
}

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

    /// Whether more would not be seen, or not fit a record.
    fn is_full(&self, max_string_len: u32) -> bool {
        let texts = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::Conv(_) | Piece::Call(..) => 1,
        });
        texts.sum::<usize>() >= max_string_len as usize || self.args.len() >= MOST_VALUES
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
            "$$vars" => names(vars.list(self)),
            "$$parms" | "$$args" => {
                let locals = names(vars.locals(self));
                let mut all = names(vars.list(self));
                all.retain(|name| !locals.contains(name));
                all
            }
            "$$locals" => names(vars.locals(self)),
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
            text.plain(&format!("{}{name}=", if index == 0 { "" } else { " " }));
            let Some(typed) = vars.get(self, name, span) else {
                text.plain("?");
                continue;
            };
            if pretty {
                self.pretty_typed(&mut text, typed, 1, span);
            } else if matches!(typed.ty, CType::Held(..)) {
                text.plain("{...}");
            } else {
                let value = self.plain_value(typed);
                text.value(ConvKind::HexLower, Some(ConvFlag::Alternate), value);
            }
        }
        text.finish(span)
    }

    /// `x$` and `x$$`.
    pub(super) fn pretty(&mut self, base: &ast::Expr, deep: bool, span: Span) -> Expr {
        if let Ast::ContextVar(name) = &base.kind
            && name.as_str().starts_with("$$")
        {
            return self.vars_text(name, true, span);
        }
        let Some((start, steps)) = self.base_and_steps(base) else {
            return error(span);
        };
        let mut text = Text::default();
        let depth = if deep { MOST_LEVELS } else { 1 };
        if steps.is_empty() {
            self.pretty_typed(&mut text, start, depth, span);
        } else if self
            .pretty_place(&mut text, &start, steps, (depth, false), span)
            .is_none()
        {
            return error(span);
        }
        text.finish(span)
    }

    /// What lies at the end of a path; of an array its first element.
    fn pretty_place(
        &mut self,
        text: &mut Text,
        start: &Typed,
        steps: Vec<Step<'_>>,
        (depth, is_part): (u32, bool),
        span: Span,
    ) -> Option<()> {
        let located = self.locate(start.clone(), &steps, span)?;
        let len = match located.place.kind {
            PlaceKind::Array { len, .. } if depth > 0 && located.held.is_none() => len,
            // Pointers in structures are not followed.
            PlaceKind::Pointer(_) if is_part => {
                let value = self.read(located, span);
                text.value(ConvKind::Pointer, None, value);
                return Some(());
            }
            _ => 0,
        };
        if len == 0 {
            self.pretty_located(text, located, depth, span);
            return Some(());
        }
        let zero = ast::Expr::new(Ast::Number(0), span);
        let mut steps: Vec<Step<'_>> = steps;
        steps.push(Step::Index(&zero));
        text.plain("[");
        self.pretty_place(text, start, steps, (depth - 1, true), span)?;
        text.plain(if len > 1 { ", ...]" } else { "]" });
        Some(())
    }

    /// What lies somewhere in memory.
    fn pretty_located(&mut self, text: &mut Text, located: Located, depth: u32, span: Span) {
        match located.place.kind {
            PlaceKind::Composite | PlaceKind::Pointer(_) => {
                let typed = self.typed_place(located, span);
                self.pretty_typed(text, typed, depth, span);
            }
            PlaceKind::Array { .. } => text.plain("[...]"),
            PlaceKind::CharArray { .. } if located.held.is_some() => text.plain("[...]"),
            kind => {
                let value = self.read(located, span);
                pretty_kind(text, value, kind);
            }
        }
    }

    /// A value, or an object at its address: a structure's members, or what a pointer to one leads to.
    fn pretty_typed(&mut self, text: &mut Text, typed: Typed, depth: u32, span: Span) {
        let ty = match &typed.ty {
            CType::Long => return self.pretty_value(text, typed.expr, &typed.ty, span),
            CType::Value(ty) | CType::Object(ty) | CType::Held(ty, _) => ty.clone(),
        };
        let Some(btf) = self.types_of(&ty, span) else {
            return;
        };
        let typed = typed.opened(&btf);
        let is_object = matches!(typed.ty, CType::Object(_) | CType::Held(..));
        let structure = if is_object {
            Some(ty.id)
        } else {
            btf.pointee(ty.id)
        };
        let members = structure.and_then(|id| btf.member_names(id).ok());
        let (Some(id), Some(members)) = (structure, members) else {
            return self.pretty_value(text, typed.expr, &CType::Value(ty), span);
        };
        let members: Vec<&str> = members
            .into_iter()
            .filter(|name| !name.is_empty())
            .collect();
        if depth == 0 {
            if is_object {
                text.plain("{...}");
            } else {
                text.value(ConvKind::Pointer, None, typed.expr);
            }
            return;
        }
        if is_object {
            return self.pretty_members(text, &typed, &members, depth, span);
        }
        let object = Typed {
            expr: typed.expr.clone(),
            ty: CType::Object(ty.other(id)),
        };
        let (mut inside, mut address) = (Text::default(), Text::default());
        self.pretty_members(&mut inside, &object, &members, depth, span);
        address.value(ConvKind::Pointer, None, typed.expr.clone());
        let Some(readable) = self.call_helper("_is_readable", typed.expr, Ty::Long, span) else {
            return;
        };
        let kind = ExprKind::Ternary(
            Box::new(readable),
            Box::new(inside.finish(span)),
            Box::new(address.finish(span)),
        );
        text.value(ConvKind::Str, None, Expr::new(kind, Ty::Str, span));
    }

    /// The members of an object.
    fn pretty_members(
        &mut self,
        text: &mut Text,
        object: &Typed,
        members: &[&str],
        depth: u32,
        span: Span,
    ) {
        text.plain("{");
        for (index, name) in members.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            if text.is_full(self.program.limits.max_string_len) {
                text.plain(separator);
                text.plain("...");
                break;
            }
            text.plain(&format!("{separator}.{name}="));
            let name = ast::Ident::new(*name, span);
            let steps = vec![Step::Field(&name)];
            if self
                .pretty_place(text, object, steps, (depth - 1, true), span)
                .is_none()
            {
                return;
            }
        }
        text.plain("}");
    }

    fn pretty_value(&mut self, text: &mut Text, value: Expr, ty: &CType, span: Span) {
        let CType::Value(ty) = ty else {
            text.value(ConvKind::Decimal, None, value);
            return;
        };
        let Some(btf) = self.types_of(ty, span) else {
            return;
        };
        let kind = place(&btf, ty.id).map_or(PlaceKind::Opaque, |place| place.kind);
        if !btf.is_char_pointer(ty.id) {
            pretty_kind(text, value, kind);
        } else if let Some(read) = self.call_helper("_text_at", value, Ty::Str, span) {
            text.value(ConvKind::Str, None, read);
        }
    }

    /// A call of a function of `tapsets/pretty.rtp`.
    fn call_helper(&mut self, name: &str, arg: Expr, ty: Ty, span: Span) -> Option<Expr> {
        let function = self.find_function(&ast::Ident::new(name, span), 1)?;
        Some(Expr::new(ExprKind::Call(function, vec![arg]), ty, span))
    }
}

/// A value as SystemTap shows it.
fn pretty_kind(text: &mut Text, value: Expr, kind: PlaceKind) {
    match kind {
        PlaceKind::Integer { signed: false } => text.value(ConvKind::Unsigned, None, value),
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
