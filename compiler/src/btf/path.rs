//! Field paths: `->f_path.dentry->d_name.name`, `->arr[3]` and `[i]` resolved over BTF.
//!
//! In: the type at an address and a list of [`Step`]s. Out: one [`Hop`] per memory
//! access. All hops but the last load a pointer that the next one starts from; the
//! last says what lies at the end. Within a hop embedded structs, anonymous members
//! and arrays only add to the offset.
//!
//! Each hop carries the CO-RE access string and root type beside the offset of this
//! kernel, so that the back end can emit a relocation.

use thiserror::Error;

use super::{Btf, BtfError, Type, TypeId};

/// One step of a path as written in the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// `->name` or `.name`: a member, dereferencing a pointer first.
    Field(&'a str),
    /// `[3]`: an element of an array, or of what a pointer points to.
    Index(i64),
    /// `[expr]`: the same with an index known at run time only.
    DynamicIndex,
}

/// One memory access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The type at the start address: the root type of the CO-RE relocation.
    pub root: TypeId,
    /// CO-RE access string, for example `0:1:3`.
    pub access: String,
    /// Bytes from the start address to the place, on this kernel; for a bit field
    /// to the word of [`Place::size`] bytes that holds it.
    pub offset: i64,
    /// Indexes to be added at run time.
    pub dynamic: Vec<DynamicIndex>,
    /// What lies there.
    pub place: Place,
}

impl Hop {
    /// Whether the offset may differ between kernels: whether a member is accessed.
    pub fn needs_relocation(&self) -> bool {
        self.access.contains(':')
    }
}

/// An index that is known at run time only: adds `value * stride` to the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DynamicIndex {
    /// Which step of the path it is.
    pub step: usize,
    /// Bytes per element.
    pub stride: u64,
    /// Number of elements where that is known and not 0.
    pub len: Option<u32>,
}

/// What lies at the end of a hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its type as declared, typedefs and qualifiers included.
    pub ty: TypeId,
    /// What it is once these are stripped.
    pub kind: PlaceKind,
    /// Bytes to load; for an aggregate its size, 0 where unknown.
    pub size: u64,
    /// For a bit field: (bits to shift right, bits that remain) of the loaded word.
    pub bits: Option<(u8, u8)>,
}

/// The shape of a [`Place`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceKind {
    /// An integer, character or boolean.
    Integer {
        /// Whether to sign-extend.
        signed: bool,
    },
    /// An enumeration.
    Enum {
        /// Whether to sign-extend.
        signed: bool,
    },
    /// A floating-point number.
    Float,
    /// A pointer to the type.
    Pointer(TypeId),
    /// A struct or union that is embedded here.
    Composite,
    /// An array of characters: a string.
    CharArray {
        /// Bytes, 0 for a flexible array.
        len: u32,
    },
    /// Any other array.
    Array {
        /// The elements' type.
        elem: TypeId,
        /// How many, 0 for a flexible array.
        len: u32,
    },
    /// Something without a value: void, a function, a type that is declared only.
    Opaque,
}

/// Why a path cannot be resolved.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PathError {
    /// The struct has no such member.
    #[error("{ty} has no member '{name}'")]
    NoMember {
        /// Index of the step at fault.
        step: usize,
        /// The struct, as C spells it.
        ty: String,
        /// The name that was sought.
        name: String,
        /// The names there are.
        members: Vec<String>,
    },
    /// A member of something that has none.
    #[error("{ty} is not a struct or union")]
    NotAStruct {
        /// Index of the step at fault.
        step: usize,
        /// The type, as C spells it.
        ty: String,
    },
    /// A struct of which only the name is known.
    #[error("{ty} is only declared, its members are not known")]
    Incomplete {
        /// Index of the step at fault.
        step: usize,
        /// The type, as C spells it.
        ty: String,
    },
    /// An element of something that is neither array nor pointer.
    #[error("{ty} is neither an array nor a pointer")]
    NotIndexable {
        /// Index of the step at fault.
        step: usize,
        /// The type, as C spells it.
        ty: String,
    },
    /// A constant index outside the array.
    #[error("index {index} is outside {ty}")]
    OutOfRange {
        /// Index of the step at fault.
        step: usize,
        /// The array, as C spells it.
        ty: String,
        /// The index.
        index: i64,
    },
    /// The BTF itself is malformed.
    #[error(transparent)]
    Btf(#[from] BtfError),
}

