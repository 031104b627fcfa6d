//! Regular expressions whose parts are asked for: the walks of [`Captures`], as code, and what they
//! leave for `matched()` and `ngroups()`: the text, the ends of its groups, and their number.

use regalloc2::VReg;

use super::call::Arg;
use super::text::{Text, TextMem};
use super::{Cx, Dest, Lowered, Val};
use crate::bpf::analysis::for_each_op;
use crate::bpf::captures::{Captures, FLAG_BITS};
use crate::bpf::frame::{Access, Mem};
use crate::bpf::helpers::Helper;
use crate::bpf::insn::{AluOp, Cond, Size, Src};
use crate::bpf::vcode::BlockId;
use crate::image::width_bytes;
use crate::lir::{Op, RegexId, SiteId, Ty, Value};

/// An entry's number of a state.
const NUMBER: i32 = (1 << FLAG_BITS) - 1;
/// Bytes of a group's two ends.
const GROUP_BYTES: u32 = 16;

/// What the last successful match of a handler's run left.
#[derive(Clone, Copy)]
pub(super) struct LastMatch {
    /// How many groups it has; 0 before the first match.
    count: Mem,
    /// Their ends, two words each, -1 where there are none.
    ends: Mem,
    /// Groups that there is room for.
    groups: u32,
    /// The text.
    text: TextMem,
}

/// Tables in the constants, and the text.
struct Walk {
    text: TextMem,
    /// Its length, [`Cx::noted`].
    len: Mem,
    classes: Mem,
    shift: u32,
}

