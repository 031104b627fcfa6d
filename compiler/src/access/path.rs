//! Paths: members and elements, hop by hop.

use rtap_grammar::ast;
use rtap_grammar::diag::{Diagnostic, codes, did_you_mean};
use rtap_grammar::source::Span;

use super::{BtfType, CType, Step, Words};
use crate::btf::{self, Btf, PathError, PlaceKind, resolve_path};
use crate::hir::{Expr, ExprKind, Ty};
use crate::lir::{BinOp, Core, CoreKind, Space};
use crate::probes::Typed;
use crate::resolve::{Cx, error, int, literal_number};

/// The most members that an error names.
const MAX_LISTED: usize = 24;

/// Where a path ends.
pub(super) struct Located {
    /// Address of the place; of the word that holds it for a bit field.
    pub(super) addr: Expr,
    /// The words that it is in, if it is in no memory.
    pub(super) held: Option<Words>,
    /// What lies there.
    pub(super) place: btf::Place,
    /// The last hop, for relocations of bit fields.
    hop: btf::Hop,
    /// The type that the path starts from.
    start: BtfType,
    btf: Btf,
}

impl Cx<'_> {
    /// The value at the end of a path.
    pub(super) fn load(&mut self, base: Typed, steps: &[Step<'_>], span: Span) -> Expr {
        let (located, diags) = self.capture(|cx| cx.locate(base, steps, span));
        let is_bad = diags.iter().any(|diag| diag.code == codes::UNKNOWN_MEMBER);
        if located.is_none() && is_bad && self.session.options.skip_badvars {
            return int(0, span);
        }
        for diag in diags {
            self.report(diag);
        }
        match located {
            Some(located) => self.read(located, span),
            None => error(span),
        }
    }

    /// The address and type at the end of a path.
    pub(super) fn locate(
        &mut self,
        base: Typed,
        steps: &[Step<'_>],
        span: Span,
    ) -> Option<Located> {
        let base = match &base.ty {
            CType::Value(ty) => {
                let btf = self.types_of(ty, span)?;
                base.opened(&btf)
            }
            CType::Long | CType::Object(_) | CType::Held(..) => base,
        };
        let (ty, by_address, mut held) = match base.ty {
            CType::Object(ty) => (ty, true, None),
            CType::Held(ty, words) => (ty, true, Some(words)),
            CType::Value(ty) => (ty, false, None),
            CType::Long => {
                let diag =
                    Diagnostic::error(codes::NOT_A_STRUCT, "this is a number without a C type")
                        .label(span, "has neither members nor elements")
                        .help("say what it points to: @cast(…, \"struct name\")->member");
                self.report(diag);
                return None;
            }
        };
        let id = ty.id;
        let btf = self.types_of(&ty, span)?;
        let (start, steps) = match steps.split_first() {
            Some((Step::Index(index), rest))
                if by_address && held.is_none() && !is_array(&btf, id) =>
            {
                (self.object_at(base.expr, index, &btf, id, span), rest)
            }
            _ => (base.expr, steps),
        };
        let mut indexes: Vec<Option<Expr>> = Vec::new();
        let mut wanted = Vec::new();
        for step in steps {
            let (step, index) = match step {
                Step::Field(name) => (btf::Step::Field(name.as_str()), None),
                Step::Index(e) => match literal_number(e) {
                    Some(n) => (btf::Step::Index(n), None),
                    None => (btf::Step::DynamicIndex, Some(self.expr(e))),
                },
            };
            wanted.push(step);
            indexes.push(index);
        }
        let hops = match resolve_path(&btf, id, &wanted) {
            Ok(hops) => hops,
            Err(problem) => {
                self.path_error(&problem, steps, span);
                return None;
            }
        };
        // A value's first hop would load the pointer that we hold already.
        let skip = usize::from(!by_address);
        let mut value = start;
        let mut rest = hops.into_iter().skip(skip).peekable();
        while let Some(hop) = rest.next() {
            let addr = self.hop_address(value, &hop, &indexes, &ty, &btf, span);
            if rest.peek().is_none() {
                let place = hop.place.clone();
                return Some(Located {
                    addr,
                    held,
                    place,
                    hop,
                    start: ty,
                    btf,
                });
            }
            // What a pointer leads to is in memory, wherever the pointer is.
            value = number_at(addr, held.take().as_ref(), 8, false, None, span);
        }
        self.fail_with(
            codes::NOT_A_STRUCT,
            "this has no members",
            (span, "neither a structure nor a pointer to one"),
            "say what it points to: @cast(…, \"struct name\")->member",
        );
        None
    }

    /// `@cast(p, "type")[n]`: an object of a row of such.
    fn object_at(
        &mut self,
        start: Expr,
        index: &ast::Expr,
        btf: &Btf,
        id: btf::TypeId,
        span: Span,
    ) -> Expr {
        let size = btf.size_of(id).unwrap_or(0) as i64;
        let offset = if let Some(n) = literal_number(index) {
            int(n.wrapping_mul(size), span)
        } else {
            let index = Box::new(self.expr(index));
            let size = Box::new(int(size, span));
            Expr::new(ExprKind::Bin(BinOp::Mul, index, size), Ty::Long, span)
        };
        add(start, offset, span)
    }

    fn hop_address(
        &mut self,
        start: Expr,
        hop: &btf::Hop,
        indexes: &[Option<Expr>],
        ty: &BtfType,
        btf: &Btf,
        span: Span,
    ) -> Expr {
        let mut addr = start;
        if hop.needs_relocation() {
            let offset = self.core(CoreKind::FieldByteOffset, hop, hop.offset, ty, btf, span);
            addr = add(addr, offset, span);
        } else if hop.offset != 0 {
            addr = add(addr, int(hop.offset, span), span);
        }
        for dynamic in &hop.dynamic {
            let Some(Some(index)) = indexes.get(dynamic.step) else {
                continue;
            };
            let mut scaled = index.clone();
            if dynamic.stride != 1 {
                let stride = Box::new(int(dynamic.stride as i64, span));
                let product = ExprKind::Bin(BinOp::Mul, Box::new(scaled), stride);
                scaled = Expr::new(product, Ty::Long, span);
            }
            addr = add(addr, scaled, span);
        }
        addr
    }

    /// A fact about the end of a hop: relocatable if the kernel has the type.
    fn core(
        &mut self,
        kind: CoreKind,
        hop: &btf::Hop,
        value: i64,
        ty: &BtfType,
        btf: &Btf,
        span: Span,
    ) -> Expr {
        if !ty.is_in_btf(hop.root) {
            return int(value, span);
        }
        let core = Core {
            kind,
            type_name: btf.name(hop.root).to_owned(),
            type_id: hop.root.0,
            module: ty.module.as_deref().map(str::to_owned),
            access: hop.access.clone(),
            value,
        };
        let known = self
            .program
            .core
            .iter()
            .find(|(_, other)| **other == core)
            .map(|(id, _)| id);
        let id = known.unwrap_or_else(|| self.program.core.push(core));
        Expr::new(ExprKind::Core(id), Ty::Long, span)
    }

    /// Reads what lies at the end of a path.
    pub(super) fn read(&mut self, at: Located, span: Span) -> Expr {
        let (signed, size) = match at.place.kind {
            PlaceKind::Integer { signed } | PlaceKind::Enum { signed } => (signed, at.place.size),
            PlaceKind::Pointer(_) => (false, 8),
            PlaceKind::Float => (false, at.place.size),
            PlaceKind::CharArray { .. } | PlaceKind::Array { .. } if at.held.is_some() => {
                return self.fail_with(
                    codes::NOT_A_VALUE,
                    "this has no address",
                    (span, "an array in registers, not in memory"),
                    "name an element of it: $x->array[0]",
                );
            }
            PlaceKind::CharArray { len } => {
                // Text or address, as inference finds out.
                let kind = ExprKind::ReadStr {
                    addr: Box::new(at.addr),
                    space: Space::Kernel,
                };
                let mut text = Expr::new(kind, Ty::Unknown, span);
                text.cap.0 = len;
                return text;
            }
            PlaceKind::Array { .. } => return Expr { span, ..at.addr },
            PlaceKind::Composite | PlaceKind::Opaque => {
                self.no_number(&at.btf, at.place.ty, at.held.is_some(), span);
                return error(span);
            }
        };
        let size = match size {
            1 | 2 | 4 | 8 => size as u8,
            _ => {
                return self.fail(
                    codes::NOT_A_VALUE,
                    format!("a number of {size} bytes"),
                    span,
                    "at most 8 can be read",
                );
            }
        };
        let bits = at.place.bits.map(|(shift, count)| {
            let (left, right) = (
                64 - i64::from(shift) - i64::from(count),
                64 - i64::from(count),
            );
            let start = &at.start;
            let left = self.core(CoreKind::FieldLshift, &at.hop, left, start, &at.btf, span);
            let right = self.core(CoreKind::FieldRshift, &at.hop, right, start, &at.btf, span);
            (Box::new(left), Box::new(right))
        });
        number_at(at.addr, at.held.as_ref(), size, signed, bits, span)
    }

    /// Reports a structure or union that is used as a number.
    pub(super) fn no_number(&mut self, btf: &Btf, ty: btf::TypeId, is_held: bool, span: Span) {
        let name = btf.c_name(ty);
        let help = if is_held {
            "name a member of it"
        } else {
            "name a member of it, or take its address with '&'"
        };
        let diag = Diagnostic::error(codes::NOT_A_VALUE, format!("{name} is no number"))
            .label(span, "a whole structure")
            .note(members_note(btf, ty))
            .help(help);
        self.report(diag);
    }

    /// What lies at the end of a path, with its type.
    pub(super) fn typed_place(&mut self, at: Located, span: Span) -> Typed {
        let ty = at.start.other(at.place.ty);
        match at.place.kind {
            PlaceKind::Integer { .. } | PlaceKind::Enum { .. } | PlaceKind::Pointer(_) => Typed {
                expr: self.read(at, span),
                ty: CType::Value(ty),
            },
            _ => Typed {
                expr: at.addr,
                ty: match at.held {
                    Some(words) => CType::Held(ty, words),
                    None => CType::Object(ty),
                },
            },
        }
    }

    fn path_error(&mut self, problem: &PathError, steps: &[Step<'_>], span: Span) {
        let place = |step: usize| match steps.get(step) {
            Some(Step::Field(name)) => name.span,
            Some(Step::Index(e)) => e.span,
            None => span,
        };
        let diag = match problem {
            PathError::NoMember {
                step,
                ty,
                name,
                members,
            } => {
                let names: Vec<&str> = members.iter().map(String::as_str).collect();
                Diagnostic::error(
                    codes::UNKNOWN_MEMBER,
                    format!("{ty} has no member '{name}'"),
                )
                .label(place(*step), "not a member")
                .note(format!("its members: {}", listed(&names)))
                .help_if(did_you_mean(name, names.iter().copied()))
            }
            PathError::NotAStruct { step, .. } => {
                Diagnostic::error(codes::NOT_A_STRUCT, problem.to_string())
                    .label(place(*step), "it has no members")
                    .help("leave the member out, or, if it is an address, say of what: @cast(…, \"struct name\")->member")
            }
            PathError::NotIndexable { step, .. } => {
                Diagnostic::error(codes::NOT_A_STRUCT, problem.to_string())
                    .label(place(*step), "it has no elements")
                    .help("leave the index out, or, if it is an address, say of what: @cast(…, \"type\")[index]")
            }
            PathError::OutOfRange { step, .. } => {
                Diagnostic::error(codes::NOT_A_STRUCT, problem.to_string())
                    .label(place(*step), "there is no such element")
                    .help("the first has the index 0; @cast(&…, \"type\")[index] reads behind the last")
            }
            PathError::Incomplete { step, .. } => {
                Diagnostic::error(codes::NOT_A_STRUCT, problem.to_string())
                    .label(place(*step), "not known here")
                    .help("name the module that has them: @cast(…, \"struct name\", \"module\")->member")
            }
            PathError::Btf(_) => Diagnostic::error(codes::NO_TYPES, problem.to_string())
                .label(span, "the kernel's BTF is damaged"),
        };
        self.report(diag);
    }
}

/// A number in memory, or in words.
fn number_at(
    addr: Expr,
    held: Option<&Words>,
    size: u8,
    signed: bool,
    bits: Option<(Box<Expr>, Box<Expr>)>,
    span: Span,
) -> Expr {
    if let Some(words) = held {
        return words.read(addr, size, signed, bits, span);
    }
    let kind = ExprKind::Read {
        addr: Box::new(addr),
        space: Space::Kernel,
        size,
        signed,
        bits,
    };
    Expr::new(kind, Ty::Long, span)
}

fn is_array(btf: &Btf, id: btf::TypeId) -> bool {
    btf::place(btf, id).is_ok_and(|place| {
        matches!(
            place.kind,
            PlaceKind::Array { .. } | PlaceKind::CharArray { .. }
        )
    })
}

fn listed(names: &[&str]) -> String {
    let shown = names
        .iter()
        .take(MAX_LISTED)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > MAX_LISTED {
        format!("{shown}, … ({} in all)", names.len())
    } else {
        shown
    }
}

/// The sum of two numbers.
pub(crate) fn add(a: Expr, b: Expr, span: Span) -> Expr {
    Expr::new(
        ExprKind::Bin(BinOp::Add, Box::new(a), Box::new(b)),
        Ty::Long,
        span,
    )
}

/// What can be named instead of a whole structure.
fn members_note(btf: &Btf, ty: btf::TypeId) -> String {
    match btf.member_names(ty) {
        Ok(names) if !names.is_empty() => format!("its members: {}", listed(&names)),
        _ => "its members are not known".to_owned(),
    }
}
