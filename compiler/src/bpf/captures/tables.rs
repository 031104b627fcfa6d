//! The tables of the four walks.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use regex_automata::nfa::thompson::{NFA, WhichCaptures};
use regex_automata::util::primitives::StateID;

use super::closure::{Closures, Leaf, Spot};
use crate::lir::ere;

/// The most memory that making the first automaton may take, bytes.
const BUILD_BYTES: usize = 1 << 20;
/// The most entries of a table.
const MAX_ENTRIES: usize = 1 << 15;
/// Bits of an entry that are the state's number; above them are two that say what holds in it.
pub const FLAG_BITS: u32 = 14;
/// The most ends of groups.
const MAX_SLOTS: usize = 64;

/// A deterministic automaton. Entries are states by state and class; bit [`FLAG_BITS`] says that
/// something holds in the state in the middle of a text, the bit above that it does at its edge.
pub struct Automaton {
    /// By `state << shift | class`.
    pub next: Vec<u16>,
    /// States to begin in, with their bits.
    pub begin: Vec<u16>,
}

/// All that finding groups takes.
pub struct Captures {
    /// The class of each byte.
    pub classes: Vec<u8>,
    /// Bits of a class.
    pub shift: u32,
    /// Backwards; begins with: that end only, in the middle of the text; at its edge; any end. Its bits: a match
    /// can begin here (in the middle, at the edge).
    pub back: Automaton,
    /// Forwards; begins in the middle, at the edge. Its bits: a match can end here.
    pub forward: Automaton,
    /// What to do at a place: by `row << choose_shift | back state` a state and, in the upper half, an
    /// action. State 0: the match ends. Row 0 is the first at the text's edge, row 1 in the middle.
    pub choose: Vec<u32>,
    /// Bits of a state of `back` there.
    pub choose_shift: u32,
    /// The next row: by `state << shift | class`.
    pub follow: Vec<u16>,
    /// Ends of groups that an action notes, as bits.
    pub actions: Vec<u64>,
    /// How many groups there are, the whole match included.
    pub groups: usize,
}

/// States from which an end can be reached.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Alive {
    states: BTreeSet<StateID>,
    any_end: bool,
    at_end: bool,
}

/// States reached, before steps that take no text.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Reached {
    states: BTreeSet<StateID>,
    at_start: bool,
}

impl Captures {
    /// Makes the tables; `None` if they get too large.
    pub fn new(pattern: &[u8]) -> Option<Captures> {
        let text = ere::translate(pattern).ok()?;
        let config = NFA::config()
            .utf8(false)
            .which_captures(WhichCaptures::All)
            .nfa_size_limit(Some(BUILD_BYTES));
        let nfa = NFA::compiler()
            .syntax(ere::syntax())
            .configure(config)
            .build(&text)
            .ok()?;
        let groups = nfa.group_info().all_group_len();
        if groups * 2 > MAX_SLOTS {
            return None;
        }
        let classes: Vec<u8> = (0..=255).map(|byte| nfa.byte_classes().get(byte)).collect();
        let count = usize::from(classes.iter().copied().max()?) + 1;
        let samples: Vec<u8> = (0..count)
            .filter_map(|class| {
                (0..=255).find(|byte| usize::from(classes[usize::from(*byte)]) == class)
            })
            .collect();
        let shift = count.next_power_of_two().trailing_zeros();
        let start = nfa.start_anchored();
        let states: Vec<StateID> = (0..nfa.states().len())
            .filter_map(|state| StateID::new(state).ok())
            .collect();
        let mut maker = Maker {
            samples,
            shift,
            start,
            done: start,
            readers: Vec::new(),
            closures: Closures::new(nfa),
        };
        for state in states {
            if maker.closures.is_match(state) {
                maker.done = state;
            } else if maker.closures.reads(state) {
                maker.readers.push(state);
            }
        }
        let (alive, back) = maker.back()?;
        let forward = maker.forward()?;
        let mut captures = Captures {
            classes,
            shift,
            back,
            forward,
            choose: Vec::new(),
            choose_shift: 0,
            follow: Vec::new(),
            actions: vec![0],
            groups,
        };
        maker.choices(&alive, &mut captures)?;
        Some(captures)
    }
}

struct Maker {
    closures: Closures,
    /// A byte of each class.
    samples: Vec<u8>,
    shift: u32,
    start: StateID,
    /// The state in which the pattern is done.
    done: StateID,
    /// States that take a byte.
    readers: Vec<StateID>,
}

impl Maker {
    /// Numbers all states that `step` reaches from the `seeds`.
    fn explore<K: Clone + Eq + std::hash::Hash>(
        &mut self,
        seeds: Vec<K>,
        mut step: impl FnMut(&mut Self, &K, u8) -> K,
        mut holds: impl FnMut(&mut Self, &K, bool) -> bool,
    ) -> Option<(Vec<K>, Automaton)> {
        let mut numbers: IndexMap<K, ()> = IndexMap::new();
        let begin: Vec<usize> = seeds
            .into_iter()
            .map(|seed| numbers.insert_full(seed, ()).0)
            .collect();
        let mut rows = Vec::new();
        let mut bits = Vec::new();
        while let Some((state, ())) = numbers.get_index(bits.len()) {
            let state = state.clone();
            let middle = u16::from(holds(self, &state, false));
            let edge = u16::from(holds(self, &state, true));
            bits.push(middle << FLAG_BITS | edge << (FLAG_BITS + 1));
            for sample in self.samples.clone() {
                let next = step(self, &state, sample);
                rows.push(numbers.insert_full(next, ()).0);
            }
            rows.resize(rows.len().next_multiple_of(1 << self.shift), 0);
            if rows.len() > MAX_ENTRIES || numbers.len() >= 1 << FLAG_BITS {
                return None;
            }
        }
        let entry = |state: &usize| *state as u16 | bits[*state];
        let automaton = Automaton {
            next: rows.iter().map(entry).collect(),
            begin: begin.iter().map(entry).collect(),
        };
        Some((numbers.into_keys().collect(), automaton))
    }

