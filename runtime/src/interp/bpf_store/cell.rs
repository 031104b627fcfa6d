//! What a global is to a store: the maps in which it lives.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use rtap_compiler::image::{ArrayLayout, GlobalLayout, Layout, Slot, StatRecord, ValueLayout};
use rtap_compiler::lir::{Global, GlobalData, Module, Ty};

use super::NoMap;
use super::adder::Adder;
use super::extra::{Extra, statistics_read_in_kernel};
use super::order::Order;
use super::turns::{Turns, of_scalar};
use crate::bpf::{Map, Mapping};

/// A global.
pub(super) enum Cell<'m> {
    Scalar(Slot),
    Stat {
        map: &'m Map,
        record: Rc<StatRecord>,
        extra: Extra,
    },
    Array {
        map: &'m Map,
        layout: Rc<ArrayLayout>,
        extra: Extra,
        /// Where the oldest element is forgotten.
        order: Option<Order<'m>>,
        adding: Adding,
    },
    /// A statistic or an array that kernel handlers only add to.
    Turns(Turns<'m>),
    /// Not in the image: no handler uses it.
    None,
}

/// How additions to elements are done.
pub(super) enum Adding {
    /// By a read and a write: nobody else updates the array.
    Plain,
    /// By a program, not loaded yet.
    ByProgram,
    /// By this program.
    Program(Adder),
}

/// Finds the maps of globals.
struct Finder<'a, 'm, F: Fn(&str) -> Option<&'m Map>> {
    map: F,
    mapping: Option<&'a Arc<Mapping>>,
    /// The statistics that kernel handlers read.
    read_in_kernel: HashSet<Global>,
}

/// All globals of a module.
pub(super) fn cells<'m>(
    module: &Module,
    layout: &Layout,
    map: impl Fn(&str) -> Option<&'m Map>,
    mapping: Option<&Arc<Mapping>>,
) -> Result<Vec<Cell<'m>>, NoMap> {
    let finder = Finder {
        map,
        mapping,
        read_in_kernel: statistics_read_in_kernel(module),
    };
    let cell = |(id, global): (Global, &GlobalData)| {
        let place = layout.globals.get(id).and_then(Option::as_ref);
        let cell = match place {
            Some(place) => finder.cell(id, global, place),
            None => Some(Cell::None),
        };
        cell.ok_or_else(|| NoMap(global.name.clone()))
    };
    module.globals.iter().map(cell).collect()
}

impl<'m, F: Fn(&str) -> Option<&'m Map>> Finder<'_, 'm, F> {
    /// `None` if there is no such map.
    fn cell(&self, id: Global, global: &GlobalData, place: &GlobalLayout) -> Option<Cell<'m>> {
        let mut extra = Extra {
            direct: self.read_in_kernel.contains(&id),
            records: HashMap::new(),
        };
        let taking_turns = |layout, turns| {
            Turns::new(&global.name, layout, turns, &self.map, self.mapping).map(Cell::Turns)
        };
        match place {
            GlobalLayout::Scalar(slot) => {
                let end = u64::from(slot.offset) + u64::from(slot.width());
                let mapping = self.mapping.filter(|m| m.len() as u64 >= end);
                mapping.map(|_| Cell::Scalar(*slot))
            }
            GlobalLayout::Stat {
                map,
                record,
                turns: Some(turns),
            } => taking_turns(of_scalar(map, record), turns),
            GlobalLayout::Stat { map, record, .. } => Some(Cell::Stat {
                map: (self.map)(map)?,
                record: Rc::new(record.clone()),
                extra,
            }),
            GlobalLayout::Array(array) => {
                if let Some(turns) = &array.turns {
                    return taking_turns(Rc::new(array.clone()), turns);
                }
                // A wrapping array forgets its oldest elements, wherever they are from.
                extra.direct |= array.wrap.is_some();
                let map = (self.map)(&array.map)?;
                let order = Order::new(array, map, &self.map, self.mapping);
                if array.wrap.is_some() && order.is_none() {
                    return None;
                }
                let by_program = global.shared
                    && array.key_bytes as usize <= Adder::MAX_KEY_BYTES
                    && matches!(array.value, ValueLayout::Plain(Slot { ty: Ty::I64, .. }));
                Some(Cell::Array {
                    map,
                    layout: Rc::new(array.clone()),
                    extra,
                    order,
                    adding: match by_program {
                        true => Adding::ByProgram,
                        false => Adding::Plain,
                    },
                })
            }
        }
    }
}