/// Resolves a path from an object of type `root` that lies at a known address.
///
/// For a variable that holds a pointer, `root` is [`Btf::pointee`] of its type. Without
/// steps the result is one hop that describes the object itself.
pub fn resolve_path(btf: &Btf, root: TypeId, steps: &[Step<'_>]) -> Result<Vec<Hop>, PathError> {
    let mut cx = Cx::start(btf, root)?;
    for (index, step) in steps.iter().enumerate() {
        cx.step(index, *step)?;
    }
    cx.close_hop();
    Ok(cx.hops)
}

/// Describes a value of a type, such as a parameter or a function's result.
pub fn place(btf: &Btf, ty: TypeId) -> Result<Place, BtfError> {
    let (stripped, resolved) = btf.get_stripped(ty)?;
    let kind = match resolved {
        Type::Int { signed, .. } => PlaceKind::Integer { signed },
        Type::Enum(all) => PlaceKind::Enum { signed: all.signed },
        Type::Float { .. } => PlaceKind::Float,
        Type::Ptr(to) => PlaceKind::Pointer(to),
        Type::Struct(_) | Type::Union(_) => PlaceKind::Composite,
        Type::Array { elem, len } if btf.is_char(elem) => PlaceKind::CharArray { len },
        Type::Array { elem, len } => PlaceKind::Array { elem, len },
        Type::Fwd { .. } if btf.complete(stripped)? != stripped => PlaceKind::Composite,
        Type::Void
        | Type::Fwd { .. }
        | Type::Func { .. }
        | Type::FuncProto(_)
        | Type::Var { .. }
        | Type::DataSec(_)
        | Type::DeclTag { .. }
        | Type::Modifier(..) => PlaceKind::Opaque,
    };
    let size = match kind {
        PlaceKind::Opaque => 0,
        _ => btf.size_of(btf.complete(stripped)?)?,
    };
    Ok(Place {
        ty,
        kind,
        size,
        bits: None,
    })
}

/// The hop being built.
struct Cx<'b> {
    btf: &'b Btf,
    hops: Vec<Hop>,
    root: TypeId,
    indexes: Vec<i64>,
    bit_offset: i64,
    dynamic: Vec<DynamicIndex>,
    place: Place,
}

impl<'b> Cx<'b> {
    fn start(btf: &'b Btf, root: TypeId) -> Result<Self, BtfError> {
        let place = place(btf, root)?;
        // CO-RE finds the root on another kernel by its name: that of the struct, or
        // of the typedef of an anonymous one.
        let mut named = btf.complete(root)?;
        if btf.name(named).is_empty() {
            named = btf.innermost_typedef(root).unwrap_or(named);
        }
        Ok(Self {
            btf,
            hops: Vec::new(),
            root: named,
            indexes: vec![0],
            bit_offset: 0,
            dynamic: Vec::new(),
            place,
        })
    }

    fn step(&mut self, at: usize, step: Step<'_>) -> Result<(), PathError> {
        if let Step::Field(name) = step {
            if let PlaceKind::Pointer(to) = self.place.kind {
                self.follow(to, 0)?;
            }
            return self.field(at, name);
        }
        let index = if let Step::Index(index) = step {
            Some(index)
        } else {
            None
        };
        match self.place.kind {
            PlaceKind::Pointer(to) => {
                let stride = self.stride(at, to)?;
                self.follow(to, index.unwrap_or(0))?;
                self.add_index(at, index, stride, 0)?;
            }
            PlaceKind::Array { .. } | PlaceKind::CharArray { .. } => {
                let (array, Type::Array { elem, len }) = self.btf.get_stripped(self.place.ty)?
                else {
                    return Err(BtfError::WrongKind {
                        id: self.place.ty.0,
                        expected: "an array",
                    }
                    .into());
                };
                if index.is_some_and(|i| i < 0 || len != 0 && i >= i64::from(len)) {
                    let ty = self.btf.c_name(array);
                    return Err(PathError::OutOfRange {
                        step: at,
                        ty,
                        index: index.unwrap_or(0),
                    });
                }
                let stride = self.stride(at, elem)?;
                self.indexes.push(index.unwrap_or(0));
                self.add_index(at, index, stride, len)?;
                self.place = place(self.btf, elem)?;
            }
            _ => {
                return Err(PathError::NotIndexable {
                    step: at,
                    ty: self.btf.c_name(self.place.ty),
                });
            }
        }
        Ok(())
    }

