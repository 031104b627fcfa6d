//! What of a program is to be functions, and how these call each other.

use std::collections::BTreeSet;

use super::pack::MAX_PACKED;
use super::parts::{self, Share};
use super::region::Flow;
use crate::bpf::Sizes;
use crate::bpf::vcode::{BlockId, Loop, LoopKind, VCode};

/// Calls around which the verifier goes in all loops of a program together: some instructions each, of the
/// million that it examines.
const MAX_ROUNDS: u32 = 40_000;
/// Rounds that each loop can make in any case.
const LEAST_ROUNDS: u32 = 1024;
/// Up to so many rounds in all loops together are followed soon enough.
const EASY_ROUNDS: u64 = 64;

/// Blocks that are to be a function.
pub struct Region {
    /// Where it begins, and what it is.
    pub info: Loop,
    pub blocks: BTreeSet<usize>,
    /// The region that it is called from.
    pub parent: usize,
    /// If a function between goes round: how many times.
    pub rounds: Option<u32>,
}

/// All regions of a program, which have numbers from 1 on; 0 is what is left.
pub struct Regions {
    /// Each behind those that it is in.
    pub all: Vec<Region>,
    /// For each block the number of the innermost region that it is in.
    pub owner: Vec<usize>,
    /// For each function how deep the calls apart from it nest.
    apart: Vec<usize>,
}

impl Regions {
    /// `calls_apart` says for each block how deep the calls of functions apart in it nest.
    pub fn new(mut chosen: Vec<(Loop, BTreeSet<usize>)>, calls_apart: &[usize]) -> Regions {
        chosen.sort_by_key(|(info, blocks)| (std::cmp::Reverse(blocks.len()), info.head));
        let mut regions = Regions {
            all: Vec::with_capacity(chosen.len()),
            owner: vec![0; calls_apart.len()],
            apart: vec![0; chosen.len() + 1],
        };
        for (number, (info, blocks)) in chosen.into_iter().enumerate() {
            let parent = regions.owner[info.head.0 as usize];
            for &block in &blocks {
                regions.owner[block] = number + 1;
            }
            regions.all.push(Region {
                info,
                blocks,
                parent,
                rounds: None,
            });
        }
        for (owner, depth) in regions.owner.iter().zip(calls_apart) {
            regions.apart[*owner] = regions.apart[*owner].max(*depth);
        }
        regions
    }

    /// For each function how many are under way in it.
    pub fn depths(&self) -> Vec<usize> {
        let mut depths = vec![1; self.all.len() + 1];
        for (at, region) in self.all.iter().enumerate() {
            depths[at + 1] = depths[region.parent] + 1;
        }
        depths
    }

    /// The parts of functions that are too long, where the nest of calls has room for them.
    pub fn parts(
        &self,
        code: &VCode,
        flow: &Flow,
        sizes: Sizes,
        (calls, apart): (usize, usize),
    ) -> Vec<(Loop, BTreeSet<usize>)> {
        let levels = self.levels_below();
        let lengths = self.lengths(code);
        // How many calls are under way in each function.
        let mut depth = vec![1; self.all.len() + 1];
        let mut found = Vec::new();
        // Functions that are left for parts.
        let mut room = MAX_PACKED.saturating_sub(depth.len() + apart);
        for number in 0..depth.len() {
            let most = depth[number] + 1 + levels[number];
            let parts = if most <= calls && room != 0 && lengths[number] > sizes.whole {
                let shares = self.shares(code, number);
                parts::choose(code, flow, &shares, sizes, room.min(parts::MAX_PARTS))
            } else {
                Vec::new()
            };
            let below = depth[number] + 1 + usize::from(!parts.is_empty());
            for (called, region) in self.all.iter().enumerate() {
                if region.parent == number {
                    depth[called + 1] = below;
                }
            }
            room = room.saturating_sub(parts.len());
            found.extend(parts.into_iter().map(|(head, blocks)| {
                let info = Loop {
                    head: BlockId(head as u32),
                    kind: LoopKind::Once,
                };
                (info, blocks)
            }));
        }
        found
    }

