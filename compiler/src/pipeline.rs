//! The compiler, stage by stage: parse → resolve → infer types → infer widths → lower → passes →
//! eBPF → image.
//!
//! Each stage gives a value and diagnostics; after one with errors the later ones do not run.
//! [`Emit`] asks for the text of what a stage made.

use rtap_grammar::ast;
use rtap_grammar::diag::{Diagnostic, Diagnostics, codes};
use rtap_grammar::source::{FileId, Files};

use crate::bpf::{self, BpfError};
use crate::hir;
use crate::image::{Attach, Meta};
use crate::infer::{infer_types, infer_widths};
use crate::lir::{self, Context, Exec, Module};
use crate::lower::{self, Fault};
use crate::passes;
use crate::resolve::{self, Listed, Loader, resolve};
use crate::session::Session;
use crate::target::{Feature, Features};

/// What a stage made, as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Emit {
    /// Tokens after the preprocessor.
    Tokens,
    /// The syntax tree, as source.
    Ast,
    /// Globals, functions and probes with their types, as SystemTap's pass 2 shows them.
    Summary,
    /// The typed tree.
    Hir,
    /// The low-level IR, as it was lowered.
    LirRaw,
    /// The same after the passes.
    Lir,
    /// eBPF instructions.
    Bpf,
    /// What SystemTap's pass 3 makes: the LIR that rtap itself runs, then the eBPF instructions.
    Code,
}

/// What compiling gives.
#[derive(Debug)]
pub struct Output {
    /// The image: an ELF object, with the metadata in it.
    pub elf: Vec<u8>,
    /// The metadata.
    pub meta: Meta,
}

/// What has been done, for who wants to say how long it took: SystemTap's passes 1 to 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Milestone {
    /// The scripts are parsed, and so many macro files of the library with them.
    Parsed {
        /// Files of the library.
        library: usize,
    },
    /// Names and types are known.
    Analyzed {
        /// Probes.
        probes: usize,
        /// Functions.
        functions: usize,
        /// Globals.
        globals: usize,
    },
    /// There is LIR.
    Translated,
    /// There is an image.
    Compiled,
}

impl Milestone {
    fn parsed(files: &Files) -> Milestone {
        let library = files.ids().filter(|id| files.is_library(*id)).count();
        Milestone::Parsed { library }
    }
}

/// Compiles scripts into an image.
pub fn compile(
    session: &Session<'_>,
    files: &mut Files,
    scripts: &[FileId],
) -> (Option<Output>, Diagnostics) {
    compile_watched(session, files, scripts, &mut |_| ())
}

/// The same; `reached` hears of every stage that is done.
pub fn compile_watched(
    session: &Session<'_>,
    files: &mut Files,
    scripts: &[FileId],
    reached: &mut dyn FnMut(Milestone),
) -> (Option<Output>, Diagnostics) {
    let (program, mut diags) = check_watched(session, files, scripts, reached);
    let Some(program) = program else {
        return (None, diags);
    };
    let Some(module) = lower(session, &program, files, false, &mut diags) else {
        return (None, diags);
    };
    reached(Milestone::Translated);
    let texts: Vec<(String, String)> = files
        .ids()
        .map(|id| (files.name(id).to_owned(), files.text(id).to_owned()))
        .collect();
    let kernel = (
        session.target.kernel().text.as_str(),
        session.target.kernel_id(),
    );
    let portable = session.options.portable;
    let types = (portable && !module.core.is_empty()).then(|| session.target.btf().ok());
    let types = types.flatten();
    let features = features(session, &module);
    let requires = portable.then(|| session.target.relied_on());
    let settings = bpf::Settings {
        types: types.as_ref(),
        requires: requires.unwrap_or_default(),
        sizes: session.options.sizes,
        direct_reads: direct_reads(session, &module),
    };
    match bpf::compile_with(module, features, kernel, &texts, settings) {
        Ok((elf, meta)) => {
            reached(Milestone::Compiled);
            (Some(Output { elf, meta }), diags)
        }
        Err(errors) => {
            extend(&mut diags, errors.into_iter().map(of_bpf), &program, files);
            (None, diags)
        }
    }
}

