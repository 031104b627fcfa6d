//! Code generation: LIR to an ELF image with eBPF programs.
//!
//! In order: [`plan`] (programs, maps, layouts), [`inline`] (calls into the handlers), then for each program (`program`)
//! `select` (LIR to machine code over virtual registers, twice: see there), `frame`
//! (buffers to stack or scratch), [`outline`] (loops and parts of long programs become functions of their
//! own), `regalloc`, `encode`; at last `image::elf` writes the object.

mod analysis;
mod arch;
mod calls;
mod captures;
mod cost;
mod cut;
pub mod disasm;
pub mod encode;
mod error;
mod frame;
mod functions;
mod graph;
pub mod helpers;
mod hub;
pub mod inline;
pub mod insn;
mod object;
mod outline;
pub mod plan;
mod program;
mod regalloc;
mod select;
mod share;
mod vcode;

pub use error::BpfError;
pub use object::{Arguments, FunctionCode, Object, ProgramCode};

use cranelift_entity::SecondaryMap;
use rtap_grammar::source::Span;

use self::hub::Shared;
use self::inline::Inliner;
use self::plan::Plan;
use self::program::Generating;
use self::regalloc::Allocator;
use self::select::{Half, ProgramCx};
use crate::btf::{Btf, Kind, TypeId};
use crate::image::{Attach, META_VERSION, Meta, Program};
use crate::lir::{Chains, Context, Exec, Function, Handler, HandlerId, Module};
use crate::target::{Feature, Features};

/// The eBPF stack, of a program and the subprograms under way together.
const STACK_BYTES: u32 = 512;
/// Functions that can be under way at one time.
const MAX_CALLS: usize = 8;
/// Functions that verifiers let a program have.
const MAX_FUNCTIONS: usize = 256;
/// The kernel counts each function's stack in steps of so many bytes.
const STACK_STEP_BYTES: u32 = 32;
/// Slots a program can have on any kernel we load on.
const PROGRAM_SLOTS: usize = 1_000_000;

/// The features that code generation asks for; the caller finds out about no others, as each
/// takes time to try. What is not listed here counts as missing.
pub const FEATURES: &[Feature] = &[
    Feature::AtomicFetch,
    Feature::AttachCookie,
    Feature::ForEachMapElem,
    Feature::FuncIp,
    Feature::LookupPercpuElem,
    Feature::RecursionGuard,
    Feature::SleepableQueue,
    Feature::SleepableUprobe,
    Feature::Snprintf,
];

/// Compiles the kernel handlers of a module to an ELF object. `kernel` is the release compiled
/// against and a number that tells its build. `files` are the source files, `FileId` being
/// the index: their text goes into the line information and the metadata.
pub fn compile(
    module: Module,
    features: Features,
    kernel: (&str, u64),
    files: &[(String, String)],
) -> Result<(Vec<u8>, Meta), Vec<BpfError>> {
    compile_with(module, features, kernel, files, Settings::default())
}

/// How code is made.
#[derive(Clone, Copy, Default)]
pub struct Settings<'a> {
    /// The types of the kernel compiled against: the image says where it depends on them (CO-RE).
    pub types: Option<&'a Btf>,
    /// Features that other kernels must have.
    pub requires: Features,
    /// How long functions may become.
    pub sizes: Sizes,
    /// How kernel memory is read without a helper; the image is for this kernel only, then.
    pub direct_reads: Option<DirectReads>,
}

/// What it takes to read any number of the kernel's memory by a load, not a helper (`select/direct`): ids in
/// the BTF of the running kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectReads {
    /// The function `bpf_rdonly_cast`.
    pub cast: TypeId,
    /// A structure that begins with a number of 64 bits.
    pub word: TypeId,
}

impl DirectReads {
    /// The ids, if the kernel has both.
    pub fn of(kernel: &Btf) -> Option<Self> {
        Some(DirectReads {
            cast: kernel.find(Kind::Func, "bpf_rdonly_cast")?,
            word: kernel.find(Kind::Struct, "timespec64")?,
        })
    }
}

/// How long functions may become, in instructions, before they are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Functions up to so many stay whole.
    pub whole: usize,
    /// A part is at least this long.
    pub part: usize,
    /// What a program may cost the verifier, if its handler can be divided (`share`) or made flat (`hub`); see `cost`.
    pub cost: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Sizes {
            whole: 2500,
            part: 600,
            cost: 120_000,
        }
    }
}

