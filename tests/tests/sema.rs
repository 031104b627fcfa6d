//! What scripts mean: the typed tree, or the diagnostics. `tests/golden/sema`.
//!
//! Directives: `kernel: 5.10.0`, `without: Feature…`, `kprobe-style: kprobe`, `guru: yes`, `arg: text`, `btf: none`.

use rtap_compiler::pipeline::{Emit, emit};
use rtap_compiler::resolve::TapsetLibrary;
use rtap_compiler::session::{KprobeStyle, Options, Session};
use rtap_grammar::diag::Style;
use rtap_grammar::source::Files;
use rtap_tests::fixture;
use rtap_tests::golden::{self, Case};

#[test]
fn sema() {
    golden::check("sema", produce);
}

fn produce(case: &Case) -> String {
    let mut target = fixture::target(case);
    if case.directive("btf").as_deref() == Some("none") {
        target = target.with_btf(None);
    }
    let library = TapsetLibrary::embedded();
    let style = match case.directive("kprobe-style").as_deref() {
        Some("kprobe") => KprobeStyle::Kprobe,
        Some("fentry") => KprobeStyle::Fentry,
        _ => KprobeStyle::Auto,
    };
    let options = Options {
        guru: case.directive("guru").is_some(),
        args: case.directives("arg"),
        kprobe_style: style,
        ..Options::default()
    };
    let session = Session {
        target: &target,
        library: &library,
        options,
    };
    let mut files = Files::new();
    let id = files.add(case.file_name(), case.text(), false);
    let (text, diags) = emit(&session, &mut files, &[id], Emit::Hir);
    format!("{}{text}", diags.render(&files, Style::Plain))
}
