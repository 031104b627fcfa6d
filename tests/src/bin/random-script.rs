//! Prints a random script: `random-script SEED [POINT …]` (see `rtap_tests::generate`).

use rtap_tests::generate::{Shape, script};

fn main() {
    let mut args = std::env::args().skip(1);
    let seed = args.next().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let points: Vec<String> = args.collect();
    let points: Vec<&str> = points.iter().map(String::as_str).collect();
    let shape = Shape {
        context: &["pid()", "cpu()", "(tid() & 1)"],
        ..Shape::all(&points)
    };
    print!("{}", script(seed, shape));
}
