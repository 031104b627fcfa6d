//! The blob: header, the offset of each type, the string section.
//!
//! One pass over the type section finds where each type begins. It believes
//! only the sizes, which it checks; names and type ids are checked when used.

use std::fmt;
use std::sync::Arc;

use bstr::ByteSlice;
use thiserror::Error;

use super::TypeId;
use super::name::Names;
use super::types::{Kind, Type};

/// First two bytes of a blob, in its writer's byte order.
const MAGIC: u16 = 0xeb9f;
/// Size of `struct btf_header` before the kind layout was added to it.
const HEADER_BYTES: usize = 24;
/// Size of `struct btf_header` with `layout_off` and `layout_len` (Linux 7.1).
const HEADER_WITH_LAYOUT_BYTES: usize = 32;
/// Size of `struct btf_type`.
pub(super) const TYPE_BYTES: usize = 12;

/// Why a BTF blob, or a type in it, cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BtfError {
    /// The blob does not begin with the magic number.
    #[error("not BTF: the magic number is missing")]
    BadMagic,
    /// Written for the other byte order.
    #[error("BTF of the other byte order")]
    WrongEndian,
    /// A version other than 1.
    #[error("BTF version {0} is not known")]
    BadVersion(u8),
    /// A section or a type reaches past the end of the blob.
    #[error("BTF is cut short in {0}")]
    Truncated(&'static str),
    /// A kind that is neither known nor described by the blob's kind layout.
    #[error("BTF type {id} is of the unknown kind {kind}")]
    UnknownKind {
        /// The type's id.
        id: u32,
        /// The kind's number.
        kind: u8,
    },
    /// An id that no type has.
    #[error("BTF has no type {0}")]
    NoType(u32),
    /// A chain of typedefs and qualifiers, or of nested types, that does not end.
    #[error("BTF type {0} is nested too deeply or contains itself")]
    TooDeep(u32),
    /// A type whose size cannot be told (function, forward declaration, void).
    #[error("BTF type {0} has no size")]
    NoSize(u32),
    /// A type of another kind than expected.
    #[error("BTF type {id} is not {expected}")]
    WrongKind {
        /// The type's id.
        id: u32,
        /// What it should have been.
        expected: &'static str,
    },
    /// More types than fit 32-bit ids.
    #[error("BTF has too many types")]
    TooManyTypes,
}

/// Whatever holds the blob: a vector, a static slice, a mapping of the file.
type Bytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A parsed BTF blob.
#[derive(Clone)]
pub struct Btf {
    inner: Arc<Inner>,
}

struct Inner {
    bytes: Bytes,
    types: (usize, usize),
    strings: (usize, usize),
    /// Offset of each own type within the type section.
    offsets: Vec<u32>,
    /// The string offset of each own type's name, close together, since look-ups go through all; 0 for none.
    name_offsets: Vec<u32>,
    /// What split BTF builds on.
    base: Option<Btf>,
    /// Id of the first own type.
    first_id: u32,
    /// String offset at which the own strings begin.
    first_string: u32,
    names: Names,
}

impl fmt::Debug for Btf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Btf")
            .field("types", &self.type_count())
            .finish_non_exhaustive()
    }
}

/// Reads a little-endian `u32`, the byte order of every supported target.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(word.try_into().ok()?))
}

