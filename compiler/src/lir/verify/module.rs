//! Rules of the module: tables, handlers, who may call whom.

use cranelift_entity::{EntitySet, SecondaryMap};
use rustc_hash::FxHashMap;

use super::{VerifyError, function, global};
use crate::lir::cfg::{call_groups, for_each_callee};
use crate::lir::*;

pub(super) fn check(module: &Module, errors: &mut Vec<VerifyError>) {
    let mut error = |message: String| {
        errors.push(VerifyError {
            function: None,
            block: None,
            message,
        });
    };
    for (id, global) in &module.globals {
        if let Err(message) = global::check(global) {
            error(format!("{id}: {message}"));
        }
    }
    if let Err(message) = global::check_limits(&module.limits) {
        error(message.to_owned());
    }
    for (id, site) in &module.sites {
        // Chains of callers end.
        if site.caller.is_some_and(|caller| caller >= id) {
            error(format!("{id}: its caller is not in front of it"));
        }
    }
    for (id, handler) in &module.handlers {
        match module.functions.get(handler.func) {
            None => error(format!("{id}: there is no {}", handler.func)),
            Some(f) if !f.params.is_empty() || f.ret.is_some() => {
                error(format!("{id}: its function has parameters or a result"));
            }
            Some(_) => {}
        }
    }
    check_order(module, &mut error);
    for func in module.functions.values() {
        function::check(module, func, errors);
    }
    // Places make sense only where every call leads somewhere.
    if errors.is_empty() {
        check_places(module, errors);
    }
}

/// Callees before callers.
fn check_order(module: &Module, error: &mut impl FnMut(String)) {
    let mut group_of: SecondaryMap<Func, usize> = SecondaryMap::new();
    for (i, group) in call_groups(module).iter().enumerate() {
        for func in group {
            group_of[*func] = i;
        }
    }
    for (id, func) in &module.functions {
        for_each_callee(func, |callee| {
            if callee > id && group_of[callee] != group_of[id] {
                error(format!("{id} stands before {callee}, which it calls"));
            }
        });
    }
}

/// What each executor reaches has to exist there.
fn check_places(module: &Module, errors: &mut Vec<VerifyError>) {
    let mut done: FxHashMap<(Exec, Context), EntitySet<Func>> = FxHashMap::default();
    for (id, handler) in &module.handlers {
        let reached = done.entry((handler.exec, handler.context)).or_default();
        let mut work = vec![handler.func];
        while let Some(func) = work.pop() {
            if reached.contains(func) {
                continue;
            }
            reached.insert(func);
            let data = &module.functions[func];
            for_each_callee(data, |callee| work.push(callee));
            for_each_op(data, |op, result| {
                let place = check_place(op, handler, func == handler.func);
                let rendered = check_rendering(data, op, result, handler);
                if let Err(message) = place.and(rendered) {
                    errors.push(VerifyError {
                        function: Some(data.name.clone()),
                        block: None,
                        message: format!("{message}, but {id} reaches it"),
                    });
                }
            });
        }
    }
}

fn for_each_op<'a>(func: &'a Function, mut f: impl FnMut(&'a Op, Option<Ty>)) {
    for block in func.blocks.values() {
        for inst in &block.insts {
            f(&inst.op, inst.result.map(|v| func.ty(v)));
        }
        if let Terminator::Try { op, result, .. } = &block.term {
            f(op, *result);
        }
    }
}

/// Late strings become characters in user space only.
fn check_rendering(
    func: &Function,
    op: &Op,
    result: Option<Ty>,
    handler: &Handler,
) -> Result<(), &'static str> {
    let is_late = |ty| matches!(ty, Ty::Str { late: true, .. });
    match op {
        Op::StrCut(from)
            if handler.exec == Exec::Kernel
                && is_late(func.ty(*from))
                && !result.is_some_and(is_late) =>
        {
            Err("a late string rendered")
        }
        _ => Ok(()),
    }
}

fn check_place(op: &Op, handler: &Handler, is_own: bool) -> Result<(), &'static str> {
    match (op.place(), handler.exec) {
        (Place::Kernel, Exec::User) => return Err("a kernel-side operation"),
        (Place::User, Exec::Kernel) => return Err("a user-side operation"),
        _ => {}
    }
    let fits = match op {
        Op::Env(Env::Point) => is_own,
        Op::CtxArg(n) => match handler.context {
            Context::RawTracepoint | Context::BtfTracepoint | Context::Fentry => true,
            Context::RawSyscall { .. } => *n < 2,
            Context::Fexit { args } => *n < args,
            Context::None | Context::Regs | Context::PerfEvent => false,
        },
        // A raw system call's result is an argument of its tracepoint.
        Op::CtxRet => matches!(handler.context, Context::Fexit { .. }),
        Op::CtxReg(_) => matches!(handler.context, Context::Regs | Context::PerfEvent),
        Op::CtxFrame(_, Space::Kernel) => {
            matches!(handler.context, Context::Regs | Context::PerfEvent)
        }
        Op::CtxFrame(_, Space::User) => handler.context != Context::None,
        Op::CtxLoad { .. } => handler.context != Context::None,
        Op::EntryArg(..) => handler.context == Context::Regs,
        _ => true,
    };
    if fits {
        Ok(())
    } else {
        Err("an operation of another context")
    }
}
