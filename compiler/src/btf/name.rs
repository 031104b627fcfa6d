//! Look-ups by name: a hash index over the named types of one blob.
//!
//! Two arrays of ids, buckets and chains; names are compared in the blob itself. For a vmlinux of 100,000
//! types it takes some 3 ms to build, most of which is waiting for memory. Most scripts ask for a few names only:
//! the first ones are searched for in the strings, which takes a tenth of that for each.

use std::sync::{Mutex, OnceLock, PoisonError};

use bstr::ByteSlice;

use super::{Btf, Kind, TypeId};

/// How many names are searched for before the index is built.
const SEARCHED_NAMES: usize = 12;

/// The types by name, as far as anybody asked.
#[derive(Default)]
pub(super) struct Names {
    /// Names that were searched for, with the positions of their types among the own ones.
    searched: Mutex<Vec<(Box<str>, Vec<u32>)>>,
    index: OnceLock<NameIndex>,
}

impl Names {
    /// Positions of own types, lowest first, among which are all those of this name.
    fn candidates(&self, btf: &Btf, name: &str) -> Vec<u32> {
        if self.index.get().is_none() {
            let mut searched = self.searched.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, known)) = searched.iter().find(|(known, _)| &**known == name) {
                return known.clone();
            }
            if searched.len() < SEARCHED_NAMES {
                let found = search(btf, name);
                // Else its string may be the end of a longer one: a writer may save memory so.
                if !found.is_empty() {
                    searched.push((name.into(), found.clone()));
                    return found;
                }
            }
        }
        let index = self.index.get_or_init(|| NameIndex::build(btf));
        index.bucket(name).collect()
    }
}

/// The positions of own types whose name is this whole string.
fn search(btf: &Btf, name: &str) -> Vec<u32> {
    let wanted: Vec<u32> = [btf.base(), Some(btf)]
        .into_iter()
        .flatten()
        .filter_map(|btf| string_offset(btf, name))
        .collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for offset in wanted {
        let names = (0..).zip(btf.name_offsets());
        let own = names.filter(|(_, name)| **name == offset);
        found.extend(own.map(|(position, _)| position));
    }
    found.sort_unstable();
    found
}

/// Where a whole string is among a blob's own ones.
fn string_offset(btf: &Btf, name: &str) -> Option<u32> {
    let (_, first_string) = btf.firsts();
    let strings = btf.string_bytes();
    let whole = [&[0], name.as_bytes(), &[0]].concat();
    let at = match strings.find(&whole) {
        Some(before) => before + 1,
        // The strings of a module do not begin with an empty one.
        None => strings.starts_with(&whole[1..]).then_some(0)?,
    };
    Some(first_string + at as u32)
}

/// Buckets and chains of the types that have a name.
struct NameIndex {
    /// First type of each bucket, as 1 + its position among the own types; 0 ends.
    heads: Vec<u32>,
    /// The next type in the same bucket, for each own type.
    next: Vec<u32>,
}

impl NameIndex {
    fn build(btf: &Btf) -> Self {
        let (strings, names) = (btf.string_bytes(), btf.name_offsets());
        let (_, first_string) = btf.firsts();
        let buckets = names.len().next_power_of_two().max(16);
        let mut heads = vec![0u32; buckets];
        let mut next = vec![0u32; names.len()];
        // Backwards, so that chains run from the lowest id up.
        for (position, &name_offset) in names.iter().enumerate().rev() {
            if name_offset == 0 {
                continue;
            }
            // A name in the base's strings: rare, looked up through the base.
            let hash = if name_offset < first_string {
                hash(btf.string(name_offset).as_bytes())
            } else {
                let rest = strings
                    .get((name_offset - first_string) as usize..)
                    .unwrap_or_default();
                hash(&rest[..rest.find_byte(0).unwrap_or(0)])
            };
            let bucket = hash as usize & (buckets - 1);
            next[position] = std::mem::replace(&mut heads[bucket], position as u32 + 1);
        }
        Self { heads, next }
    }

    /// Positions of the own types in the bucket of a name, lowest first.
    fn bucket(&self, name: &str) -> impl Iterator<Item = u32> + '_ {
        let bucket = hash(name.as_bytes()) as usize & (self.heads.len() - 1);
        let first = self.heads[bucket];
        std::iter::successors(first.checked_sub(1), |&position| {
            self.next[position as usize].checked_sub(1)
        })
    }
}