    /// Sees to it that verifiers can follow all rounds: where they are many, those of a loop are divided between two
    /// functions if calls can nest so deep; else a loop ends early, with MAXACTION's error.
    pub fn bound_rounds(&mut self, calls: usize, apart: usize) {
        let most = |region: &Region| match region.info.kind {
            LoopKind::Rounds { most, .. } => u64::from(most),
            LoopKind::Whole { .. } | LoopKind::Chunks { .. } | LoopKind::Once => 0,
        };
        let all: u64 = self.all.iter().map(most).sum();
        let loops = self.all.iter().filter(|region| most(region) != 0).count();
        let each = (MAX_ROUNDS / loops.max(1) as u32).max(LEAST_ROUNDS);
        let levels = self.levels_below();
        let mut depth = vec![1; self.all.len() + 1];
        let mut functions = 1 + self.all.len() + apart;
        for (at, region) in self.all.iter_mut().enumerate() {
            let own = depth[region.parent] + 1;
            depth[at + 1] = own;
            let LoopKind::Rounds { most, .. } = &mut region.info.kind else {
                continue;
            };
            let has_room = own + 1 + levels[at + 1] <= calls;
            if all > EASY_ROUNDS && has_room && functions < MAX_PACKED {
                let inner = (most.isqrt() + 1).min(each / 2);
                *most = most.div_ceil(inner).min(each / 2);
                region.rounds = Some(inner);
                depth[at + 1] += 1;
                functions += 1;
            } else {
                *most = each.min(*most);
            }
        }
    }

    /// The rounds that a verifier follows.
    pub fn rounds(&self) -> u64 {
        let rounds = self.all.iter().map(|region| match region.info.kind {
            LoopKind::Rounds { most, .. } | LoopKind::Chunks { most } => {
                u64::from(most) + u64::from(region.rounds.unwrap_or(0))
            }
            LoopKind::Whole { .. } | LoopKind::Once => 0,
        });
        rounds.sum()
    }

    /// The blocks that each region has for itself; those of number 0 are not asked for.
    pub fn members(&self) -> Vec<Vec<usize>> {
        let mut members = vec![Vec::new(); self.all.len() + 1];
        for (block, owner) in self.owner.iter().enumerate() {
            members[*owner].push(block);
        }
        members
    }

    /// The number of each region's function. That of a function between is one less.
    pub fn numbers(&self) -> Vec<usize> {
        let mut numbers = vec![0];
        for region in &self.all {
            let next = numbers.last().map_or(0, |last| last + 1);
            numbers.push(next + usize::from(region.rounds.is_some()));
        }
        numbers
    }

    /// For each function how deep the calls from it nest.
    fn levels_below(&self) -> Vec<usize> {
        let mut levels = self.apart.clone();
        for (at, region) in self.all.iter().enumerate().rev() {
            levels[region.parent] = levels[region.parent].max(levels[at + 1] + 1);
        }
        levels
    }

    /// How long each function is.
    fn lengths(&self, code: &VCode) -> Vec<usize> {
        let mut lengths = vec![0; self.all.len() + 1];
        for (block, owner) in self.owner.iter().enumerate() {
            lengths[*owner] += parts::insns(code, block);
        }
        for region in &self.all {
            lengths[region.parent] += parts::CALL_INSNS;
        }
        lengths
    }

    /// What the blocks are to a function that may be divided.
    fn shares(&self, code: &VCode, number: usize) -> Vec<Share> {
        let region = number.checked_sub(1).map(|at| &self.all[at]);
        let head = region.map(|region| region.info.head.0 as usize);
        let called: BTreeSet<usize> = (self.all.iter())
            .filter(|region| region.parent == number)
            .map(|region| region.info.head.0 as usize)
            .collect();
        (0..code.blocks.len())
            .map(|block| {
                let own = self.owner[block] == number;
                Share {
                    inside: region.is_none_or(|region| region.blocks.contains(&block)),
                    may_begin: own && code.blocks[block].boundary && Some(block) != head,
                    insns: if own {
                        parts::insns(code, block)
                    } else if called.contains(&block) {
                        parts::CALL_INSNS
                    } else {
                        0
                    },
                }
            })
            .collect()
    }
}
