//! Index newtypes of the LIR: nothing is ever indexed by a bare `usize`.

use cranelift_entity::entity_impl;
use serde::{Deserialize, Serialize};

macro_rules! entity {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(u32);
        entity_impl!($name, $prefix);
    };
}

entity!(
    /// An SSA value of one function: `v7`.
    Value, "v"
);
entity!(
    /// A basic block of one function: `block2`.
    Block, "block"
);
entity!(
    /// A function of the module: `fn3`.
    Func, "fn"
);
entity!(
    /// A script global (scalar, array or statistic): `g0`.
    Global, "g"
);
entity!(
    /// A print or `sprintf` format: `fmt4`.
    FormatId, "fmt"
);
entity!(
    /// A place that can raise a run-time error: `site5`.
    SiteId, "site"
);
entity!(
    /// A relocatable kernel fact (field offset, type size, enumerator): `core1`.
    CoreId, "core"
);
entity!(
    /// A compiled regular expression: `re0`.
    RegexId, "re"
);
entity!(
    /// A string constant: `str6`.
    StrId, "str"
);
entity!(
    /// A table of strings: `table0`.
    TableId, "table"
);
entity!(
    /// A handler: one eBPF program, or one user-side entry: `handler1`.
    HandlerId, "handler"
);
