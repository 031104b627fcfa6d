//! Assignments, `++` and `--`, and the places they change.

use rtap_grammar::source::Span;

use super::{Lower, Lowered};
use crate::hir::{AssignOp, Expr, ExprKind, Place};
use crate::lir::*;

/// A place with its keys evaluated.
enum Target {
    Local(crate::lir::builder::Variable),
    Global(Global),
    Element(Global, Vec<Value>),
}

impl Lower<'_> {
    /// Lowers an `Assign` or `IncDec`. Its value is made only if it is wanted.
    pub(super) fn assignment(&mut self, expr: &Expr, wanted: bool) -> Lowered<Option<Value>> {
        let span = expr.span;
        match &expr.kind {
            ExprKind::Assign { place, op, value } => {
                let Some(target) = self.target(place, span)? else {
                    return Ok(None);
                };
                let ty = self.target_ty(&target);
                match op {
                    None => {
                        let value = self.value_as(value, ty)?;
                        self.set(&target, value, span);
                        Ok(Some(value))
                    }
                    Some(AssignOp::Bin(BinOp::Add)) => {
                        let value = self.value(value)?;
                        Ok(self.add(&target, value, true, wanted, span))
                    }
                    Some(AssignOp::Bin(BinOp::Sub)) => {
                        let value = self.value(value)?;
                        let value = self.negated(value, span);
                        Ok(self.add(&target, value, true, wanted, span))
                    }
                    Some(op) => self.update(&target, *op, value, ty, span).map(Some),
                }
            }
            ExprKind::IncDec {
                place,
                prefix,
                delta,
            } => {
                let Some(target) = self.target(place, span)? else {
                    return Ok(None);
                };
                let delta = self.const_int(*delta, span);
                Ok(self.add(&target, delta, *prefix, wanted, span))
            }
            _ => Ok(None),
        }
    }

    /// Evaluates a place's keys. `None`: a diagnostic has been given.
    fn target(&mut self, place: &Place, span: Span) -> Lowered<Option<Target>> {
        Ok(Some(match place {
            Place::Local(local) => Target::Local(self.local(*local)),
            Place::Global(global) => Target::Global(*global),
            Place::Element(array, keys) => Target::Element(*array, self.keys(*array, keys)?),
            Place::Memory { .. } => {
                return self.fault(
                    span,
                    "traced memory can be read here, but not be written",
                    "assign it to a variable of the script, and change that",
                );
            }
            Place::Error => return Ok(None),
        }))
    }

    fn target_ty(&self, target: &Target) -> Ty {
        match target {
            Target::Local(variable) => self.builder.variable_ty(*variable),
            Target::Global(global) | Target::Element(global, _) => self.tables.value_type(*global),
        }
    }

    fn get(&mut self, target: &Target, span: Span) -> Value {
        match target {
            Target::Local(variable) => self.builder.read(*variable),
            Target::Global(global) => self.get_global(*global, span),
            Target::Element(array, keys) => self.get_element(*array, keys.clone(), span),
        }
    }

    fn set(&mut self, target: &Target, value: Value, span: Span) {
        match target {
            Target::Local(variable) => self.builder.write(*variable, value),
            Target::Global(global) => self.effect(Op::GlobalSet(*global, value), span),
            Target::Element(array, keys) => {
                let site = self.overflow_site(*array, span);
                self.effect(Op::ArraySet(*array, keys.clone(), value, site), span);
            }
        }
    }

    /// `place += delta`, in one operation where the place is a global. The value is that after
    /// (`new`) or before.
    fn add(
        &mut self,
        target: &Target,
        delta: Value,
        new: bool,
        wanted: bool,
        span: Span,
    ) -> Option<Value> {
        let old = match target {
            Target::Local(variable) => {
                let old = self.builder.read(*variable);
                let sum = self.int(Op::Bin(BinOp::Add, old, delta), span);
                self.builder.write(*variable, sum);
                return Some(if new { sum } else { old });
            }
            Target::Global(global) => {
                if !wanted {
                    self.effect(Op::GlobalAdd(*global, delta), span);
                    return None;
                }
                self.int(Op::GlobalFetchAdd(*global, delta), span)
            }
            Target::Element(array, keys) => {
                let site = self.overflow_site(*array, span);
                let keys = keys.clone();
                if !wanted {
                    self.effect(Op::ArrayAdd(*array, keys, delta, site), span);
                    return None;
                }
                self.int(Op::ArrayFetchAdd(*array, keys, delta, site), span)
            }
        };
        if new {
            return Some(self.int(Op::Bin(BinOp::Add, old, delta), span));
        }
        Some(old)
    }

    /// Reads, changes and writes back; the result is the new value.
    fn update(
        &mut self,
        target: &Target,
        op: AssignOp,
        value: &Expr,
        ty: Ty,
        span: Span,
    ) -> Lowered<Value> {
        let new = match op {
            AssignOp::Bin(op) => {
                let value = self.value(value)?;
                let old = self.get(target, span);
                self.int(Op::Bin(op, old, value), span)
            }
            AssignOp::Div | AssignOp::Rem => {
                let value = self.value(value)?;
                let old = self.get(target, span);
                if let AssignOp::Div = op {
                    let near = "operator '/='".to_owned();
                    let site = self.site_near(ErrorKind::DivisionByZero, near, span);
                    self.int(Op::Div(old, value, site), span)
                } else {
                    let near = "operator '%='".to_owned();
                    let site = self.site_near(ErrorKind::DivisionByZero, near, span);
                    self.int(Op::Rem(old, value, site), span)
                }
            }
            AssignOp::Concat => {
                let value = self.chars(value)?;
                let old = self.get(target, span);
                let old = match ty {
                    // The characters of a late string can be had in user space only.
                    Ty::Str { late: true, .. } => self.fit(old, Ty::str(self.max_cap()), span)?,
                    Ty::I64 | Ty::Str { .. } => old,
                };
                let cap = match ty {
                    Ty::Str { cap, late: false } => cap,
                    Ty::I64 | Ty::Str { .. } => self.max_cap(),
                };
                let whole = self.text(Op::StrConcat(vec![old, value]), cap, span);
                self.fit(whole, ty, span)?
            }
        };
        self.set(target, new, span);
        Ok(new)
    }

    fn negated(&mut self, value: Value, span: Span) -> Value {
        if let Some(n) = self.as_const(value) {
            return self.const_int(n.wrapping_neg(), span);
        }
        let zero = self.const_int(0, span);
        self.int(Op::Bin(BinOp::Sub, zero, value), span)
    }

    /// The value of a scalar global.
    pub(super) fn get_global(&mut self, global: Global, span: Span) -> Value {
        let ty = self.tables.value_type(global);
        self.builder.value(Op::GlobalGet(global), ty, span)
    }

    /// The value of an array's element.
    pub(super) fn get_element(&mut self, array: Global, keys: Vec<Value>, span: Span) -> Value {
        let ty = self.tables.value_type(array);
        self.builder.value(Op::ArrayGet(array, keys), ty, span)
    }

    /// The site of the error that an array is full.
    pub(super) fn overflow_site(&mut self, array: Global, span: Span) -> SiteId {
        let global = &self.program.globals[array];
        let kind = ErrorKind::ArrayOverflow {
            max_entries: global.max_entries,
            declared: global.max_entries != self.program.limits.max_map_entries,
        };
        self.site_near(kind, format!("identifier '{}'", global.name), span)
    }
}
