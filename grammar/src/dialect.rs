//! What older versions of the language, which `--compatible` names, have otherwise. Tapsets speak the newest.

use crate::preprocess::versions;

/// What a version of the language has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// `private` is a reserved word: since 3.0.
    pub private: bool,
    /// `\x` and hexadecimal digits in a string are a byte: since 2.3.
    pub hex_escapes: bool,
}

impl Dialect {
    /// The newest.
    pub const NEWEST: Dialect = Dialect {
        private: true,
        hex_escapes: true,
    };

    /// That of a version of SystemTap.
    pub fn of(version: &str) -> Dialect {
        let since = |first| versions(version, first).is_ge();
        Dialect {
            private: since("3.0"),
            hex_escapes: since("2.3"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_have_their_versions() {
        assert_eq!(Dialect::of("5.6"), Dialect::NEWEST);
        assert_eq!(Dialect::of("3.0"), Dialect::NEWEST);
        let older = Dialect::of("2.3");
        assert!(older.hex_escapes && !older.private);
        assert!(!Dialect::of("2.2.1").hex_escapes);
    }
}
