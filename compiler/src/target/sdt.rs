//! SDT marks: static probe points that a program's source has placed, and the operands that
//! hold their arguments.
//!
//! In: notes of type 3 and name `stapsdt` in the section `.note.stapsdt`, each three addresses (mark,
//! base, semaphore; 8 bytes each) and three texts that end with a zero: provider, name,
//! arguments. Out: [`Mark`]s with offsets in the file. An argument is `N@OPERAND`: N its bytes, negative
//! when it is signed, and the operand as the assembler spells it (AT&T):
//!
//! | operand | value |
//! |---|---|
//! | `%rax` | a register or part of one |
//! | `$5` | a constant |
//! | `-8(%rbp)`, `(%rax,%rbx,8)`, `16(,%rcx,4)` | memory at base + index * scale + displacement |
//! | `name(%rip)`, `name+8(%rip)`, `name+4(,%rcx,4)` | memory at a symbol's address |
//! | `$name` | a symbol's address |
//!
//! Source: <https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation>, the note format.

use super::Arch;

/// The type of the notes.
pub const NOTE_TYPE: u32 = 3;
/// The owner of the notes.
pub const NOTE_OWNER: &[u8] = b"stapsdt";
/// The section that they are in.
pub const NOTE_SECTION: &[u8] = b".note.stapsdt";
/// The section whose address tells how far a file was moved after it was linked (prelink).
pub const BASE_SECTION: &[u8] = b".stapsdt.base";

/// A mark: one place of it, there can be several of one name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Who provides it.
    pub provider: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its address before relocation.
    pub address: u64,
    /// Where it is in the file, bytes.
    pub offset: u64,
    /// Where its 16-bit semaphore is in the file; 0 if it has none.
    pub semaphore_offset: u64,
    /// Its arguments as written.
    pub arguments: Box<str>,
}

/// The descriptor of a note, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note<'d> {
    /// The mark's address.
    pub address: u64,
    /// What the address of the section `.stapsdt.base` was when the file was linked.
    pub base: u64,
    /// The semaphore's address; 0 if there is none.
    pub semaphore: u64,
    /// Provider, name, arguments.
    pub texts: [&'d str; 3],
}

impl<'d> Note<'d> {
    /// Takes a descriptor apart; `None` if it is damaged.
    pub fn parse(descriptor: &'d [u8]) -> Option<Self> {
        let (addresses, mut rest) = descriptor.split_at_checked(24)?;
        let mut numbers = addresses
            .chunks_exact(8)
            .filter_map(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
        let mut text = || {
            let end = rest.iter().position(|&byte| byte == 0)?;
            let text = str::from_utf8(&rest[..end]).ok()?;
            rest = &rest[end + 1..];
            Some(text)
        };
        Some(Self {
            address: numbers.next()?,
            base: numbers.next()?,
            semaphore: numbers.next()?,
            texts: [text()?, text()?, text()?],
        })
    }
}

/// An argument of a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Bytes: 1, 2, 4, 8.
    pub size: u8,
    /// Whether it is sign-extended.
    pub signed: bool,
    /// Where it is.
    pub operand: Operand,
}

/// Where an argument is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// In a register, by its name as [`Arch::register`] knows it, shifted right by so many bits.
    Register(String, u8),
    /// A constant.
    Constant(i64),
    /// The address of a symbol with an offset.
    Address(String, i64),
    /// In memory.
    Memory(Memory),
}

/// An address in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Its address is added.
    pub symbol: Option<String>,
    /// This is added.
    pub displacement: i64,
    /// This register is added. `rip` is left out: what goes with it is a symbol.
    pub base: Option<String>,
    /// This register times that number is added.
    pub index: Option<(String, u8)>,
}

/// The arguments of a mark, from their text. An argument that cannot be understood is its text.
pub fn parse_arguments(text: &str, arch: Arch) -> Vec<Result<Argument, String>> {
    split(text)
        .into_iter()
        .map(|word| parse_argument(word, arch).ok_or_else(|| word.to_owned()))
        .collect()
}

