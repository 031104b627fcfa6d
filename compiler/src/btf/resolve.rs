//! Walks over types: stripping qualifiers, sizes, members through anonymous
//! structs, completing forward declarations. Every walk has a bound.

use super::{Btf, BtfError, Composite, Kind, Member, Modifier, Type, TypeId};

/// Longest chain of typedefs and qualifiers; the kernel's own limit.
pub const MAX_CHAIN: usize = 32;
/// Deepest nesting of anonymous members or array dimensions.
pub const MAX_NESTING: usize = 16;
/// Most members looked at by one search, anonymous ones included.
const MAX_SEARCHED_MEMBERS: usize = 1 << 18;

/// A member that was found by name, perhaps inside anonymous members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundMember {
    /// The member itself; its `bit_offset` counts from the outermost struct.
    pub member: Member,
    /// Member indexes from the outermost struct inwards (CO-RE access string).
    pub indexes: Vec<u32>,
}

impl Btf {
    /// Follows typedefs, qualifiers and type tags to the type they stand for.
    pub fn strip(&self, id: TypeId) -> Result<TypeId, BtfError> {
        let mut at = id;
        for _ in 0..MAX_CHAIN {
            match self.get(at)? {
                Type::Modifier(_, inner) => at = inner,
                _ => return Ok(at),
            }
        }
        Err(BtfError::TooDeep(id.0))
    }

    /// [`Self::strip`], then the type itself.
    pub fn get_stripped(&self, id: TypeId) -> Result<(TypeId, Type<'_>), BtfError> {
        let id = self.strip(id)?;
        Ok((id, self.get(id)?))
    }

    /// A type that is a pointer to this one, typedefs and qualifiers aside; `None` if nothing described has such.
    pub fn pointer_to(&self, id: TypeId) -> Option<TypeId> {
        let wanted = self.strip(id).ok()?;
        let points = |pointer: &TypeId| match self.get(*pointer) {
            Ok(Type::Ptr(to)) => to == id || self.strip(to).ok() == Some(wanted),
            _ => false,
        };
        let own = self.own_ids_of(Kind::Ptr).find(points);
        own.or_else(|| {
            let is_bases = self.own_ids().next().is_some_and(|first| id < first);
            self.base().filter(|_| is_bases)?.pointer_to(id)
        })
    }

    /// What a pointer points to, `None` for any other type.
    pub fn pointee(&self, id: TypeId) -> Option<TypeId> {
        match self.get_stripped(id).ok()?.1 {
            Type::Ptr(to) => Some(to),
            _ => None,
        }
    }

    /// The definition of a struct or union that is only declared, the type itself otherwise.
    pub fn complete(&self, id: TypeId) -> Result<TypeId, BtfError> {
        let id = self.strip(id)?;
        let Type::Fwd { is_union } = self.get(id)? else {
            return Ok(id);
        };
        let kind = if is_union { Kind::Union } else { Kind::Struct };
        Ok(self.find(kind, self.name(id)).unwrap_or(id))
    }

    /// Size in bytes.
    pub fn size_of(&self, id: TypeId) -> Result<u64, BtfError> {
        let mut at = id;
        let mut factor = 1u64;
        for _ in 0..MAX_NESTING {
            let (inner, ty) = self.get_stripped(at)?;
            let size = match ty {
                Type::Int { size, .. } | Type::Float { size } => u64::from(size),
                Type::Ptr(_) => 8,
                Type::Struct(s) | Type::Union(s) | Type::DataSec(s) => u64::from(s.size),
                Type::Enum(e) => u64::from(e.size),
                Type::Var { ty, .. } => {
                    at = ty;
                    continue;
                }
                Type::Array { elem, len } => {
                    factor = factor
                        .checked_mul(u64::from(len))
                        .ok_or(BtfError::TooDeep(id.0))?;
                    at = elem;
                    continue;
                }
                Type::Void
                | Type::Fwd { .. }
                | Type::Func { .. }
                | Type::FuncProto(_)
                | Type::DeclTag { .. }
                | Type::Modifier(..) => return Err(BtfError::NoSize(inner.0)),
            };
            return factor.checked_mul(size).ok_or(BtfError::TooDeep(id.0));
        }
        Err(BtfError::TooDeep(id.0))
    }

    /// The elements of a struct or union (qualifiers and forward declarations resolved).
    pub fn composite(&self, id: TypeId) -> Result<(TypeId, Composite<'_>), BtfError> {
        let id = self.complete(id)?;
        match self.get(id)? {
            Type::Struct(all) | Type::Union(all) => Ok((id, all)),
            _ => Err(BtfError::WrongKind {
                id: id.0,
                expected: "a struct or union",
            }),
        }
    }

    /// A member by name, also inside anonymous structs and unions.
    pub fn find_member(&self, id: TypeId, name: &str) -> Result<Option<FoundMember>, BtfError> {
        let mut found = None;
        self.visit_members(id, &mut |member, indexes| {
            let hit = self.string(member.name_offset) == name;
            if hit {
                found = Some(FoundMember {
                    member,
                    indexes: indexes.to_vec(),
                });
            }
            hit
        })?;
        Ok(found)
    }

    /// The names of all members, those of anonymous structs and unions included.
    pub fn member_names(&self, id: TypeId) -> Result<Vec<&str>, BtfError> {
        let mut names = Vec::new();
        self.visit_members(id, &mut |member, _| {
            names.push(self.string(member.name_offset));
            false
        })?;
        Ok(names)
    }

    /// Calls `visit` for each named member, depth first, until it returns true.
    fn visit_members(
        &self,
        id: TypeId,
        visit: &mut dyn FnMut(Member, &[u32]) -> bool,
    ) -> Result<(), BtfError> {
        let mut walk = Walk {
            btf: self,
            fuel: MAX_SEARCHED_MEMBERS,
            indexes: Vec::new(),
            visit,
        };
        let (id, all) = self.composite(id)?;
        walk.run(id, all, 0)?;
        Ok(())
    }

