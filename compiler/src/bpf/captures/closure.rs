//! Steps of a non-deterministic automaton that take no text.

use std::collections::BTreeMap;

use regex_automata::nfa::thompson::{NFA, State};
use regex_automata::util::look::Look;
use regex_automata::util::primitives::StateID;
use rustc_hash::FxHashSet;

/// Where in the text a step is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Spot {
    /// Nothing stands before.
    pub at_start: bool,
    /// Nothing follows.
    pub at_end: bool,
}

/// A state that takes a byte, or the one where the pattern is done, with the slots (ends of groups) that
/// are passed on the way there, as bits.
pub(super) type Leaf = (StateID, u64);

/// The automaton, with what was found out about it.
pub(super) struct Closures {
    pub nfa: NFA,
    known: BTreeMap<(StateID, Spot), Vec<Leaf>>,
}

impl Closures {
    pub fn new(nfa: NFA) -> Closures {
        Closures {
            nfa,
            known: BTreeMap::new(),
        }
    }

    /// What can be reached from `state` without text, in the pattern's order.
    pub fn of(&mut self, state: StateID, spot: Spot) -> &[Leaf] {
        let nfa = &self.nfa;
        self.known
            .entry((state, spot))
            .or_insert_with(|| closure(nfa, state, spot))
    }

    /// Where a state goes with a byte.
    pub fn next(&self, state: StateID, byte: u8) -> Option<StateID> {
        match self.nfa.state(state) {
            State::ByteRange { trans } => trans.matches_byte(byte).then_some(trans.next),
            State::Sparse(sparse) => sparse.matches_byte(byte),
            State::Dense(dense) => dense.matches_byte(byte),
            State::Look { .. }
            | State::Union { .. }
            | State::BinaryUnion { .. }
            | State::Capture { .. }
            | State::Fail
            | State::Match { .. } => None,
        }
    }

    /// Whether a state takes a byte.
    pub fn reads(&self, state: StateID) -> bool {
        matches!(
            self.nfa.state(state),
            State::ByteRange { .. } | State::Sparse(_) | State::Dense(_)
        )
    }

    /// Whether the pattern is done in a state.
    pub fn is_match(&self, state: StateID) -> bool {
        matches!(self.nfa.state(state), State::Match { .. })
    }
}

fn closure(nfa: &NFA, from: StateID, spot: Spot) -> Vec<Leaf> {
    let mut seen = FxHashSet::default();
    let mut leaves = Vec::new();
    let mut stack = vec![(from, 0_u64)];
    while let Some((state, slots)) = stack.pop() {
        if !seen.insert(state) {
            continue;
        }
        match nfa.state(state) {
            State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) | State::Match { .. } => {
                leaves.push((state, slots));
            }
            State::Look { look, next } => {
                let holds = match look {
                    Look::Start => spot.at_start,
                    Look::End => spot.at_end,
                    // Patterns of scripts have no others.
                    _ => false,
                };
                if holds {
                    stack.push((*next, slots));
                }
            }
            State::Union { alternates } => {
                stack.extend(alternates.iter().rev().map(|next| (*next, slots)));
            }
            State::BinaryUnion { alt1, alt2 } => {
                stack.push((*alt2, slots));
                stack.push((*alt1, slots));
            }
            State::Capture { next, slot, .. } => {
                stack.push((*next, slots | 1_u64.checked_shl(slot.as_u32()).unwrap_or(0)));
            }
            State::Fail => {}
        }
    }
    leaves
}
