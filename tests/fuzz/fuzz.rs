//! Runs the fuzz target named by `RTAP_FUZZ` under libFuzzer; its seeds are put into `RTAP_FUZZ_SEEDS` first.
#![no_main]

use std::sync::LazyLock;
use std::{env, fs};

use libfuzzer_sys::fuzz_target;
use rtap_tests::fuzz::{Target, target};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = env::var("RTAP_FUZZ").unwrap_or_default();
    target(&name).expect("RTAP_FUZZ names a target of rtap_tests::fuzz")
});

fuzz_target!(
    init: {
        let dir = env::var("RTAP_FUZZ_SEEDS").expect("RTAP_FUZZ_SEEDS names a folder");
        for (number, seed) in (TARGET.seeds)().iter().enumerate() {
            fs::write(format!("{dir}/seed-{number}"), seed).expect("the folder can be written");
        }
    },
    |data: &[u8]| {
        (TARGET.run)(data);
    }
);
