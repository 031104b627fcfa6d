//! Parses, prints and parses again every script of Debian's `systemtap-doc`.

use rtap_grammar::source::Files;
use rtap_grammar::{MacroLibrary, StaticFacts, add_macros, ast, diag, parse, print};
use std::path::{Path, PathBuf};

/// Where Debian puts them.
const FOLDERS: [&str; 2] = [
    "/usr/share/systemtap/examples",
    "/usr/share/doc/systemtap/examples",
];

fn scripts(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            scripts(&path, found);
        } else if path.extension().is_some_and(|e| e == "stp") {
            found.push(path);
        }
    }
}

/// Macros that the examples take from SystemTap's own tapsets, with texts that serve to parse them.
const MACROS: &str = r#"
@define choose_defined(a, b) %( (@defined(@a) ? @a : @b) %)
@define container_of(p, t, m) %( @cast(@p, @t) %)
@define module_container_of(p, t, m, n) %( @cast(@p, @t, @m) %)
@define cast_module_sizeof(m, t) %( (&@cast(0, @t, @m)[1]) %)
@define cast_sizeof(t) %( (&@cast(0, @t)[1]) %)
@define json_output_data_start %( println("{") %)
@define json_output_data_end %( println("}") %)
@define json_output_array_numeric_value(a, i, n, v) %( println(@a, @i, @n, @v) %)
@define prometheus_dump_array1(a, n, k) %( println(@n, @k) %)
@define prometheus_dump_array3(a, n, k, l, m) %( println(@n, @k) %)
@define prometheus_dump_array7(a, n, k, l, m, o, p, q, r) %( println(@n, @k) %)
@define prometheus_dump_array1_map_unquoted(a, n, k, f, g) %( println(@n, @k) %)
@define prometheus_dump_array2_map(a, n, k, l, f, g, h) %( println(@n, @k) %)
@define prometheus_dump_array3_map(a, n, k, l, m, f, g, h, i) %( println(@n, @k) %)
@define this1 %( this %)
@define this2 %( this %)
@define this3 %( this %)
@define this4 %( this %)
@define this5 %( this %)
"#;

/// What to start the scripts with: each must parse with one of these.
const ARGS: [[&str; 5]; 6] = [
    ["1", "2", "3", "4", "5"],
    [
        "process.function(\"*\")",
        "kernel.function(\"*\")",
        "5",
        "6",
        "7",
    ],
    ["process", "function", "sum", "timer.s(1)", "end"],
    ["timer.s(1)", "4", "5", "6", "7"],
    ["5", "6", "@sum", "timer.s(1)", "timer.s(2)"],
    ["begin", "end", "error", "never", "timer.s(1)"],
];

#[test]
fn every_example_script_parses_and_prints_back() {
    let mut found = Vec::new();
    for folder in FOLDERS {
        scripts(Path::new(folder), &mut found);
    }
    // A form to fill in: it has "..." where statements belong.
    found.retain(|path| !path.ends_with("security-bandaid-template.stp"));
    found.sort();
    if found.is_empty() {
        println!("SKIPPED: no example scripts on this machine; apt-get install systemtap-doc");
        return;
    }
    let mut failures = Vec::new();
    for path in &found {
        let bytes = std::fs::read(path).expect("readable");
        let name = path.display().to_string();
        let mut tried = ARGS.iter().map(|args| round_trip(&name, &bytes, args));
        let first = tried.next().unwrap_or(Ok(()));
        if let Err(what) = first
            && !tried.any(|result| result.is_ok())
        {
            failures.push(what);
        }
    }
    println!("{} scripts, {} failed", found.len(), failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn round_trip(name: &str, bytes: &[u8], args: &[&str]) -> Result<(), String> {
    let args = args.iter().map(|&a| a.to_owned()).collect();
    let facts = StaticFacts {
        guru: true,
        args,
        ..StaticFacts::default()
    };
    let mut files = Files::new();
    let mut macros = MacroLibrary::new();
    let library = files.add("macros.stpm", MACROS, true);
    let bad = add_macros(&files, library, &facts, &mut macros);
    assert!(bad.is_empty(), "{}", bad.render(&files, diag::Style::Plain));
    let id = files.add_bytes(name, bytes, false);
    let mut first = parse(&mut files, id, &facts, &macros);
    if !first.diagnostics.is_empty() {
        return Err(first.diagnostics.render(&files, diag::Style::Plain));
    }
    for text in [
        print::print(&first.file),
        print::print_explicit(&first.file),
    ] {
        let again = files.add(format!("{name} printed"), text.as_str(), false);
        let mut second = parse(&mut files, again, &facts, &macros);
        if !second.diagnostics.is_empty() {
            return Err(format!(
                "{}\n{text}",
                second.diagnostics.render(&files, diag::Style::Plain)
            ));
        }
        ast::strip_spans(&mut first.file);
        ast::strip_spans(&mut second.file);
        if first.file != second.file {
            return Err(format!("{name}: another tree after\n{text}"));
        }
    }
    Ok(())
}
