//! Functions: the overloads of one name in a chain, `next` going from one to the following.

use cranelift_entity::{PrimaryMap, SecondaryMap};
use rtap_grammar::source::{Files, Span};
use rustc_hash::FxHashMap;

use super::needs::Needs;
use super::tables::Tables;
use super::{Leave, Lower, Point, Spec, lir_ty};
use crate::hir::{Body, FuncId, Local, LocalData, Program};
use crate::lir::builder::{Builder, Variable};
use crate::lir::*;

/// The function for a call out of code made for `caller`; its body is lowered later.
pub(super) fn request(
    program: &Program,
    needs: &Needs,
    tables: &mut Tables,
    id: FuncId,
    caller: Spec,
) -> Func {
    let spec = needs.spec(id, caller);
    if let Some(func) = tables.functions.get(&(id, spec)) {
        return *func;
    }
    let (params, ret) = signature(program, needs, id);
    let function = &program.functions[id];
    let func = tables.module.functions.push(Function {
        name: function.name.clone(),
        params,
        ret,
        blocks: PrimaryMap::new(),
        values: PrimaryMap::new(),
        span: function.span,
    });
    tables.functions.insert((id, spec), func);
    tables.queue.push((id, spec, func));
    func
}

/// Types of parameters and result. The point's number is the last parameter, where needed.
fn signature(program: &Program, needs: &Needs, id: FuncId) -> (Vec<Ty>, Option<Ty>) {
    let function = &program.functions[id];
    let caps = function.param_caps.iter().copied();
    let caps = caps.chain(std::iter::repeat((0, false)));
    let params = function.params.iter().zip(caps);
    let mut params: Vec<Ty> = params
        .map(|(ty, cap)| lir_ty(*ty, cap).unwrap_or(Ty::I64))
        .collect();
    if needs.point(id) {
        params.push(Ty::I64);
    }
    (params, lir_ty(function.ret, function.ret_cap))
}

/// Lowers a function's body.
pub(super) fn lower(
    program: &Program,
    files: &Files,
    needs: &Needs,
    tables: &mut Tables,
    (id, spec, func): (FuncId, Spec, Func),
) {
    let function = &program.functions[id];
    let (params, ret) = signature(program, needs, id);
    let builder = Builder::new(
        function.name.clone(),
        params,
        ret,
        function.span,
        tables.empty,
    );
    let mut l = Lower {
        program,
        files,
        needs,
        tables,
        builder,
        spec,
        locals: SecondaryMap::new(),
        scopes: Vec::new(),
        leave: Leave::Function { ret, next: None },
        point: Point::Unused,
        selected: None,
        caller: None,
        constants: FxHashMap::default(),
        constant_texts: FxHashMap::default(),
    };
    let params = l.builder.params().to_vec();
    if needs.point(id)
        && let Some(number) = params.last()
    {
        let variable = l.builder.variable(Ty::I64);
        l.builder.write(variable, *number);
        l.point = Point::Variable(variable);
    }
    for (i, body) in function.overloads.iter().enumerate() {
        let next = (i + 1 < function.overloads.len()).then(|| l.builder.new_block());
        l.leave = Leave::Function { ret, next };
        l.overload(body, &params, function.span);
        match next {
            Some(next) => {
                l.builder.seal(next);
                l.builder.switch_to(next);
            }
            None => break,
        }
    }
    let lowered = l.builder.finish();
    tables.module.functions[func] = lowered;
}

impl Lower<'_> {
    /// Makes variables for a body's locals.
    pub(super) fn declare(&mut self, locals: &PrimaryMap<Local, LocalData>) {
        self.locals.clear();
        for (local, data) in locals {
            let ty = lir_ty(data.ty, data.cap).unwrap_or(Ty::I64);
            self.locals[local] = Some(self.builder.variable(ty));
        }
    }

    /// The variable of a local.
    pub(super) fn local(&mut self, local: Local) -> Variable {
        // Only a tree that is wrong names a local that it does not declare.
        let builder = &mut self.builder;
        *self.locals[local].get_or_insert_with(|| builder.variable(Ty::I64))
    }

    fn overload(&mut self, body: &Body, params: &[Value], span: Span) {
        self.declare(&body.locals);
        for ((local, data), param) in body.locals.iter().zip(params) {
            let variable = self.local(local);
            let ty = self.builder.variable_ty(variable);
            match self.fit(*param, ty, data.span) {
                Ok(value) => self.builder.write(variable, value),
                Err(fault) => self.tables.faults.push(fault),
            }
        }
        self.stmts(&body.stmts);
        if !self.builder.is_terminated() {
            self.return_nothing(span);
        }
    }

    /// The end of a body without `return`: 0, "" or nothing results.
    pub(super) fn return_nothing(&mut self, span: Span) {
        let result = match self.leave {
            Leave::Handler | Leave::Function { ret: None, .. } => None,
            Leave::Function { ret: Some(ty), .. } => Some(self.nothing(ty, span)),
        };
        self.builder.terminate(Terminator::Return(result), span);
    }

    /// 0 or "".
    pub(super) fn nothing(&mut self, ty: Ty, span: Span) -> Value {
        match ty {
            Ty::I64 => self.const_int(0, span),
            Ty::Str { cap, late: false } => self.const_text(b"", cap, span),
            Ty::Str { late: true, .. } => {
                let op = Op::StrLate(self.tables.empty.format, Vec::new());
                self.builder.value(op, ty, span)
            }
        }
    }
}
