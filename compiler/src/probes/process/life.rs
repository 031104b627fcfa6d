//! `.begin`, `.end`, `.thread.begin`, `.thread.end`, `.syscall`, `.syscall.return`: the life of
//! processes and threads, and their system calls.
//!
//! They run in the process that they are about. It begins when it has become the program (`sched_process_exec`)
//! or when a `fork` returns in the child; a thread when its `clone` does (`raw_syscalls:sys_exit`); they
//! end at `sched_process_exit`, where the memory of the process may be gone already. A process
//! ends with its first thread.

use std::rc::Rc;

use rtap_grammar::diag::Diagnostic;
use rtap_grammar::source::Span;

use super::super::syscall::{SyscallVars, attachment};
use super::super::{Candidate, ContextVars, Request, Typed, VarInfo};
use super::subject::Subject;
use crate::access::CType;
use crate::lir::Exec;
use crate::resolve::Cx;

/// Stands for what [`in_child`] says.
const IN_CHILD: &str = "in the child";

/// What happens, as the last components of the point say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Event {
    Begin,
    End,
    ThreadBegin,
    ThreadEnd,
    Syscall,
    SyscallReturn,
}

impl Event {
    fn of(request: &Request<'_>) -> Event {
        let is_thread = request.has("thread");
        match (request.has("syscall"), request.has("begin")) {
            (true, _) if request.has("return") => Event::SyscallReturn,
            (true, _) => Event::Syscall,
            (_, true) if is_thread => Event::ThreadBegin,
            (_, true) => Event::Begin,
            _ if is_thread => Event::ThreadEnd,
            _ => Event::End,
        }
    }

    /// Its name in a point.
    fn text(self) -> &'static str {
        match self {
            Event::Begin => "begin",
            Event::End => "end",
            Event::ThreadBegin => "thread.begin",
            Event::ThreadEnd => "thread.end",
            Event::Syscall => "syscall",
            Event::SyscallReturn => "syscall.return",
        }
    }

    /// The kernel's tracepoints where it happens, each with conditions in the script's language.
    fn places(self) -> &'static [(&'static str, &'static [&'static str])] {
        const FIRST_THREAD: &str = "pid() == tid()";
        const OTHER_THREAD: &str = "pid() != tid()";
        match self {
            Event::Begin => &[
                ("sched_process_exec", &[]),
                ("sys_exit", &[IN_CHILD, FIRST_THREAD]),
            ],
            Event::End => &[("sched_process_exit", &[FIRST_THREAD])],
            Event::ThreadBegin => &[("sys_exit", &[IN_CHILD, OTHER_THREAD])],
            Event::ThreadEnd => &[("sched_process_exit", &[OTHER_THREAD])],
            Event::Syscall => &[("sys_enter", &[])],
            Event::SyscallReturn => &[("sys_exit", &[])],
        }
    }
}

/// The places of an event.
pub(super) fn resolve(
    request: &Request<'_>,
    subject: &Subject,
) -> Result<Vec<Candidate>, Box<Diagnostic>> {
    let event = Event::of(request);
    let one = |(tracepoint, when): &(&str, &[&str])| {
        let (attach, context) = attachment(request.session, None, tracepoint)
            .map_err(|diag| Box::new(diag.label(request.span, "this probe point")))?;
        let whose = match event {
            Event::End | Event::ThreadEnd => subject.condition_at_end(),
            _ => subject.condition(false),
        };
        let conditions: Vec<String> = when
            .iter()
            .map(|condition| match *condition {
                IN_CHILD => in_child(request),
                condition => condition.to_owned(),
            })
            .chain(whose)
            .map(|condition| format!("({condition})"))
            .collect();
        Ok(Candidate {
            text: format!("{}.{}", subject.text, event.text()),
            function: String::new(),
            module: String::new(),
            attach,
            selector: None,
            exec: Exec::Kernel,
            context,
            vars: Rc::new(LifeVars::new(tracepoint)),
            share: None,
            entry: None,
            condition: (!conditions.is_empty()).then(|| conditions.join(" && ")),
        })
    };
    event.places().iter().map(one).collect()
}

/// That a system call which makes a process or thread returns in what it has made.
fn in_child(request: &Request<'_>) -> String {
    let calls = request.session.target.syscalls();
    let numbers: Vec<String> = calls
        .iter()
        .filter(|call| matches!(&*call.name, "clone" | "clone3" | "fork" | "vfork"))
        .map(|call| format!("$syscall == {}", call.number))
        .collect();
    format!("$return == 0 && ({})", numbers.join(" || "))
}

/// `$syscall`, `$argN`, `$return` where there is a system call; nothing elsewhere.
struct LifeVars {
    call: Option<SyscallVars>,
}

impl LifeVars {
    fn new(tracepoint: &str) -> Self {
        let call = |is_return| SyscallVars {
            params: Vec::new(),
            is_return,
        };
        LifeVars {
            call: match tracepoint {
                "sys_enter" => Some(call(false)),
                "sys_exit" => Some(call(true)),
                _ => None,
            },
        }
    }
}

impl ContextVars for LifeVars {
    fn get(&self, cx: &mut Cx<'_>, name: &str, span: Span) -> Option<Typed> {
        let call = self.call.as_ref()?;
        if name == "syscall" {
            return Some(Typed {
                expr: call.selector(cx, span)?,
                ty: CType::Long,
            });
        }
        call.get(cx, name, span)
    }

    fn list(&self, _: &Cx<'_>) -> Vec<VarInfo> {
        let names = ["syscall", "arg1", "arg2", "arg3", "arg4", "arg5", "arg6"];
        let names = if self.call.is_some() { &names[..] } else { &[] };
        names
            .iter()
            .map(|name| VarInfo {
                name: (*name).to_owned(),
                c_type: "long".to_owned(),
            })
            .collect()
    }

    fn result(&self, _: &Cx<'_>) -> Option<String> {
        let is_return = self.call.as_ref().is_some_and(SyscallVars::is_return);
        is_return.then(|| "long".to_owned())
    }

    fn is_return(&self) -> bool {
        self.call.as_ref().is_some_and(SyscallVars::is_return)
    }

    fn is_syscall(&self) -> bool {
        self.call.is_some()
    }

    fn identity(&self) -> String {
        String::new()
    }
}
