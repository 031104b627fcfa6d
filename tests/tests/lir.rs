//! What scripts become in LIR after the passes. `tests/golden/lir`.
//!
//! Directives: `//# raw` (before the passes), `//# guru`, `//# arg: text`. Function `probe_N` is the
//! script's probe number N; tapset functions that were not inlined come along.

use rtap_compiler::pipeline::{Emit, emit};
use rtap_compiler::resolve::TapsetLibrary;
use rtap_compiler::session::{Options, Session};
use rtap_compiler::target::fixture::FixtureTarget;
use rtap_grammar::diag::Style;
use rtap_grammar::source::Files;
use rtap_tests::golden::{self, Case};

#[test]
fn lir() {
    golden::check("lir", produce);
}

fn produce(case: &Case) -> String {
    let target = FixtureTarget::standard();
    let library = TapsetLibrary::embedded();
    let options = Options {
        guru: case.text().contains("//# guru"),
        args: case.directives("arg"),
        ..Options::default()
    };
    let session = Session {
        target: &target,
        library: &library,
        options,
    };
    let stage = if case.text().contains("//# raw") {
        Emit::LirRaw
    } else {
        Emit::Lir
    };
    let mut files = Files::new();
    let id = files.add(case.file_name(), case.text(), false);
    let (text, diags) = emit(&session, &mut files, &[id], stage);
    format!("{}{text}", diags.render(&files, Style::Plain))
}
