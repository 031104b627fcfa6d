//! Cuts a BTF down to what some roots need: for committed fixtures and for images.
//!
//! Roots and whatever they contain by value are kept whole. Structs and unions
//! that are reached through pointers only become forward declarations, unless they
//! are roots themselves. The result does not depend on the order of the roots.

use std::collections::{BTreeMap, BTreeSet};

use super::build::NewMember;
use super::{Btf, BtfBuilder, BtfError, Kind, Modifier, Type, TypeId};

/// The blob that holds `roots` and what they need, with new ids.
pub fn extract(btf: &Btf, roots: &[TypeId]) -> Result<Vec<u8>, BtfError> {
    let mut out = BtfBuilder::new();
    extract_into(btf, roots, &mut out)?;
    Ok(out.finish())
}

/// Adds `roots` and what they need to a blob under construction; gives the new ids.
pub fn extract_into(
    btf: &Btf,
    roots: &[TypeId],
    out: &mut BtfBuilder,
) -> Result<BTreeMap<TypeId, TypeId>, BtfError> {
    let mut reached = Reached::default();
    let mut pending: Vec<(TypeId, bool)> = roots.iter().map(|&id| (id, true)).collect();
    while let Some((id, by_value)) = pending.pop() {
        if id.is_void() || !reached.seen.insert((id, by_value)) {
            continue;
        }
        reached.visit(btf, id, by_value, &mut pending)?;
    }
    let ids: BTreeSet<TypeId> = reached.seen.iter().map(|&(id, _)| id).collect();
    let renumbered: BTreeMap<TypeId, TypeId> = ids
        .iter()
        .zip(out.next_id().0..)
        .map(|(&id, new)| (id, TypeId(new)))
        .collect();
    for &id in &ids {
        let whole = reached.whole.contains(&id);
        write(
            btf,
            id,
            whole,
            &|id| renumbered.get(&id).copied().unwrap_or(TypeId::VOID),
            out,
        )?;
    }
    Ok(renumbered)
}

#[derive(Default)]
struct Reached {
    /// Types with how they were reached: by value or through a pointer.
    seen: BTreeSet<(TypeId, bool)>,
    /// Structs and unions that keep their members.
    whole: BTreeSet<TypeId>,
}

impl Reached {
    fn visit(
        &mut self,
        btf: &Btf,
        id: TypeId,
        by_value: bool,
        pending: &mut Vec<(TypeId, bool)>,
    ) -> Result<(), BtfError> {
        match btf.get(id)? {
            Type::Struct(all) | Type::Union(all) => {
                if by_value || btf.name(id).is_empty() {
                    self.whole.insert(id);
                    pending.extend(all.members().map(|m| (m.ty, true)));
                }
            }
            Type::DataSec(all) => pending.extend(all.variables().map(|v| (v.var, true))),
            Type::Ptr(to) => pending.push((to, false)),
            Type::Modifier(_, to) => pending.push((to, by_value)),
            Type::Array { elem, .. } => {
                pending.push((elem, by_value));
                pending.extend(index_type(btf).map(|index| (index, true)));
            }
            Type::FuncProto(proto) => {
                pending.push((proto.result, by_value));
                pending.extend(proto.params().map(|(_, ty)| (ty, by_value)));
            }
            Type::Func { proto, .. } => pending.push((proto, true)),
            Type::Var { ty, .. } => pending.push((ty, true)),
            Type::DeclTag { target, .. } => pending.push((target, by_value)),
            Type::Void
            | Type::Int { .. }
            | Type::Enum(_)
            | Type::Fwd { .. }
            | Type::Float { .. } => {}
        }
        Ok(())
    }
}

/// The type that arrays are given as the type of their index.
fn index_type(btf: &Btf) -> Option<TypeId> {
    btf.find(Kind::Int, "unsigned int")
        .or_else(|| btf.find(Kind::Int, "int"))
}

fn write(
    btf: &Btf,
    id: TypeId,
    whole: bool,
    renumber: &dyn Fn(TypeId) -> TypeId,
    out: &mut BtfBuilder,
) -> Result<(), BtfError> {
    let name = btf.name(id);
    let kind = btf.kind(id).ok_or(BtfError::NoType(id.0))?;
    match btf.get(id)? {
        Type::Void => TypeId::VOID,
        Type::Int {
            size,
            bits,
            signed,
            is_bool,
            ..
        } => out.int(name, size, bits, u8::from(signed) | u8::from(is_bool) << 2),
        Type::Float { size } => out.float(name, size),
        Type::Ptr(to) => out.ptr(renumber(to)),
        Type::Array { elem, len } => {
            let index = index_type(btf).map_or(renumber(elem), renumber);
            out.array(renumber(elem), index, len)
        }
        Type::Struct(_) | Type::Union(_) if !whole => out.forward(name, kind == Kind::Union),
        Type::Struct(all) | Type::Union(all) => {
            let members: Vec<NewMember<'_>> = all
                .members()
                .map(|m| {
                    (
                        btf.string(m.name_offset),
                        renumber(m.ty),
                        m.bit_offset,
                        m.bit_size,
                    )
                })
                .collect();
            out.composite(kind, name, all.size, &members)
        }
        Type::Fwd { is_union } => out.forward(name, is_union),
        Type::Enum(all) => {
            let values: Vec<(&str, i64)> = all
                .values()
                .map(|v| (btf.string(v.name_offset), v.value))
                .collect();
            out.enumeration(name, all.size, all.signed, kind == Kind::Enum64, &values)
        }
        Type::Modifier(Modifier::Typedef | Modifier::TypeTag, to) => {
            out.modifier(kind, name, renumber(to))
        }
        Type::Modifier(_, to) => out.modifier(kind, "", renumber(to)),
        Type::FuncProto(proto) => {
            let params: Vec<(&str, TypeId)> = proto
                .params()
                .map(|(name, ty)| (btf.string(name), renumber(ty)))
                .collect();
            out.func_proto(renumber(proto.result), &params)
        }
        Type::Func { proto, linkage } => out.func(name, renumber(proto), linkage),
        Type::Var { ty, linkage } => out.var(name, renumber(ty), linkage),
        Type::DataSec(all) => {
            let variables: Vec<_> = all
                .variables()
                .map(|v| (renumber(v.var), v.offset, v.size))
                .collect();
            out.data_section(name, all.size, &variables)
        }
        Type::DeclTag { target, component } => out.decl_tag(name, renumber(target), component),
    };
    Ok(())
}
