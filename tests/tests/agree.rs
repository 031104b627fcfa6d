//! A few random programs in both executors; the binary `agree` runs any number.
//!
//! `RTAP_SEED=n` starts at another seed than the usual one. Needs root; elsewhere it says so.

use rtap::host::Rights;
use rtap_tests::agree::{LIMIT, Runner, SHAPE, Verdict};
use rtap_tests::generate::{Shape, script};
use rtap_tests::paths;
use rtap_tests::scratch::Scratch;

#[test]
fn executors_agree_about_random_programs() {
    agree(1, 200, None, None);
}

#[test]
fn executors_agree_about_programs_in_many_parts() {
    agree(1_001, 50, Some(20), None);
}

#[test]
fn executors_agree_about_programs_made_flat() {
    agree(2_001, 50, None, Some(1));
}

fn agree(first: u64, programs: u64, part_insns: Option<u32>, program_cost: Option<u32>) {
    if !Rights::of_self().missing_for_tracing().is_empty() {
        println!("SKIPPED: needs root");
        return;
    }
    let rtap = paths::build_rtap(true).expect("rtap can be built");
    let first = std::env::var("RTAP_SEED").map_or(first, |seed| seed.parse().expect("a number"));
    println!("seeds {first}..{}", first + programs);
    let scratch = Scratch::new(&format!("agree-{first}")).expect("a directory can be made");
    let at = scratch.join("agree.rtp");
    let runner = Runner {
        limit: LIMIT,
        rtap: &rtap,
        at: &at,
        part_insns,
        program_cost,
    };
    // Short ones: what is long enough can be too much for a verifier.
    let shape = Shape {
        statements: 3,
        ..SHAPE
    };
    let mut agreed = 0;
    for seed in first..first + programs {
        let text = script(seed, shape);
        let verdict = runner.compare(&text).expect("rtap runs");
        let acceptable = matches!(verdict, Verdict::Agree | Verdict::Unavailable(_));
        assert!(acceptable, "seed {seed}: {verdict:?}\n{text}");
        agreed += u64::from(verdict == Verdict::Agree);
    }
    assert!(agreed > programs * 9 / 10, "only {agreed} programs ran");
}
