//! Values in slots of the scratch frame.
//!
//! No verifier follows what is in the frame. So what lives across the border of a function goes
//! through it, and what lives across a join of the script's ways too: there nothing is left in registers by which
//! one way could be told from another, and a verifier looks at what follows once. (Before
//! Linux 6.5 it otherwise does so once for each set of numbers that a program with functions can come there with.)
//!
//! In: a program, and which blocks become functions. Out: the same program; every register that
//! lives from one *home* to another is replaced by loads and stores. A home is a function and, in it, what
//! runs without coming through a join.

use std::collections::BTreeSet;

use regalloc2::{Operand, OperandKind, VReg};
use rustc_hash::FxHashMap;

use super::Regions;
use super::emit::{load_slot, store_slot};
use super::region::Flow;
use crate::bpf::functions::Unfinished;
use crate::bpf::vcode::{BlockId, Edge, Term, VBlock, VCode, VInst};

/// Bytes of a slot.
const SLOT_BYTES: u32 = 8;
/// A block that has no home yet.
const NOWHERE: usize = usize::MAX;

/// Moves values to slots behind `base`; gives where the slots end.
pub fn settle(
    code: &mut VCode,
    flow: &Flow,
    regions: &mut Regions,
    base: u32,
) -> Result<u32, Unfinished> {
    let no_frame = || Unfinished::Internal("functions without a frame".to_owned());
    let frame = code.frame.ok_or_else(no_frame)?;
    for block in 0..code.blocks.len() {
        if !flow.is_reached(block) {
            code.blocks[block] = VBlock::default();
        }
    }
    let pieces = Pieces::new(code, flow, regions);
    let homes: Vec<Home> = (pieces.piece.iter().copied())
        .zip(regions.owner.iter().copied())
        .collect();
    let mut settling = Settling {
        by_slot: by_slot(code, &pieces, regions),
        params: code
            .blocks
            .iter()
            .map(|block| block.params.clone())
            .collect(),
        keep: [Some(frame), code.frame_index, code.ctx],
        defined: vec![None; code.vregs],
        slots: vec![None; code.vregs],
        has_frame: vec![true; code.blocks.len()],
        loaded: FxHashMap::default(),
        early: Vec::new(),
        frame_block: None,
        frame,
        code,
        flow,
        regions,
        homes,
    };
    settling.find_definitions();
    let lives = settling.lives()?;
    let end = settling.place(lives, base);
    settling.rewrite();
    Ok(end)
}

/// The block at which the last join on all ways to a block is, and its function.
type Home = (usize, usize);

/// The program in pieces without joins of the script's ways in their midst.
struct Pieces {
    /// For each block the one at which its piece begins.
    piece: Vec<usize>,
    /// The blocks at which pieces begin.
    begins: Vec<bool>,
}

impl Pieces {
    fn new(code: &VCode, flow: &Flow, regions: &Regions) -> Pieces {
        let count = code.blocks.len();
        let joins = |block: usize| code.blocks[block].boundary && flow.preds(block).len() > 1;
        let mut pieces = Pieces {
            piece: vec![NOWHERE; count],
            begins: (0..count).map(joins).collect(),
        };
        for region in &regions.all {
            let head = region.info.head.0 as usize;
            pieces.begins[head] |= code.blocks[head].boundary;
        }
        while pieces.spread(flow) {}
        pieces
    }

    /// Carries pieces on to what follows; where different ones meet another one begins. Says whether
    /// anything changed.
    fn spread(&mut self, flow: &Flow) -> bool {
        let mut changed = false;
        for &block in flow.order() {
            let mut from = flow.preds(block).iter().map(|pred| self.piece[*pred]);
            let first = from.find(|piece| *piece != NOWHERE);
            let differ = from.any(|piece| piece != NOWHERE && Some(piece) != first);
            self.begins[block] |= differ;
            let piece = match first {
                Some(first) if !self.begins[block] => first,
                _ => block,
            };
            changed |= std::mem::replace(&mut self.piece[block], piece) != piece;
        }
        changed
    }
}

/// The blocks whose parameters are in slots: where pieces and functions begin, and where one goes on that
/// another has left.
fn by_slot(code: &VCode, pieces: &Pieces, regions: &Regions) -> Vec<bool> {
    let mut by_slot = pieces.begins.clone();
    for region in &regions.all {
        by_slot[region.info.head.0 as usize] = true;
    }
    for (at, block) in code.blocks.iter().enumerate() {
        for edge in block.edges() {
            let to = edge.block.0 as usize;
            by_slot[to] |= regions.owner[to] != regions.owner[at];
        }
    }
    by_slot
}

/// The first and the last place in the order of blocks at which a slot is in use.
type Life = (usize, usize);

