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
    UNKNOWN_MACRO "E0107" "@word that is neither a macro nor an operator";
    BAD_MACRO_DEFINITION "E0108" "malformed macro definition";
    BAD_MACRO_ARGUMENTS "E0109" "macro used with the wrong arguments";
    RECURSIVE_MACRO "E0110" "macro that uses itself";
    MACRO_REDEFINED "E0111" "macro defined twice";
    EXPANSION_TOO_LARGE "E0112" "macros that make too much text";
    BAD_CONDITION "E0113" "malformed preprocessor condition";
    UNBALANCED_CONDITIONAL "E0114" "preprocessor conditional without beginning or end";
    NOT_A_MACRO "E0115" "something else than macros in a macro library";
    // E02xx parsing (rtap-grammar)
    UNEXPECTED_TOKEN "E0201" "syntax error";
    UNCLOSED_BRACKET "E0202" "bracket without an end";
    UNOPENED_BRACKET "E0203" "closing bracket that closes nothing";
    NESTED_TOO_DEEPLY "E0204" "nesting too deep";
    BAD_CONTEXT_VARIABLE "E0205" "malformed context variable";
    NOT_ASSIGNABLE "E0206" "change of what cannot be changed";
    BAD_OPERATOR_ARGUMENTS "E0207" "@operator with the wrong arguments";
    MISPLACED_HISTOGRAM "E0208" "histogram where none can be";
    MISPLACED_STATEMENT "E0209" "statement where it means nothing";
    MISPLACED_WILDCARD "E0210" "'*' as a key where only values can be";
    BAD_FOREACH "E0211" "malformed foreach";
    BAD_ALIAS "E0212" "malformed probe alias";
    BAD_PROBE_POINT "E0213" "malformed probe point";
    BAD_FUNCTION "E0214" "malformed function definition";
    BAD_GLOBAL "E0215" "malformed global declaration";
    EMBEDDED_NEEDS_GURU "E0216" "embedded code without guru mode";
    TOO_MANY_ERRORS "E0217" "too many syntax errors";
    // E03xx names and tapsets (rtap-compiler)
    UNKNOWN_FUNCTION "E0301" "call of a function that does not exist";
    WRONG_ARITY "E0302" "call with another number of arguments than the function takes";
    DEFINED_TWICE "E0303" "name defined twice";
    KEYS_DIFFER "E0304" "array used with different numbers of keys";
    UNKNOWN_ARRAY "E0305" "array that is not declared";
    MISPLACED "E0306" "statement or operator out of place";
    UNCHANGEABLE "E0307" "assignment to something that cannot be assigned";
    PRIVILEGED "E0308" "construct for guru mode or tapsets only";
    BAD_FORMAT "E0309" "print format that makes no sense";
    NOT_A_STATISTIC "E0310" "statistics operator on something that is no statistic";
    RECURSIVE_ALIAS "E0311" "alias that is defined by itself";
    BAD_HISTOGRAM "E0312" "histogram with impossible bounds";
    NOT_SUPPORTED "E0313" "construct that rtap does not know yet";
    BAD_REGEX "E0314" "regular expression that makes no sense";
    UNKNOWN_COUNTER "E0315" "performance counter that no probe declares";
    // E04xx types (rtap-compiler)
    TYPE_CONFLICT "E0401" "uses of one thing with different types";
    TYPE_UNRESOLVED "E0402" "variable whose type nothing tells";
    NO_VALUE "E0403" "value of something that has none";
    FORMAT_TYPE "E0404" "conversion that does not suit its argument";
    // E05xx probe points (rtap-compiler)
    UNKNOWN_POINT "E0501" "probe point that does not exist";
    NO_KERNEL_FUNCTION "E0502" "kernel function that does not exist or cannot be probed";
    NO_TRACEPOINT "E0503" "tracepoint that does not exist";
    BAD_POINT "E0504" "probe point with a wrong or missing argument";
    POINT_UNAVAILABLE "E0505" "probe point that this kernel cannot do";
    NO_SYMBOL "E0506" "function that a program does not have";
    NO_PROGRAM "E0507" "program that does not exist";
    NO_SYSCALL "E0508" "system call that does not exist";
    NO_PROBES "E0509" "script without a probe";
    // E06xx context variables (rtap-compiler)
    NO_CONTEXT "E0601" "context variable where the probe point has none";
    UNKNOWN_CONTEXT_VAR "E0602" "context variable that the probe point does not have";
    UNKNOWN_MEMBER "E0603" "member that a structure does not have";
    NOT_A_STRUCT "E0604" "member of something that has none";
    UNKNOWN_TYPE "E0605" "type that the kernel does not have";
    NOT_A_VALUE "E0606" "structure or array where a value is needed";
    CONTEXT_ASSIGNED "E0607" "assignment to a context variable";
    NO_TYPES "E0608" "types of the kernel that are not known";
    // E07xx kernel and feature limits (rtap-compiler, rtap)
    NOT_HERE "E0701" "operation that is not possible where it stands";
    NOT_IN_KERNEL "E0702" "operation that kernel handlers do not have";
    KERNEL_TOO_OLD "E0703" "operation that the kernel is too old for";
    TOO_LARGE "E0704" "handler that is too large";
    INTERNAL "E0799" "internal error";
    // E08xx target binaries (rtap)
    // E09xx command line and host (rtap)
    // Wxxxx warnings
    MACRO_HIDES_OPERATOR "W0101" "macro named like an operator";
    NEVER_ASSIGNED "W0301" "variable that is read but never assigned";
    SORT_IGNORED "W0302" "sort sign that does nothing";
    KERNELS_TYPE "W0303" "type of the kernel in place of a module's";
    KEYS_CUT "W0304" "keys longer than the kernel takes";
    NAMESAKES_LEFT_OUT "W0305" "functions of one name that cannot be told apart";
    FUNCTIONS_LEFT_OUT "W0306" "functions of a pattern that cannot be probed";
    MORE_WATCHED "W0307" "breakpoint that watches more bytes than were asked for";
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
