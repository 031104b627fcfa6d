//! The one table of diagnostic codes.
//!
//! A code is given once and never reused. To add one: a row here, a page `docs/errors/<id>.md` (what it
//! means, an example, what to do) and a golden that shows it. Groups: E01xx lexing and preprocessing,
//! E02xx parsing, E03xx names and tapsets, E04xx types, E05xx probe points, E06xx context variables, E07xx
//! kernel and feature limits, E08xx target binaries, E09xx command line and host, Wxxxx warnings (their
//! first two digits are the group's).

use std::fmt;

/// A registered diagnostic code. Only the table in this file makes them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code {
    id: &'static str,
    title: &'static str,
}

impl Code {
    /// `E0101` and the like.
    pub fn id(self) -> &'static str {
        self.id
    }

    /// One line about this kind of mistake in general.
    pub fn title(self) -> &'static str {
        self.title
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

macro_rules! codes {
    ($($name:ident $id:literal $title:literal;)*) => {
        $(
            #[doc = concat!($id, ": ", $title)]
            pub const $name: Code = Code { id: $id, title: $title };
        )*
        /// Every code, in the table's order.
        pub const ALL: &[Code] = &[$($name),*];
    };
}

codes! {
    // E01xx lexing and preprocessing (rtap-grammar)
    UNTERMINATED_STRING "E0101" "string literal without an end";
    UNTERMINATED_COMMENT "E0102" "comment without an end";
    UNTERMINATED_EMBEDDED "E0103" "embedded code without an end";
    BAD_CHARACTER "E0104" "character that means nothing here";
    BAD_NUMBER "E0105" "number that is none";
    ARGUMENT_OUT_OF_RANGE "E0106" "script argument that was not given";
    // E02xx parsing (rtap-grammar)
    UNEXPECTED_TOKEN "E0201" "syntax error";
    // E03xx names and tapsets (rtap-compiler)
    // E04xx types (rtap-compiler)
    // E05xx probe points (rtap-compiler)
    // E06xx context variables (rtap-compiler)
    // E07xx kernel and feature limits (rtap-compiler, rtap)
    // E08xx target binaries (rtap)
    // E09xx command line and host (rtap)
    // Wxxxx warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_well_formed_and_used_once() {
        let mut seen = std::collections::BTreeSet::new();
        for code in ALL {
            let (kind, number) = code.id().split_at(1);
            assert!(matches!(kind, "E" | "W"), "{code}");
            assert!(
                number.len() == 4 && number.bytes().all(|b| b.is_ascii_digit()),
                "{code}"
            );
            assert!(seen.insert(code.id()), "{code} is registered twice");
            assert!(
                !code.title().ends_with('.') && !code.title().contains('\n'),
                "{code}"
            );
            assert!(
                !code.title().starts_with(|c: char| c.is_ascii_uppercase()),
                "{code}"
            );
        }
    }
}
