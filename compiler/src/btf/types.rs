//! Typed views of the blob's entries. All of them borrow.

use super::TypeId;
use super::raw::{BtfError, TYPE_BYTES, u32_at, vlen_bits};

/// The kind of a BTF type, with the kernel's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "named as in the kernel's header")]
pub enum Kind {
    Int = 1,
    Ptr = 2,
    Array = 3,
    Struct = 4,
    Union = 5,
    Enum = 6,
    Fwd = 7,
    Typedef = 8,
    Volatile = 9,
    Const = 10,
    Restrict = 11,
    Func = 12,
    FuncProto = 13,
    Var = 14,
    DataSec = 15,
    Float = 16,
    DeclTag = 17,
    TypeTag = 18,
    Enum64 = 19,
}

impl Kind {
    /// The kind of a number, `None` when not known.
    pub fn from_number(number: u8) -> Option<Self> {
        use Kind::*;
        const ALL: [Kind; 19] = [
            Int, Ptr, Array, Struct, Union, Enum, Fwd, Typedef, Volatile, Const, Restrict, Func,
            FuncProto, Var, DataSec, Float, DeclTag, TypeTag, Enum64,
        ];
        ALL.get(number.checked_sub(1)? as usize).copied()
    }

    /// Bytes that follow the common header: (once, per element).
    pub(super) fn extra_bytes(self) -> (usize, usize) {
        match self {
            Self::Int | Self::Var | Self::DeclTag => (4, 0),
            Self::Array => (12, 0),
            Self::Struct | Self::Union | Self::DataSec | Self::Enum64 => (0, 12),
            Self::Enum | Self::FuncProto => (0, 8),
            // The vlen of a function is its linkage.
            Self::Func
            | Self::Ptr
            | Self::Fwd
            | Self::Typedef
            | Self::Volatile
            | Self::Const
            | Self::Restrict
            | Self::Float
            | Self::TypeTag => (0, 0),
        }
    }
}

/// One type.
#[derive(Clone, Copy, Debug)]
pub enum Type<'b> {
    /// No type, as in `void *`.
    Void,
    /// An integer, character or boolean.
    Int {
        /// Bytes it takes up.
        size: u32,
        /// Bits of value, from bit 0 unless `bit_offset` says otherwise.
        bits: u8,
        /// Where the value begins (0 in all known compilers).
        bit_offset: u8,
        /// Whether it is signed.
        signed: bool,
        /// Whether it is `bool`.
        is_bool: bool,
    },
    /// A pointer to a type.
    Ptr(TypeId),
    /// An array.
    Array {
        /// The elements' type.
        elem: TypeId,
        /// How many; 0 for a flexible array.
        len: u32,
    },
    /// A `struct`.
    Struct(Composite<'b>),
    /// A `union`.
    Union(Composite<'b>),
    /// An `enum` of 32 or 64 bits.
    Enum(Enumeration<'b>),
    /// A `struct` or `union` that is declared only.
    Fwd {
        /// Whether it is a union.
        is_union: bool,
    },
    /// A typedef, qualifier or type tag: another name for a type.
    Modifier(Modifier, TypeId),
    /// A function with its prototype.
    Func {
        /// Its `FuncProto`.
        proto: TypeId,
        /// static, global or extern.
        linkage: Linkage,
    },
    /// The type of a function.
    FuncProto(Prototype<'b>),
    /// A variable (in vmlinux: per-CPU variables).
    Var {
        /// Its type.
        ty: TypeId,
        /// static, global or extern.
        linkage: Linkage,
    },
    /// A section of variables.
    DataSec(Composite<'b>),
    /// A floating-point number.
    Float {
        /// Bytes it takes up.
        size: u32,
    },
    /// An attribute of a declaration.
    DeclTag {
        /// What is tagged.
        target: TypeId,
        /// Which member or parameter, -1 for the whole.
        component: i32,
    },
}

/// What a [`Type::Modifier`] adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in C")]
pub enum Modifier {
    Typedef,
    Const,
    Volatile,
    Restrict,
    TypeTag,
}

/// Linkage of a function or variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in C")]
pub enum Linkage {
    Static,
    Global,
    Extern,
}

impl Linkage {
    fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Static,
            1 => Self::Global,
            _ => Self::Extern,
        }
    }
}

/// A struct, union or data section: a size and elements.
#[derive(Clone, Copy, Debug)]
pub struct Composite<'b> {
    /// Size in bytes.
    pub size: u32,
    elements: &'b [u8],
    has_bit_sizes: bool,
}

/// A member of a struct or union.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Offset of its name, see [`super::Btf::string`]; 0 for an anonymous one.
    pub name_offset: u32,
    /// Its type.
    pub ty: TypeId,
    /// Offset in bits from the start of the struct.
    pub bit_offset: u32,
    /// Number of bits of a bit field, 0 for any other member.
    pub bit_size: u8,
}

/// A variable's place in its data section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionVar {
    /// The `Var`.
    pub var: TypeId,
    /// Offset in bytes within the section.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
}