impl Btf {
    /// Parses a complete blob, such as `/sys/kernel/btf/vmlinux`.
    pub fn parse(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Self, BtfError> {
        Self::parse_on(Arc::new(bytes), None)
    }

    /// Parses split BTF, such as `/sys/kernel/btf/MODULE`, which continues `base`.
    pub fn parse_split(
        bytes: impl AsRef<[u8]> + Send + Sync + 'static,
        base: Self,
    ) -> Result<Self, BtfError> {
        Self::parse_on(Arc::new(bytes), Some(base))
    }

    fn parse_on(bytes: Bytes, base: Option<Self>) -> Result<Self, BtfError> {
        let blob = (*bytes).as_ref();
        let header = Header::parse(blob)?;
        let types = blob
            .get(header.types.0..header.types.1)
            .ok_or(BtfError::Truncated("types"))?;
        blob.get(header.strings.0..header.strings.1)
            .ok_or(BtfError::Truncated("strings"))?;
        let layout = blob
            .get(header.layout.0..header.layout.1)
            .unwrap_or_default();
        let (first_id, first_string) = match &base {
            None => (1, 0),
            Some(base) => (base.type_count(), base.string_end()),
        };
        let (offsets, name_offsets) = type_offsets(types, layout, first_id)?;
        Ok(Self {
            inner: Arc::new(Inner {
                types: header.types,
                strings: header.strings,
                offsets,
                name_offsets,
                base,
                first_id,
                first_string,
                names: Names::default(),
                bytes,
            }),
        })
    }

    /// Whether it is the very same blob.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// The vmlinux BTF under a module's.
    pub fn base(&self) -> Option<&Self> {
        self.inner.base.as_ref()
    }

    /// One more than the highest type id; that is, counting `void`.
    pub fn type_count(&self) -> u32 {
        // `type_offsets` has checked that the sum fits.
        self.inner.first_id + self.inner.offsets.len() as u32
    }

    /// The ids of the types of this blob, without those of its base.
    pub fn own_ids(&self) -> impl DoubleEndedIterator<Item = TypeId> + use<> {
        (self.inner.first_id..self.type_count()).map(TypeId)
    }

    /// The ids of all types of one kind of this blob, without those of its base.
    pub fn own_ids_of(&self, kind: Kind) -> impl Iterator<Item = TypeId> + '_ {
        let types = self.type_bytes();
        let wanted = kind as u32;
        self.own_ids()
            .zip(&self.inner.offsets)
            .filter_map(move |(id, &offset)| {
                let info = u32_at(types, offset as usize + 4)?;
                (kind_bits(info) == wanted).then_some(id)
            })
    }

    /// A type by its id.
    pub fn get(&self, id: TypeId) -> Result<Type<'_>, BtfError> {
        if id.is_void() {
            return Ok(Type::Void);
        }
        Type::decode(id, self.raw(id)?)
    }

    /// A type's kind, `None` for `void`, unknown ids and unknown kinds.
    pub fn kind(&self, id: TypeId) -> Option<Kind> {
        let info = u32_at(self.raw(id).ok()?, 4)?;
        Kind::from_number(kind_bits(info) as u8)
    }

    /// A type's name, empty when it has none (or one that is not valid UTF-8).
    pub fn name(&self, id: TypeId) -> &str {
        let name_offset = self.raw(id).ok().and_then(|raw| u32_at(raw, 0));
        name_offset.map_or("", |offset| self.string(offset))
    }

    /// A string by its offset, empty when the offset or the string is not valid.
    pub fn string(&self, offset: u32) -> &str {
        if let Some(base) = self.base()
            && offset < self.inner.first_string
        {
            return base.string(offset);
        }
        let at = (offset - self.inner.first_string) as usize;
        let rest = self.string_bytes().get(at..).unwrap_or_default();
        let end = rest.find_byte(0).unwrap_or(0);
        str::from_utf8(&rest[..end]).unwrap_or("")
    }

    /// The bytes from a type's header to the end of the section.
    fn raw(&self, id: TypeId) -> Result<&[u8], BtfError> {
        if id.0 < self.inner.first_id {
            return match self.base() {
                Some(base) => base.raw(id),
                None => Err(BtfError::NoType(id.0)),
            };
        }
        let index = (id.0 - self.inner.first_id) as usize;
        let offset = *self
            .inner
            .offsets
            .get(index)
            .ok_or(BtfError::NoType(id.0))?;
        self.type_bytes()
            .get(offset as usize..)
            .ok_or(BtfError::Truncated("types"))
    }

    pub(super) fn string_end(&self) -> u32 {
        let own = (self.inner.strings.1 - self.inner.strings.0) as u32;
        self.inner.first_string.saturating_add(own)
    }

    /// The own type section.
    pub(super) fn type_bytes(&self) -> &[u8] {
        let (start, end) = self.inner.types;
        (*self.inner.bytes)
            .as_ref()
            .get(start..end)
            .unwrap_or_default()
    }

    /// The own string section.
    pub(super) fn string_bytes(&self) -> &[u8] {
        let (start, end) = self.inner.strings;
        (*self.inner.bytes)
            .as_ref()
            .get(start..end)
            .unwrap_or_default()
    }

    /// The string offset of each own type's name, 0 for none. Tags have none.
    pub(super) fn name_offsets(&self) -> &[u32] {
        &self.inner.name_offsets
    }

    /// Id of the first own type and string offset of the first own string.
    pub(super) fn firsts(&self) -> (u32, u32) {
        (self.inner.first_id, self.inner.first_string)
    }

    /// What finds types by their names.
    pub(super) fn names(&self) -> &Names {
        &self.inner.names
    }
}

