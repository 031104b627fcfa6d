//! Optimisation: LIR to better LIR.
//!
//! Every pass keeps the module's meaning in both executors; `verify` holds after each (checked in
//! debug builds). Passes are linear in the size of a function, but for logarithms and for the few
//! rounds of [`clean`].
//!
//! What an optimised program may do otherwise than its source says: reads of traced memory whose
//! result nobody uses are not done (and cannot fail); two reads of one place with nothing but
//! reads between them are one.

mod branches;
mod compact;
mod constant_globals;
mod copy_propagation;
mod dead_code;
mod fold;
mod fold_strings;
mod formats;
mod inline;
mod interner;
mod merge_blocks;
mod merge_handlers;
mod point_tables;
mod rebase;
mod replace;
mod string_widths;
#[cfg(test)]
mod tests;
mod unread_globals;
mod value_numbering;

use cranelift_entity::PrimaryMap;
use rtap_grammar::source::Span;

use crate::lir::verify::{self, VerifyError};
use crate::lir::{Func, Function, Module, text};
use interner::Interner;

/// Optimises a module.
pub fn optimise(module: &mut Module) {
    let mut texts = Interner::new(module);

    // Globals that nothing changes are numbers and texts, which later passes fold.
    constant_globals::run(module, &mut texts);
    check(module, "constant_globals");

    // Callees first: what is inlined is clean already. Inlining makes constants meet branches, so
    // callers are cleaned afterwards.
    inline::run(module, &mut texts);
    // Calls that are gone may have parted functions that recursed together: callees first again.
    compact::functions(module);
    check(module, "inline");

    // Only now is it known what is read: functions that nobody calls any more are gone.
    let unread = unread_globals::run(module);
    check(module, "unread_globals");

    // Formats see constants and late strings where they are used, after inlining brought them there.
    let mut dirty = formats::run(module, &mut texts);
    check(module, "formats");

    // What was only there for a format or a dropped update is dead now.
    dirty.extend(unread.iter());
    for_each_function(module, |module, id, function| {
        if string_widths::run(function) || dirty.contains(id) {
            clean(module, &mut texts, function);
        }
    });
    check(module, "clean");

    // After folding, which knows the points of handlers that have only one.
    point_tables::run(module);
    check(module, "point_tables");

    // What is known of one handler's body helps the other's; their points' numbers are not needed any more.
    merge_handlers::run(module, &mut texts);
    check(module, "merge_handlers");

    // Numbers anew, so that text is stable and nothing unused is left.
    compact::run(module);
    check(module, "compact");
}

/// Rounds of [`clean`]; each opens few new chances, so more would not pay.
const ROUNDS: usize = 4;

/// Cleans one function up, in rounds, until nothing more is to be had.
fn clean(module: &mut Module, texts: &mut Interner, function: &mut Function) {
    let mut decided = false;
    for round in 0..ROUNDS {
        // Parameters that are always the same value would hide equal values from numbering.
        let copied = copy_propagation::run(function);
        check_function(module, function, "copy_propagation");
        // Without fewer blocks or parameters than last time, numbering finds nothing new.
        if round > 0 && !copied && !decided {
            break;
        }
        // Folds constants and finds equal values; leaves dead operations behind.
        value_numbering::run(module, texts, function);
        check_function(module, function, "value_numbering");
        // Constants decide branches; whole blocks become unreachable.
        decided = branches::run(function);
        check_function(module, function, "branches");
        // Dead parameters keep blocks from being merged.
        dead_code::run(function);
        check_function(module, function, "dead_code");
        merge_blocks::run(function);
        check_function(module, function, "merge_blocks");
    }
}

/// Runs `f` on every function, callees first, with the rest of the module at hand.
fn for_each_function(module: &mut Module, mut f: impl FnMut(&mut Module, Func, &mut Function)) {
    for id in module.functions.keys() {
        let stand_in = stand_in(&module.functions[id]);
        let mut function = std::mem::replace(&mut module.functions[id], stand_in);
        f(module, id, &mut function);
        module.functions[id] = function;
    }
}

/// What stands in for a function while it is worked on: its signature, for those who call it.
fn stand_in(function: &Function) -> Function {
    Function {
        name: String::new(),
        params: function.params.clone(),
        ret: function.ret,
        blocks: PrimaryMap::new(),
        values: PrimaryMap::new(),
        span: Span::NONE,
    }
}

/// In debug builds, stops at the pass that broke the module.
fn check(module: &Module, pass: &str) {
    if cfg!(debug_assertions)
        && let Err(errors) = verify::verify(module)
    {
        broken(pass, &errors, &text::print(module));
    }
}

/// The same for the pass that broke a function.
fn check_function(module: &Module, function: &Function, pass: &str) {
    if cfg!(debug_assertions)
        && let Err(errors) = verify::verify_function(module, function)
    {
        broken(pass, &errors, &text::print_function(function));
    }
}

fn broken(pass: &str, errors: &[VerifyError], text: &str) -> ! {
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    panic!("{pass} broke the code:\n{}\n{text}", errors.join("\n"));
}