/// Splits at blanks outside of parentheses: `-8(%rax, %rbx, 8)` is one operand.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    text.split(|c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c.is_ascii_whitespace() && depth <= 0
    })
    .filter(|word| !word.is_empty())
    .collect()
}

fn parse_argument(word: &str, arch: Arch) -> Option<Argument> {
    let (size, operand) = match word.split_once('@') {
        Some((size, operand)) => (size.parse::<i8>().ok()?, operand),
        // Old assemblers wrote no size: a whole register.
        None => (-8, word),
    };
    let bytes = size.unsigned_abs();
    matches!(bytes, 1 | 2 | 4 | 8).then_some(())?;
    Some(Argument {
        size: bytes,
        signed: size < 0,
        operand: parse_operand(operand, arch)?,
    })
}

fn parse_operand(text: &str, arch: Arch) -> Option<Operand> {
    if let Some(constant) = text.strip_prefix('$') {
        let (symbol, number) = parse_sum(constant)?;
        return Some(match symbol {
            None => Operand::Constant(number),
            Some(symbol) => Operand::Address(symbol, number),
        });
    }
    if let Some(name) = text.strip_prefix('%') {
        // The second bytes of the first four registers have names of their own.
        let (name, shift) = match name {
            "ah" | "bh" | "ch" | "dh" => (format!("r{}x", &name[..1]), 8),
            _ => (name.to_owned(), 0),
        };
        return arch.register(&name).map(|_| Operand::Register(name, shift));
    }
    let (outside, inside) = match text.split_once('(') {
        Some((outside, inside)) => (outside, Some(inside.strip_suffix(')')?)),
        None => (text, None),
    };
    let (symbol, displacement) = parse_sum(outside)?;
    let mut memory = Memory {
        symbol,
        displacement,
        ..Memory::default()
    };
    let mut parts = inside.unwrap_or_default().split(',').map(str::trim);
    let register = |part: Option<&str>| match part {
        None | Some("") => Some(None),
        Some(part) => {
            let name = part.strip_prefix('%')?;
            (name == "rip" || arch.register(name).is_some()).then(|| Some(name.to_owned()))
        }
    };
    memory.base = register(parts.next())?;
    if let Some(index) = register(parts.next())? {
        let scale = match parts.next() {
            None | Some("") => 1,
            Some(scale) => scale.parse().ok()?,
        };
        matches!(scale, 1 | 2 | 4 | 8).then_some(())?;
        memory.index = Some((index, scale));
    }
    if parts.next().is_some() {
        return None;
    }
    if memory.base.as_deref() == Some("rip") {
        memory.symbol.as_ref()?;
        memory.base = None;
    }
    Some(Operand::Memory(memory))
}

/// `-8`, `name`, `name+8`, `8+name`, `name-0x10+4`: at most one symbol.
fn parse_sum(text: &str) -> Option<(Option<String>, i64)> {
    let (mut symbol, mut number) = (None, 0_i64);
    let mut rest = text.trim();
    while !rest.is_empty() {
        let negative = rest.starts_with('-');
        rest = rest.trim_start_matches(['+', '-']);
        // `@` is for `name@GOTPCREL` and the like, which mean something else.
        let end = rest.find(['+', '-']).unwrap_or(rest.len());
        let (term, after) = rest.split_at(end);
        if term.starts_with(|c: char| c.is_ascii_digit()) {
            let value = match term.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16).ok()?,
                None => term.parse().ok()?,
            } as i64;
            number = number.wrapping_add(if negative {
                value.wrapping_neg()
            } else {
                value
            });
        } else if symbol.is_none() && !negative && is_symbol(term) {
            symbol = Some(term.to_owned());
        } else {
            return None;
        }
        rest = after;
    }
    Some((symbol, number))
}