    /// Whether the type is a character: `char`, `signed char`, and `unsigned char` where it is spelt so: `u8` is a number.
    pub fn is_char(&self, id: TypeId) -> bool {
        let Ok((
            stripped,
            Type::Int {
                size: 1,
                is_bool: false,
                ..
            },
        )) = self.get_stripped(id)
        else {
            return false;
        };
        match self.name(stripped) {
            "char" | "signed char" => true,
            "unsigned char" => self.unqualified(id) == Some(stripped),
            _ => false,
        }
    }

    /// The type without qualifiers, typedefs left as they are.
    fn unqualified(&self, id: TypeId) -> Option<TypeId> {
        let mut at = id;
        for _ in 0..MAX_CHAIN {
            match self.get(at).ok()? {
                Type::Modifier(kind, inner) if kind != Modifier::Typedef => at = inner,
                _ => return Some(at),
            }
        }
        None
    }

    /// Whether the type is a pointer to characters that are not spelt `u8`.
    pub fn is_char_pointer(&self, id: TypeId) -> bool {
        self.pointee(id).is_some_and(|to| self.is_char(to))
    }

    /// The name of an enumerator's value, searching all enumerations of the blob and its base.
    pub fn find_enumerator(&self, name: &str) -> Option<i64> {
        let own = self
            .own_ids_of(Kind::Enum)
            .chain(self.own_ids_of(Kind::Enum64))
            .filter_map(|id| match self.get(id) {
                Ok(Type::Enum(all)) => Some(all),
                _ => None,
            })
            .find_map(|all| all.values().find(|v| self.string(v.name_offset) == name));
        match own {
            Some(value) => Some(value.value),
            None => self.base()?.find_enumerator(name),
        }
    }

    /// The names of all enumerators, the base's among them.
    pub fn all_enumerators(&self) -> Vec<&str> {
        let mut names = self.base().map(Btf::all_enumerators).unwrap_or_default();
        for id in self
            .own_ids_of(Kind::Enum)
            .chain(self.own_ids_of(Kind::Enum64))
        {
            if let Ok(Type::Enum(all)) = self.get(id) {
                names.extend(all.values().map(|v| self.string(v.name_offset)));
            }
        }
        names
    }

    /// Names and values of an enumeration; empty if it is none.
    pub fn enumerators(&self, id: TypeId) -> Vec<(String, i64)> {
        match self.get_stripped(id) {
            Ok((_, Type::Enum(all))) => all
                .values()
                .map(|v| (self.string(v.name_offset).to_owned(), v.value))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// A variable of a data section (in vmlinux: a per-CPU variable) and its type.
    pub fn find_var(&self, name: &str) -> Option<(TypeId, TypeId)> {
        let id = self.find(Kind::Var, name)?;
        match self.get(id) {
            Ok(Type::Var { ty, .. }) => Some((id, ty)),
            _ => None,
        }
    }

    /// Whether a variable is per-CPU: whether the section `.data..percpu` lists it. BTF without it, which is an
    /// extract of a kernel's, has no other variables.
    pub fn is_per_cpu(&self, var: TypeId) -> bool {
        self.find(Kind::DataSec, ".data..percpu")
            .is_none_or(|section| {
                matches!(self.get(section),
                Ok(Type::DataSec(all)) if all.variables().any(|entry| entry.var == var))
            })
    }

    /// The outermost typedef name of a type, when it has one.
    pub fn typedef_name(&self, id: TypeId) -> Option<&str> {
        self.typedefs(id).next().map(|id| self.name(id))
    }

    /// The last typedef on the way to what a type stands for, when there is one.
    pub fn innermost_typedef(&self, id: TypeId) -> Option<TypeId> {
        self.typedefs(id).last()
    }

    /// The typedefs on the way to what a type stands for, outermost first.
    fn typedefs(&self, id: TypeId) -> impl Iterator<Item = TypeId> + '_ {
        let chain = std::iter::successors(Some(id), |&at| match self.get(at) {
            Ok(Type::Modifier(_, inner)) => Some(inner),
            _ => None,
        });
        chain
            .take(MAX_CHAIN)
            .filter(|&at| matches!(self.get(at), Ok(Type::Modifier(Modifier::Typedef, _))))
    }
}

/// State of one walk over members.
struct Walk<'b, 'v> {
    btf: &'b Btf,
    fuel: usize,
    indexes: Vec<u32>,
    visit: &'v mut dyn FnMut(Member, &[u32]) -> bool,
}

impl<'b> Walk<'b, '_> {
    /// Returns whether the visitor has had enough.
    fn run(&mut self, id: TypeId, all: Composite<'b>, base_bits: u32) -> Result<bool, BtfError> {
        if self.indexes.len() >= MAX_NESTING {
            return Err(BtfError::TooDeep(id.0));
        }
        for (index, mut member) in all.members().enumerate() {
            self.fuel = self.fuel.checked_sub(1).ok_or(BtfError::TooDeep(id.0))?;
            member.bit_offset = base_bits
                .checked_add(member.bit_offset)
                .ok_or(BtfError::TooDeep(id.0))?;
            self.indexes.push(index as u32);
            let enough = if member.name_offset != 0 {
                (self.visit)(member, &self.indexes)
            } else {
                match self.btf.composite(member.ty) {
                    Ok((inner, all)) => self.run(inner, all, member.bit_offset)?,
                    // An anonymous bit field is padding.
                    Err(_) => false,
                }
            };
            self.indexes.pop();
            if enough {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