/// Parses scripts and resolves them into a typed program: SystemTap's passes 1 and 2.
pub fn check(
    session: &Session<'_>,
    files: &mut Files,
    scripts: &[FileId],
) -> (Option<hir::Program>, Diagnostics) {
    check_watched(session, files, scripts, &mut |_| ())
}

/// The same; `reached` hears of every stage that is done.
pub fn check_watched(
    session: &Session<'_>,
    files: &mut Files,
    scripts: &[FileId],
    reached: &mut dyn FnMut(Milestone),
) -> (Option<hir::Program>, Diagnostics) {
    let mut loader = Loader::new(session);
    let (trees, mut diags) = parse(&mut loader, files, scripts);
    if diags.has_errors() {
        return (None, diags);
    }
    reached(Milestone::parsed(files));
    let (mut program, found) = resolve(session, loader, files, trees);
    extend(&mut diags, found, &program, files);
    if diags.has_errors() {
        return (None, diags);
    }
    if session.options.begin_in_kernel {
        begin_in_kernel(&mut program);
    }
    let mut found = Diagnostics::new();
    infer_types(&mut program, &mut found);
    found.drop_repeated();
    let mut diags = one_word_each(diags, &mut found);
    extend(&mut diags, found, &program, files);
    if diags.has_errors() {
        return (None, diags);
    }
    let mut found = Diagnostics::new();
    infer_widths(&mut program, session.target, &mut found);
    extend(&mut diags, found, &program, files);
    reached(Milestone::Analyzed {
        probes: program.probes.iter().map(|probe| probe.points.len()).sum(),
        functions: program.functions.len(),
        globals: program.globals.len(),
    });
    (Some(program), diags)
}

/// One word about a variable is enough: warnings that it is never assigned go where its type cannot be
/// told either, and leave their remedy (a name that is nearly the same) there.
fn one_word_each(warnings: Diagnostics, found: &mut Diagnostics) -> Diagnostics {
    let mut kept = Diagnostics::new();
    for warning in warnings {
        match found.find_mut(codes::TYPE_UNRESOLVED, warning.span()) {
            Some(error) if warning.code == codes::NEVER_ASSIGNED => {
                if !warning.helps.is_empty() {
                    error.helps = warning.helps;
                }
            }
            _ => kept.push(warning),
        }
    }
    kept
}

/// Makes kernel handlers of `begin` probes; the runtime runs them once, by `BPF_PROG_TEST_RUN`.
fn begin_in_kernel(program: &mut hir::Program) {
    for probe in &mut program.probes {
        if probe
            .points
            .iter()
            .all(|point| matches!(point.attach, Attach::Begin { .. }))
        {
            probe.exec = Exec::Kernel;
            probe.context = Context::RawTracepoint;
        }
    }
}

/// The points that the scripts' probes mean, for `rtap list`.
pub fn list(
    session: &Session<'_>,
    files: &mut Files,
    scripts: &[FileId],
    with_variables: bool,
) -> (Vec<Listed>, Diagnostics) {
    let mut loader = Loader::new(session);
    let (trees, mut diags) = parse(&mut loader, files, scripts);
    if diags.has_errors() {
        return (Vec::new(), diags);
    }
    let (listed, found) = resolve::list(session, loader, files, trees, with_variables);
    diags.extend(found);
    (listed, diags)
}

/// Pass 1 alone.
pub fn parse(
    loader: &mut Loader<'_>,
    files: &mut Files,
    scripts: &[FileId],
) -> (Vec<ast::File>, Diagnostics) {
    let mut diags = Diagnostics::new();
    let mut trees = Vec::with_capacity(scripts.len());
    for id in scripts {
        let (tree, found) = loader.parse(files, *id);
        trees.push(tree);
        diags.extend(found);
    }
    (trees, diags)
}