struct Settling<'a> {
    code: &'a mut VCode,
    flow: &'a Flow,
    regions: &'a mut Regions,
    homes: Vec<Home>,
    by_slot: Vec<bool>,
    /// The parameters that blocks had.
    params: Vec<Vec<VReg>>,
    /// What stays in registers: each function finds it for itself.
    keep: [Option<VReg>; 3],
    frame: VReg,
    /// Where the frame is found.
    frame_block: Option<usize>,
    /// The block in which each value is defined, if it is not in a slot from the first.
    defined: Vec<Option<usize>>,
    /// Values that are stored where the frame is found, since they are older.
    early: Vec<VReg>,
    slots: Vec<Option<u32>>,
    /// For each block whether the frame is known there.
    has_frame: Vec<bool>,
    /// The registers that hold slots: for a block and the value that it loads.
    loaded: FxHashMap<(usize, VReg), VReg>,
}

impl Settling<'_> {
    fn find_definitions(&mut self) {
        for &at in self.flow.order() {
            let block = &self.code.blocks[at];
            let params = block.params.iter().copied().filter(|_| !self.by_slot[at]);
            for value in params.chain(block.insts.iter().flat_map(defs)) {
                self.defined[value.vreg()] = Some(at);
                if value == self.frame {
                    self.frame_block = Some(at);
                }
            }
        }
        if let Some(found) = self.frame_block {
            for &at in self.flow.order() {
                let above = self.flow.dominator(at);
                self.has_frame[at] = at == found || above != at && self.has_frame[above];
            }
        }
    }

    /// Whether a value is not in its register at a block.
    fn is_far(&self, value: VReg, at: usize) -> bool {
        !self.keep.contains(&Some(value))
            && self.defined[value.vreg()].is_none_or(|block| self.homes[block] != self.homes[at])
    }

    /// From where to where each value that needs a slot lives.
    fn lives(&mut self) -> Result<Vec<Option<Life>>, Unfinished> {
        let mut lives = vec![None; self.code.vregs];
        for &at in self.flow.order() {
            let place = self.flow.place(at);
            let mut context = false;
            self.code.blocks[at].for_each_use(|value| {
                context |= Some(value) == self.code.ctx && self.regions.owner[at] != 0;
                if self.is_far(value, at) {
                    extend(&mut lives, value, place);
                }
            });
            if context {
                return Err(Unfinished::NoContext);
            }
        }
        for &at in self.flow.order() {
            for edge in self.code.blocks[at].edges() {
                let to = edge.block.0 as usize;
                for param in self.code.blocks[to]
                    .params
                    .iter()
                    .filter(|_| self.by_slot[to])
                {
                    if lives[param.vreg()].is_some() {
                        extend(&mut lives, *param, self.flow.place(at));
                    }
                }
            }
        }
        for number in 0..lives.len() {
            let (Some(_), Some(block)) = (lives[number], self.defined[number]) else {
                continue;
            };
            let value = VReg::new(number, regalloc2::RegClass::Int);
            let mut stored = block;
            if let Some(found) = self.frame_block
                && !self.has_frame[block]
            {
                self.early.push(value);
                stored = found;
            }
            extend(&mut lives, value, self.flow.place(stored));
        }
        Ok(lives)
    }

    /// Gives each value a slot; those that never live together share them.
    fn place(&mut self, lives: Vec<Option<Life>>, base: u32) -> u32 {
        let loops = self.flow.loops();
        let mut lives: Vec<(usize, usize, usize)> = lives
            .into_iter()
            .enumerate()
            .filter_map(|(value, life)| {
                let (first, mut last) = life?;
                // What is read in a loop that does not make it lives until the loop's end.
                let within = loops.partition_point(|(head, _)| *head > last);
                let around = loops.partition_point(|(head, _)| *head > first);
                for &(_, end) in &loops[within..around] {
                    last = last.max(end);
                }
                Some((first, last, value))
            })
            .collect();
        lives.sort_unstable();
        let mut taken: BTreeSet<(usize, u32)> = BTreeSet::new();
        let mut free: BTreeSet<u32> = BTreeSet::new();
        let mut end = base;
        for (first, last, value) in lives {
            while let Some(&(until, slot)) = taken.first()
                && until < first
            {
                taken.pop_first();
                free.insert(slot);
            }
            let slot = free.pop_first().unwrap_or_else(|| {
                end += SLOT_BYTES;
                end - SLOT_BYTES
            });
            taken.insert((last, slot));
            self.slots[value] = Some(slot);
        }
        end
    }

    fn rewrite(&mut self) {
        for &at in self.flow.order() {
            let mut block = std::mem::take(&mut self.code.blocks[at]);
            let mut insts = Vec::with_capacity(block.insts.len());
            if self.frame_block == Some(at) {
                for value in std::mem::take(&mut self.early) {
                    insts.extend(self.store(value, value));
                }
            }
            if self.by_slot[at] {
                block.params.clear();
            }
            for param in &block.params {
                insts.extend(self.store_defined(*param));
            }
            for mut inst in std::mem::take(&mut block.insts) {
                for operand in &mut inst.operands {
                    if operand.kind() == OperandKind::Use {
                        let value = self.near(operand.vreg(), at, true, &mut insts);
                        *operand = Operand::new(
                            value,
                            operand.constraint(),
                            operand.kind(),
                            operand.pos(),
                        );
                    }
                }
                let defined: Vec<VReg> = defs(&inst).collect();
                insts.push(inst);
                for value in defined {
                    insts.extend(self.store_defined(value));
                }
            }
            let mut term = block.term.take();
            for value in term.iter_mut().flat_map(Term::values_mut) {
                *value = self.near(*value, at, true, &mut insts);
            }
            match &mut term {
                Some(Term::Jump(edge)) => self.pass(edge, at, true, &mut insts),
                Some(Term::If { then, els, .. }) => {
                    for edge in [then, els] {
                        self.pass_apart(edge, at, &block, &mut insts);
                    }
                }
                Some(Term::Exit(_)) | None => {}
            }
            block.insts = insts;
            block.term = term;
            self.code.blocks[at] = block;
        }
    }

    /// The register that holds a value in a block; it is loaded if none does yet.
    fn near(&mut self, value: VReg, at: usize, keep: bool, insts: &mut Vec<VInst>) -> VReg {
        if !self.is_far(value, at) {
            return value;
        }
        let Some(slot) = self.slot(value) else {
            return value;
        };
        let mut above = at;
        loop {
            if let Some(known) = self.loaded.get(&(above, value)) {
                return *known;
            }
            let next = self.flow.dominator(above);
            if next == above || self.homes[next] != self.homes[at] {
                break;
            }
            above = next;
        }
        let fresh = self.code.vreg();
        insts.push(load_slot(fresh, self.frame, slot));
        if keep {
            self.loaded.insert((at, value), fresh);
        }
        fresh
    }

    /// Where a value lives, if it has a slot. Registers made since have none.
    fn slot(&self, value: VReg) -> Option<u32> {
        self.slots.get(value.vreg()).copied().flatten()
    }

    /// Stores `from` where `value` lives, if it has a slot.
    fn store(&mut self, value: VReg, from: VReg) -> Option<VInst> {
        let slot = self.slot(value)?;
        Some(store_slot(self.code, from, self.frame, slot))
    }

    /// The same for a value that was just defined.
    fn store_defined(&mut self, value: VReg) -> Option<VInst> {
        let block = self.defined[value.vreg()]?;
        if !self.has_frame[block] {
            return None;
        }
        self.store(value, value)
    }

    /// Brings the arguments of a jump where the target wants them.
    fn pass(&mut self, edge: &mut Edge, at: usize, keep: bool, insts: &mut Vec<VInst>) {
        for arg in &mut edge.args {
            *arg = self.near(*arg, at, keep, insts);
        }
        if !self.by_slot[edge.block.0 as usize] {
            return;
        }
        let params = self.params[edge.block.0 as usize].clone();
        for (param, arg) in params.into_iter().zip(std::mem::take(&mut edge.args)) {
            insts.extend(self.store(param, arg));
        }
    }

    /// The same for one of two ways, in a block of its own if there is something to store.
    fn pass_apart(&mut self, edge: &mut Edge, at: usize, from: &VBlock, insts: &mut Vec<VInst>) {
        if edge.args.is_empty() {
            return;
        }
        if !self.by_slot[edge.block.0 as usize] {
            self.pass(edge, at, true, insts);
            return;
        }
        let mut stores = Vec::new();
        self.pass(edge, at, false, &mut stores);
        let to = std::mem::replace(&mut edge.block, BlockId(self.code.blocks.len() as u32));
        self.code.blocks.push(VBlock {
            insts: stores,
            term: Some(Term::Jump(Edge {
                block: to,
                args: Vec::new(),
            })),
            term_span: from.term_span,
            cold: from.cold,
            ..VBlock::default()
        });
        self.regions.owner.push(self.regions.owner[at]);
    }
}

fn extend(lives: &mut [Option<Life>], value: VReg, place: usize) {
    let life = lives[value.vreg()].get_or_insert((place, place));
    *life = (life.0.min(place), life.1.max(place));
}

fn defs(inst: &VInst) -> impl Iterator<Item = VReg> {
    inst.operands
        .iter()
        .filter(|operand| operand.kind() == OperandKind::Def)
        .map(|operand| operand.vreg())
}
