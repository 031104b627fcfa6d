//! About how much a program costs the verifier: the instructions of its code, those of loops inside operations once for each
//! round. In long programs, which are divided into functions, a verifier examines about four times as many
//! (observed: 3.4 to 4.0 for system calls' arguments as texts, `syscall.*` in eight programs, on Linux 6.18).

use super::outline;
use super::vcode::{LoopKind, VCode};

/// Instructions of a round of the loops around functions, of which a verifier examines each once.
const ROUND_INSNS: u64 = 8;
/// Instructions examined for each of a program.
const EXAMINED: u64 = 4;

/// What the rounds of the loops around functions add to a program's cost.
pub fn of_rounds(rounds: u64) -> u64 {
    rounds.saturating_mul(ROUND_INSNS) / EXAMINED
}

/// The cost of a program.
pub fn cost(code: &VCode) -> u64 {
    let mut times = vec![1u64; code.blocks.len()];
    outline::for_each_loop(code, |blocks, info| {
        if let LoopKind::Whole { most } = info.kind {
            for block in blocks {
                times[*block] = times[*block].saturating_mul(u64::from(most));
            }
        }
    });
    let blocks = times.iter().enumerate();
    let costs =
        blocks.map(|(block, times)| times.saturating_mul(outline::insns(code, block) as u64));
    let apart = code.apart.iter().map(|apart| cost(&apart.code));
    costs.chain(apart).fold(0, u64::saturating_add)
}
