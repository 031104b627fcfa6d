//! What an entry for a type says.

use gimli::{
    DW_AT_const_value, DW_AT_count, DW_AT_name, DW_AT_type, DW_AT_upper_bound, DebugInfoOffset,
    constants as dw,
};

use crate::dwarf::DwarfError;
use crate::dwarf::functions::Entry;
use crate::dwarf::unit::Unit;

pub(super) fn target<'d>(unit: &Unit<'d>, entry: &Entry<'d>) -> Option<DebugInfoOffset> {
    Some(unit.type_ref(&entry.attr_value(DW_AT_type)?)?.0)
}

pub(super) fn number(entry: &Entry<'_>, at: gimli::DwAt) -> Option<u64> {
    entry.attr_value(at)?.udata_value()
}

pub(super) fn member_names<'d>(
    unit: &Unit<'d>,
    entry: &Entry<'d>,
) -> Result<Vec<String>, DwarfError> {
    let members = unit.children(entry.offset())?;
    let members = members
        .iter()
        .filter(|child| child.tag() == dw::DW_TAG_member);
    Ok(members
        .map(|member| unit.text(member, DW_AT_name).unwrap_or_default())
        .collect())
}

/// How many elements an array has in each dimension; 0 where that is not told.
pub(super) fn lengths<'d>(unit: &Unit<'d>, entry: &Entry<'d>) -> Result<Vec<u32>, DwarfError> {
    let mut lengths = Vec::new();
    for range in unit.children(entry.offset())? {
        if range.tag() == dw::DW_TAG_subrange_type {
            let count = number(&range, DW_AT_count);
            let last = || number(&range, DW_AT_upper_bound)?.checked_add(1);
            let length = count.or_else(last).and_then(|n| u32::try_from(n).ok());
            lengths.push(length.unwrap_or(0));
        }
    }
    Ok(lengths)
}

pub(super) fn enumerators<'d>(
    unit: &Unit<'d>,
    entry: &Entry<'d>,
) -> Result<Vec<(String, i64)>, DwarfError> {
    let mut values = Vec::new();
    for child in unit.children(entry.offset())? {
        if child.tag() == dw::DW_TAG_enumerator
            && let Some(value) = child.attr_value(DW_AT_const_value)
        {
            let unsigned = value.udata_value().map(u64::cast_signed);
            let name = unit.text(&child, DW_AT_name).unwrap_or_default();
            values.push((name, unsigned.or_else(|| value.sdata_value()).unwrap_or(0)));
        }
    }
    Ok(values)
}
