//! Functions and instructions of the kernel that are named by source file and line, or by a function that has been
//! inlined: out of the debug information of vmlinux or of a module.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;
use indexmap::map::Entry;
use rtap_grammar::diag::{Diagnostic, codes};

use super::super::instruction;
use super::super::locals::DebugVars;
use super::super::source::{self, Source, Wanted};
use super::super::{Candidate, Request, debug_info, is_pattern};
use super::address::{self, Place};
use super::find::Found;
use super::namesakes::Namesakes;
use crate::dwarf::{self, Instances, Lines};
use crate::target::{Fetch, KernelObject};

/// The file that has the debug information, or why there is none.
pub(in crate::probes) fn object(
    request: &Request<'_>,
    module: Option<&str>,
    label: &str,
    fetch: Fetch,
) -> Result<Arc<KernelObject>, Box<Diagnostic>> {
    let object = request.session.target.kernel_object(module, fetch);
    object.map_err(|why| {
        let other = "name the function, or an instruction of it, statement(\"f+0x12\")";
        Box::new(debug_info::no_source(
            "the kernel's",
            label,
            &why,
            other,
            request.span,
        ))
    })
}

/// The places that a point means, in source and in the running kernel.
pub(in crate::probes) fn located(
    request: &Request<'_>,
    object: &KernelObject,
    module: Option<&str>,
    place: &source::Place<'_>,
    wanted: Wanted,
) -> Result<Vec<(dwarf::Place, Place)>, Box<Diagnostic>> {
    let whose = module.map_or("the kernel".to_owned(), |m| format!("module {m}"));
    let source = Source {
        whose,
        missing: codes::NO_KERNEL_FUNCTION,
        info: &object.info,
        code: object,
    };
    let mut located = Vec::new();
    for found in source.find(request, place, wanted)? {
        let place = address::of_object(request, object, module, &found)?;
        located.extend(place.map(|place| (found, place)));
    }
    if located.is_empty() {
        let whose = module.map_or("the kernel".to_owned(), |m| format!("module {m}"));
        let title = format!(
            "'{}' is in none of the functions of {whose}",
            place.function
        );
        return Err(Box::new(
            Diagnostic::error(codes::NO_KERNEL_FUNCTION, title)
                .label(request.span, "no symbol is where its code is"),
        ));
    }
    Ok(located)
}

/// The functions of a source file. `None` if none is named, or if a function's name has to do for want of debug information.
pub(super) fn functions(
    names: Namesakes<'_>,
    place: &source::Place<'_>,
) -> Result<Option<Vec<Found>>, Box<Diagnostic>> {
    let Namesakes {
        request, module, ..
    } = names;
    if place.file.is_none() {
        return Ok(None);
    }
    let is_pattern = is_pattern(place.function);
    let is_file = place.lines == Lines::First;
    let label = if is_file {
        "means the functions of a source file"
    } else {
        "names a line of the kernel's source"
    };
    // A name alone does without.
    let fetch = if is_file && !is_pattern {
        Fetch::No
    } else {
        Fetch::Yes
    };
    let object = match object(request, module, label, fetch) {
        Ok(object) => object,
        Err(why) if !is_file || is_pattern => return Err(why),
        Err(_) => return Ok(None),
    };
    let wanted = Wanted::Functions(Instances::Called);
    let located = located(request, &object, module, place, wanted)?;
    // Several functions of the source can have become one: it is probed once.
    let mut found: IndexMap<(String, u64), Found> = IndexMap::new();
    for (of_source, place) in located {
        // Where no symbol is, code of others goes on.
        if place.offset != 0 {
            continue;
        }
        let original = of_source.function;
        let function = if place.address == 0 {
            names.only(&place.name)
        } else {
            names.one(&place)
        };
        let is_copy = place.name != original;
        let function = Found {
            copy_of: is_copy.then_some(original),
            ..function
        };
        let known = found.entry((function.name.clone(), function.address));
        match known {
            Entry::Occupied(mut other) if !is_copy => other.get_mut().copy_of = None,
            Entry::Occupied(_) => {}
            Entry::Vacant(new) => {
                new.insert(function);
            }
        }
    }
    let mut found: Vec<Found> = found.into_values().collect();
    if is_pattern && let Ok(all) = request.session.target.traceable_functions() {
        let of_module = all.iter().filter(|f| f.module.as_deref() == module);
        let listed: HashSet<&str> = of_module.map(|f| f.name.as_str()).collect();
        found.retain(|function| listed.contains(function.name.as_str()));
    }
    Ok(Some(found))
}

/// Whether the debug information that there is, if any, does not have a name: its functions need not be read then.
pub(super) fn is_unheard_of(request: &Request<'_>, module: Option<&str>, name: &str) -> bool {
    let object = request.session.target.kernel_object(module, Fetch::No);
    object.is_ok_and(|object| object.info.lacks(name))
}

/// Where functions have been inlined into others.
pub(super) fn inlined(
    request: &Request<'_>,
    module: Option<&str>,
    place: &source::Place<'_>,
    fetch: Fetch,
) -> Result<Vec<Candidate>, Box<Diagnostic>> {
    instruction::need_kprobes(request)?;
    let label = "means where functions have been inlined";
    let object = object(request, module, label, fetch)?;
    let wanted = Wanted::Functions(Instances::Inlined);
    let located = located(request, &object, module, place, wanted)?;
    let of = module.map_or("kernel".to_owned(), |m| format!("module(\"{m}\")"));
    let candidate = |(of_source, place): (dwarf::Place, Place)| {
        let text = format!("{of}.function({}).inline", of_source.shown());
        let vars = DebugVars::of_source(&place, &of_source, &object);
        instruction::candidate(place, text, of_source.function, Rc::new(vars))
    };
    Ok(located.into_iter().map(candidate).collect())
}