    /// Ends the hop at the pointer it has reached and begins the next at its target.
    fn follow(&mut self, to: TypeId, first_index: i64) -> Result<(), BtfError> {
        let next = Self::start(self.btf, to)?;
        self.close_hop();
        let hops = std::mem::take(&mut self.hops);
        *self = Self {
            hops,
            indexes: vec![first_index],
            ..next
        };
        Ok(())
    }

    fn stride(&self, at: usize, elem: TypeId) -> Result<u64, PathError> {
        let elem = self.btf.complete(elem)?;
        // Arithmetic on `void *` counts bytes, as gcc does.
        if elem.is_void() {
            return Ok(1);
        }
        self.btf.size_of(elem).map_err(|error| match error {
            BtfError::NoSize(_) => PathError::Incomplete {
                step: at,
                ty: self.btf.c_name(elem),
            },
            other => other.into(),
        })
    }

    fn add_index(
        &mut self,
        step: usize,
        index: Option<i64>,
        stride: u64,
        len: u32,
    ) -> Result<(), BtfError> {
        match index {
            None => self.dynamic.push(DynamicIndex {
                step,
                stride,
                len: (len != 0).then_some(len),
            }),
            Some(index) => {
                let bits = i64::try_from(stride)
                    .ok()
                    .and_then(|stride| index.checked_mul(stride)?.checked_mul(8))
                    .and_then(|bits| self.bit_offset.checked_add(bits));
                self.bit_offset = bits.ok_or(BtfError::TooDeep(self.root.0))?;
            }
        }
        Ok(())
    }

    fn field(&mut self, step: usize, name: &str) -> Result<(), PathError> {
        let btf = self.btf;
        let ty = btf.complete(self.place.ty)?;
        match self.place.kind {
            PlaceKind::Composite => {}
            PlaceKind::Opaque if matches!(btf.get(ty)?, Type::Fwd { .. }) => {
                return Err(PathError::Incomplete {
                    step,
                    ty: btf.c_name(ty),
                });
            }
            _ => {
                return Err(PathError::NotAStruct {
                    step,
                    ty: btf.c_name(ty),
                });
            }
        }
        let Some(found) = btf.find_member(ty, name)? else {
            let members = btf
                .member_names(ty)?
                .into_iter()
                .map(str::to_owned)
                .collect();
            return Err(PathError::NoMember {
                step,
                ty: btf.c_name(ty),
                name: name.into(),
                members,
            });
        };
        self.indexes
            .extend(found.indexes.iter().map(|&i| i64::from(i)));
        self.bit_offset = self
            .bit_offset
            .checked_add(i64::from(found.member.bit_offset))
            .ok_or(BtfError::TooDeep(ty.0))?;
        self.place = place(btf, found.member.ty)?;
        self.bit_field(found.member.bit_size)?;
        Ok(())
    }

    /// Turns the place into a bit field of its type, if it is one.
    fn bit_field(&mut self, bit_size: u8) -> Result<(), BtfError> {
        let mut bit_size = bit_size;
        // The older encoding hides the width in a type of its own.
        if bit_size == 0
            && let (
                _,
                Type::Int {
                    size,
                    bits,
                    bit_offset,
                    ..
                },
            ) = self.btf.get_stripped(self.place.ty)?
            && u32::from(bits) < size.saturating_mul(8)
        {
            bit_size = bits;
            self.bit_offset = self.bit_offset.saturating_add(i64::from(bit_offset));
        }
        if bit_size == 0 {
            return Ok(());
        }
        // As libbpf does: the narrowest aligned word that holds all the bits.
        let mut size = self.place.size.clamp(1, 8) as i64;
        loop {
            let start = self.bit_offset.div_euclid(size * 8) * size * 8;
            let shift = self.bit_offset - start;
            if shift + i64::from(bit_size) <= size * 8 {
                self.bit_offset = start;
                self.place.size = size as u64;
                self.place.bits = Some((shift as u8, bit_size));
                return Ok(());
            }
            if size >= 8 {
                return Err(BtfError::WrongKind {
                    id: self.place.ty.0,
                    expected: "a bit field",
                });
            }
            size *= 2;
        }
    }

    fn close_hop(&mut self) {
        let access: Vec<String> = self.indexes.iter().map(i64::to_string).collect();
        self.hops.push(Hop {
            root: self.root,
            access: access.join(":"),
            offset: self.bit_offset.div_euclid(8),
            dynamic: std::mem::take(&mut self.dynamic),
            place: self.place.clone(),
        });
    }
}
