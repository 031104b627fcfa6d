//! The command line, as far as it needs no kernel: output, messages and status of `rtap` and `stap`.
//! `tests/golden/cli`.
//!
//! Every `//# run: COMMAND` line of a case is run by the shell, in a fresh directory that holds the
//! case itself as `$FILE`. The result: what it printed, what it said on standard error behind
//! `! `, its status behind `= `.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use rtap_tests::golden::{self, Case};
use rtap_tests::paths;
use rtap_tests::scratch::Scratch;

#[test]
fn cli() {
    let rtap = paths::build_rtap(true).expect("rtap can be built");
    let place = Place::new(&rtap);
    golden::check("cli", |case| place.produce(case));
}

/// A directory with the commands.
struct Place(Scratch);

impl Place {
    fn new(rtap: &Path) -> Place {
        let place = Scratch::new("cli").expect("a directory can be made");
        let bin = place.join("bin");
        fs::create_dir_all(&bin).expect("a directory can be made");
        for name in ["rtap", "stap"] {
            symlink(rtap, bin.join(name)).expect("a link can be made");
        }
        Place(place)
    }

    fn produce(&self, case: &Case) -> String {
        let work = self.0.join("work");
        fs::create_dir_all(&work).expect("a directory can be made");
        let file = case.file_name();
        fs::write(work.join(&file), &case.source).expect("a file can be written");
        fs::set_permissions(work.join(&file), fs::Permissions::from_mode(0o755))
            .expect("a file can be made executable");
        let mut text = String::new();
        for command in case.directives("run") {
            let path = std::env::var("PATH").unwrap_or_default();
            let output = Command::new("/bin/sh")
                .args(["-c", &command])
                .env("PATH", format!("{}:{path}", self.0.join("bin").display()))
                .env("FILE", &file)
                .env_remove("COLUMNS")
                .current_dir(&work)
                .output()
                .expect("a shell can be started");
            let _ = writeln!(text, "$ {command}");
            text.push_str(&String::from_utf8_lossy(&output.stdout));
            for line in String::from_utf8_lossy(&output.stderr).lines() {
                let _ = writeln!(text, "{}", format!("! {line}").trim_end());
            }
            match output.status.code() {
                Some(status) => _ = writeln!(text, "= {status}"),
                None => _ = writeln!(text, "= {}", output.status),
            }
        }
        fs::remove_dir_all(&work).expect("the directory can be removed");
        text
    }
}