/// Where the sections are, as byte ranges of the blob.
struct Header {
    types: (usize, usize),
    strings: (usize, usize),
    layout: (usize, usize),
}

impl Header {
    fn parse(blob: &[u8]) -> Result<Self, BtfError> {
        let head = blob.get(..4).ok_or(BtfError::BadMagic)?;
        match u16::from_le_bytes([head[0], head[1]]) {
            MAGIC => {}
            magic if magic.swap_bytes() == MAGIC => return Err(BtfError::WrongEndian),
            _ => return Err(BtfError::BadMagic),
        }
        if head[2] != 1 {
            return Err(BtfError::BadVersion(head[2]));
        }
        let word = |at| u32_at(blob, at).ok_or(BtfError::Truncated("the header"));
        let header_bytes = word(4)? as usize;
        if header_bytes < HEADER_BYTES || header_bytes > blob.len() {
            return Err(BtfError::Truncated("the header"));
        }
        let section = |at: usize| -> Result<(usize, usize), BtfError> {
            let cut = BtfError::Truncated("the header");
            let start = header_bytes
                .checked_add(word(at)? as usize)
                .ok_or(cut.clone())?;
            Ok((start, start.checked_add(word(at + 4)? as usize).ok_or(cut)?))
        };
        let layout = if header_bytes >= HEADER_WITH_LAYOUT_BYTES {
            section(24)?
        } else {
            (0, 0)
        };
        Ok(Self {
            types: section(8)?,
            strings: section(16)?,
            layout,
        })
    }
}

/// The number of members, parameters, … of a type: 24 bits since Linux 7.1, the
/// upper eight of which were zero before.
pub(super) fn vlen_bits(info: u32) -> usize {
    (info & 0x00ff_ffff) as usize
}

/// A type's kind: 7 bits since Linux 7.1, the upper two of which were zero before.
pub(super) fn kind_bits(info: u32) -> u32 {
    info >> 24 & 0x7f
}

/// Where each type begins within the type section, and where its name is among the strings.
fn type_offsets(
    types: &[u8],
    layout: &[u8],
    first_id: u32,
) -> Result<(Vec<u32>, Vec<u32>), BtfError> {
    let cut = BtfError::Truncated("a type");
    if u32::try_from(types.len()).is_err() {
        return Err(BtfError::TooManyTypes);
    }
    // A vmlinux has about 30 bytes per type.
    let mut offsets = Vec::with_capacity(types.len() / 24);
    let mut names = Vec::with_capacity(types.len() / 24);
    let mut at = 0;
    while at < types.len() {
        let name = u32_at(types, at).ok_or(cut.clone())?;
        let info = u32_at(types, at + 4).ok_or(cut.clone())?;
        let kind = kind_bits(info) as u8;
        let vlen = vlen_bits(info);
        let (fixed, each) = match Kind::from_number(kind) {
            Some(kind) => kind.extra_bytes(),
            None => layout_bytes(layout, kind).ok_or(BtfError::UnknownKind {
                id: first_id + offsets.len() as u32,
                kind,
            })?,
        };
        let end = at + TYPE_BYTES + fixed + each * vlen;
        if end > types.len() {
            return Err(cut);
        }
        offsets.push(at as u32);
        let is_tag = kind == Kind::DeclTag as u8;
        names.push(if is_tag { 0 } else { name });
        at = end;
    }
    match first_id.checked_add(offsets.len() as u32) {
        Some(_) => Ok((offsets, names)),
        None => Err(BtfError::TooManyTypes),
    }
}

/// What the blob's kind layout says of a kind: (bytes after the header, bytes per element).
fn layout_bytes(layout: &[u8], kind: u8) -> Option<(usize, usize)> {
    let entry = layout.get(kind as usize * 4..)?;
    Some((*entry.first()? as usize, *entry.get(1)? as usize))
}
