//! Whether the parts of an image fit each other: the one place where its metadata is compared with its maps and programs.
//!
//! An image may come from anybody. What is checked here and by [`lir::verify`] is all that the others rely on: that
//! globals lie in their maps, behind the header, in the order in which the compiler puts them; that maps are of the
//! kind and have the sizes that their layouts say; that programs, points, counters and formats exist.

mod globals;
#[cfg(test)]
mod tests;

use indexmap::IndexMap;
use rtap_compiler::image::{
    Attach, EVENTS_MAP, GLOBALS_MAP, MOST_COUNTERS, Meta, MetaError, Program, ProgramCounter,
    header,
};
use rtap_compiler::lir;

use super::error::LoadError;
use super::image_file::{MapDecl, ObjectFile};
use crate::bpf::MapType;

/// The metadata of an image, checked.
pub fn read_meta(object: &ObjectFile) -> Result<Meta, LoadError> {
    let bytes = object.meta_bytes().ok_or(MetaError::NotAnImage)?;
    let meta = Meta::decode(bytes)?;
    lir::verify::verify(&meta.module).map_err(|_| MetaError::Damaged)?;
    check(object, &meta)?;
    Ok(meta)
}

/// Checks metadata whose LIR is sound.
pub fn check(object: &ObjectFile, meta: &Meta) -> Result<(), LoadError> {
    let maps = Maps::new(object)?;
    if let Some(events) = maps.declared.get(EVENTS_MAP)
        && MapType::from_number(events.kind) != Some(MapType::RingBuf)
    {
        return Err(LoadError::damaged("the map of events is no ring buffer"));
    }
    if !meta.programs.is_empty() && maps.globals_bytes < u64::from(header::SIZE) {
        return Err(LoadError::damaged("it has no globals"));
    }
    for program in &meta.programs {
        check_program(program, meta, &maps)?;
    }
    check_points(meta)?;
    // Number 0 is never used.
    let mut records = meta.layout.records.iter().skip(1);
    if records.any(|record| !meta.module.formats.is_valid(record.format)) {
        return Err(LoadError::damaged("a record has no format"));
    }
    globals::check(meta, &maps)
}

/// The maps that an image declares.
struct Maps<'a> {
    declared: IndexMap<&'a str, &'a MapDecl>,
    /// Bytes of the globals, header included.
    globals_bytes: u64,
}

impl<'a> Maps<'a> {
    /// Two maps of one name would be one for some and the other for others.
    fn new(object: &'a ObjectFile) -> Result<Maps<'a>, LoadError> {
        let twice = |name: &str| LoadError::damaged(format!("it has two maps '{name}'"));
        let mut declared = IndexMap::new();
        for decl in &object.maps {
            if declared.insert(decl.name.as_str(), decl).is_some() {
                return Err(twice(&decl.name));
            }
        }
        let mut sections = IndexMap::new();
        for data in &object.data {
            let name = data.name.as_str();
            if sections.insert(name, data.bytes.len() as u64).is_some()
                || declared.contains_key(name)
            {
                return Err(twice(name));
            }
        }
        Ok(Maps {
            declared,
            globals_bytes: sections.get(GLOBALS_MAP).copied().unwrap_or(0),
        })
    }

    /// Whether some bytes at an offset of the globals are words behind the header.
    fn holds(&self, offset: u32, bytes: u32) -> bool {
        offset >= header::SIZE
            && offset.is_multiple_of(8)
            && bytes.is_multiple_of(8)
            && u64::from(offset) + u64::from(bytes) <= self.globals_bytes
    }
}

fn check_program(program: &Program, meta: &Meta, maps: &Maps<'_>) -> Result<(), LoadError> {
    let damaged = |what: &str| {
        let name = &program.symbol;
        Err(LoadError::damaged(format!("program '{name}' {what}")))
    };
    let Some(handler) = meta.module.handlers.get(program.handler) else {
        return damaged("has no handler");
    };
    let points = handler.points.len();
    if (program.points.iter()).any(|point| *point as usize >= points) {
        return damaged("is for points that do not exist");
    }
    let first = u64::from(header::SIZE)
        + u64::from(program.counters) * u64::from(ProgramCounter::COUNT) * 8;
    let inside =
        u32::try_from(first).is_ok_and(|first| maps.holds(first, ProgramCounter::COUNT * 8));
    if !inside {
        return damaged("has counters outside of the globals");
    }
    Ok(())
}

fn check_points(meta: &Meta) -> Result<(), LoadError> {
    for point in meta.module.handlers.values().flat_map(|h| &h.points) {
        match point.attach {
            Attach::PerfCounter { number, .. } if number >= MOST_COUNTERS => {
                return Err(LoadError::damaged("a performance counter has no place"));
            }
            _ => {}
        }
    }
    Ok(())
}
