//! Writes BTF: for images, fixtures and tests.
//!
//! Types get ids in the order in which they are added, from 1; strings are shared.

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::{Btf, Kind, Linkage, TypeId};

/// Collects types and strings, then gives the blob.
#[derive(Clone, Debug)]
pub struct BtfBuilder {
    types: Vec<u8>,
    strings: Vec<u8>,
    string_offsets: IndexMap<String, u32, FxBuildHasher>,
    count: u32,
    /// Where the strings begin: behind those of the BTF that this is on top of.
    first_string: u32,
}

/// A member to be written: name (empty: anonymous), type, offset in bits, width of a bit field or 0.
pub type NewMember<'a> = (&'a str, TypeId, u32, u8);

impl Default for BtfBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BtfBuilder {
    /// An empty blob.
    pub fn new() -> Self {
        Self {
            types: Vec::new(),
            strings: vec![0],
            string_offsets: IndexMap::default(),
            count: 0,
            first_string: 0,
        }
    }

    /// One on top of another BTF, whose types it may refer to: to be read with [`super::Btf::parse_split`].
    pub fn on(base: &Btf) -> Self {
        Self {
            strings: Vec::new(),
            count: base.type_count() - 1,
            first_string: base.string_end(),
            ..Self::new()
        }
    }

    /// The offset of a string, adding it when it is new. The empty string is 0.
    pub fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        if let Some(&offset) = self.string_offsets.get(text) {
            return offset;
        }
        let offset = self.first_string + self.strings.len() as u32;
        // A name with a zero byte cannot be represented; it ends there.
        self.strings.extend(text.bytes().take_while(|&b| b != 0));
        self.strings.push(0);
        self.string_offsets.insert(text.to_owned(), offset);
        offset
    }

    /// The id that the next added type will get.
    pub fn next_id(&self) -> TypeId {
        TypeId(self.count + 1)
    }

    fn word(&mut self, word: u32) {
        self.types.extend(word.to_le_bytes());
    }

    /// Adds a type's common header.
    fn head(
        &mut self,
        name: &str,
        kind: Kind,
        flag: bool,
        vlen: usize,
        size_or_type: u32,
    ) -> TypeId {
        let name = self.string(name);
        self.word(name);
        self.word(u32::from(flag) << 31 | (kind as u32) << 24 | vlen as u32 & 0x00ff_ffff);
        self.word(size_or_type);
        self.count += 1;
        TypeId(self.count)
    }

    /// An integer; `encoding` is the kernel's: 1 signed, 2 char, 4 bool.
    pub fn int(&mut self, name: &str, size_bytes: u32, bits: u8, encoding: u8) -> TypeId {
        let id = self.head(name, Kind::Int, false, 0, size_bytes);
        self.word(u32::from(encoding) << 24 | u32::from(bits));
        id
    }

    /// A floating-point number.
    pub fn float(&mut self, name: &str, size_bytes: u32) -> TypeId {
        self.head(name, Kind::Float, false, 0, size_bytes)
    }

    /// A pointer.
    pub fn ptr(&mut self, to: TypeId) -> TypeId {
        self.head("", Kind::Ptr, false, 0, to.0)
    }

    /// `const`, `volatile` or `restrict` (without a name), or a typedef or type tag (with one).
    pub fn modifier(&mut self, kind: Kind, name: &str, to: TypeId) -> TypeId {
        self.head(name, kind, false, 0, to.0)
    }

    /// An array; `index` is the type of its index, any integer.
    pub fn array(&mut self, elem: TypeId, index: TypeId, len: u32) -> TypeId {
        let id = self.head("", Kind::Array, false, 0, 0);
        self.word(elem.0);
        self.word(index.0);
        self.word(len);
        id
    }

    /// A struct or union.
    pub fn composite(
        &mut self,
        kind: Kind,
        name: &str,
        size_bytes: u32,
        members: &[NewMember<'_>],
    ) -> TypeId {
        let bit_sizes = members.iter().any(|m| m.3 != 0);
        let id = self.head(name, kind, bit_sizes, members.len(), size_bytes);
        for &(name, ty, bit_offset, bit_size) in members {
            let name = self.string(name);
            self.word(name);
            self.word(ty.0);
            self.word(if bit_sizes {
                u32::from(bit_size) << 24 | bit_offset
            } else {
                bit_offset
            });
        }
        id
    }

    /// A struct or union that is declared only.
    pub fn forward(&mut self, name: &str, is_union: bool) -> TypeId {
        self.head(name, Kind::Fwd, is_union, 0, 0)
    }

    /// An enumeration, of 32 bits when all values fit `wide` = false.
    pub fn enumeration(
        &mut self,
        name: &str,
        size_bytes: u32,
        signed: bool,
        wide: bool,
        values: &[(&str, i64)],
    ) -> TypeId {
        let kind = if wide { Kind::Enum64 } else { Kind::Enum };
        let id = self.head(name, kind, signed, values.len(), size_bytes);
        for &(name, value) in values {
            let name = self.string(name);
            self.word(name);
            self.word(value as u32);
            if wide {
                self.word((value as u64 >> 32) as u32);
            }
        }
        id
    }

    /// The type of a function; a parameter of name "" and type void is `...`.
    pub fn func_proto(&mut self, result: TypeId, params: &[(&str, TypeId)]) -> TypeId {
        let id = self.head("", Kind::FuncProto, false, params.len(), result.0);
        for &(name, ty) in params {
            let name = self.string(name);
            self.word(name);
            self.word(ty.0);
        }
        id
    }

    /// A function.
    pub fn func(&mut self, name: &str, proto: TypeId, linkage: Linkage) -> TypeId {
        self.head(name, Kind::Func, false, linkage as usize, proto.0)
    }

    /// A variable.
    pub fn var(&mut self, name: &str, ty: TypeId, linkage: Linkage) -> TypeId {
        let id = self.head(name, Kind::Var, false, 0, ty.0);
        self.word(linkage as u32);
        id
    }

    /// A section of variables: (variable, offset, size) each, in bytes.
    pub fn data_section(
        &mut self,
        name: &str,
        size_bytes: u32,
        variables: &[(TypeId, u32, u32)],
    ) -> TypeId {
        let id = self.head(name, Kind::DataSec, false, variables.len(), size_bytes);
        for &(var, offset, size) in variables {
            self.word(var.0);
            self.word(offset);
            self.word(size);
        }
        id
    }

    /// An attribute of a declaration; `component` is -1 for the whole.
    pub fn decl_tag(&mut self, name: &str, target: TypeId, component: i32) -> TypeId {
        let id = self.head(name, Kind::DeclTag, false, 0, target.0);
        self.word(component as u32);
        id
    }

    /// The blob: header, types, strings.
    pub fn finish(self) -> Vec<u8> {
        let mut blob = Vec::with_capacity(24 + self.types.len() + self.strings.len());
        blob.extend(0xeb9f_u16.to_le_bytes());
        blob.extend([1, 0]);
        let types = self.types.len() as u32;
        for word in [24, 0, types, types, self.strings.len() as u32] {
            blob.extend(word.to_le_bytes());
        }
        blob.extend(self.types);
        blob.extend(self.strings);
        blob
    }
}
