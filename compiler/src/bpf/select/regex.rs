//! Regular expressions in the kernel: a deterministic automaton as tables of constants, run
//! over the string. It tells whether it matches; for what the parts match see `matched.rs`.

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::{Input, MatchKind};
use rustc_hash::FxHashMap;

use super::{Cx, Lowered, Val};
use crate::bpf::frame::Mem;
use crate::bpf::insn::{AluOp, Cond, Size, Src};
use crate::lir::{RegexId, Value, ere};

/// The most memory that making an automaton may take, bytes.
const BUILD_BYTES: usize = 16 << 20;
/// The largest table, entries of two bytes.
const MAX_ENTRIES: usize = 1 << 17;
/// State 0: it can match no more.
const DEAD: u16 = 0;
/// State 1: it has matched.
const MATCHED: u16 = 1;

/// An automaton as tables.
struct Tables {
    /// The class of each byte; byte 0 stands for the end of the text.
    classes: Vec<u8>,
    /// Next state by state and class.
    next: Vec<u16>,
    /// Bits of a class number: a state's row has `1 << shift` entries.
    shift: u32,
    start: u16,
}

impl Tables {
    /// Compiles a pattern; `None` if it gets too large.
    fn new(pattern: &[u8]) -> Option<Tables> {
        let text = ere::translate(pattern).ok()?;
        let dfa = dense::Builder::new()
            .syntax(ere::syntax())
            .thompson(thompson::Config::new().utf8(false))
            .configure(
                dense::Config::new()
                    .match_kind(MatchKind::All)
                    .start_kind(StartKind::Unanchored)
                    .minimize(false)
                    .dfa_size_limit(Some(BUILD_BYTES))
                    .determinize_size_limit(Some(BUILD_BYTES)),
            )
            .build(&text)
            .ok()?;
        let start = dfa.start_state_forward(&Input::new("")).ok()?;
        // One column for each byte: what follows it from each state.
        let mut numbers: FxHashMap<StateID, u16> = FxHashMap::default();
        let mut states = Vec::new();
        let mut number = |state: StateID, states: &mut Vec<StateID>| -> Option<u16> {
            if dfa.is_match_state(state) {
                return Some(MATCHED);
            }
            if dfa.is_dead_state(state) {
                return Some(DEAD);
            }
            if dfa.is_quit_state(state) {
                return None;
            }
            if let Some(known) = numbers.get(&state) {
                return Some(*known);
            }
            let fresh = u16::try_from(states.len() + 2).ok()?;
            states.push(state);
            numbers.insert(state, fresh);
            Some(fresh)
        };
        let start = number(start, &mut states)?;
        let mut rows: Vec<Vec<u16>> = vec![vec![DEAD; 256], vec![MATCHED; 256]];
        let mut done = 0;
        while done < states.len() {
            let state = states[done];
            done += 1;
            let mut row = Vec::with_capacity(256);
            let end = dfa.next_eoi_state(state);
            row.push(if dfa.is_match_state(end) {
                MATCHED
            } else {
                DEAD
            });
            for byte in 1..=255 {
                row.push(number(dfa.next_state(state, byte), &mut states)?);
            }
            rows.push(row);
            if rows.len() * 2 > MAX_ENTRIES {
                return None;
            }
        }
        // Bytes whose columns are the same are of one class.
        let mut columns: FxHashMap<Vec<u16>, u8> = FxHashMap::default();
        let mut representatives = Vec::new();
        let mut classes = Vec::with_capacity(256);
        for byte in 0..256 {
            let column: Vec<u16> = rows.iter().map(|row| row[byte]).collect();
            let fresh = representatives.len();
            let class = *columns.entry(column).or_insert(fresh as u8);
            if usize::from(class) == fresh {
                representatives.push(byte);
            }
            classes.push(class);
        }
        let width = representatives.len().next_power_of_two();
        if rows.len() * width > MAX_ENTRIES {
            return None;
        }
        let mut next = Vec::with_capacity(rows.len() * width);
        for row in &rows {
            next.extend(representatives.iter().map(|byte| row[*byte]));
            next.resize(next.len().next_multiple_of(width), DEAD);
        }
        Some(Tables {
            classes,
            next,
            shift: width.trailing_zeros(),
            start,
        })
    }
}

