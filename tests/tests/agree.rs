//! A few random programs in both executors; the binary `agree` runs any number.
//!
//! `RTAP_SEED=n` starts at another seed than the usual one. Needs root; elsewhere it says so.

use rtap::host::Rights;
use rtap_tests::agree::{SHAPE, Verdict, compare};
use rtap_tests::generate::script;
use rtap_tests::paths;

const PROGRAMS: u64 = 150;

#[test]
fn executors_agree_about_random_programs() {
    if !Rights::of_self().missing_for_tracing().is_empty() {
        println!("SKIPPED: needs root");
        return;
    }
    let rtap = paths::build_rtap(true).expect("rtap can be built");
    let seed = std::env::var("RTAP_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    println!("seeds {seed}..{}", seed + PROGRAMS);
    let at = std::env::temp_dir().join(format!("agree-test-{}.rtp", std::process::id()));
    let mut agreed = 0;
    for seed in seed..seed + PROGRAMS {
        let text = script(seed, SHAPE);
        let verdict = compare(&rtap, &text, &at).expect("rtap runs");
        let acceptable = matches!(verdict, Verdict::Agree | Verdict::Unavailable(_));
        assert!(acceptable, "seed {seed}: {verdict:?}\n{text}");
        agreed += u64::from(verdict == Verdict::Agree);
    }
    let _ = std::fs::remove_file(at);
    assert!(agreed > PROGRAMS * 3 / 4, "only {agreed} programs ran");
}