impl<'b> Composite<'b> {
    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.elements.len() / 12
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// The members of a struct or union, in order.
    pub fn members(&self) -> impl ExactSizeIterator<Item = Member> + 'b {
        let has_bit_sizes = self.has_bit_sizes;
        self.elements.chunks_exact(12).map(move |element| {
            let [name_offset, ty, offset] = words(element);
            let (bit_offset, bit_size) = if has_bit_sizes {
                (offset & 0x00ff_ffff, (offset >> 24) as u8)
            } else {
                (offset, 0)
            };
            Member {
                name_offset,
                ty: TypeId(ty),
                bit_offset,
                bit_size,
            }
        })
    }

    /// The variables of a data section, in order.
    pub fn variables(&self) -> impl ExactSizeIterator<Item = SectionVar> + 'b {
        self.elements.chunks_exact(12).map(|element| {
            let [var, offset, size] = words(element);
            SectionVar {
                var: TypeId(var),
                offset,
                size,
            }
        })
    }
}

/// An enumeration.
#[derive(Clone, Copy, Debug)]
pub struct Enumeration<'b> {
    /// Size in bytes.
    pub size: u32,
    /// Whether values are signed.
    pub signed: bool,
    elements: &'b [u8],
    wide: bool,
}

/// One value of an enumeration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enumerator {
    /// Offset of its name, see [`super::Btf::string`].
    pub name_offset: u32,
    /// Its value, sign-extended when the enumeration is signed.
    pub value: i64,
}

impl<'b> Enumeration<'b> {
    /// The values, in order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = Enumerator> + 'b {
        let (wide, signed) = (self.wide, self.signed);
        self.elements
            .chunks_exact(if wide { 12 } else { 8 })
            .map(move |element| {
                let [name_offset, low, high] = words(element);
                let value = match (wide, signed) {
                    (true, _) => (u64::from(high) << 32 | u64::from(low)) as i64,
                    (false, true) => i64::from(low as i32),
                    (false, false) => i64::from(low),
                };
                Enumerator { name_offset, value }
            })
    }
}

/// The type of a function.
#[derive(Clone, Copy, Debug)]
pub struct Prototype<'b> {
    /// What it returns, `void` included.
    pub result: TypeId,
    elements: &'b [u8],
}

impl<'b> Prototype<'b> {
    /// (name offset, type) of each parameter; both are 0 for the final `...`.
    pub fn params(&self) -> impl ExactSizeIterator<Item = (u32, TypeId)> + 'b {
        self.elements.chunks_exact(8).map(|element| {
            let [name_offset, ty, _] = words(element);
            (name_offset, TypeId(ty))
        })
    }
}

/// Up to three words of an element; a missing third is 0.
fn words(element: &[u8]) -> [u32; 3] {
    [0, 4, 8].map(|at| u32_at(element, at).unwrap_or(0))
}

impl<'b> Type<'b> {
    /// Decodes the entry at the start of `raw`.
    pub(super) fn decode(id: TypeId, raw: &'b [u8]) -> Result<Self, BtfError> {
        let cut = BtfError::Truncated("a type");
        let word = |at| u32_at(raw, at).ok_or(cut.clone());
        let info = word(4)?;
        let flag = info >> 31 != 0;
        let size_or_type = word(8)?;
        let number = super::raw::kind_bits(info) as u8;
        let kind = Kind::from_number(number).ok_or(BtfError::UnknownKind {
            id: id.0,
            kind: number,
        })?;
        let (_, each) = kind.extra_bytes();
        let body = || {
            raw.get(TYPE_BYTES..TYPE_BYTES + each * vlen_bits(info))
                .ok_or(cut.clone())
        };
        let target = TypeId(size_or_type);
        let composite = || {
            Ok(Composite {
                size: size_or_type,
                elements: body()?,
                has_bit_sizes: flag,
            })
        };
        Ok(match kind {
            Kind::Int => {
                let encoding = word(12)?;
                Self::Int {
                    size: size_or_type,
                    bits: encoding as u8,
                    bit_offset: (encoding >> 16) as u8,
                    signed: encoding >> 24 & 1 != 0,
                    is_bool: encoding >> 24 & 4 != 0,
                }
            }
            Kind::Ptr => Self::Ptr(target),
            Kind::Array => Self::Array {
                elem: TypeId(word(12)?),
                len: word(20)?,
            },
            Kind::Struct => Self::Struct(composite()?),
            Kind::Union => Self::Union(composite()?),
            Kind::DataSec => Self::DataSec(composite()?),
            Kind::Enum | Kind::Enum64 => {
                let (elements, wide) = (body()?, kind == Kind::Enum64);
                let mut all = Enumeration {
                    size: size_or_type,
                    signed: flag,
                    elements,
                    wide,
                };
                // Before the kind flag meant "signed" (Linux 6.0) nothing but a value like
                // that of an error number told so.
                if !wide && !flag {
                    all.signed = all.values().any(|v| (-4096..0).contains(&(v.value as i32)));
                }
                Self::Enum(all)
            }
            Kind::Fwd => Self::Fwd { is_union: flag },
            Kind::Typedef => Self::Modifier(Modifier::Typedef, target),
            Kind::Const => Self::Modifier(Modifier::Const, target),
            Kind::Volatile => Self::Modifier(Modifier::Volatile, target),
            Kind::Restrict => Self::Modifier(Modifier::Restrict, target),
            Kind::TypeTag => Self::Modifier(Modifier::TypeTag, target),
            Kind::Func => Self::Func {
                proto: target,
                linkage: Linkage::from_number(info & 0xffff),
            },
            Kind::FuncProto => Self::FuncProto(Prototype {
                result: target,
                elements: body()?,
            }),
            Kind::Var => Self::Var {
                ty: target,
                linkage: Linkage::from_number(word(12)?),
            },
            Kind::Float => Self::Float { size: size_or_type },
            Kind::DeclTag => Self::DeclTag {
                target,
                component: word(12)? as i32,
            },
        })
    }
}
