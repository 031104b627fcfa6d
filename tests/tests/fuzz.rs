//! Everything in `tests/fuzz/corpus`, and damaged copies of it: no panic, no hang. `tests/fuzz/run` looks further.
//!
//! `RTAP_FUZZ_SEED` and `RTAP_FUZZ_ROUNDS` try others, and more.

use std::env;
use std::panic;
use std::str::FromStr;
use std::time::{Duration, Instant};

use rtap_tests::fuzz::{TARGETS, Target, mutate};
use rtap_tests::generate::Random;

/// Longer than this is a hang, on a busy machine too.
const HANG: Duration = Duration::from_secs(20);

fn setting<T: FromStr>(name: &str, default: T) -> T {
    env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

#[test]
fn damaged_inputs() {
    let seed = setting("RTAP_FUZZ_SEED", 1);
    let rounds = setting("RTAP_FUZZ_ROUNDS", 150);
    let mut faults = Vec::new();
    for target in TARGETS {
        let mut inputs = target.corpus();
        for input in &inputs {
            faults.extend(fault(target, input));
        }
        inputs.extend((target.seeds)());
        assert!(
            !inputs.is_empty(),
            "{} has nothing to begin with",
            target.name
        );
        let mut random = Random::new(seed);
        for _ in 0..rounds {
            let input = mutate::mutate(&mut random, &inputs, target.most);
            faults.extend(fault(target, &input));
        }
    }
    assert!(faults.is_empty(), "seed {seed}:\n{}", faults.join("\n"));
}

/// What went wrong with an input, which is kept to be looked at.
fn fault(target: &Target, input: &[u8]) -> Option<String> {
    let begin = Instant::now();
    let fine = panic::catch_unwind(|| (target.run)(input)).is_ok();
    let took = begin.elapsed();
    if fine && took < HANG {
        return None;
    }
    let file = env::temp_dir().join(format!("rtap-fuzz-{}-{}", target.name, std::process::id()));
    std::fs::write(&file, input).expect("the temporary directory can be written");
    let what = if fine { "took long" } else { "panicked" };
    Some(format!(
        "{} {what} ({took:?}): {}",
        target.name,
        file.display()
    ))
}
