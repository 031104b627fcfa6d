//! An instruction of the kernel as a point, by kprobe.

use std::rc::Rc;

use rtap_grammar::diag::{Diagnostic, codes};

use super::function::{Place, feature_missing};
use super::{Candidate, ContextVars, Request};
use crate::image::{Attach, KernelFunction};
use crate::lir::{Context, Exec};
use crate::target::Feature;

/// Refuses the point on a kernel without kprobes.
pub(super) fn need_kprobes(request: &Request<'_>) -> Result<(), Box<Diagnostic>> {
    if request.session.target.has(Feature::Kprobe) {
        return Ok(());
    }
    let title = "instructions cannot be probed on this kernel";
    Err(Box::new(
        Diagnostic::error(codes::POINT_UNAVAILABLE, title)
            .label(request.span, "this probe point")
            .note(feature_missing(request, Feature::Kprobe)),
    ))
}

/// The point at a place; `function` is what `probefunc()` gives.
pub(super) fn candidate(
    place: Place,
    text: String,
    function: String,
    vars: Rc<dyn ContextVars>,
) -> Candidate {
    Candidate {
        text,
        function,
        module: place.module.clone().unwrap_or("kernel".to_owned()),
        attach: Attach::Kprobe {
            function: KernelFunction {
                name: place.name,
                module: place.module,
                btf_id: 0,
                address: place.address,
            },
            offset: place.offset,
        },
        selector: None,
        exec: Exec::Kernel,
        context: Context::Regs,
        vars,
        share: Some("kprobe".to_owned()),
        entry: None,
        condition: None,
    }
}