/// To LIR, optimised unless `raw`.
fn lower(
    session: &Session<'_>,
    program: &hir::Program,
    files: &Files,
    raw: bool,
    diags: &mut Diagnostics,
) -> Option<Module> {
    let (mut module, faults) = lower::lower(
        program,
        files,
        session.target.arch(),
        session.options.is_measured,
    );
    extend(
        diags,
        faults.into_iter().map(|fault| of_fault(fault, program)),
        program,
        files,
    );
    if diags.has_errors() {
        return None;
    }
    if !raw {
        passes::optimise(&mut module);
    }
    Some(module)
}

/// The text of what a stage made of the scripts; empty if it did not come to that.
pub fn emit(
    session: &Session<'_>,
    files: &mut Files,
    scripts: &[FileId],
    stage: Emit,
) -> (String, Diagnostics) {
    emit_watched(session, files, scripts, stage, &mut |_| ())
}

/// The same; `reached` hears of every stage that is done.
pub fn emit_watched(
    session: &Session<'_>,
    files: &mut Files,
    scripts: &[FileId],
    stage: Emit,
    reached: &mut dyn FnMut(Milestone),
) -> (String, Diagnostics) {
    if stage == Emit::Tokens {
        let mut loader = Loader::new(session);
        let mut text = String::new();
        let mut diags = Diagnostics::new();
        for id in scripts {
            let (tokens, found) = loader.tokens(files, *id);
            text.push_str(&tokens);
            diags.extend(found);
        }
        return (text, diags);
    }
    if stage == Emit::Ast {
        let (trees, diags) = parse(&mut Loader::new(session), files, scripts);
        reached(Milestone::parsed(files));
        return (
            trees.iter().map(rtap_grammar::print::print).collect(),
            diags,
        );
    }
    let (program, mut diags) = check_watched(session, files, scripts, reached);
    let Some(program) = program else {
        return (String::new(), diags);
    };
    if stage == Emit::Summary {
        return (hir::text::summary(&program), diags);
    }
    if stage == Emit::Hir {
        return (hir::text::print(&program), diags);
    }
    let raw = stage == Emit::LirRaw;
    let Some(mut module) = lower(session, &program, files, raw, &mut diags) else {
        return (String::new(), diags);
    };
    reached(Milestone::Translated);
    if matches!(stage, Emit::LirRaw | Emit::Lir) {
        return (lir::text::print(&module), diags);
    }
    let settings = bpf::Settings {
        sizes: session.options.sizes,
        direct_reads: direct_reads(session, &module),
        ..bpf::Settings::default()
    };
    let features = features(session, &module);
    match bpf::generate(&mut module, features, settings) {
        Ok(object) if stage == Emit::Code => {
            let code = lir::text::print(&module) + &object.disassemble();
            (code, diags)
        }
        Ok(object) => (object.disassemble(), diags),
        Err(errors) => {
            extend(&mut diags, errors.into_iter().map(of_bpf), &program, files);
            (String::new(), diags)
        }
    }
}

/// The kernel's features, as far as code generation asks for them; none are tried for scripts
/// that run in user space only.
fn features(session: &Session<'_>, module: &Module) -> Features {
    let in_kernel = |handler: &lir::Handler| handler.exec == lir::Exec::Kernel;
    if !module.handlers.values().any(in_kernel) {
        return Features::default();
    }
    // Images say what was asked for: other kernels must have it as well.
    let wraps =
        |global: &lir::GlobalData| matches!(global.kind, lir::GlobalKind::Array { wrap: true, .. });
    let with_queues = module.globals.values().any(wraps);
    let wanted = bpf::FEATURES.iter().copied();
    let wanted: Vec<Feature> = wanted
        .filter(|feature| match feature {
            Feature::SleepableQueue => with_queues,
            Feature::FuncIp => takes_stacks_at_returns(module),
            _ => true,
        })
        .collect();
    session.target.features_among(&wanted)
}

/// How kernel memory can be read without a helper, if some is read and the image is for this kernel only.
fn direct_reads(session: &Session<'_>, module: &Module) -> Option<bpf::DirectReads> {
    let in_kernel = |handler: &lir::Handler| handler.exec == lir::Exec::Kernel;
    let is_wanted = !session.options.portable
        && module.handlers.values().any(in_kernel)
        && module.functions.values().any(reads_kernel_memory);
    if !is_wanted || !session.target.has(Feature::ReadOnlyCast) {
        return None;
    }
    bpf::DirectReads::of(&session.target.btf().ok()?)
}