    fn back(&mut self) -> Option<(Vec<Alive>, Automaton)> {
        let end = |any_end, at_end| Alive {
            states: BTreeSet::from([self.done]),
            any_end,
            at_end,
        };
        let seeds = vec![end(false, false), end(false, true), end(true, true)];
        self.explore(
            seeds,
            |cx, after, byte| {
                let spot = Spot {
                    at_start: false,
                    at_end: after.at_end,
                };
                let mut states = BTreeSet::new();
                for reader in &cx.readers {
                    if let Some(next) = cx.closures.next(*reader, byte)
                        && reaches(cx.closures.of(next, spot), &after.states)
                    {
                        states.insert(*reader);
                    }
                }
                if after.any_end {
                    states.insert(cx.done);
                }
                Alive {
                    states,
                    at_end: false,
                    any_end: after.any_end,
                }
            },
            |cx, alive, at_start| {
                let spot = Spot {
                    at_start,
                    at_end: alive.at_end,
                };
                reaches(cx.closures.of(cx.start, spot), &alive.states)
            },
        )
    }

    fn forward(&mut self) -> Option<Automaton> {
        let begin = |at_start| Reached {
            states: BTreeSet::from([self.start]),
            at_start,
        };
        let seeds = vec![begin(false), begin(true)];
        let (_, automaton) = self.explore(
            seeds,
            |cx, before, byte| {
                let spot = Spot {
                    at_start: before.at_start,
                    at_end: false,
                };
                let mut states = BTreeSet::new();
                for state in &before.states {
                    let leaves: Vec<Leaf> = cx.closures.of(*state, spot).to_vec();
                    let next = leaves
                        .iter()
                        .filter_map(|(leaf, _)| cx.closures.next(*leaf, byte));
                    states.extend(next);
                }
                Reached {
                    states,
                    at_start: false,
                }
            },
            |cx, reached, at_end| {
                let spot = Spot {
                    at_start: reached.at_start,
                    at_end,
                };
                let done = BTreeSet::from([cx.done]);
                reached
                    .states
                    .iter()
                    .any(|state| reaches(cx.closures.of(*state, spot), &done))
            },
        )?;
        Some(automaton)
    }

    /// The table of the last walk, over the states of the third.
    fn choices(&mut self, alive: &[Alive], to: &mut Captures) -> Option<()> {
        let mut rows: IndexMap<StateID, ()> = IndexMap::new();
        // State 0 is where the match ends.
        to.follow = vec![0; 1 << self.shift];
        for reader in &self.readers {
            for sample in &self.samples {
                let row = match self.closures.next(*reader, *sample) {
                    Some(next) => rows.insert_full(next, ()).0 + 2,
                    None => 0,
                };
                to.follow.push(u16::try_from(row).ok()?);
            }
            let whole = to.follow.len().next_multiple_of(1 << self.shift);
            to.follow.resize(whole, 0);
        }
        let width = alive.len().next_power_of_two();
        to.choose_shift = width.trailing_zeros();
        let firsts = [(self.start, true), (self.start, false)];
        let rows: Vec<(StateID, bool)> = firsts
            .into_iter()
            .chain(rows.into_keys().map(|state| (state, false)))
            .collect();
        if rows.len() * width > MAX_ENTRIES || to.follow.len() > MAX_ENTRIES {
            return None;
        }
        for (state, at_start) in rows {
            for alive in alive {
                let spot = Spot {
                    at_start,
                    at_end: alive.at_end,
                };
                let leaves = self.closures.of(state, spot);
                let first = leaves.iter().find(|(leaf, _)| alive.states.contains(leaf));
                let entry = match first.copied() {
                    Some((leaf, slots)) => self.entry(leaf, slots, &mut to.actions)?,
                    None => 0,
                };
                to.choose.push(entry);
            }
            let whole = to.choose.len().next_multiple_of(width);
            to.choose.resize(whole, 0);
        }
        Some(())
    }

    fn entry(&self, leaf: StateID, slots: u64, actions: &mut Vec<u64>) -> Option<u32> {
        // The whole match's ends are known.
        let slots = slots & !3;
        let action = actions.iter().position(|known| *known == slots);
        let action = action.unwrap_or_else(|| {
            actions.push(slots);
            actions.len() - 1
        });
        let state = match self.readers.iter().position(|reader| *reader == leaf) {
            Some(number) => number + 1,
            None => 0,
        };
        let (state, action) = (u16::try_from(state).ok()?, u16::try_from(action).ok()?);
        Some(u32::from(state) | u32::from(action) << 16)
    }
}

/// Whether one of the leaves is among the states.
fn reaches(leaves: &[Leaf], states: &BTreeSet<StateID>) -> bool {
    leaves.iter().any(|(leaf, _)| states.contains(leaf))
}
