//! What type of C a value has.

use std::rc::Rc;

use super::{Words, btf_of};
use crate::btf::{Btf, TypeId};
use crate::dwarf::{DebugInfo, TypeRef};
use crate::target::Target;

/// The C type of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CType {
    /// None is known: a 64-bit number.
    Long,
    /// A value of this BTF type.
    Value(BtfType),
    /// The value is the address of an object of this BTF type (`@cast`).
    Object(BtfType),
    /// The value is the offset of an object of this BTF type in words that are in no memory.
    Held(BtfType, Words),
}

/// A type in the kernel's BTF, a module's, or made of debug information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BtfType {
    /// The module; `None` for vmlinux.
    pub module: Option<Rc<str>>,
    /// Types that the BTF does not have, on top of it.
    pub made: Option<MadeTypes>,
    /// The type.
    pub id: TypeId,
}

/// Types that were made of debug information.
#[derive(Clone, Debug)]
pub struct MadeTypes(pub Btf);

impl PartialEq for MadeTypes {
    fn eq(&self, other: &Self) -> bool {
        self.0.is_same(&other.0)
    }
}

impl Eq for MadeTypes {}

impl BtfType {
    /// One in the BTF of the kernel or a module.
    pub fn of(module: Option<Rc<str>>, id: TypeId) -> Self {
        Self {
            module,
            made: None,
            id,
        }
    }

    /// One of debug information; `None` where that is damaged.
    pub fn described(
        info: &DebugInfo,
        ty: Option<TypeRef>,
        target: &dyn Target,
        module: Option<Rc<str>>,
    ) -> Option<Self> {
        let base = btf_of(target, module.as_deref()).ok();
        let described = info.describe(ty, base.as_ref()).ok()?;
        Some(Self {
            module,
            made: described.made.map(MadeTypes),
            id: described.id,
        })
    }

    /// The same type's neighbour.
    pub(super) fn other(&self, id: TypeId) -> Self {
        Self { id, ..self.clone() }
    }

    /// Whether the BTF of the kernel or module has a type of these.
    pub(super) fn is_in_btf(&self, id: TypeId) -> bool {
        let first_made = self.made.as_ref().and_then(|made| made.0.own_ids().next());
        first_made.is_none_or(|first| id < first)
    }
}
