//! Kernel symbols out of /proc/kallsyms, read on the first question.
//!
//! Symbols of programs that come and go (BPF) are not looked for again. Addresses that
//! the kernel hides (kptr_restrict) read as zeros: then nothing is found.

use std::fs;

/// Where the kernel lists its symbols.
const FILE: &str = "/proc/kallsyms";

/// Why there are no addresses, and what to do.
pub(super) const HIDDEN: &str =
    "the kernel hides its symbols' addresses: CAP_SYSLOG is missing, or kernel.kptr_restrict is 2";

/// The furthest an address may lie behind a symbol's and still count as in it: there is no symbol in the gigabyte between vmlinux and
/// the modules, nor behind the last.
const LARGEST_SYMBOL_BYTES: u64 = 1 << 20;

/// The kernel's symbols by address.
#[derive(Debug, Default)]
pub(super) struct Kallsyms {
    text: String,
    symbols: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    address: u64,
    /// Where its name begins in `text`, and how long it is.
    name: u32,
    name_len: u16,
    /// The same of its module; empty for vmlinux.
    module_len: u16,
}

/// The symbol that holds an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    pub name: &'a str,
    pub offset: u64,
    pub size: u64,
    /// `kernel` for vmlinux.
    pub module: &'a str,
}

impl Kallsyms {
    /// Reads the running kernel's symbols; none when that is not allowed.
    pub fn read() -> Kallsyms {
        Kallsyms::parse(fs::read_to_string(FILE).unwrap_or_default())
    }

    /// Lines `address type name [module]`.
    fn parse(text: String) -> Kallsyms {
        let mut symbols = Vec::with_capacity(text.len() / 40);
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let start = at;
            at += line.len();
            let mut words = line.split_ascii_whitespace();
            let (Some(address), Some(_), Some(name)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let Ok(address) = u64::from_str_radix(address, 16) else {
                continue;
            };
            // Per-CPU symbols have small numbers, hidden ones are zero.
            if address < 1 << 32 {
                continue;
            }
            let offset = name.as_ptr() as usize - line.as_ptr() as usize;
            // The kernel's own texts (`%pS`) have no module for BPF programs.
            let module = words.next().filter(|module| *module != "[bpf]");
            let module = module.unwrap_or_default();
            symbols.push(Entry {
                address,
                name: (start + offset) as u32,
                name_len: name.len().min(usize::from(u16::MAX)) as u16,
                module_len: module.len().min(usize::from(u16::MAX)) as u16,
            });
        }
        symbols.sort_by_key(|s| s.address);
        Kallsyms { text, symbols }
    }

    /// Whether the kernel tells names without their addresses, which are zeros then: none is in the table.
    pub fn are_hidden(&self) -> bool {
        self.symbols.is_empty() && !self.text.is_empty()
    }