fn is_symbol(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'$'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Option<(u8, bool, Operand)> {
        let all = parse_arguments(text, Arch::X86_64);
        let [Ok(argument)] = &all[..] else {
            return None;
        };
        Some((argument.size, argument.signed, argument.operand.clone()))
    }

    fn memory(
        symbol: Option<&str>,
        displacement: i64,
        base: Option<&str>,
        index: Option<(&str, u8)>,
    ) -> Operand {
        Operand::Memory(Memory {
            symbol: symbol.map(str::to_owned),
            displacement,
            base: base.map(str::to_owned),
            index: index.map(|(name, scale)| (name.to_owned(), scale)),
        })
    }

    #[test]
    fn registers_and_constants() {
        let register = |name: &str, shift| Operand::Register(name.to_owned(), shift);
        assert_eq!(one("8@%rax"), Some((8, false, register("rax", 0))));
        assert_eq!(one("-4@%r10d"), Some((4, true, register("r10d", 0))));
        assert_eq!(one("1@%bh"), Some((1, false, register("rbx", 8))));
        assert_eq!(one("%rdi"), Some((8, true, register("rdi", 0))));
        assert_eq!(one("-4@$-17"), Some((4, true, Operand::Constant(-17))));
        assert_eq!(one("8@$0x10"), Some((8, false, Operand::Constant(16))));
        let address = Operand::Address("table".to_owned(), 8);
        assert_eq!(one("8@$table+8"), Some((8, false, address)));
    }

    #[test]
    fn memory_operands() {
        let of = |text| one(text).map(|(.., operand)| operand);
        assert_eq!(of("8@-8(%rbp)"), Some(memory(None, -8, Some("rbp"), None)));
        assert_eq!(
            of("4@(%rax,%rbx,8)"),
            Some(memory(None, 0, Some("rax"), Some(("rbx", 8))))
        );
        assert_eq!(
            of("4@16(, %rcx, 4)"),
            Some(memory(None, 16, None, Some(("rcx", 4))))
        );
        assert_eq!(of("8@x(%rip)"), Some(memory(Some("x"), 0, None, None)));
        assert_eq!(
            of("8@x.1-4+8(%rip)"),
            Some(memory(Some("x.1"), 4, None, None))
        );
        assert_eq!(of("8@8+x(%rip)"), Some(memory(Some("x"), 8, None, None)));
        assert_eq!(
            of("2@x(,%rax,2)"),
            Some(memory(Some("x"), 0, None, Some(("rax", 2))))
        );
    }

    #[test]
    fn several_and_those_not_understood() {
        let all = parse_arguments("8@%rax  4@-4(%rbp, %rax, 2) 8f@%xmm0 4@%fs:8", Arch::X86_64);
        assert_eq!(all.len(), 4);
        assert!(all[0].is_ok() && all[1].is_ok());
        assert_eq!(all[2], Err("8f@%xmm0".to_owned()));
        assert_eq!(all[3], Err("4@%fs:8".to_owned()));
        for bad in [
            "3@%rax",
            "8@(%rax",
            "8@%rax)",
            "8@(%rax,%rbx,3)",
            "8@x@GOTPCREL(%rip)",
        ] {
            assert_eq!(one(bad), None, "{bad}");
        }
        assert!(parse_arguments("", Arch::X86_64).is_empty());
    }

    #[test]
    fn notes() {
        let mut bytes = Vec::new();
        for n in [0x1000_u64, 0x2000, 0] {
            bytes.extend(n.to_le_bytes());
        }
        bytes.extend(b"libc\0setjmp\08@%rdi\0\0");
        let note = Note::parse(&bytes).expect("whole");
        assert_eq!(
            (note.address, note.base, note.semaphore),
            (0x1000, 0x2000, 0)
        );
        assert_eq!(note.texts, ["libc", "setjmp", "8@%rdi"]);
        for cut in 0..bytes.len() - 1 {
            assert!(Note::parse(&bytes[..cut]).is_none());
        }
    }
}
