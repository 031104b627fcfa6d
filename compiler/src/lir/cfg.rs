//! Orders and dominators of a function's blocks; strongly connected functions of a module.

use cranelift_entity::{EntitySet, SecondaryMap};
use smallvec::SmallVec;

use super::{Block, Func, Function, Module, Op, SiteId, Terminator};

/// A few blocks: two, mostly, or fewer.
pub type Blocks = SmallVec<[Block; 2]>;

/// The control-flow graph, seen from the entry. Unreachable blocks are in none of its lists.
pub struct Cfg {
    /// Reachable blocks in reverse post-order: dominators before what they dominate.
    pub order: Vec<Block>,
    /// Where the jumps to a block come from, once for each jump, in reverse post-order.
    pub preds: SecondaryMap<Block, Blocks>,
    /// Position in `order` plus one; 0 for unreachable blocks.
    position: SecondaryMap<Block, u32>,
    /// Immediate dominators; the entry's is itself.
    idom: SecondaryMap<Block, Option<Block>>,
    /// The dominator tree: the blocks that each block dominates immediately.
    pub tree: SecondaryMap<Block, Blocks>,
    /// For `dominates`: when a walk over the dominator tree enters and leaves the block.
    interval: SecondaryMap<Block, (u32, u32)>,
}

impl Cfg {
    /// Computes it: linear but for deeply irreducible graphs, which lowering never makes.
    pub fn new(func: &Function) -> Self {
        let order = reverse_postorder(func);
        let count = func.blocks.len();
        let mut position = SecondaryMap::with_capacity(count);
        for (i, block) in order.iter().enumerate() {
            position[*block] = i as u32 + 1;
        }
        let mut preds: SecondaryMap<Block, Blocks> = SecondaryMap::with_capacity(count);
        for block in &order {
            func.blocks[*block]
                .term
                .for_each_jump(|to| preds[to.block].push(*block));
        }
        let mut cfg = Cfg {
            order,
            preds,
            position,
            idom: SecondaryMap::with_capacity(count),
            tree: SecondaryMap::with_capacity(count),
            interval: SecondaryMap::with_capacity(count),
        };
        cfg.find_dominators(func.entry());
        for i in 1..cfg.order.len() {
            let block = cfg.order[i];
            if let Some(dom) = cfg.idom(block) {
                cfg.tree[dom].push(block);
            }
        }
        cfg.number_tree();
        cfg
    }

    /// Whether the entry reaches the block.
    pub fn is_reachable(&self, block: Block) -> bool {
        self.position[block] != 0
    }

    /// The immediate dominator; `None` for the entry and unreachable blocks.
    pub fn idom(&self, block: Block) -> Option<Block> {
        self.idom[block].filter(|dom| *dom != block)
    }

    /// Whether every way to `b` goes through `a`. Both must be reachable.
    pub fn dominates(&self, a: Block, b: Block) -> bool {
        let (a, b) = (self.interval[a], self.interval[b]);
        a.0 <= b.0 && b.1 <= a.1
    }

    /// Whether a jump from `from` to `to` goes backwards in `order`.
    pub fn is_backward(&self, from: Block, to: Block) -> bool {
        self.position[to] <= self.position[from]
    }

    /// Cooper, Harvey, Kennedy: *A Simple, Fast Dominance Algorithm*.
    fn find_dominators(&mut self, entry: Block) {
        self.idom[entry] = Some(entry);
        let mut changed = true;
        while changed {
            changed = false;
            for i in 1..self.order.len() {
                let block = self.order[i];
                let mut new = None;
                for pred in &self.preds[block] {
                    if self.idom[*pred].is_some() {
                        new = Some(match new {
                            None => *pred,
                            Some(other) => self.common_dominator(*pred, other),
                        });
                    }
                }
                if self.idom[block] != new {
                    self.idom[block] = new;
                    changed = true;
                }
            }
        }
    }

    fn common_dominator(&self, mut a: Block, mut b: Block) -> Block {
        while a != b {
            let deeper = if self.position[a] > self.position[b] {
                &mut a
            } else {
                &mut b
            };
            match self.idom[*deeper] {
                Some(up) => *deeper = up,
                None => return a,
            }
        }
        a
    }

    fn number_tree(&mut self) {
        let Some(&entry) = self.order.first() else {
            return;
        };
        let mut clock = 0;
        let mut stack = vec![(entry, false)];
        while let Some((block, left)) = stack.pop() {
            clock += 1;
            if left {
                self.interval[block].1 = clock;
            } else {
                self.interval[block].0 = clock;
                stack.push((block, true));
                stack.extend(self.tree[block].iter().map(|child| (*child, false)));
            }
        }
    }
}

/// Reachable blocks, each before its successors but for back edges.
pub fn reverse_postorder(func: &Function) -> Vec<Block> {
    let mut seen = EntitySet::with_capacity(func.blocks.len());
    let mut order = Vec::with_capacity(func.blocks.len());
    let mut stack = vec![(func.entry(), false)];
    while let Some((block, done)) = stack.pop() {
        if done {
            order.push(block);
            continue;
        }
        if seen.contains(block) {
            continue;
        }
        seen.insert(block);
        stack.push((block, true));
        // Popped last first: the first successor ends up first in the order.
        func.blocks[block].term.for_each_jump(|to| {
            if !seen.contains(to.block) {
                stack.push((to.block, false));
            }
        });
    }
    order.reverse();
    order
}