    /// The address of the one symbol of a name in a module, or in vmlinux for "".
    pub fn address(&self, name: &[u8], module: &[u8]) -> Result<u64, String> {
        let symbols = self.text.lines().filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let address = u64::from_str_radix(words.next()?, 16).ok()?;
            let own = words.nth(1)?.as_bytes();
            let home = words.next().unwrap_or_default();
            let home = home.trim_matches(['[', ']']).as_bytes();
            (own == name && home == module).then_some(address)
        });
        let found: Vec<u64> = symbols.take(2).collect();
        let name = String::from_utf8_lossy(name);
        match found[..] {
            [_] if self.are_hidden() => Err(HIDDEN.to_owned()),
            [address] => Ok(address),
            [] => Err(format!("the kernel has no symbol '{name}'")),
            _ => Err(format!("the kernel has several symbols '{name}'")),
        }
    }

    /// The address that the kernel writes as `name+0xoffset/0xsize [module]`. Of several symbols of a name it is that of the size.
    pub fn place(&self, text: &str) -> Option<u64> {
        let (place, module) = match text.split_once(' ') {
            Some((place, module)) => (place, module.trim_matches(['[', ']'])),
            None => (text, "kernel"),
        };
        let (name, numbers) = place.split_once('+')?;
        let (offset, size) = numbers.split_once('/')?;
        let number = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
        let (offset, size) = (number(offset)?, number(size)?);
        let of_name = |entry: &&Entry| {
            let start = entry.name as usize;
            let end = start + usize::from(entry.name_len);
            self.text.get(start..end) == Some(name)
        };
        let named = self.symbols.iter().filter(of_name);
        let mut places = named.filter_map(|entry| {
            let found = self.find(entry.address)?;
            (found.size == size && found.module == module).then_some(entry.address)
        });
        let start = places.next()?;
        places.next().is_none().then(|| start.wrapping_add(offset))
    }

    /// The symbol that holds `address`. Of several at one address, the first listed.
    pub fn find(&self, address: u64) -> Option<Found<'_>> {
        let after = self.symbols.partition_point(|s| s.address <= address);
        let last = self.symbols.get(after.checked_sub(1)?)?;
        let first = self.symbols.partition_point(|s| s.address < last.address);
        let entry = self.symbols.get(first)?;
        let size = match self.symbols.get(after) {
            Some(next) => LARGEST_SYMBOL_BYTES.min(next.address - entry.address),
            None => LARGEST_SYMBOL_BYTES,
        };
        let offset = address - entry.address;
        if offset >= size {
            return None;
        }
        let start = entry.name as usize;
        let end = start + usize::from(entry.name_len);
        let name = self.text.get(start..end)?;
        let module = match entry.module_len {
            0 => "kernel",
            length => {
                let rest = self.text.get(end..)?;
                let skipped = rest.len() - rest.trim_start_matches([' ', '\t']).len();
                rest.get(skipped..skipped + usize::from(length))?
                    .trim_matches(['[', ']'])
            }
        };
        Some(Found {
            name,
            offset,
            size,
            module,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
0000000000000000 A fixed_percpu_data
ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000100 t helper
ffffffffc0001000 t mod_fn\t[mod]
garbage
";

    #[test]
    fn addresses_to_symbols() {
        let symbols = Kallsyms::parse(TEXT.to_owned());
        let find = |address| symbols.find(address);
        assert_eq!(
            find(0xffff_ffff_8100_0010),
            Some(Found {
                name: "_stext",
                offset: 0x10,
                size: 0x100,
                module: "kernel"
            })
        );
        assert_eq!(find(0xffff_ffff_8100_0100).unwrap().name, "helper");
        let module = find(0xffff_ffff_c000_1004).unwrap();
        assert_eq!(
            (module.name, module.module, module.offset),
            ("mod_fn", "mod", 4)
        );
        // Between vmlinux and the modules there is nothing.
        assert_eq!(find(0xffff_ffff_b000_0000), None);
        assert_eq!(find(0xffff_ffff_80ff_ffff), None);
        assert_eq!(find(u64::MAX), None);
        assert_eq!(find(0), None);
    }

    #[test]
    fn places_to_addresses() {
        let table = Kallsyms::parse(TEXT.to_owned());
        assert_eq!(table.place("_text+0x10/0x100"), Some(0xffff_ffff_8100_0010));
        assert_eq!(table.place("_text+0x10/0x110"), None);
        assert_eq!(table.place("mod_fn+0x4/0x100000"), None);
        assert_eq!(
            table.place("mod_fn+0x4/0x100000 [mod]"),
            Some(0xffff_ffff_c000_1004)
        );
        assert_eq!(table.place("0xffffffff81000010"), None);
    }

    #[test]
    fn symbols_to_addresses() {
        let symbols = Kallsyms::parse(TEXT.to_owned());
        assert_eq!(symbols.address(b"helper", b""), Ok(0xffff_ffff_8100_0100));
        assert_eq!(
            symbols.address(b"mod_fn", b"mod"),
            Ok(0xffff_ffff_c000_1000)
        );
        assert_eq!(symbols.address(b"fixed_percpu_data", b""), Ok(0));
        assert!(symbols.address(b"mod_fn", b"").is_err());
        let hidden = Kallsyms::parse("0000000000000000 T helper\n".to_owned());
        assert_eq!(hidden.address(b"helper", b""), Err(HIDDEN.to_owned()));
        assert!(hidden.are_hidden() && !symbols.are_hidden());
        assert!(!Kallsyms::parse(String::new()).are_hidden());
    }
}
