//! Which strings are late: carried in their raw form and rendered in user space.
//!
//! A string expression is *natively* late if only user space can make it or makes it cheaper:
//! `sprintf` and its like, builtins that say so, texts of the probe point. A place is
//! late if a natively late value of a kernel handler reaches it and nothing in the kernel
//! needs its characters, as comparisons and string functions do; user-side code renders where
//! it needs them.
//!
//! Different records can have one text (two addresses in one function), so an array's key is late
//! in two cases only:
//! * everything that becomes that key is made by the same function, one whose equal strings have
//!   equal records;
//! * it is made by such as `symname`, not only by `sprintf`, and kernel handlers only count in the array
//!   or assign to it: user space merges the elements whose keys have the same text when it reads the array.
//!
//! Flow is a graph of nodes: places, and the expressions that may be late themselves.

mod flow;
mod runs;

use cranelift_entity::EntitySet;
use rtap_grammar::source::Span;

use super::Slot;
use crate::hir::{FuncId, Global, Program};
use flow::walk;
use runs::Runs;
use rustc_hash::{FxHashMap, FxHashSet};

/// The late places.
#[derive(Default)]
pub(super) struct LateSet {
    places: FxHashMap<Slot, bool>,
    /// Functions with parameters or results that would be late for some calls and cannot
    /// be, for others.
    torn: Vec<FuncId>,
    /// Strings of kernel handlers whose characters something needs.
    needs: Vec<(Span, Span)>,
    /// Arrays with late keys of which several have one text.
    merged: EntitySet<Global>,
    /// Local variables of kernel handlers that something reaches which only user space can make.
    raw: Vec<Slot>,
}

impl LateSet {
    /// Whether a place is late.
    pub(super) fn place(&self, slot: Slot) -> bool {
        self.places.get(&slot).copied().unwrap_or(false)
    }

    /// Functions that some calls want late strings of and others characters.
    pub(super) fn torn(&self) -> &[FuncId] {
        &self.torn
    }

    /// Strings of kernel handlers that are not late, each with what needs its characters.
    pub(super) fn take_needs(&mut self) -> Vec<(Span, Span)> {
        let mut needs = std::mem::take(&mut self.needs);
        let mut seen = FxHashSet::default();
        needs.retain(|need| seen.insert(*need));
        needs
    }

    /// Whether something reaches the variable of a kernel handler that only user space can make.
    pub(super) fn is_raw(&self, slot: Slot) -> bool {
        self.raw.contains(&slot)
    }

    /// Such variables that are not late.
    pub(super) fn not_late(&self) -> Vec<Slot> {
        let raw = self.raw.iter().copied();
        raw.filter(|slot| !self.place(*slot)).collect()
    }

    /// Whether user space has to merge elements of an array.
    pub(super) fn merged(&self, global: Global) -> bool {
        self.merged.contains(global)
    }

    /// All late places.
    pub(super) fn places(&self) -> impl Iterator<Item = Slot> {
        let mut all: Vec<Slot> = self
            .places
            .iter()
            .filter(|(_, late)| **late)
            .map(|(slot, _)| *slot)
            .collect();
        all.sort();
        all.into_iter()
    }
}

/// Decides which places are late (never those whose records were `too_large`), and marks in the
/// tree, in `cap.1`, the expressions that are.
pub(super) fn decide(program: &mut Program, too_large: &[Slot]) -> LateSet {
    let mut graph = Graph::default();
    for slot in too_large {
        let node = graph.place(*slot);
        graph.nodes[node].too_large = true;
    }
    walk(program, &mut graph);
    graph.solve();
    graph.mark = true;
    graph.next_expr = 0;
    walk(program, &mut graph);
    let places = graph
        .places
        .iter()
        .map(|(slot, node)| (*slot, graph.nodes[*node].late()));
    let mut torn: Vec<FuncId> = graph
        .places
        .iter()
        .filter(|(_, node)| graph.nodes[**node].native && graph.nodes[**node].blocked)
        .filter_map(|(slot, _)| match slot {
            Slot::Param(function, _) | Slot::Ret(function) => Some(*function),
            Slot::Local(..) | Slot::Value(_) | Slot::Key(..) => None,
        })
        .collect();
    torn.sort();
    torn.dedup();
    let mut merged = EntitySet::new();
    merged.extend(graph.places.iter().filter_map(|(slot, node)| match slot {
        Slot::Key(global, _) => {
            let node = &graph.nodes[*node];
            (node.late() && !matches!(node.origin, Origin::One(_))).then_some(*global)
        }
        Slot::Local(..) | Slot::Value(_) | Slot::Param(..) | Slot::Ret(_) => None,
    }));
    let mut raw: Vec<Slot> = graph
        .places
        .iter()
        .filter(|(slot, node)| {
            let node = &graph.nodes[**node];
            matches!(slot, Slot::Local(..)) && node.raw && node.kernel
        })
        .map(|(slot, _)| *slot)
        .collect();
    raw.sort();
    LateSet {
        raw,
        needs: graph.needs,
        places: places.collect(),
        torn,
        merged,
    }
}

