//! Programs with arguments typed by BTF: raw tracepoints (Linux 5.5), and through
//! trampolines entry and return of functions (fentry, fexit; Linux 5.5, modules 5.11).
//!
//! What they attach to is fixed when they are loaded, so each has one point.

use std::os::fd::AsFd;

use rtap_compiler::btf::{self, Signature};
use rtap_compiler::image::{Attach, KernelFunction, Point};
use rtap_compiler::target::{Feature, Unavailable};

use super::{AttachError, AttachOptions, Attachment, Outcome};
use crate::bpf::{AttachType, Btf, ProgType, Program};
use crate::host::Capability;
use crate::load::{Loaded, ProgramKind};

/// What a point comes to on the running kernel.
struct Place<'a> {
    attach: AttachType,
    btf_id: u32,
    module: Option<&'a str>,
    feature: Feature,
    name: &'a str,
}

impl Place<'_> {
    /// Whether the kernel refuses any program there.
    fn is_refused(&self, options: &AttachOptions<'_>) -> bool {
        self.attach != AttachType::TraceRawTp
            && !options.target.takes_trampoline(self.module, self.name)
    }
}

pub(super) fn install(
    loaded: &Loaded,
    symbol: &str,
    points: &[&Point],
    options: &AttachOptions<'_>,
) -> Result<(Program, Outcome), AttachError> {
    let point = points.first().ok_or(AttachError::NoPoints)?;
    let place = place(&point.attach, options)?;
    let module_btf = match place.module {
        Some(module) => {
            let btf = Btf::of_module(module);
            let needed = &[Capability::SysAdmin];
            let btf =
                btf.map_err(|error| AttachError::io_with(needed, "finding a module's BTF", error));
            Some(btf?)
        }
        None => None,
    };
    let kind = ProgramKind {
        kind: ProgType::Tracing,
        attach: place.attach,
        btf_id: place.btf_id,
        flags: 0,
    };
    let loaded = loaded.program_on(symbol, kind, module_btf.as_ref().map(AsFd::as_fd));
    // Kernels without the mechanism refuse in many ways.
    let missing = AttachError::Missing {
        feature: place.feature,
    };
    let program = match loaded {
        Err(_) if !options.target.has(place.feature) => return Err(missing),
        Err(_) if place.is_refused(options) => {
            return Err(AttachError::Forbidden(place.name.to_owned()));
        }
        result => result?,
    };
    let mut outcome = Outcome::default();
    let link = program
        .open_raw_tracepoint(None)
        .map_err(|error| match error.raw_os_error() {
            // ENOTSUPP of the kernel, 524, too: no trampoline for this function.
            Some(libc::ENOENT | libc::EOPNOTSUPP | 524) => AttachError::Missing {
                feature: place.feature,
            },
            Some(libc::EBUSY | libc::EINVAL) => AttachError::Forbidden(place.name.to_owned()),
            _ => AttachError::io("attaching a tracing program", error),
        });
    outcome.add(0, link, Attachment::Link);
    Ok((program, outcome))
}

fn place<'a>(attach: &'a Attach, options: &AttachOptions<'_>) -> Result<Place<'a>, AttachError> {
    match attach {
        Attach::BtfTracepoint {
            name,
            module,
            btf_id,
        } => {
            let module = module.as_deref();
            let found = if options.same_kernel && *btf_id != 0 && module.is_none() {
                *btf_id
            } else {
                let missing = || AttachError::NoTracepoint(name.clone());
                let signature = btf_of(module, options)?.tracepoint(name);
                id_of(signature.ok().flatten()).ok_or_else(missing)?
            };
            Ok(Place {
                attach: AttachType::TraceRawTp,
                btf_id: found,
                module,
                feature: if module.is_some() {
                    Feature::BtfTracepointModule
                } else {
                    Feature::BtfTracepoint
                },
                name,
            })
        }
        Attach::Fentry(function) => function_place(function, AttachType::TraceFentry, options),
        Attach::Fexit(function) => function_place(function, AttachType::TraceFexit, options),
        _ => Err(AttachError::NoPoints),
    }
}

fn function_place<'a>(
    function: &'a KernelFunction,
    attach: AttachType,
    options: &AttachOptions<'_>,
) -> Result<Place<'a>, AttachError> {
    let module = function.module.as_deref();
    let btf_id = if options.same_kernel && function.btf_id != 0 && module.is_none() {
        function.btf_id
    } else {
        let btf = btf_of(module, options)?;
        let missing = || AttachError::NoFunction(function.name.clone());
        id_of(btf.function(&function.name).ok().flatten()).ok_or_else(missing)?
    };
    let feature = if module.is_some() {
        Feature::FentryModule
    } else {
        Feature::Fentry
    };
    Ok(Place {
        attach,
        btf_id,
        module,
        feature,
        name: &function.name,
    })
}

fn btf_of(module: Option<&str>, options: &AttachOptions<'_>) -> Result<btf::Btf, Unavailable> {
    match module {
        Some(module) => options.target.module_btf(module),
        None => options.target.btf(),
    }
}

fn id_of(signature: Option<Signature>) -> Option<u32> {
    signature.map(|signature| signature.attach_id.0)
}
