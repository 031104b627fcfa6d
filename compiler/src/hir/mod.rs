//! HIR: the typed tree. Names are resolved, macros and aliases are gone, probe points are
//! resolved against the target, `$`-variables have become context reads; every expression
//! has a type and, for strings, a width.
//!
//! Made by `resolve` (with [`Ty::Unknown`] where the type has to be inferred), completed by
//! `infer_types` and `infer_widths`, read by `lower`. After `infer_types` no
//! `Ty::Unknown` is left; [`Ty::Error`] only where a diagnostic has been given.
//!
//! # Strings
//! `Expr::cap`, `LocalData::cap`, `Function::ret_cap` and the `cap`s of globals are the most
//! bytes the string can have, inferred (`execname()` 15, literals their length, concatenation
//! the sum, unknown = MAXSTRINGLEN - 1). `late` marks strings that only user space
//! renders; `infer_widths` sets it when every use of the place allows it.

mod expr;
mod stmt;
pub mod text;
pub mod visit;

pub use expr::*;
pub use stmt::*;

use bstr::BString;
use cranelift_entity::{PrimaryMap, entity_impl};
use rtap_grammar::source::Span;

use crate::image::Point;
use crate::lir::{self, Context, Exec, Histogram, Limits, StatLayout};
pub use crate::lir::{CoreId, Global};

/// A function of the program.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FuncId(u32);
entity_impl!(FuncId, "func");

/// A local variable or parameter of one body.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Local(u32);
entity_impl!(Local, "local");

/// A type of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ty {
    /// Not known yet.
    Unknown,
    /// `long`
    Long,
    /// `string`
    Str,
    /// Statistics.
    Stat,
    /// No value (functions without `return e`, `print`).
    Void,
    /// A diagnostic has been given; agrees with everything.
    Error,
}

/// A whole script with what it uses of the tapsets.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Globals; those never used are left out.
    pub globals: PrimaryMap<Global, GlobalData>,
    /// Functions that are reachable from a probe.
    pub functions: PrimaryMap<FuncId, Function>,
    /// Probes, in the script's order.
    pub probes: Vec<Probe>,
    /// Relocatable kernel facts, each once.
    pub core: PrimaryMap<CoreId, lir::Core>,
    /// `-D` limits.
    pub limits: Limits,
    /// Code of tapsets, and the place in the script that brought it in: mistakes that show in
    /// the first are the second's.
    pub blame: Vec<(Span, Span)>,
    /// Strings of kernel handlers, and the place that needs their characters.
    pub characters: Vec<(Span, Span)>,
}

impl Program {
    /// The place in the script that brought in the tapset code at `span`.
    pub fn blame_of(&self, span: Span) -> Option<Span> {
        let covers = |code: &Span| code.to(span) == *code && code.file == span.file;
        self.blame
            .iter()
            .find(|(code, _)| covers(code))
            .map(|(_, user)| *user)
    }
}

/// A global.
#[derive(Clone, Debug)]
pub struct GlobalData {
    /// Name as written.
    pub name: String,
    /// Its declaration.
    pub span: Span,
    /// Types of the keys; empty for a scalar.
    pub keys: Vec<Ty>,
    /// Widths of string keys, and whether they are late.
    pub key_caps: Vec<(u32, bool)>,
    /// What it (or each element) holds: long, string or statistics.
    pub value: Ty,
    /// Width of a string value, and whether it is late.
    pub value_cap: (u32, bool),
    /// `[n]`, or MAXMAPENTRIES.
    pub max_entries: u32,
    /// Room for so many elements of the map for one of the script: several records that become
    /// keys can have one text. Set by `infer_widths`.
    pub forms: u32,
    /// `%`
    pub wrap: bool,
    /// `= literal`, or `-G name=value`.
    pub init: Option<Literal>,
    /// The value of `-G name=value`, which becomes `init` when the type is known.
    pub given: Option<String>,
    /// Read anywhere in the script.
    pub read: bool,
    /// Written anywhere in the script.
    pub written: bool,
    /// Declared in a tapset (never printed at the end).
    pub library: bool,
    /// For statistics: what must be kept. Histograms are referred to by their index.
    pub stat: StatLayout,
}

impl GlobalData {
    /// Index of `histogram` in the global's layout, adding it if it is new.
    pub fn histogram(&mut self, histogram: Histogram) -> u8 {
        let found = self.stat.histograms.iter().position(|h| *h == histogram);
        let index = found.unwrap_or_else(|| {
            self.stat.histograms.push(histogram);
            self.stat.histograms.len() - 1
        });
        u8::try_from(index).unwrap_or(u8::MAX)
    }
}

/// A literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// Number.
    Int(i64),
    /// String.
    Str(BString),
}

/// A function: all overloads of one name with one number of parameters, tried in order;
/// `next` goes from one to the following.
#[derive(Clone, Debug)]
pub struct Function {
    /// Name as written.
    pub name: String,
    /// Its (first) definition.
    pub span: Span,
    /// Types of the parameters.
    pub params: Vec<Ty>,
    /// Widths of string parameters, and whether they are late.
    pub param_caps: Vec<(u32, bool)>,
    /// Type of the result; `Void` if there is none.
    pub ret: Ty,
    /// Width of a string result, and whether it is late.
    pub ret_cap: (u32, bool),
    /// The overloads. Each body's first locals are the parameters.
    pub overloads: Vec<Body>,
}

/// Statements with their locals.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// Locals; parameters first.
    pub locals: PrimaryMap<Local, LocalData>,
    /// The statements.
    pub stmts: Vec<Stmt>,
}

/// A local variable.
#[derive(Clone, Debug)]
pub struct LocalData {
    /// Name as written.
    pub name: String,
    /// First mention.
    pub span: Span,
    /// Its type.
    pub ty: Ty,
    /// Width, if it is a string, and whether it is late.
    pub cap: (u32, bool),
}

/// A probe: one handler, one program, for one or more points.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The probe as the user wrote it, for messages.
    pub name: String,
    /// Its place.
    pub span: Span,
    /// Who runs it.
    pub exec: Exec,
    /// What its context is.
    pub context: Context,
    /// Whether it is of system calls: arguments by number are those of the call.
    pub syscall: bool,
    /// Whether it runs as soon as it is attached, before `begin` handlers have run: a tapset's own
    /// probe, which keeps what its `begin` handler has looked up.
    pub early: bool,
    /// What it is attached to.
    pub points: Vec<Point>,
    /// For points that share an attachment: the number that `Point::selector` is compared
    /// with, computed first thing. A run whose number is no point's does nothing.
    pub selector: Option<Expr>,
    /// Locals of the body, of all prologues and epilogues.
    pub locals: PrimaryMap<Local, LocalData>,
    /// What differs between points. Never empty; where there is one, it is for all points.
    pub variants: Vec<Variant>,
    /// The body, common to all points: runs after the variant's prologue.
    pub stmts: Vec<Stmt>,
}

/// The part of a probe's code that belongs to some of its points: alias prologues and
/// epilogues, conditions.
#[derive(Clone, Debug, Default)]
pub struct Variant {
    /// Indices of the points.
    pub points: Vec<u32>,
    /// `if (…)` conditions; the handler ends at once if one is false.
    pub conditions: Vec<Expr>,
    /// Runs before the body.
    pub prologue: Vec<Stmt>,
    /// Runs after it (not after `next`, which ends the handler).
    pub epilogue: Vec<Stmt>,
}
