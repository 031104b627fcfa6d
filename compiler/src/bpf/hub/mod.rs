//! Calls and loops that go by a hub: of functions that recurse, as eBPF has no recursion, and of handlers that are too long for a
//! verifier otherwise ([`flatten`]).
//!
//! The functions of a group, each of which can come to call itself, become one function with one loop. Its head,
//! the *hub*, is told a number and goes to the *state* of that number: the beginning of a function, or what follows
//! one of the group's calls. A call stores what is to go on afterwards, and its arguments, and goes to the hub; so
//! does a return. What must outlive that is in slots ([`Op::Nest`]), a set of which there is for each level
//! of calls: MAXNESTING says how many. Loops that have calls in them go round by the hub, too, so that it is the
//! only way back; loops without stay as they are.
//!
//! An error that some call of the group may catch goes down the levels as a return does, with the number of the
//! state negated: where the call has a `catch`, that is the state; else it goes on downwards.
//!
//! In: the functions' bodies, in which only calls of the group are left. Out: a function without calls, to be
//! copied to where the group is called from.

mod build;
mod detour;
mod errors;
mod flat;
mod link;
mod slots;
#[cfg(test)]
mod tests;

pub use self::flat::{Shared, flatten};

use cranelift_entity::PrimaryMap;

use self::slots::Sets;
use crate::lir::{ErrorKind, Func, Function, Module, Op, Site, SiteId};

/// Sets of slots: one for each call that can be under way, one for who called the first, and one for the arguments of
/// a call that would be one too many.
pub fn levels(module: &Module) -> u32 {
    module.limits.nested_calls().saturating_add(2)
}

/// The function `entry`, which calls nothing any more, out of the bodies of its group. None if it is not
/// among them.
pub fn close(
    sites: &PrimaryMap<SiteId, Site>,
    bodies: &[(Func, Function)],
    entry: Func,
) -> Option<Function> {
    let group = link::Group::new(sites, bodies);
    let mut function = group.link(bodies, entry)?;
    slots::settle(
        &mut function.code,
        function.hub,
        function.nest,
        (&function.states, &function.ways),
        &Sets::Levels,
    );
    // A call, whose rounds are counted, has one return.
    function.finish_hub(build::DONE, 2);
    Some(function.code)
}

/// The site of an error of this kind that a call raises: as the interpreter chooses it.
fn site(sites: &PrimaryMap<SiteId, Site>, kind: ErrorKind, callee: &str) -> SiteId {
    let near = format!("identifier '{callee}'");
    let sites = || {
        let all = sites.iter();
        all.filter(|(_, site)| site.kind == kind && site.caller.is_none())
    };
    let named = sites().find(|(_, site)| site.near == near);
    let found = named.or_else(|| sites().next()).map(|(id, _)| id);
    found.unwrap_or(SiteId::from_u32(0))
}

/// The number of slots' sets that functions called from these bodies use.
fn nests_inside<'a>(bodies: impl Iterator<Item = &'a Function>) -> u8 {
    let mut most = 0;
    for body in bodies {
        super::analysis::for_each_op(body, |op| {
            if let Op::Nest(nest, _) = op {
                most = most.max(nest + 1);
            }
        });
    }
    most
}