struct Node {
    /// A natively late value of a kernel handler reaches it.
    native: bool,
    /// User-side code that makes it can make it late if it has to be.
    able: bool,
    /// Something needs its characters: `why`, where it has a place.
    blocked: bool,
    why: Span,
    /// Its record would be too large.
    too_large: bool,
    /// Kernel handlers use it. What they do not use can be characters, whatever comes to it.
    kernel: bool,
    /// It is characters: user-side code renders what comes to it.
    cut: bool,
    /// Where its value goes.
    to: Vec<usize>,
    /// What it is made by.
    origin: Origin,
    /// A kernel handler's builtin reaches it that leaves more to user space than formatting.
    raw: bool,
    /// It can be empty without being the record of zeros.
    empty: bool,
    /// It is never empty, whatever reaches it.
    some: bool,
    /// Where the kernel asks whether it is empty.
    asked: Span,
    /// For an array's key.
    key: Option<Key>,
}

/// What kernel handlers do with the elements of an array.
#[derive(Clone, Copy, Default)]
struct Key {
    /// `+=`, `-=`, `++`, `--`, whose result is not used.
    added: bool,
    /// `=`
    assigned: bool,
    /// Anything that has to find the one element of a text.
    looked_up: Option<Span>,
}

impl Key {
    /// Whether elements of several records with one text can be merged later. The sum of what was
    /// added is, for one; but not if one of the elements was assigned meanwhile.
    fn merges(self) -> bool {
        self.looked_up.is_none() && !(self.added && self.assigned)
    }
}

/// What makes a value, as far as keys care.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Origin {
    /// Nothing yet.
    #[default]
    None,
    /// This function, whose equal strings have equal records.
    One(&'static str),
    /// Several things, or one that will not do for a key.
    Mixed,
}

impl Origin {
    fn join(self, other: Origin) -> Origin {
        match (self, other) {
            (Origin::None, other) | (other, Origin::None) => other,
            (a, b) if a == b => a,
            _ => Origin::Mixed,
        }
    }
}

impl Default for Node {
    fn default() -> Self {
        Node {
            native: false,
            able: false,
            blocked: false,
            why: Span::NONE,
            too_large: false,
            kernel: false,
            cut: false,
            to: Vec::new(),
            origin: Origin::None,
            raw: false,
            empty: false,
            some: false,
            asked: Span::NONE,
            key: None,
        }
    }
}

impl Node {
    fn block(&mut self, why: Span) {
        if !std::mem::replace(&mut self.blocked, true) {
            self.why = why;
        }
    }

    fn late(&self) -> bool {
        self.native && !self.blocked && !self.cut
    }
}

#[derive(Default)]
struct Graph {
    nodes: Vec<Node>,
    places: FxHashMap<Slot, usize>,
    /// Nodes of expressions, in the order of the walk.
    exprs: Vec<usize>,
    next_expr: usize,
    /// The second walk: write decisions into the tree.
    mark: bool,
    body: u32,
    function: Option<FuncId>,
    runs: Runs,
    /// Parameters, each with the local variable that it is in one body.
    params: Vec<(usize, usize)>,
    /// Strings of kernel handlers that are not late, and what needs their characters.
    needs: Vec<(Span, Span)>,
}

impl Graph {
    fn node(&mut self) -> usize {
        self.nodes.push(Node::default());
        self.nodes.len() - 1
    }

    fn place(&mut self, slot: Slot) -> usize {
        let node = match self.places.get(&slot) {
            Some(node) => *node,
            None => {
                let node = self.node();
                self.places.insert(slot, node);
                node
            }
        };
        self.nodes[node].kernel |= self.runs.kernel;
        node
    }

    fn edge(&mut self, from: usize, to: usize) {
        if !self.mark {
            self.nodes[from].to.push(to);
        }
    }

