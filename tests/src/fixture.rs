//! The fixture's kernel as a golden case wants it: directives `kernel: 5.10.0`, `addresses: hidden`, `module: yes` (one called `sample`, with a
//! tracepoint), `no-trampoline: FUNCTION`, and `without:` features or `vmlinux`, the kernel's debug information.

use rtap_compiler::btf::{Btf, BtfBuilder, Kind, Linkage, TypeId};
use rtap_compiler::target::fixture::FixtureTarget;
use rtap_compiler::target::{Feature, Target};

use crate::golden::Case;

/// What is left of some symbols where their addresses are not told.
const HIDDEN_SYMBOLS: &str = "0000000000000000 T vfs_read\n0000000000000000 t tcp_recvmsg\n\
    0000000000000000 t tcp_recvmsg\n0000000000000000 T tcp_sendmsg\n";

/// The kernel that a case is for.
pub fn target(case: &Case) -> FixtureTarget {
    let mut target = FixtureTarget::standard();
    if let Some(release) = case.directive("kernel") {
        target = target.with_release(&release);
    }
    if case.directive("addresses").as_deref() == Some("hidden") {
        target = target.with_symbols(HIDDEN_SYMBOLS);
    }
    if let Some(function) = case.directive("no-trampoline") {
        target = target.without_trampoline(&function);
    }
    if case.directive("module").is_some()
        && let Some(types) = target.btf().ok().and_then(|base| sample_module(&base))
    {
        target = target.with_module("sample", types);
    }
    let without = case.directive("without").unwrap_or_default();
    let lacks = |what: &str| without.split_whitespace().any(|name| name == what);
    if lacks("vmlinux") {
        target = target.without_vmlinux();
    }
    for feature in Feature::ALL {
        if lacks(&format!("{feature:?}")) {
            target = target.without(*feature);
        }
    }
    target
}

/// The types of a module with the tracepoint `sample_done(struct sample_request *request, struct task_struct *task)`.
fn sample_module(base: &Btf) -> Option<Btf> {
    let int = base.find(Kind::Int, "int")?;
    let task = base.find(Kind::Struct, "task_struct")?;
    let mut types = BtfBuilder::on(base);
    let members = [("id", int, 0, 0), ("bytes", int, 32, 0)];
    let request = types.composite(Kind::Struct, "sample_request", 8, &members);
    let (request, task) = (types.ptr(request), types.ptr(task));
    let void = TypeId(0);
    let data = types.ptr(void);
    let params = [("__data", data), ("request", request), ("task", task)];
    let unnamed = params.map(|(_, ty)| ("", ty));
    let called = types.func_proto(void, &unnamed);
    let called = types.ptr(called);
    types.modifier(Kind::Typedef, "btf_trace_sample_done", called);
    let iterator = types.func_proto(int, &params);
    types.func("__traceiter_sample_done", iterator, Linkage::Static);
    Btf::parse_split(types.finish(), base.clone()).ok()
}
