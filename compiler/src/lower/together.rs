//! Which probes become one handler: those of different system calls, of which only one can run when their common
//! tracepoint is reached. So a system call costs the entry of one program, however many probes of others there are; and
//! perf events, from which new kernels have system calls, take no more than 64 programs.
//!
//! Probes that can run for the same system call stay apart, in their order.

use std::collections::BTreeSet;

use crate::hir::{Probe, Program};
use crate::image::Attach;
use crate::lir::{Context, Exec};

/// Probes of one handler.
struct Group<'a> {
    /// Their positions in the program.
    probes: Vec<usize>,
    exec: Exec,
    context: Context,
    early: bool,
    attached: Vec<&'a Attach>,
    /// The numbers by which the points are told apart; `None` if there are points without.
    selected: Option<BTreeSet<i64>>,
}

impl<'a> Group<'a> {
    fn new(position: usize, probe: &'a Probe) -> Group<'a> {
        let selected = probe.selector.as_ref().and_then(|_| {
            let points = probe.points.iter();
            points.map(|point| point.selector).collect()
        });
        let mut attached: Vec<&Attach> = Vec::new();
        for point in &probe.points {
            if attached.last() != Some(&&point.attach) {
                attached.push(&point.attach);
            }
        }
        Group {
            probes: vec![position],
            exec: probe.exec,
            context: probe.context,
            early: probe.early,
            attached,
            selected,
        }
    }

    /// Whether one event can run both, so that their order matters.
    fn may_meet(&self, other: &Group<'_>) -> bool {
        if !other.attached.iter().any(|at| self.attached.contains(at)) {
            return false;
        }
        match (&self.selected, &other.selected) {
            (Some(own), Some(others)) => !own.is_disjoint(others),
            _ => true,
        }
    }

    /// Takes the probes of a group that never runs when this one does; gives it back if they cannot be one handler.
    fn take(&mut self, other: Group<'a>) -> Option<Group<'a>> {
        let (Some(own), Some(others)) = (&mut self.selected, &other.selected) else {
            return Some(other);
        };
        let is_same = (self.exec, self.context, self.early)
            == (other.exec, other.context, other.early)
            && self.attached == other.attached;
        if !is_same {
            return Some(other);
        }
        own.extend(others);
        self.probes.extend(other.probes);
        None
    }
}

/// The program's probes, those together that become one handler, in the order of the first of each.
pub(super) fn groups(program: &Program) -> Vec<Vec<usize>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (position, probe) in program.probes.iter().enumerate() {
        let mut group = Some(Group::new(position, probe));
        if let Some(own) = group.as_ref().filter(|group| group.selected.is_some()) {
            // Only behind those that must run before.
            let last = groups.iter().rposition(|other| other.may_meet(own));
            for other in groups.iter_mut().skip(last.map_or(0, |at| at + 1)) {
                group = group.and_then(|group| other.take(group));
            }
        }
        groups.extend(group);
    }
    groups.into_iter().map(|group| group.probes).collect()
}