    /// A parameter and the variable that it is in a body: one value, late together.
    fn parameter(&mut self, param: usize, local: usize) {
        if !self.mark {
            self.edge(param, local);
            self.edge(local, param);
            self.params.push((param, local));
        }
    }

    fn block(&mut self, node: usize, why: Span) {
        if !self.mark {
            self.nodes[node].block(why);
        }
    }

    /// The node of the next expression that may be late itself.
    fn expr_node(&mut self) -> usize {
        let index = self.next_expr;
        self.next_expr += 1;
        if self.mark {
            return self.exprs[index];
        }
        let node = self.node();
        self.exprs.push(node);
        node
    }

    /// `native`, `raw` and `origin` go along the edges, `blocked` against them; nothing passes
    /// what is cut.
    fn solve(&mut self) {
        self.cut();
        self.spread_native();
        self.spread(|node| &mut node.raw);
        self.spread_empty();
        for node in &mut self.nodes {
            if !node.asked.is_none() && node.empty {
                node.block(node.asked);
            }
        }
        self.spread_origins();
        let mut from: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for to in node.to.iter().filter(|to| !self.nodes[**to].cut) {
                from[*to].push(index);
            }
        }
        let mut queue: Vec<usize> = (0..self.nodes.len())
            .filter(|n| self.nodes[*n].blocked)
            .collect();
        while let Some(node) = queue.pop() {
            let why = self.nodes[node].why;
            for source in &from[node] {
                if !self.nodes[*source].blocked {
                    self.nodes[*source].block(why);
                    queue.push(*source);
                }
            }
        }
    }

    /// What would be too large is not late.
    fn cut(&mut self) {
        for node in &mut self.nodes {
            node.blocked |= node.too_large && node.kernel;
            node.cut = node.too_large && !node.kernel;
        }
        // A parameter and its variables are one value.
        for (param, local) in &self.params {
            self.nodes[*param].cut |= self.nodes[*local].cut;
        }
        for (param, local) in &self.params {
            self.nodes[*local].cut = self.nodes[*param].cut;
        }
    }

    /// Sets a flag wherever a node's value goes that has it.
    fn spread(&mut self, flag: fn(&mut Node) -> &mut bool) {
        let mut queue: Vec<usize> = (0..self.nodes.len())
            .filter(|n| *flag(&mut self.nodes[*n]))
            .collect();
        while let Some(node) = queue.pop() {
            for to in self.nodes[node].to.clone() {
                let target = &mut self.nodes[to];
                if !target.cut && !std::mem::replace(flag(target), true) {
                    queue.push(to);
                }
            }
        }
    }

    fn spread_empty(&mut self) {
        let mut queue: Vec<usize> = (0..self.nodes.len())
            .filter(|n| self.nodes[*n].empty)
            .collect();
        while let Some(node) = queue.pop() {
            for to in self.nodes[node].to.clone() {
                let target = &mut self.nodes[to];
                if !target.cut && !target.some && !std::mem::replace(&mut target.empty, true) {
                    queue.push(to);
                }
            }
        }
    }

    fn spread_native(&mut self) {
        loop {
            self.spread(|node| &mut node.native);
            // What user-side code gives to a late place is made late, where it can be.
            let mut more = false;
            for node in 0..self.nodes.len() {
                let wanted = self.nodes[node].to.iter().any(|to| self.nodes[*to].native);
                if self.nodes[node].able && !self.nodes[node].native && wanted {
                    self.nodes[node].native = true;
                    more = true;
                }
            }
            if !more {
                return;
            }
        }
    }

    fn spread_origins(&mut self) {
        let mut queue: Vec<usize> = (0..self.nodes.len())
            .filter(|n| self.nodes[*n].origin != Origin::None)
            .collect();
        while let Some(node) = queue.pop() {
            let origin = self.nodes[node].origin;
            for to in self.nodes[node].to.clone() {
                let joined = self.nodes[to].origin.join(origin);
                if joined != self.nodes[to].origin {
                    self.nodes[to].origin = joined;
                    queue.push(to);
                }
            }
        }
        for node in &mut self.nodes {
            if let Some(key) = node.key {
                let exact = matches!(node.origin, Origin::One(_));
                if !(exact || node.raw && key.merges()) {
                    node.block(key.looked_up.unwrap_or(Span::NONE));
                }
            }
        }
    }
}
