//! What scripts mean: the typed tree, or the diagnostics. `tests/golden/sema`.
//!
//! Directives: `kernel: 5.10.0`, `without: Feature…`, `kprobe-style: kprobe`, `guru: yes`, `arg: text`, `btf: none`.

use rtap_compiler::pipeline::{Emit, emit};
use rtap_compiler::resolve::TapsetLibrary;
use rtap_compiler::session::{KprobeStyle, Options, Session};
use rtap_compiler::target::fixture::FixtureTarget;
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

/// Neither the stack nor anybody's patience is used up.
#[test]
fn aliases_of_aliases_have_an_end() {
    let aliases = |count: usize, points: fn(usize) -> String| {
        let all = (1..count).map(|n| format!("probe a{n} = {} {{ }}\n", points(n - 1)));
        let all: String = all.collect();
        format!("probe a0 = begin {{ }}\n{all}probe a{} {{ }}\n", count - 1)
    };
    let one = |n| format!("a{n}");
    assert_eq!(complaint(&aliases(100, one)), "");
    let title = "error[E0204]: more than 100 aliases lead to one another";
    assert_eq!(complaint(&aliases(101, one)), title);
    assert_eq!(complaint(&aliases(5000, one)), title);
    let two = |n| format!("a{n}?, a{n}?");
    let title = "error[E0204]: a probe of more than 10000 aliases";
    assert_eq!(complaint(&aliases(50, two)), title);
}

/// The first line of what is said about a script.
fn complaint(script: &str) -> String {
    let library = TapsetLibrary::none();
    let session = Session {
        target: &FixtureTarget::standard(),
        library: &library,
        options: Options::default(),
    };
    let mut files = Files::new();
    let id = files.add("script.rtp", script, false);
    let (_, diags) = emit(&session, &mut files, &[id], Emit::Hir);
    let said = diags.render(&files, Style::Plain);
    said.lines().next().unwrap_or_default().to_owned()
}
