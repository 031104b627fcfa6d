//! System calls, internally: one attachment to `raw_syscalls:sys_enter` (or `sys_exit`) for all
//! of them, told apart by number. Scripts reach it through `syscall.NAME`.
//!
//! `$arg1` … `$arg6` are the registers; so are the names that the table of system calls or
//! the kernel gives to them. They are still there when the call returns, with `$return`.

use std::rc::Rc;

use rtap_grammar::diag::{Diagnostic, codes};
use rtap_grammar::source::Span;

use super::{Candidate, ContextVars, Typed, VarInfo};
use crate::access::{CType, add, btf_of};
use crate::btf::{Btf, Type, TypeId};
use crate::hir::{Expr, ExprKind, Ty};
use crate::image::Attach;
use crate::lir::{Context, Exec, Space};
use crate::resolve::{Cx, int};
use crate::session::Session;
use crate::target::{Feature, Target};

/// A system call of a point.
#[derive(Clone)]
pub(crate) struct Call {
    /// The point as the script names it.
    pub(crate) text: String,
    /// The call's name.
    pub(crate) name: String,
    /// Its number.
    pub(crate) number: u32,
    /// Names of its arguments.
    pub(crate) params: Vec<String>,
    /// Whether the return is meant.
    pub(crate) is_return: bool,
}

/// The place of a system call.
pub(crate) fn candidate(session: &Session<'_>, call: Call) -> Result<Candidate, Box<Diagnostic>> {
    let event = if call.is_return {
        "sys_exit"
    } else {
        "sys_enter"
    };
    let (attach, context) = attachment(session, None, event)?;
    let entry = if call.is_return {
        let entry = candidate(
            session,
            Call {
                is_return: false,
                ..call.clone()
            },
        )?;
        Some(Rc::new(move || entry.clone()) as Rc<dyn Fn() -> Candidate>)
    } else {
        None
    };
    Ok(Candidate {
        text: call.text,
        function: call.name,
        module: "kernel".to_owned(),
        attach,
        selector: Some(i64::from(call.number)),
        exec: Exec::Kernel,
        context,
        vars: Rc::new(SyscallVars {
            params: call.params,
            is_return: call.is_return,
        }),
        share: Some(event.to_owned()),
        entry,
        condition: None,
    })
}

/// How to attach to a tracepoint of the kernel itself or of a module.
pub(super) fn attachment(
    session: &Session<'_>,
    module: Option<&str>,
    name: &str,
) -> Result<(Attach, Context), Box<Diagnostic>> {
    let target = session.target;
    let is_return = name == Attach::raw_syscall(true);
    let typed = match module {
        Some(_) => Feature::BtfTracepointModule,
        None => Feature::BtfTracepoint,
    };
    if (is_return || name == Attach::raw_syscall(false))
        && target.has(Feature::PreemptibleTracepoint)
        && target.has(Feature::TaskPtRegs)
    {
        // Typed or not, a tracepoint program misses what other tasks do while it is interrupted.
        return Ok((
            Attach::RawSyscall { is_return },
            Context::RawSyscall { is_return },
        ));
    }
    if target.has(typed)
        && let Ok(btf) = btf_of(target, module)
        && let Ok(Some(signature)) = btf.tracepoint(name)
        && signature
            .params
            .iter()
            .all(|param| readable(target, &btf, param.ty))
    {
        let attach = Attach::BtfTracepoint {
            name: name.to_owned(),
            module: module.map(str::to_owned),
            btf_id: signature.attach_id.0,
        };
        return Ok((attach, Context::BtfTracepoint));
    }
    if target.has(Feature::RawTracepoint) {
        return Ok((
            Attach::RawTracepoint {
                name: name.to_owned(),
            },
            Context::RawTracepoint,
        ));
    }
    let diag = Diagnostic::error(
        codes::POINT_UNAVAILABLE,
        "this kernel has no tracepoints for eBPF programs",
    );
    Err(Box::new(diag.note(
        "raw tracepoints need Linux 4.17, CONFIG_BPF_EVENTS and CONFIG_TRACEPOINTS",
    )))
}

/// Whether every verifier lets a typed program read an argument of a type: old ones (6.1) know pointers
/// to structures and plain `void *`, not `const void *` or `int *`. None knows unions.
pub(super) fn readable(target: &dyn Target, btf: &Btf, ty: TypeId) -> bool {
    let Some(to) = btf.pointee(ty) else {
        return match btf.get_stripped(ty) {
            Ok((_, Type::Union(_))) => false,
            Ok((_, Type::Struct(_))) => target.has(Feature::StructArguments),
            _ => true,
        };
    };
    to.is_void()
        || matches!(
            btf.get_stripped(to),
            Ok((_, Type::Struct(_) | Type::Union(_) | Type::Fwd { .. }))
        )
}

/// What `$x` means at a system call.
pub(super) struct SyscallVars {
    /// Names of its arguments.
    pub(super) params: Vec<String>,
    /// Whether it is the return.
    pub(super) is_return: bool,
}

impl SyscallVars {
    /// A register of the task that made the call.
    fn register(offset: u32, span: Span) -> Expr {
        let regs = Expr::new(ExprKind::CtxArg(0), Ty::Long, span);
        let addr = Box::new(add(regs, int(i64::from(offset), span), span));
        let kind = ExprKind::Read {
            addr,
            space: Space::Kernel,
            size: 8,
            signed: false,
            bits: None,
        };
        Expr::new(kind, Ty::Long, span)
    }
}

impl ContextVars for SyscallVars {
    fn get(&self, cx: &mut Cx<'_>, name: &str, span: Span) -> Option<Typed> {
        let plain = |expr| {
            Some(Typed {
                expr,
                ty: CType::Long,
            })
        };
        if self.is_return && name == "return" {
            return plain(Expr::new(ExprKind::CtxArg(1), Ty::Long, span));
        }
        let arch = cx.session.target.arch();
        let offsets = arch.syscall_argument_offsets();
        let index = match name
            .strip_prefix("arg")
            .and_then(|n| n.parse::<usize>().ok())
        {
            Some(number) => number.checked_sub(1)?,
            None if name.is_empty() => return None,
            None => self.params.iter().position(|param| param == name)?,
        };
        plain(Self::register(*offsets.get(index)?, span))
    }

    fn list(&self, _: &Cx<'_>) -> Vec<VarInfo> {
        let named = self.params.iter().filter(|param| !param.is_empty());
        named
            .map(|name| VarInfo {
                name: name.clone(),
                c_type: "long".to_owned(),
            })
            .collect()
    }

    fn result(&self, _: &Cx<'_>) -> Option<String> {
        self.is_return.then(|| "long".to_owned())
    }

    fn is_return(&self) -> bool {
        self.is_return
    }

    fn is_syscall(&self) -> bool {
        true
    }

    /// `$arg1` means the same for all calls, names do not.
    fn identity(&self) -> String {
        self.params.join(",")
    }

    fn selector(&self, cx: &mut Cx<'_>, span: Span) -> Option<Expr> {
        if !self.is_return {
            return Some(Expr::new(ExprKind::CtxArg(1), Ty::Long, span));
        }
        let offset = cx.session.target.arch().register("orig_rax")?.offset;
        Some(Self::register(offset, span))
    }
}
