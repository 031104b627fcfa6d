//! Collects the tapset files and indexes what they define.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a build script may stop the build"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "src/scan.rs"]
#[allow(dead_code, unreachable_pub, missing_docs)]
mod scan;

use scan::Kind;

fn main() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    println!("cargo::rerun-if-changed={}", root.display());
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();

    let mut files = String::new();
    let mut lists: [BTreeSet<(String, usize)>; 4] = Default::default();
    for (number, path) in paths.iter().enumerate() {
        let text = fs::read_to_string(path).expect("a readable tapset file");
        let name = path.strip_prefix(&root).expect("below the root");
        let macros_only = name.extension().is_some_and(|e| e == "stpm");
        let _ = writeln!(
            files,
            "File {{ name: \"tapset/{}\", text: include_str!({:?}) }},",
            name.display(),
            path.display().to_string()
        );
        scan::scan(&text, |kind, defined| {
            let list = match kind {
                Kind::Macro if macros_only => 3,
                Kind::Function if !macros_only => 0,
                Kind::Global if !macros_only => 1,
                Kind::Alias if !macros_only => 2,
                _ => return,
            };
            lists[list].insert((defined.to_owned(), number));
        });
    }
    let [functions, globals, aliases, macros] = lists.map(|list| {
        list.iter().fold(String::new(), |mut text, (name, file)| {
            let _ = write!(text, "({name:?}, {file}), ");
            text
        })
    });
    let text = format!(
        "/// The embedded library.\npub static EMBEDDED: Embedded = Embedded {{\nfiles: &[{files}],\n\
         functions: &[{functions}],\nglobals: &[{globals}],\naliases: &[{aliases}],\nmacros: &[{macros}],\n}};\n"
    );
    fs::write(out.join("embedded.rs"), text).expect("a writable OUT_DIR");

    let table = fs::read_to_string(root.join("syscalls.table")).expect("tapsets/syscalls.table");
    let lines: Vec<&str> = table
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    fs::write(out.join("syscalls.table"), lines.join("\n")).expect("a writable OUT_DIR");
}

/// All tapset and macro files below a folder, the sources of this crate left out.
fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            if !path.ends_with("src") && !path.ends_with("target") {
                collect(&path, paths);
            }
        } else if path.extension().is_some_and(|e| e == "rtp" || e == "stpm") {
            paths.push(path);
        }
    }
}
