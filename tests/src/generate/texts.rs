//! Expressions whose value is a string, and what arrays are asked for.

use super::Writer;
use super::world::{Array, Element, Ty};

const TEXTS: [&str; 12] = [
    "\"\"",
    "\"\"",
    "\"a\"",
    "\"abc\"",
    "\"a longer text\"",
    "\"%d\\n\"",
    "\"zz\"",
    "\"0x1f\"",
    "\"-12ab\"",
    "\"\\377\\001\"",
    "\"\\x7fq\\\"\\\\\"",
    "\"tab\\tand\\033\"",
];

pub(super) const PATTERNS: [&str; 12] = [
    "a",
    "^a.*c$",
    "[0-9]+",
    "(a|b)(c|n)",
    "^$",
    "x*",
    "[^a-m]+t$",
    "lo(ng)?e",
    "^([a-z]*)([0-9]*)-?(.*)$",
    "[[:digit:]]{2,3}",
    "\\\\.",
    "(a+)+b?(c|)",
];

/// Lengths at which something changes: of words, of the kernel's names, of the longest string.
const LENGTHS: [usize; 18] = [
    1, 7, 8, 9, 15, 16, 17, 31, 32, 63, 64, 65, 127, 128, 255, 256, 511, 512,
];

impl Writer<'_> {
    /// An expression whose value is a string.
    pub(super) fn text(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.simple_text();
        }
        let d = depth - 1;
        match self.random.below(17) {
            0..=2 => format!("({} . {})", self.text(d), self.text(d)),
            3 | 4 => {
                let (from, length) = if self.random.one_in(3) {
                    (self.long(d), self.long(d))
                } else {
                    (
                        self.random.below(3).to_string(),
                        self.random.below(9).to_string(),
                    )
                };
                format!("substr({}, {from}, {length})", self.text(d))
            }
            5 | 6 => self.sprint(d),
            7 => format!("({} ? {} : {})", self.long(d), self.text(d), self.text(d)),
            8 | 9 => self
                .call(Some(Ty::Text), d)
                .unwrap_or_else(|| self.simple_text()),
            10 | 11 => self
                .library_call(Some(Ty::Text), d)
                .unwrap_or_else(|| self.simple_text()),
            12 => self
                .element_of(Element::Text, d)
                .unwrap_or_else(|| self.simple_text()),
            13 => format!(
                "({} =~ \"{}\" ? matched({}) : {})",
                self.text(d),
                self.random.pick(&PATTERNS),
                self.random.below(3),
                self.text(d)
            ),
            14 => {
                let place = self.text_place(d);
                let op = self.random.pick(&["=", ".="]);
                format!("({place} {op} {})", self.text(d))
            }
            _ => self.simple_text(),
        }
    }

    /// Where a string can be put.
    pub(super) fn text_place(&mut self, depth: usize) -> String {
        match self.random.below(6) {
            0..=2 => self.local(Ty::Text),
            3 => self.global(Ty::Text),
            _ => self
                .element_of(Element::Text, depth)
                .unwrap_or_else(|| self.global(Ty::Text)),
        }
    }

    pub(super) fn simple_text(&mut self) -> String {
        match self.random.below(6) {
            0..=2 => self.local(Ty::Text),
            3 => self.global(Ty::Text),
            _ => self.literal(),
        }
    }

    /// A constant.
    pub(super) fn literal(&mut self) -> String {
        if !self.random.one_in(12) {
            return self.random.pick(&TEXTS).to_owned();
        }
        let length = LENGTHS[self.random.below(LENGTHS.len())];
        let letters = "abcdefghij-klmnopqrstuvw 01234567".chars().cycle();
        let text: String = letters.skip(self.random.below(30)).take(length).collect();
        format!("\"{text}\"")
    }

    /// A value of a type.
    pub(super) fn value(&mut self, ty: Ty, depth: usize) -> String {
        match ty {
            Ty::Long => self.long(depth),
            Ty::Text => self.text(depth),
        }
    }

    /// An element of some array of such elements, if there is one.
    pub(super) fn element_of(&mut self, element: Element, depth: usize) -> Option<String> {
        let arrays = self.world.arrays.iter().filter(|a| a.element == element);
        let Array { name, keys, .. } = self.random.one_of(arrays)?.clone();
        Some(self.place_of(&name, &keys, depth))
    }

    /// A global, or an element of it if it is an array.
    pub(super) fn place_of(&mut self, name: &str, keys: &[Ty], depth: usize) -> String {
        if keys.is_empty() {
            return name.to_owned();
        }
        format!("{name}[{}]", self.keys(keys, depth, false))
    }

    /// Keys of an array, as they stand in brackets.
    pub(super) fn keys(&mut self, types: &[Ty], depth: usize, wild: bool) -> String {
        self.key_list(types, depth, wild).join(", ")
    }

    /// Keys of an array, some of them any (`*`) if that is wanted. Most are few different ones, so that
    /// elements are found again.
    pub(super) fn key_list(&mut self, types: &[Ty], depth: usize, wild: bool) -> Vec<String> {
        // Expressions in one or two of many keys, so that scripts do not get too long.
        let calculated = self.random.below(types.len());
        let mut keys: Vec<String> = Vec::new();
        for (n, ty) in types.iter().enumerate() {
            let depth = if n == calculated { depth } else { 0 };
            keys.push(match ty {
                _ if wild && self.random.one_in(2) => "*".to_owned(),
                Ty::Long if self.random.one_in(8) => self.long(depth),
                Ty::Long => format!("{} & 3", self.long(depth)),
                Ty::Text if self.random.one_in(2) => self.literal(),
                Ty::Text => self.text(depth),
            });
        }
        keys
    }
}