fn reads_kernel_memory(function: &lir::Function) -> bool {
    let space = lir::Space::Kernel;
    let reads = |op: &lir::Op| matches!(op, lir::Op::MemRead { space: of, .. } if *of == space);
    has_op(function, reads)
}

/// Whether the kernel's stack may be asked for where its functions return.
fn takes_stacks_at_returns(module: &Module) -> bool {
    let mut points = module.handlers.values().flat_map(|handler| &handler.points);
    let takes = |op: &lir::Op| {
        use lir::{Op, Space};
        matches!(
            op,
            Op::StrStack(.., Space::Kernel) | Op::CtxFrame(_, Space::Kernel)
        )
    };
    points.any(|point| matches!(point.attach, Attach::Kretprobe { .. } | Attach::Fexit(_)))
        && module
            .functions
            .values()
            .any(|function| has_op(function, takes))
}

fn has_op(function: &lir::Function, is_it: impl Fn(&lir::Op) -> bool) -> bool {
    let mut insts = function.blocks.values().flat_map(|block| &block.insts);
    insts.any(|inst| is_it(&inst.op))
}

/// Adds diagnostics; those about a tapset's code are made to point at the script's place that
/// brought it in.
fn extend(
    diags: &mut Diagnostics,
    found: impl IntoIterator<Item = Diagnostic>,
    program: &hir::Program,
    files: &Files,
) {
    for diag in found {
        let (diag, user) = blame(diag, program, files);
        // One mistake of each kind for what brought a tapset's code in.
        let again = |other: &Diagnostic| other.code == diag.code && other.span() == diag.span();
        if user && diags.iter().any(again) {
            continue;
        }
        diags.push(diag);
    }
}

/// The diagnostic pointing at the script's place, and whether that was needed.
fn blame(mut diag: Diagnostic, program: &hir::Program, files: &Files) -> (Diagnostic, bool) {
    let span = diag.span();
    if span.is_none() || !files.is_library(span.file) {
        return (diag, false);
    }
    let Some(user) = program.blame_of(span) else {
        return (diag, false);
    };
    for label in &mut diag.labels {
        label.primary = false;
    }
    (diag.label(user, "because of this"), true)
}

fn of_fault(fault: Fault, program: &hir::Program) -> Diagnostic {
    let diag = Diagnostic::error(codes::NOT_HERE, fault.message);
    if let Some(help) = fault.help {
        return diag.label(fault.span, "not possible here").help(help);
    }
    let needs = program.characters.iter();
    let mut needs = needs.filter(|(made, _)| *made == fault.span);
    let Some((_, first)) = needs.next() else {
        return diag
            .label(
                fault.span,
                "joined to a string that has no bound, or too long to be carried raw",
            )
            .help("a kernel probe carries such texts raw: joined again and again, in a loop or to a global, they outgrow any record")
            .help("print or store each by itself, or join them in `end` or a timer");
    };
    let diag = diag
        .label(*first, "its characters are needed here")
        .secondary(fault.span, "made here")
        .help("a kernel probe can print it, store it, count by it and compare it with \"\"")
        .help("look into it in `end` or a timer, or use the number that it is made of");
    needs.fold(diag, |diag, (_, more)| diag.secondary(*more, "and here"))
}

fn of_bpf(error: BpfError) -> Diagnostic {
    let code = match &error {
        BpfError::Unsupported { .. } => codes::NOT_IN_KERNEL,
        BpfError::NeedsKernel { .. } => codes::KERNEL_TOO_OLD,
        BpfError::TooLarge { .. } => codes::TOO_LARGE,
        BpfError::Internal { .. } => codes::INTERNAL,
    };
    let remedy = Some(error.remedy().to_owned()).filter(|remedy| !remedy.is_empty());
    Diagnostic::error(code, error.to_string())
        .label(error.span(), "used here")
        .help_if(remedy)
}