impl Cx<'_> {
    /// 1 if the expression matches anywhere.
    pub(super) fn text_match(&mut self, regex: RegexId, text: Value) -> Lowered<Val> {
        if let Some(last) = self.last_match {
            return self.match_parts(regex, text, last);
        }
        let module = self.module;
        let Some(tables) = Tables::new(&module.regexes[regex]) else {
            return Err(self.too_large(
                "this regular expression",
                "make it simpler, or match in an end or timer probe",
            ));
        };
        if tables.start <= MATCHED {
            return Ok(Val::Const(i64::from(tables.start)));
        }
        let text = self.text(text);
        let text = self.text_in_memory(text);
        let classes = Mem::Rodata(self.plan.constant(&tables.classes));
        let bytes: Vec<u8> = tables.next.iter().flat_map(|n| n.to_le_bytes()).collect();
        let bound = (bytes.len() as u32).next_power_of_two();
        let next = Mem::Rodata(self.plan.constant(&bytes));
        self.plan.reserve_rodata_slack(next, bound);

        let (done, result) = self.join();
        let zero = self.imm(0);
        let start = self.imm(i64::from(tables.start));
        let start = self.forget(start);
        let (head, index) = self.counted_loop(text.cap + 1);
        let state = self.code.vreg();
        self.code.blocks[head.0 as usize].params.push(state);
        self.jump(head, vec![zero, start]);
        self.enter(head);
        let none = self.code.block(self.is_cold());
        self.in_block(none, |cx| {
            let zero = cx.imm(0);
            cx.jump(done, vec![zero]);
        });
        self.jump_if(Cond::Gt, index, Src::Imm(text.cap as i32), none);
        let from = self.byte_address(text, index);
        let byte = self.load(Size::B, Mem::Ptr(from, 0));
        let class = self.address_at(classes, byte, 256);
        let class = self.load(Size::B, Mem::Ptr(class, 0));
        let row = self.alu(AluOp::Lsh, state, Src::Imm(tables.shift as i32));
        let entry = self.alu(AluOp::Add, row, Src::Reg(class));
        let entry = self.alu(AluOp::Lsh, entry, Src::Imm(1));
        let entry = self.address_at(next, entry, bound);
        let following = self.load(Size::H, Mem::Ptr(entry, 0));
        let out = self.code.block(self.is_cold());
        self.in_block(out, |cx| cx.jump(done, vec![following]));
        self.jump_if(Cond::Le, following, Src::Imm(i32::from(MATCHED)), out);
        let round = self.alu(AluOp::Add, index, Src::Imm(1));
        self.jump(head, vec![round, following]);
        self.enter(done);
        Ok(Val::Reg(result))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        let tables = Tables::new(pattern.as_bytes()).expect("a small automaton");
        let mut state = tables.start;
        for byte in text.bytes().chain([0]) {
            let class = usize::from(tables.classes[usize::from(byte)]);
            state = tables.next[(usize::from(state) << tables.shift) + class];
        }
        state == MATCHED
    }

    #[test]
    fn tables_match() {
        assert!(matches("b", "abc"));
        assert!(!matches("^b", "abc"));
        assert!(matches("^a.*c$", "abc"));
        assert!(!matches("^a.*c$", "abcd"));
        assert!(matches("x*", ""));
        assert!(matches("^$", ""));
        assert!(matches("[0-9]{3}", "ab123"));
        assert!(!matches("[0-9]{3}", "ab12x"));
        assert!(matches("(foo|bar)$", "a bar"));
    }
}