/// Calls `f` on every function that a function calls, once for each call.
pub fn for_each_callee(func: &Function, mut f: impl FnMut(Func)) {
    for_each_call(func, |callee, _| f(callee));
}

/// The same, with the calls' own sites.
pub fn for_each_call(func: &Function, mut f: impl FnMut(Func, SiteId)) {
    for block in func.blocks.values() {
        for inst in &block.insts {
            if let Op::Call(callee, _, site) = inst.op {
                f(callee, site);
            }
        }
        if let Terminator::Try {
            op: Op::Call(callee, _, site),
            ..
        } = block.term
        {
            f(callee, site);
        }
    }
}

/// Groups of functions that call each other, callees' groups before callers'. A group of
/// one need not call itself.
pub fn call_groups(module: &Module) -> Vec<Vec<Func>> {
    let mut callees: SecondaryMap<Func, Vec<Func>> = SecondaryMap::new();
    for (id, func) in &module.functions {
        for_each_callee(func, |callee| {
            if module.functions.is_valid(callee) {
                callees[id].push(callee);
            }
        });
    }
    Tarjan {
        callees,
        number: SecondaryMap::with_default(0),
        low: SecondaryMap::with_default(0),
        on_stack: EntitySet::new(),
        stack: Vec::new(),
        next: 1,
        groups: Vec::new(),
    }
    .run(module)
}

/// Tarjan's algorithm, without recursion.
struct Tarjan {
    callees: SecondaryMap<Func, Vec<Func>>,
    number: SecondaryMap<Func, u32>,
    low: SecondaryMap<Func, u32>,
    on_stack: EntitySet<Func>,
    stack: Vec<Func>,
    next: u32,
    groups: Vec<Vec<Func>>,
}

impl Tarjan {
    fn run(mut self, module: &Module) -> Vec<Vec<Func>> {
        for root in module.functions.keys() {
            if self.number[root] == 0 {
                self.visit(root);
            }
        }
        self.groups
    }

    fn enter(&mut self, func: Func) {
        self.number[func] = self.next;
        self.low[func] = self.next;
        self.next += 1;
        self.stack.push(func);
        self.on_stack.insert(func);
    }

    fn visit(&mut self, root: Func) {
        self.enter(root);
        let mut work = vec![(root, 0)];
        while let Some((func, i)) = work.last_mut() {
            let func = *func;
            if let Some(&callee) = self.callees[func].get(*i) {
                *i += 1;
                if self.number[callee] == 0 {
                    self.enter(callee);
                    work.push((callee, 0));
                } else if self.on_stack.contains(callee) {
                    self.low[func] = self.low[func].min(self.number[callee]);
                }
                continue;
            }
            work.pop();
            if let Some((caller, _)) = work.last() {
                self.low[*caller] = self.low[*caller].min(self.low[func]);
            }
            if self.low[func] == self.number[func] {
                let at = self.stack.iter().rposition(|f| *f == func);
                let group = self.stack.split_off(at.unwrap_or(0));
                for member in &group {
                    self.on_stack.remove(*member);
                }
                self.groups.push(group);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lir::text::parse;

    fn block(n: u32) -> Block {
        Block::from_u32(n)
    }

    #[test]
    fn dominators_of_a_loop_with_a_branch() {
        let module = parse(
            r#"fn0 "f"(i64) {
            block0(v0: i64):
                jump block1()
            block1:
                branch v0, block2(), block3()
            block2:
                branch v0, block4(), block5()
            block3:
                return
            block4:
                jump block6()
            block5:
                jump block6()
            block6:
                jump block1()
            block7:
                jump block3()
            }"#,
        )
        .unwrap();
        let cfg = Cfg::new(&module.functions[Func::from_u32(0)]);
        assert_eq!(cfg.order.len(), 7);
        assert!(!cfg.is_reachable(block(7)));
        assert_eq!(cfg.idom(block(0)), None);
        assert_eq!(cfg.idom(block(6)), Some(block(2)));
        assert_eq!(cfg.idom(block(3)), Some(block(1)));
        assert!(cfg.dominates(block(1), block(6)));
        assert!(cfg.dominates(block(6), block(6)));
        assert!(!cfg.dominates(block(4), block(6)));
        assert!(cfg.is_backward(block(6), block(1)));
        assert!(!cfg.is_backward(block(1), block(3)));
        assert_eq!(cfg.preds[block(1)].as_slice(), [block(0), block(6)]);
    }

    #[test]
    fn recursive_functions_are_one_group() {
        let module = parse(
            r#"fn0 "even"() {
            block0:
                call fn1() !site0
                return
            }
            fn1 "odd"() {
            block0:
                call fn0() !site0
                call fn2() !site0
                return
            }
            fn2 "leaf"() {
            block0:
                return
            }"#,
        )
        .unwrap();
        let f = Func::from_u32;
        assert_eq!(call_groups(&module), [vec![f(2)], vec![f(0), f(1)]]);
    }
}