/// The same, with settings.
pub fn compile_with(
    mut module: Module,
    features: Features,
    kernel: (&str, u64),
    files: &[(String, String)],
    settings: Settings<'_>,
) -> Result<(Vec<u8>, Meta), Vec<BpfError>> {
    let types = settings.types;
    let object = generate(&mut module, features, settings)?;
    let meta = Meta {
        version: META_VERSION,
        kernel_release: kernel.0.to_owned(),
        btf_hash: kernel.1,
        requires: settings.requires.iter().map(|f| f.to_string()).collect(),
        max_cpus: object.plan.max_cpus,
        module,
        programs: object.plan.programs.clone(),
        layout: object.plan.layout(),
        files: files.to_vec(),
    };
    let elf = crate::image::elf::write(&object, &meta.module, &meta, types).map_err(|what| {
        vec![BpfError::Internal {
            span: Span::NONE,
            what,
        }]
    })?;
    Ok((elf, meta))
}

/// Which handlers are made flat as well, where that costs a verifier less or is the only way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flat {
    /// Those that may cost it much.
    Dear,
    /// All.
    All,
}

/// Generates the code of all kernel handlers. The sites of functions that are copied into their callers are
/// added to the module.
pub fn generate(
    module: &mut Module,
    features: Features,
    settings: Settings<'_>,
) -> Result<Object, Vec<BpfError>> {
    generate_with(module, features, settings, Flat::Dear).or_else(|errors| {
        let is_too_large = |error: &BpfError| matches!(error, BpfError::TooLarge { .. });
        if errors.iter().all(is_too_large)
            && let Ok(object) = generate_with(module, features, settings, Flat::All)
        {
            return Ok(object);
        }
        Err(errors)
    })
}

fn generate_with(
    module: &mut Module,
    features: Features,
    settings: Settings<'_>,
    which: Flat,
) -> Result<Object, Vec<BpfError>> {
    let mut chains = Chains::new(std::mem::take(&mut module.sites));
    let mut inliner = Inliner::new(module, &mut chains);
    let mut bodies: SecondaryMap<HandlerId, Option<Function>> = SecondaryMap::new();
    let mut shared: SecondaryMap<HandlerId, Option<Shared>> = SecondaryMap::new();
    for (id, handler) in &module.handlers {
        if handler.exec == Exec::Kernel {
            let body = inliner.body(handler.func);
            if which == Flat::All || may_cost_more(&body, settings.sizes) {
                shared[id] = inliner.shared(handler.func);
            }
            bodies[id] = Some(body);
        }
    }
    module.sites = chains.finish();
    let module = &*module;
    let shares = share::shares(module, features, settings, &bodies);
    let mut plan = Plan::new(module, features, &shares);
    let bodies: Vec<Function> = (plan.programs.iter())
        .filter_map(|program| {
            let handler = &module.handlers[program.handler];
            let body = bodies[program.handler].as_ref()?;
            Some(cut::cut(share::restricted(body, handler, &program.points)))
        })
        .collect();
    plan.remember_entries(&bodies);
    let mut programs = Vec::new();
    let mut errors = Vec::new();
    let mut allocator = Allocator::default();
    for (number, body) in bodies.iter().enumerate() {
        let program = plan.programs[number].clone();
        let handler = &module.handlers[program.handler];
        let cx = program_cx(module, features, settings, &plan, number);
        let half = if program.entry_half {
            Half::Entry
        } else {
            Half::Body
        };
        let mut how = Generating {
            module,
            features,
            settings,
            half,
            cx,
            allocator: &mut allocator,
        };
        let shared = shared[program.handler].as_ref();
        let flat = shared.map(|shared| || flat(shared, handler, &program));
        let code = how.program_or_flat(&mut plan, body, flat);
        match code {
            Ok(code) => {
                plan.frame_bytes = plan.frame_bytes.max(code.frame_bytes);
                programs.push(ProgramCode {
                    section: section(handler, &program, half),
                    functions: code.functions,
                    is_flat: code.is_flat,
                });
            }
            // A body that was copied to several places is complained about once.
            Err(found) => {
                for error in found {
                    if !errors.contains(&error) {
                        errors.push(error);
                    }
                }
            }
        }
    }
    if plan.frame_bytes != 0 {
        plan.maps[Plan::FRAMES.0 as usize].value = plan::Shape::Words(plan.frame_bytes / 8);
    }
    let rodata_bytes = plan.rodata.len() + plan.rodata_slack.next_multiple_of(8) as usize;
    plan.rodata.resize(rodata_bytes, 0);
    if errors.is_empty() {
        Ok(Object { plan, programs })
    } else {
        Err(errors)
    }
}

/// Whether a body may be too much for a verifier. (Few operations are longer than that.)
fn may_cost_more(body: &Function, sizes: Sizes) -> bool {
    const LONG_OP: u64 = 100;
    let ops = body
        .blocks
        .values()
        .map(|block| block.insts.len() as u64 + 1);
    ops.sum::<u64>() * LONG_OP > sizes.cost
}

