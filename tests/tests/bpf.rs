//! What scripts become in eBPF, or why they do not, for the fixture's kernel. `tests/golden/bpf`. Directives:
//! `kernel: 5.10.0`, `without: Feature…`.
//!
//! The cases are tiny: what they do is tested by running it (`exec`, `backend`, the kernel tests); here
//! one sees in a diff what a change of the code generator costs.

use rtap_compiler::pipeline::{Emit, emit};
use rtap_compiler::resolve::TapsetLibrary;
use rtap_compiler::session::Session;
use rtap_grammar::diag::Style;
use rtap_grammar::source::Files;
use rtap_tests::fixture;
use rtap_tests::golden::{self, Case};

#[test]
fn bpf() {
    golden::check("bpf", produce);
}

fn produce(case: &Case) -> String {
    let target = fixture::target(case);
    let library = TapsetLibrary::embedded();
    let session = Session::new(&target, &library);
    let mut files = Files::new();
    let id = files.add(case.file_name(), case.text(), false);
    let (text, diags) = emit(&session, &mut files, &[id], Emit::Bpf);
    format!("{}{text}", diags.render(&files, Style::Plain))
}
