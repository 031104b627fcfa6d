//! Where globals are, against what the module says of them and what the image declares.

use rtap_compiler::image::{
    ArrayLayout, DeletedLayout, GlobalLayout, Meta, Slot, StatRecord, TurnLayout, ValueLayout,
    WrapLayout,
};
use rtap_compiler::lir::{ElementKind, GlobalKind, StatLayout, Ty};

use super::Maps;
use crate::bpf::MapType;
use crate::load::error::LoadError;

/// What is wrong with a global.
type Checked = Result<(), &'static str>;

pub(super) fn check(meta: &Meta, maps: &Maps<'_>) -> Result<(), LoadError> {
    for (id, global) in &meta.module.globals {
        // A global without a place is used by nobody.
        let Some(layout) = meta.layout.globals.get(id).and_then(Option::as_ref) else {
            continue;
        };
        check_global(&global.kind, layout, maps)
            .map_err(|what| LoadError::damaged(format!("the global '{}' {what}", global.name)))?;
    }
    Ok(())
}

fn check_global(kind: &GlobalKind, layout: &GlobalLayout, maps: &Maps<'_>) -> Checked {
    match (kind, layout) {
        (GlobalKind::Scalar { ty, .. }, GlobalLayout::Scalar(slot)) => {
            if slot.ty != *ty {
                return Err("is not of its type");
            }
            if !maps.holds(slot.offset, slot.width()) {
                return Err("lies outside of the globals");
            }
            Ok(())
        }
        (GlobalKind::Stat(stat), GlobalLayout::Stat { map, record, turns }) => {
            check_record(stat, record)?;
            let like = (MapType::PerCpuArray, 4, record.bytes);
            maps.check(map, like)?;
            check_turns(turns.as_ref(), like, maps)
        }
        (
            GlobalKind::Array {
                keys, value, wrap, ..
            },
            GlobalLayout::Array(array),
        ) => {
            check_keys(keys, array)?;
            let kind = match (value, &array.value) {
                (ElementKind::Plain(ty), ValueLayout::Plain(slot))
                    if *slot == (Slot { offset: 0, ty: *ty }) =>
                {
                    MapType::Hash
                }
                (ElementKind::Stat(stat), ValueLayout::Stat(record)) => {
                    check_record(stat, record)?;
                    MapType::PerCpuHash
                }
                _ => return Err("has elements that are not of their type"),
            };
            let like = (kind, array.key_bytes, array.value.bytes());
            maps.check(&array.map, like)?;
            let text = matches!(value, ElementKind::Plain(ty) if ty.is_str());
            if array.turns.is_some() && text {
                return Err("takes turns, but nothing can be added to it");
            }
            check_turns(array.turns.as_ref(), like, maps)?;
            match (&array.wrap, wrap) {
                (Some(layout), true) => check_wrap(array, layout, maps),
                (None, false) => Ok(()),
                _ => Err("does not forget as it should"),
            }
        }
        _ => Err("is of another kind than its place"),
    }
}

/// A statistic lies in its record as the compiler puts it.
fn check_record(stat: &StatLayout, record: &StatRecord) -> Checked {
    if *record == StatRecord::new(stat.clone()) {
        Ok(())
    } else {
        Err("does not lie in its record as it should")
    }
}

/// Keys stand one behind the other, without gaps.
fn check_keys(keys: &[Ty], array: &ArrayLayout) -> Checked {
    let mut end = 0;
    for (n, &ty) in keys.iter().enumerate() {
        let slot = Slot { offset: end, ty };
        if array.keys.get(n) != Some(&slot) {
            return Err("has keys that are not where they should be");
        }
        end += slot.width();
    }
    if array.keys.len() != keys.len() || array.key_bytes != end {
        return Err("has keys of another size");
    }
    Ok(())
}

/// The queues of an array that forgets.
fn check_wrap(array: &ArrayLayout, wrap: &WrapLayout, maps: &Maps<'_>) -> Checked {
    let entry = array.entry_bytes();
    maps.check(&wrap.queue, (MapType::Queue, 0, entry))?;
    let Some(DeletedLayout { other, born, turn }) = &wrap.deleted else {
        return Ok(());
    };
    maps.check(other, (MapType::Queue, 0, entry))?;
    maps.check(born, (MapType::Hash, array.key_bytes, 8))?;
    check_word(*turn, maps)
}

/// The map that another one like it takes turns with.
fn check_turns(turns: Option<&TurnLayout>, like: Like, maps: &Maps<'_>) -> Checked {
    turns.map_or(Ok(()), |turns| {
        maps.check(&turns.other, like)?;
        check_word(turns.turn, maps)
    })
}

fn check_word(offset: u32, maps: &Maps<'_>) -> Checked {
    if maps.holds(offset, 8) {
        Ok(())
    } else {
        Err("has a word outside of the globals")
    }
}

/// What a map must be: its kind, the bytes of its keys and those of its elements.
type Like = (MapType, u32, u32);

impl Maps<'_> {
    /// Whether there is such a map.
    fn check(&self, name: &str, (kind, key_bytes, value_bytes): Like) -> Checked {
        let decl = self.declared.get(name).ok_or("has no map")?;
        if MapType::from_number(decl.kind) != Some(kind) {
            return Err("has a map of another kind");
        }
        if (decl.key_size, decl.value_size) != (key_bytes, value_bytes) {
            return Err("has a map whose keys or elements are of another size");
        }
        Ok(())
    }
}
