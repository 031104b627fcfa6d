//! Every diagnostic code has a page in `docs/errors`, whose title is the code's, and a golden file that shows
//! it; every page is of a code.

use std::collections::BTreeSet;
use std::path::Path;

use rtap_grammar::diag::codes;
use rtap_tests::paths;

/// Codes that no script brings about: others are reported before `E0307` (`E0206`, `E0607`), and
/// `E0799` would be a mistake of ours.
const NEVER_SHOWN: &[&str] = &["E0307", "E0799"];

#[test]
fn every_code_has_its_page() {
    let pages = paths::workspace().join("docs/errors");
    let known: BTreeSet<String> = codes::ALL.iter().map(|code| code.id().to_owned()).collect();
    for code in codes::ALL {
        let page = pages.join(format!("{code}.md"));
        let text = std::fs::read_to_string(&page).unwrap_or_default();
        let title = format!("# {code}: {}", code.title());
        assert_eq!(text.lines().next(), Some(&*title), "{}", page.display());
        assert!(text.lines().count() > 2, "{code} says nothing more");
    }
    for page in std::fs::read_dir(&pages).expect("docs/errors is there") {
        let path = page.expect("docs/errors can be read").path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        assert!(known.contains(&*name), "{} is of no code", path.display());
    }
}

#[test]
fn every_code_is_shown_by_a_golden() {
    let mut shown = String::new();
    collect(&paths::workspace().join("tests/golden"), &mut shown);
    let missing: Vec<&str> = codes::ALL
        .iter()
        .map(|code| code.id())
        .filter(|id| !NEVER_SHOWN.contains(id) && !shown.contains(&format!("[{id}]")))
        .collect();
    assert!(missing.is_empty(), "no golden shows {}", missing.join(", "));
}

/// The golden files of a folder and those below it.
fn collect(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).expect("tests/golden is there") {
        let path = entry.expect("tests/golden can be read").path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|end| end == "out") {
            into.push_str(&std::fs::read_to_string(&path).expect("golden files are text"));
        }
    }
}
