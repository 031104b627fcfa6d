//! The functions and blocks around an address.

use gimli::constants as dw;

use super::super::DwarfError;
use super::super::functions::Entry;
use super::super::unit::Unit;

/// Blocks and inlined functions go no deeper.
const MAX_DEPTH: usize = 64;

/// A function, one that is inlined, or a block.
pub(super) struct Scope<'d> {
    pub die: Entry<'d>,
    depth: isize,
    /// Whether it is a function or an inlined one.
    pub is_function: bool,
    /// Its names, of a function: in the source, and its symbol if that is another.
    pub name: String,
    symbol: Option<String>,
    /// Where its code is entered, of a function.
    pub entry: u64,
    /// Its parameters and variables.
    pub variables: Vec<Entry<'d>>,
}

impl<'d> Unit<'d> {
    /// The scopes that an address is in, from the function inwards.
    pub(super) fn scopes(&self, address: u64) -> Result<Vec<Scope<'d>>, DwarfError> {
        let mut path: Vec<Scope<'d>> = Vec::new();
        let mut entries = self.unit.entries_raw(None)?;
        let mut entry = Entry::null();
        // How many of them are not over yet.
        let mut open = 0;
        while !entries.is_empty() {
            self.budget.spend(1)?;
            let depth = entries.next_depth();
            if path.first().is_some_and(|function| depth <= function.depth) {
                break;
            }
            if !entries.read_entry(&mut entry)? {
                continue;
            }
            while open > 0 && path[open - 1].depth >= depth {
                open -= 1;
            }
            let parent = path.get(open.wrapping_sub(1));
            let is_inside = parent.is_some_and(|parent| parent.depth == depth - 1);
            let is_scope = match entry.tag() {
                dw::DW_TAG_subprogram => path.is_empty(),
                dw::DW_TAG_inlined_subroutine | dw::DW_TAG_lexical_block => {
                    is_inside && open == path.len() && open < MAX_DEPTH
                }
                dw::DW_TAG_formal_parameter | dw::DW_TAG_variable if is_inside => {
                    path[open - 1].variables.push(entry.clone());
                    false
                }
                _ => false,
            };
            if is_scope && let Some(scope) = self.scope(&entry, depth, address)? {
                path.push(scope);
                open = path.len();
            }
        }
        Ok(path)
    }

    fn scope(
        &self,
        die: &Entry<'d>,
        depth: isize,
        address: u64,
    ) -> Result<Option<Scope<'d>>, DwarfError> {
        let ranges = self.ranges(die)?;
        if !ranges.iter().any(|range| range.contains(&address)) {
            return Ok(None);
        }
        let is_function = die.tag() != dw::DW_TAG_lexical_block;
        let function = if is_function {
            let is_inlined = die.tag() == dw::DW_TAG_inlined_subroutine;
            self.function(die, ranges, is_inlined)?
        } else {
            None
        };
        let (name, symbol, entry) = function.map_or_else(Default::default, |function| {
            (function.name, function.symbol, function.entry)
        });
        Ok(Some(Scope {
            die: die.clone(),
            depth,
            is_function,
            name,
            symbol,
            entry,
            variables: Vec::new(),
        }))
    }
}

/// The function of a name with the blocks in it, without what is inlined there; else the innermost one.
pub(super) fn meant<'s, 'd>(path: &'s [Scope<'d>], function: Option<&str>) -> &'s [Scope<'d>] {
    let is_meant = |scope: &&Scope<'d>| {
        let named = [Some(scope.name.as_str()), scope.symbol.as_deref()];
        scope.is_function && function.is_some() && named.contains(&function)
    };
    let last = |wanted: &dyn Fn(&&Scope<'d>) -> bool| path.iter().rposition(|scope| wanted(&scope));
    let first = last(&is_meant).or_else(|| last(&|scope| scope.is_function));
    let rest = &path[first.unwrap_or(0)..];
    let own = rest.iter().skip(1).take_while(|scope| !scope.is_function);
    &rest[..rest.len().min(1 + own.count())]
}
