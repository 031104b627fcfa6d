//! Golden files of the parser: `tests/golden/parse`.
//!
//! An output is the tree with every operation in parentheses, and the diagnostics. Directives: `args: A B`
//! (script arguments), `guru: yes`, `kernel: RELEASE`, `arch: NAME`, `config: CONFIG_X=VALUE`,
//! `macro: TEXT` (a line of a macro library), `library: yes` (the file is a tapset or, with `stpm`, a macro
//! library), `emit: tokens`.

use rtap_grammar::diag::Style;
use rtap_grammar::source::Files;
use rtap_grammar::{MacroLibrary, StaticFacts, add_macros, emit_tokens, parse, print};
use rtap_tests::golden::{self, Case};
use std::fmt::Write as _;

#[test]
fn parse_goldens() {
    golden::check("parse", show);
}

fn facts(case: &Case) -> StaticFacts {
    let mut facts = StaticFacts::default();
    let words = |text: String| text.split_whitespace().map(str::to_owned).collect();
    facts.args = case.directive("args").map(words).unwrap_or_default();
    facts.guru = case.directive("guru").is_some();
    if let Some(kernel) = case.directive("kernel") {
        facts.kernel_vr = kernel;
    }
    if let Some(arch) = case.directive("arch") {
        facts.arch = arch;
    }
    for config in case.directives("config") {
        let (name, value) = config.split_once('=').expect("config: NAME=VALUE");
        facts.config.push((name.to_owned(), value.to_owned()));
    }
    facts
}

fn show(case: &Case) -> String {
    let facts = facts(case);
    let mut files = Files::new();
    let mut macros = MacroLibrary::new();
    let mut out = String::new();
    let library = case.directives("macro").join("\n");
    if !library.is_empty() {
        let id = files.add("macros.stpm", library, true);
        out.push_str(&add_macros(&files, id, &facts, &mut macros).render(&files, Style::Plain));
    }
    let kind = case.directive("library");
    let id = files.add_bytes(case.file_name(), &case.source, kind.is_some());
    if kind.as_deref() == Some("stpm") {
        out.push_str(&add_macros(&files, id, &facts, &mut macros).render(&files, Style::Plain));
        let names: Vec<&str> = macros.names().collect();
        let _ = writeln!(out, "macros: {}", names.join(" "));
        return out;
    }
    if case.directive("emit").as_deref() == Some("tokens") {
        let (tokens, diagnostics) = emit_tokens(&files, id, &facts, &macros);
        return out + &tokens + &diagnostics.render(&files, Style::Plain);
    }
    let parsed = parse(&mut files, id, &facts, &macros);
    out.push_str(&print::print_explicit(&parsed.file));
    if !parsed.diagnostics.is_empty() {
        out.push('\n');
        out.push_str(&parsed.diagnostics.render(&files, Style::Plain));
    }
    out
}
