//! What stands at the top level of a file: probes, aliases, functions, globals.

use super::{Block, Embedded, Expr, Ident, Literal, LiteralValue};
use crate::source::{FileId, Span};

/// One parsed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Which file.
    pub id: FileId,
    /// Its items in order.
    pub items: Vec<Item>,
}

/// A top-level item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// `probe … { … }`
    Probe(Probe),
    /// `probe name = … { … }`
    Alias(Alias),
    /// `function … { … }`
    Function(Function),
    /// `global …`
    Global(GlobalDecl),
    /// `%{ … %}`
    Embedded(Embedded),
    /// Text that could not be understood; already reported.
    Error(Span),
}

/// `probe points body`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Where it fires.
    pub points: Vec<ProbePoint>,
    /// The handler.
    pub body: Block,
    /// The whole.
    pub span: Span,
}

/// `probe name = points body`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// Its names: several for `probe a = b = points { }`.
    pub names: Vec<AliasName>,
    /// Where it fires.
    pub points: Vec<ProbePoint>,
    /// What runs before the handler of a probe that uses the alias.
    pub prologue: Option<Block>,
    /// What runs after it.
    pub epilogue: Option<Block>,
    /// The whole.
    pub span: Span,
}

/// The name of an alias: `syscall.open.return`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasName {
    /// Its parts; some may be spelt like keywords.
    pub parts: Vec<Ident>,
    /// The whole.
    pub span: Span,
}

impl AliasName {
    /// The parts joined by dots.
    pub fn dotted(&self) -> String {
        self.parts
            .iter()
            .map(Ident::as_str)
            .collect::<Vec<_>>()
            .join(".")
    }
}

/// One probe point: `kernel.function("vfs_*").return ? if (x)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbePoint {
    /// Its components, at least one.
    pub components: Vec<Component>,
    /// `?` or `!`.
    pub sufficiency: Sufficiency,
    /// `if (…)`.
    pub condition: Option<Box<Expr>>,
    /// The whole.
    pub span: Span,
}

impl ProbePoint {
    /// Whether part of it could not be understood.
    pub fn is_error(&self) -> bool {
        self.components.iter().any(|c| match c {
            Component::Name { arg, .. } => {
                arg.as_ref().is_some_and(|a| a.value == LiteralValue::Error)
            }
            Component::Braces { points, .. } => points.iter().any(ProbePoint::is_error),
            Component::Error(_) => true,
        })
    }
}

/// What follows from a probe point that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sufficiency {
    /// Nothing written: it has to exist.
    Required,
    /// `?`: it may be missing.
    Optional,
    /// `!`: it may be missing; if it exists, the points after it are not looked at.
    Sufficient,
}

/// One part of a probe point, between dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Component {
    /// `name` or `name(argument)`; the name may hold `*`, and be spelt like a keyword.
    Name {
        /// The name or pattern.
        name: Ident,
        /// Its argument.
        arg: Option<Literal>,
    },
    /// `{a.b, c}`: each of these in turn, in place of this component.
    Braces {
        /// The alternatives, at least one. Only those in a last component have a sufficiency or a
        /// condition.
        points: Vec<ProbePoint>,
        /// The whole.
        span: Span,
    },
    /// Text that could not be understood; already reported.
    Error(Span),
}

impl Component {
    /// Its place, argument included.
    pub fn span(&self) -> Span {
        match self {
            Component::Name { name, arg } => {
                arg.as_ref().map_or(name.span, |a| name.span.to(a.span))
            }
            Component::Braces { span, .. } | Component::Error(span) => *span,
        }
    }
}

/// `function name:type(params):priority body`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Known only in its own file.
    pub private: bool,
    /// Its name.
    pub name: Ident,
    /// The type of its value, if written.
    pub ret: Option<TypeRef>,
    /// Its parameters.
    pub params: Vec<Param>,
    /// Its priority among functions of the same name, if written: more than 0, lower first.
    pub priority: Option<Literal>,
    /// What it does.
    pub body: FunctionBody,
    /// The whole.
    pub span: Span,
}

/// A function's parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: Ident,
    /// Its type, if written.
    pub ty: Option<TypeRef>,
}

/// A type as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeRef {
    /// The type.
    pub name: TypeName,
    /// Its place.
    pub span: Span,
}

/// The types that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TypeName {
    /// `long`
    Long,
    /// `string`
    String,
}

/// A function's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FunctionBody {
    /// Statements.
    Block(Block),
    /// `%{ … %}`
    Embedded(Embedded),
}

/// `global a, b = 1, c[10]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalDecl {
    /// Known only in its own file.
    pub private: bool,
    /// The variables, at least one.
    pub vars: Vec<GlobalVar>,
    /// The whole.
    pub span: Span,
}

/// One global variable's declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalVar {
    /// Its name.
    pub name: Ident,
    /// `%`: when the array is full, new elements replace old ones.
    pub wrap: bool,
    /// `[n]`: how many elements the array has at most, 1 to `i32::MAX`.
    pub size: Option<Literal>,
    /// `= value`, for a scalar.
    pub init: Option<Literal>,
}
