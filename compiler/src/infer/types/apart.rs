//! Points whose aliases set variables of one name to different types: each kind of them becomes a
//! handler of its own, as SystemTap has one for every point.
//!
//! Only where it is needed: handlers that many points share cost less to load.

use std::collections::BTreeMap;

use rtap_grammar::diag::Diagnostics;

use super::Cx;
use crate::hir::{Local, Probe, Program, Ty, Variant};

/// More walks than what aliases are made of needs.
const MAX_WALKS: usize = 8;

/// What an alias makes of a probe's variables.
type Signature = BTreeMap<Local, Ty>;

/// Divides the probes of `program` whose aliases do not agree.
pub(super) fn separate(program: &mut Program) {
    let several = |probe: &Probe| probe.variants.len() > 1;
    if !program.probes.iter().any(several) {
        return;
    }
    let mut unheard = Diagnostics::new();
    let mut cx = Cx::new(program, &mut unheard);
    let mut functions = std::mem::take(&mut program.functions);
    for _ in 0..MAX_WALKS {
        cx.changed = false;
        cx.walk(&mut [], &mut functions, false);
        if !cx.changed {
            break;
        }
    }
    let mut probes = Vec::with_capacity(program.probes.len());
    for mut probe in std::mem::take(&mut program.probes) {
        if !several(&probe) {
            probes.push(probe);
            continue;
        }
        let signatures = signatures(&mut cx, &mut probe);
        let groups = groups(signatures);
        if groups.len() == 1 {
            probes.push(probe);
        } else {
            probes.extend(groups.iter().map(|group| part(&probe, group)));
        }
    }
    program.probes = probes;
    program.functions = functions;
}

/// The types that each variant's prologue gives to variables.
fn signatures(cx: &mut Cx<'_>, probe: &mut Probe) -> Vec<Signature> {
    let mut all = Vec::with_capacity(probe.variants.len());
    for variant in &mut probe.variants {
        cx.enter(&probe.locals);
        cx.stmts(&mut variant.prologue);
        let known = probe.locals.keys().zip(&cx.locals);
        let known = known.filter(|(_, fact)| matches!(fact.ty, Ty::Long | Ty::Str));
        all.push(known.map(|(local, fact)| (local, fact.ty)).collect());
    }
    all
}

/// Variants that agree, by their numbers: each goes to the first group that it agrees with.
fn groups(signatures: Vec<Signature>) -> Vec<Vec<usize>> {
    let mut groups: Vec<(Signature, Vec<usize>)> = Vec::new();
    for (number, signature) in signatures.into_iter().enumerate() {
        let agrees = |known: &Signature| {
            signature
                .iter()
                .all(|(local, ty)| known.get(local).is_none_or(|known| known == ty))
        };
        match groups.iter_mut().find(|(known, _)| agrees(known)) {
            Some((known, members)) => {
                known.extend(signature);
                members.push(number);
            }
            None => groups.push((signature, vec![number])),
        }
    }
    groups.into_iter().map(|(_, members)| members).collect()
}

/// The probe with some of its variants and their points only.
fn part(probe: &Probe, members: &[usize]) -> Probe {
    let mut points = Vec::new();
    let mut variants = Vec::with_capacity(members.len());
    for variant in members
        .iter()
        .filter_map(|number| probe.variants.get(*number))
    {
        let mut numbers = Vec::with_capacity(variant.points.len());
        for point in &variant.points {
            numbers.push(points.len() as u32);
            points.extend(probe.points.get(*point as usize).cloned());
        }
        variants.push(Variant {
            points: numbers,
            ..variant.clone()
        });
    }
    Probe {
        points,
        variants,
        ..probe.clone()
    }
}