impl Cx<'_> {
    /// Makes room for what a match leaves, if the function asks for it.
    pub(super) fn declare_matches(&mut self) {
        let (mut asked, mut cap, mut groups) = (false, 0, 1);
        let (func, module) = (self.func, self.module);
        for_each_op(func, |op| match *op {
            Op::Matched(..) | Op::MatchedGroups => asked = true,
            Op::StrMatch(regex, text) => {
                if let Ty::Str { cap: own, .. } = func.ty(text) {
                    cap = cap.max(own);
                }
                // Each group opens with a parenthesis.
                let opened = module.regexes[regex].iter().filter(|byte| **byte == b'(');
                groups = groups.max(opened.count() as u32 + 1);
            }
            _ => {}
        });
        if !asked {
            return;
        }
        let whole = (0, u32::MAX);
        let bytes = (cap + 2).next_power_of_two() + width_bytes(Ty::str(cap));
        let count = self.buffers.alloc(8, Access::Fixed, whole);
        let ends = self
            .buffers
            .alloc(groups * GROUP_BYTES, Access::Variable, whole);
        let text = TextMem {
            mem: self.buffers.alloc(bytes, Access::Variable, whole),
            cap,
            padded: false,
            late: false,
        };
        self.store_imm(count, 0);
        self.last_match = Some(LastMatch {
            count,
            ends,
            groups,
            text,
        });
    }

    /// `=~` that leaves what its parts match.
    pub(super) fn match_parts(
        &mut self,
        regex: RegexId,
        text: Value,
        last: LastMatch,
    ) -> Lowered<Val> {
        let module = self.module;
        let Some(tables) = Captures::new(&module.regexes[regex]) else {
            return Err(self.too_large(
                "a regular expression like this one whose parts are asked for",
                "make it simpler, or match in an end or timer probe",
            ));
        };
        let text = self.text(text);
        let text = self.text_in_memory(text);
        let bytes = self.text_len(Text::Mem(text));
        let bytes = self.val_reg(bytes);
        let len = self.noted();
        self.store(Size::D, len, Src::Reg(bytes));
        let walk = Walk {
            text,
            len,
            classes: Mem::Rodata(self.plan.constant(&tables.classes)),
            shift: tables.shift,
        };
        let (done, result) = self.join();
        let none = self.code.block(self.is_cold());
        self.in_block(none, |cx| {
            let zero = cx.imm(0);
            cx.jump(done, vec![zero]);
        });
        let back = self.table(&tables.back.next);
        let start = self.first_start(&walk, &tables, back, none);
        let end = self.longest_end(&walk, &tables, start);
        let trail = self.trail(&walk, &tables, back, (start, end));
        self.find_groups(&walk, &tables, trail, (start, end), last);
        self.copy_text_len(Text::Mem(text), last.text.mem, last.text.width())?;
        self.store_imm(last.count, tables.groups as i64);
        let one = self.imm(1);
        self.jump(done, vec![one]);
        self.enter(done);
        Ok(Val::Reg(result))
    }

    /// Where the first match begins, in memory; goes to `none` if there is none.
    fn first_start(
        &mut self,
        walk: &Walk,
        tables: &Captures,
        back: (Mem, u32),
        none: BlockId,
    ) -> Mem {
        let (state, start) = (self.noted(), self.noted());
        self.store_imm(state, i64::from(tables.back.begin[2]));
        self.store_imm(start, -1);
        let len = self.load(Size::D, walk.len);
        self.note(state, start, len, len);
        self.rounds_of(walk.text.cap, |cx, index, done| {
            let len = cx.load(Size::D, walk.len);
            cx.jump_if(Cond::Ge, index, Src::Reg(len), done);
            let left = cx.alu(AluOp::Sub, len, Src::Reg(index));
            let at = cx.alu(AluOp::Sub, left, Src::Imm(1));
            cx.step(walk, state, back, at);
            cx.note(state, start, at, at);
        });
        let found = self.load(Size::D, start);
        self.jump_if(Cond::Slt, found, Src::Imm(0), none);
        start
    }

    /// Where the longest match from there ends, in memory.
    fn longest_end(&mut self, walk: &Walk, tables: &Captures, start: Mem) -> Mem {
        let next = self.table(&tables.forward.next);
        let (state, end) = (self.noted(), self.noted());
        let first = self.load(Size::D, start);
        let begin = self.one_of(first, &tables.forward.begin);
        self.store(Size::D, state, Src::Reg(begin));
        self.store_imm(end, 0);
        let len = self.load(Size::D, walk.len);
        let left = self.alu(AluOp::Sub, len, Src::Reg(first));
        self.note(state, end, first, left);
        self.rounds_of(walk.text.cap, |cx, index, done| {
            let first = cx.load(Size::D, start);
            let at = cx.alu(AluOp::Add, first, Src::Reg(index));
            let len = cx.load(Size::D, walk.len);
            cx.jump_if(Cond::Ge, at, Src::Reg(len), done);
            cx.step(walk, state, next, at);
            let at = cx.alu(AluOp::Add, at, Src::Imm(1));
            let left = cx.alu(AluOp::Sub, len, Src::Reg(at));
            cx.note(state, end, at, left);
        });
        end
    }

    /// The states on the way back from the end to the start, by place.
    fn trail(
        &mut self,
        walk: &Walk,
        tables: &Captures,
        back: (Mem, u32),
        (start, end): (Mem, Mem),
    ) -> Mem {
        let bound = trail_bound(walk);
        let trail = self.temp_variable(bound + 8);
        let state = self.noted();
        let last = self.load(Size::D, end);
        let len = self.load(Size::D, walk.len);
        let left = self.alu(AluOp::Sub, len, Src::Reg(last));
        // The other way round: the second is for the text's end.
        let begin = self.one_of(left, &[tables.back.begin[0], tables.back.begin[1]]);
        self.store(Size::D, state, Src::Reg(begin));
        self.keep(trail, bound, last, begin);
        self.rounds_of(walk.text.cap, |cx, index, done| {
            let last = cx.load(Size::D, end);
            let first = cx.load(Size::D, start);
            let count = cx.alu(AluOp::Sub, last, Src::Reg(first));
            cx.jump_if(Cond::Ge, index, Src::Reg(count), done);
            let left = cx.alu(AluOp::Sub, last, Src::Reg(index));
            let at = cx.alu(AluOp::Sub, left, Src::Imm(1));
            let now = cx.step(walk, state, back, at);
            cx.keep(trail, bound, at, now);
        });
        trail
    }

    /// Walks along the trail and notes where groups end.
    fn find_groups(
        &mut self,
        walk: &Walk,
        tables: &Captures,
        trail: Mem,
        (start, end): (Mem, Mem),
        last: LastMatch,
    ) {
        let entries: Vec<u8> = tables.choose.iter().flat_map(|n| n.to_le_bytes()).collect();
        let choose = self.bytes_table(&entries);
        let follow = self.table(&tables.follow);
        let actions: Vec<u8> = tables
            .actions
            .iter()
            .flat_map(|n| n.to_le_bytes())
            .collect();
        let actions = self.bytes_table(&actions);
        let slots = tables.groups as u32 * 2;
        for slot in 2..slots {
            self.store_imm(last.ends.at(slot * 8), -1);
        }
        for (slot, from) in [(0, start), (8, end)] {
            let place = self.load(Size::D, from);
            self.store(Size::D, last.ends.at(slot), Src::Reg(place));
        }
        let row = self.noted();
        let first = self.load(Size::D, start);
        let begin = self.one_of(first, &[1, 0]);
        self.store(Size::D, row, Src::Reg(begin));
        let bound = trail_bound(walk);
        self.rounds_of(walk.text.cap + 1, |cx, index, done| {
            let first = cx.load(Size::D, start);
            let at = cx.alu(AluOp::Add, first, Src::Reg(index));
            let twice = cx.alu(AluOp::Lsh, at, Src::Imm(1));
            let from = cx.address_at(trail, twice, bound);
            let state = cx.load(Size::H, Mem::Ptr(from, 0));
            let state = cx.alu(AluOp::And, state, Src::Imm(NUMBER));
            let now = cx.load(Size::D, row);
            let now = cx.alu(AluOp::Lsh, now, Src::Imm(tables.choose_shift as i32));
            let place = cx.alu(AluOp::Add, now, Src::Reg(state));
            let entry = cx.entry(choose, place, Size::W);
            let action = cx.alu(AluOp::Rsh, entry, Src::Imm(16));
            let action = cx.entry(actions, action, Size::D);
            for slot in 2..slots {
                let to = last.ends.at(slot * 8);
                let bit = cx.alu(AluOp::Rsh, action, Src::Imm(slot as i32));
                cx.replace_if(bit, to, at);
            }
            let leaf = cx.alu(AluOp::And, entry, Src::Imm(0xffff));
            cx.jump_if(Cond::Eq, leaf, Src::Imm(0), done);
            let class = cx.class(walk, at);
            let leaf = cx.alu(AluOp::Lsh, leaf, Src::Imm(walk.shift as i32));
            let place = cx.alu(AluOp::Add, leaf, Src::Reg(class));
            let next = cx.entry(follow, place, Size::H);
            cx.store(Size::D, row, Src::Reg(next));
        });
    }

    /// `matched(n)`.
    pub(super) fn matched_text(
        &mut self,
        group: Value,
        site: SiteId,
        cap: u32,
        dest: Dest,
    ) -> Lowered<Val> {
        let Some(last) = self.last_match else {
            return Err(self.internal("no room for what matched"));
        };
        let group = self.reg(group);
        let count = self.load(Size::D, last.count);
        let fail = self.fail(site, Val::Reg(group));
        self.jump_if(Cond::Ge, group, Src::Reg(count), fail);
        let at = self.slot_address(last.ends, group, last.groups, GROUP_BYTES);
        let start = self.load(Size::D, Mem::Ptr(at, 0));
        let end = self.load(Size::D, Mem::Ptr(at, 8));
        let len = self.alu(AluOp::Sub, end, Src::Reg(start));
        let width = width_bytes(Ty::str(cap));
        let to = self.buffers.alloc(width, Access::Variable, dest.range);
        if dest.padded {
            self.zero(to, width);
        } else {
            self.store_imm(to, 0);
        }
        let from = self.byte_address(last.text, start);
        self.call_void(
            Helper::ProbeReadKernelStr,
            &[Arg::Addr(to), Arg::Clamped(len, cap as i32), Arg::Reg(from)],
        );
        Ok(Val::Text(Text::Mem(TextMem {
            mem: to,
            cap,
            padded: dest.padded,
            late: false,
        })))
    }

    /// `ngroups()`.
    pub(super) fn matched_groups(&mut self) -> Lowered<Val> {
        match self.last_match {
            Some(last) => Ok(Val::Reg(self.load(Size::D, last.count))),
            None => Err(self.internal("no room for what matched")),
        }
    }

    /// Room for a number of the walks. It is in the scratch frame, as verifiers do not follow what is there: of a register, or of
    /// the stack, they would know something else at each way out of a walk, and follow all that comes behind anew.
    fn noted(&mut self) -> Mem {
        self.temp_variable(8)
    }

    /// Does `body` for 0, 1, … until it goes to the block that it is given.
    fn rounds_of(&mut self, most: u32, body: impl FnOnce(&mut Self, VReg, BlockId)) {
        let done = self.code.block(self.is_cold());
        let (head, index) = self.count_up(most, done);
        body(self, index, done);
        let next = self.alu(AluOp::Add, index, Src::Imm(1));
        self.jump(head, vec![next]);
        self.enter(done);
    }

    /// Takes the byte at a place: the state that follows, which goes to memory too.
    fn step(&mut self, walk: &Walk, state: Mem, next: (Mem, u32), at: VReg) -> VReg {
        let class = self.class(walk, at);
        let now = self.load(Size::D, state);
        let now = self.alu(AluOp::And, now, Src::Imm(NUMBER));
        let now = self.alu(AluOp::Lsh, now, Src::Imm(walk.shift as i32));
        let place = self.alu(AluOp::Add, now, Src::Reg(class));
        let following = self.entry(next, place, Size::H);
        self.store(Size::D, state, Src::Reg(following));
        following
    }

    /// The class of the byte at a place.
    fn class(&mut self, walk: &Walk, at: VReg) -> VReg {
        let from = self.byte_address(walk.text, at);
        let byte = self.load(Size::B, Mem::Ptr(from, 0));
        let class = self.address_at(walk.classes, byte, 256);
        self.load(Size::B, Mem::Ptr(class, 0))
    }

    /// Stores `at` if the state says that something holds there; `edge` is 0 at the text's edge.
    fn note(&mut self, state: Mem, to: Mem, at: VReg, edge: VReg) {
        let state = self.load(Size::D, state);
        let at_edge = self.is_zero(edge);
        let shift = self.alu(AluOp::Add, at_edge, Src::Imm(FLAG_BITS as i32));
        let bit = self.alu(AluOp::Rsh, state, Src::Reg(shift));
        self.replace_if(bit, to, at);
    }

    /// Stores a number if the lowest bit of `bit` is set: without branches, which verifiers would follow.
    fn replace_if(&mut self, bit: VReg, to: Mem, number: VReg) {
        let bit = self.alu(AluOp::And, bit, Src::Imm(1));
        let mask = self.neg(bit);
        let old = self.load(Size::D, to);
        let change = self.alu(AluOp::Xor, old, Src::Reg(number));
        let change = self.alu(AluOp::And, change, Src::Reg(mask));
        let new = self.alu(AluOp::Xor, old, Src::Reg(change));
        self.store(Size::D, to, Src::Reg(new));
    }

    /// The second of two constants if a number (not negative) is 0, else the first.
    fn one_of(&mut self, number: VReg, constants: &[u16]) -> VReg {
        let (first, second) = match constants {
            [first, second, ..] => (i32::from(*first), i32::from(*second)),
            _ => (0, 0),
        };
        let zero = self.is_zero(number);
        let beyond = self.alu(AluOp::Mul, zero, Src::Imm(second - first));
        self.alu(AluOp::Add, beyond, Src::Imm(first))
    }

    /// 1 if a number that is not negative is 0.
    fn is_zero(&mut self, number: VReg) -> VReg {
        let less = self.alu(AluOp::Sub, number, Src::Imm(1));
        self.alu(AluOp::Rsh, less, Src::Imm(63))
    }

    /// Keeps a state at its place on the trail.
    fn keep(&mut self, trail: Mem, bound: u32, at: VReg, state: VReg) {
        let twice = self.alu(AluOp::Lsh, at, Src::Imm(1));
        let to = self.address_at(trail, twice, bound);
        self.store(Size::H, Mem::Ptr(to, 0), Src::Reg(state));
    }

    /// A table of two-byte entries in the constants: where it is, and a bound of offsets into it.
    fn table(&mut self, entries: &[u16]) -> (Mem, u32) {
        let bytes: Vec<u8> = entries.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.bytes_table(&bytes)
    }

    fn bytes_table(&mut self, bytes: &[u8]) -> (Mem, u32) {
        let bound = (bytes.len() as u32).next_power_of_two();
        let at = Mem::Rodata(self.plan.constant(bytes));
        self.plan.reserve_rodata_slack(at, bound + 8);
        (at, bound)
    }

    /// An entry of a table.
    fn entry(&mut self, (table, bound): (Mem, u32), number: VReg, size: Size) -> VReg {
        let shift = match size {
            Size::B => 0,
            Size::H => 1,
            Size::W => 2,
            Size::D => 3,
        };
        let offset = self.alu(AluOp::Lsh, number, Src::Imm(shift));
        let at = self.address_at(table, offset, bound);
        self.load(size, Mem::Ptr(at, 0))
    }
}

/// A bound of offsets into the trail, which has two bytes for each place.
fn trail_bound(walk: &Walk) -> u32 {
    ((walk.text.cap + 2) * 2).next_power_of_two()
}
