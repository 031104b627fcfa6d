//! Kernel symbols: the text of `/proc/kallsyms` as a table searchable both ways.

use std::sync::OnceLock;

use rustc_hash::FxHashMap;

/// A symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelSymbol<'a> {
    /// Where it is; 0 when the kernel hides addresses.
    pub address: u64,
    /// The letter of `nm`: `T` and `t` are code.
    pub kind: char,
    /// Its name.
    pub name: &'a str,
    /// The module it is in, `None` for vmlinux.
    pub module: Option<&'a str>,
}

impl KernelSymbol<'_> {
    /// Whether it is code.
    pub fn is_function(&self) -> bool {
        matches!(self.kind, 'T' | 't' | 'W' | 'w')
    }
}

/// A function that can be traced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TraceableFunction {
    /// Its symbol.
    pub name: String,
    /// The module it is in, `None` for vmlinux.
    pub module: Option<String>,
}

/// All symbols of the kernel and its modules.
#[derive(Debug, Default)]
pub struct KernelSymbols {
    text: Box<str>,
    /// By address; equals in the order of the text.
    rows: Vec<Row>,
    by_name: OnceLock<FxHashMap<u64, Vec<u32>>>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    address: u64,
    name: u32,
    name_bytes: u16,
    /// 0: none.
    module_bytes: u16,
    kind: u8,
}

impl KernelSymbols {
    /// Parses lines `ffffffff81000000 T _text [module]`; other lines are left out.
    pub fn parse(text: String) -> Self {
        let text = text.into_boxed_str();
        let mut rows: Vec<Row> = Vec::with_capacity(text.len() / 42);
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            rows.extend(parse_row(line.trim_end(), start));
            start += line.len();
        }
        rows.sort_by_key(|row| row.address);
        Self {
            text,
            rows,
            by_name: OnceLock::new(),
        }
    }

    fn symbol(&self, row: &Row) -> KernelSymbol<'_> {
        let name = row.name as usize;
        let end = name + row.name_bytes as usize;
        // "name\t[module]" or "name [module]".
        let module = end + 2..end + 2 + row.module_bytes as usize;
        KernelSymbol {
            address: row.address,
            kind: char::from(row.kind),
            name: self.text.get(name..end).unwrap_or_default(),
            module: (row.module_bytes != 0).then(|| self.text.get(module).unwrap_or_default()),
        }
    }

    /// All symbols, by address.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = KernelSymbol<'_>> {
        self.rows.iter().map(|row| self.symbol(row))
    }

    /// Whether the kernel told any address.
    pub fn has_addresses(&self) -> bool {
        self.rows.last().is_some_and(|row| row.address != 0)
    }

    /// All symbols of a name.
    pub fn by_name<'s>(&'s self, name: &'s str) -> impl Iterator<Item = KernelSymbol<'s>> {
        let index = self.by_name.get_or_init(|| {
            let mut index: FxHashMap<u64, Vec<u32>> = FxHashMap::default();
            index.reserve(self.rows.len());
            for (at, row) in self.rows.iter().enumerate() {
                index
                    .entry(hash(self.symbol(row).name))
                    .or_default()
                    .push(at as u32);
            }
            index
        });
        let rows = index
            .get(&hash(name))
            .map(Vec::as_slice)
            .unwrap_or_default();
        rows.iter()
            .filter_map(|&at| self.rows.get(at as usize))
            .map(|row| self.symbol(row))
            .filter(move |symbol| symbol.name == name)
    }

    /// The first symbol behind an address.
    pub fn after(&self, address: u64) -> Option<KernelSymbol<'_>> {
        let after = self.rows.partition_point(|row| row.address <= address);
        self.rows.get(after).map(|row| self.symbol(row))
    }

    /// The last symbol at or before an address, and the bytes from it.
    pub fn by_address(&self, address: u64) -> Option<(KernelSymbol<'_>, u64)> {
        let after = self.rows.partition_point(|row| row.address <= address);
        let found = self.rows.get(after.checked_sub(1)?)?;
        // Of several at one address the first in the text is the usual name.
        let first = self.rows.partition_point(|row| row.address < found.address);
        let row = self.rows.get(first)?;
        (row.address != 0).then(|| (self.symbol(row), address - row.address))
    }
}

fn hash(name: &str) -> u64 {
    // FNV-1a: names are short.
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn parse_row(line: &str, start: usize) -> Option<Row> {
    let (address, rest) = line.split_once(' ')?;
    let (kind, rest) = rest.split_once(' ')?;
    let name = rest.split([' ', '\t']).next()?;
    let module = rest
        .get(name.len() + 1..)
        .and_then(|m| m.strip_prefix('[')?.strip_suffix(']'));
    Some(Row {
        address: u64::from_str_radix(address, 16).ok()?,
        name: u32::try_from(start + address.len() + kind.len() + 2).ok()?,
        name_bytes: u16::try_from(name.len()).ok()?,
        module_bytes: u16::try_from(module.map_or(0, str::len)).ok()?,
        kind: *kind.as_bytes().first()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> KernelSymbols {
        KernelSymbols::parse(
            "ffffffff81000000 T _text\nffffffff81000000 T _stext\nffffffff81000100 t vfs_read\n\
             ffffffffc0000010 t ext4_open\t[ext4]\nffffffff81000200 t dup\n\
             ffffffff81000300 t dup\n00000000000000a0 A fixed\nrubbish\nzz T x\n"
                .into(),
        )
    }

    #[test]
    fn finds_by_address() {
        let table = table();
        let at = |address| {
            table
                .by_address(address)
                .map(|(s, offset)| (s.name, s.module, offset))
        };
        assert_eq!(at(0xffff_ffff_8100_0104), Some(("vfs_read", None, 4)));
        assert_eq!(at(0xffff_ffff_8100_0001), Some(("_text", None, 1)));
        assert_eq!(
            at(0xffff_ffff_c000_0010),
            Some(("ext4_open", Some("ext4"), 0))
        );
        assert_eq!(at(0x10), None);
    }

    #[test]
    fn finds_by_name() {
        let table = table();
        let of = |name| {
            table
                .by_name(name)
                .map(|s| s.address & 0xfff)
                .collect::<Vec<_>>()
        };
        assert_eq!(of("dup"), [0x200, 0x300]);
        assert_eq!(of("ext4_open"), [0x10]);
        assert!(of("nope").is_empty());
        assert_eq!(table.iter().len(), 7);
        assert!(table.has_addresses());
        assert!(!KernelSymbols::parse("0000000000000000 T a\n".into()).has_addresses());
    }
}