/// A program's handler, made flat.
fn flat(shared: &Shared, handler: &Handler, program: &Program) -> Option<Function> {
    let entry = share::restricted(&shared.entry, handler, &program.points);
    hub::flatten(&entry, &shared.functions).map(cut::cut)
}

/// What the code of a program depends on.
fn program_cx(
    module: &Module,
    features: Features,
    settings: Settings<'_>,
    plan: &Plan,
    number: usize,
) -> ProgramCx {
    let program = &plan.programs[number];
    let handler = &module.handlers[program.handler];
    ProgramCx {
        handler: program.handler,
        program: number as u32,
        context: handler.context,
        context_on_stack: handler.has_context_on_stack(),
        point: program.points.first().copied().unwrap_or(0),
        by_cookie: program.by_cookie,
        times: program.times,
        sleepable: program.sleepable,
        early: handler.early,
        reentrant: reentrant(handler, features),
        uprobe: attached_to(module, program, Attach::is_uprobe),
        kretprobe: attached_to(module, program, Attach::is_kretprobe),
        in_locks: attached_to(module, program, Attach::is_in_locks),
        some_in_locks: plan.some_in_locks,
        direct_reads: settings.direct_reads,
    }
}

/// Whether some point of a program is of this kind.
fn attached_to(module: &Module, program: &Program, kind: fn(&Attach) -> bool) -> bool {
    let points = &module.handlers[program.handler].points;
    (program.points.iter())
        .any(|&point| points.get(point as usize).is_some_and(|p| kind(&p.attach)))
}

/// Whether a program can begin again on a CPU where it already runs.
fn reentrant(handler: &Handler, features: Features) -> bool {
    match handler.context {
        Context::RawTracepoint
        | Context::BtfTracepoint
        | Context::Fentry
        | Context::Fexit { .. } => !features.has(Feature::RecursionGuard),
        Context::RawSyscall { .. } => false,
        // The kernel runs no kprobe or perf event program inside another, on any version;
        // uprobe programs can be preempted.
        Context::Regs | Context::PerfEvent => {
            handler.points.iter().any(|point| point.attach.is_uprobe())
        }
        Context::None => true,
    }
}

/// The ELF section of a program: its kind and, where loaders want it, its target.
fn section(handler: &Handler, program: &Program, half: Half) -> String {
    let sleepable = if program.sleepable { ".s" } else { "" };
    let attach = program
        .points
        .first()
        .and_then(|&point| handler.points.get(point as usize))
        .map(|point| &point.attach);
    match attach {
        Some(Attach::RawTracepoint { name }) => format!("raw_tp/{name}"),
        Some(Attach::BtfTracepoint { name, .. }) => format!("tp_btf/{name}"),
        Some(Attach::RawSyscall { is_return }) => {
            format!(
                "tracepoint/raw_syscalls/{}",
                Attach::raw_syscall(*is_return)
            )
        }
        Some(Attach::Fentry(function)) => format!("fentry/{}", function.name),
        Some(Attach::Fexit(function)) => format!("fexit/{}", function.name),
        Some(Attach::Kprobe { function, .. }) => format!("kprobe/{}", function.name),
        Some(Attach::Kretprobe { function, .. }) if half == Half::Entry => {
            format!("kprobe/{}", function.name)
        }
        Some(Attach::Uretprobe { .. }) if half == Half::Entry => "uprobe".to_owned(),
        Some(Attach::Kretprobe { function, .. }) => format!("kretprobe/{}", function.name),
        Some(Attach::Uprobe { .. }) => format!("uprobe{sleepable}"),
        Some(Attach::Uretprobe { .. }) => format!("uretprobe{sleepable}"),
        Some(Attach::Profile { .. } | Attach::PerfEvent { .. } | Attach::Breakpoint { .. }) => {
            "perf_event".to_owned()
        }
        Some(
            Attach::Begin { .. }
            | Attach::End { .. }
            | Attach::Error { .. }
            | Attach::Never
            | Attach::PerfCounter { .. }
            | Attach::Timer { .. },
        )
        | None => match handler.context {
            Context::RawTracepoint => "raw_tp".to_owned(),
            Context::BtfTracepoint => "tp_btf".to_owned(),
            Context::RawSyscall { .. } => "tracepoint".to_owned(),
            Context::Fentry => "fentry".to_owned(),
            Context::Fexit { .. } => "fexit".to_owned(),
            Context::Regs => "kprobe".to_owned(),
            Context::PerfEvent => "perf_event".to_owned(),
            Context::None => "raw_tp".to_owned(),
        },
    }
}