/// A multiplicative hash over words of eight bytes.
fn hash(name: &[u8]) -> u32 {
    const SEED: u64 = 0x517c_c1b7_2722_0a95;
    let mut state = name.len() as u64;
    let mut words = name.chunks_exact(8);
    let mut step = |word: u64| state = (state.rotate_left(5) ^ word).wrapping_mul(SEED);
    for word in words.by_ref() {
        step(u64::from_le_bytes(word.try_into().unwrap_or_default()));
    }
    let mut tail = [0u8; 8];
    tail[..words.remainder().len()].copy_from_slice(words.remainder());
    step(u64::from_le_bytes(tail));
    (state >> 32) as u32
}

impl Btf {
    /// All types of a name, of any kind: own ones first, then the base's.
    pub fn find_all<'b>(&'b self, name: &'b str) -> impl Iterator<Item = TypeId> + 'b {
        let own = self.find_own(name);
        let base = self
            .base()
            .into_iter()
            .flat_map(move |base| base.find_own(name));
        own.chain(base)
    }

    /// The first type of a kind and name, in this blob or its base.
    pub fn find(&self, kind: Kind, name: &str) -> Option<TypeId> {
        self.find_all(name).find(|&id| self.kind(id) == Some(kind))
    }

    fn find_own<'b>(&'b self, name: &'b str) -> impl Iterator<Item = TypeId> + 'b {
        let (first_id, _) = self.firsts();
        let named = (!name.is_empty()).then(|| self.names().candidates(self, name));
        named
            .into_iter()
            .flatten()
            .map(move |position| TypeId(first_id + position))
            .filter(move |&id| self.name(id) == name)
    }

    /// The names of all types that could be meant by a C type name that has the words of `name` before its last: a
    /// `struct x` is a structure. The base's are among them.
    pub fn names_alike(&self, name: &str) -> Vec<&str> {
        let kinds: &[Kind] = match name.split_whitespace().next() {
            Some("struct") => &[Kind::Struct],
            Some("union") => &[Kind::Union],
            Some("enum") => &[Kind::Enum, Kind::Enum64],
            _ => &[
                Kind::Typedef,
                Kind::Int,
                Kind::Struct,
                Kind::Union,
                Kind::Enum,
                Kind::Enum64,
            ],
        };
        let base = self.base().map(|base| base.names_alike(name));
        let mut names = base.unwrap_or_default();
        for kind in kinds {
            names.extend(self.own_ids_of(*kind).map(|id| self.name(id)));
        }
        names
    }

    /// The struct, union, enum or typedef that a C type name such as `struct file`,
    /// `size_t` or `unsigned long` means. A bare name is looked for as a typedef,
    /// an integer, a struct, a union and an enum, in this order.
    pub fn find_c_type(&self, name: &str) -> Option<TypeId> {
        let words: Vec<&str> = name.split_whitespace().collect();
        let kinds: &[Kind] = match words.as_slice() {
            ["struct", name] => return self.find(Kind::Struct, name),
            ["union", name] => return self.find(Kind::Union, name),
            ["enum", name] => {
                return self
                    .find(Kind::Enum, name)
                    .or_else(|| self.find(Kind::Enum64, name));
            }
            [_] => &[
                Kind::Typedef,
                Kind::Int,
                Kind::Struct,
                Kind::Union,
                Kind::Enum,
                Kind::Enum64,
                Kind::Float,
            ],
            _ => &[Kind::Int],
        };
        let joined = words.join(" ");
        let spelling = canonical_integer(&joined).unwrap_or(&joined);
        kinds.iter().find_map(|&kind| self.find(kind, spelling))
    }
}

/// The compilers' spelling of an integer type that C lets one spell in other ways.
fn canonical_integer(name: &str) -> Option<&'static str> {
    Some(match name {
        "unsigned" => "unsigned int",
        "signed" | "signed int" => "int",
        "long" | "signed long" | "signed long int" => "long int",
        "unsigned long" => "long unsigned int",
        "unsigned long int" => "long unsigned int",
        "long long" | "signed long long" => "long long int",
        "unsigned long long" | "unsigned long long int" => "long long unsigned int",
        "short" | "signed short" => "short int",
        "unsigned short" | "unsigned short int" => "short unsigned int",
        _ => return None,
    })
}
