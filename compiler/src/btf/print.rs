//! Types as C spells them, for messages, `rtap list` and pretty printing.

use std::cell::Cell;

use super::{Btf, Kind, Modifier, Type, TypeId};

/// Most types that one spelling visits: a hostile prototype could else grow without end.
const MAX_PARTS: u32 = 256;

impl Btf {
    /// A type as C spells it: `struct file *`, `const char *`, `char[16]`, `int (*)(int)`.
    pub fn c_name(&self, id: TypeId) -> String {
        self.c_declaration(id, "")
    }

    /// A declaration of `name` as C spells it: `char comm[16]`. An empty name gives the type alone.
    pub fn c_declaration(&self, id: TypeId, name: &str) -> String {
        self.declare(id, name.to_owned(), &Cell::new(MAX_PARTS))
    }

    /// Wraps `inner`, the declarator so far, in the type from the outside in.
    fn declare(&self, id: TypeId, inner: String, fuel: &Cell<u32>) -> String {
        let Ok(ty) = self.get(id) else {
            return spaced("?", &inner);
        };
        let Some(left) = fuel.get().checked_sub(1) else {
            return spaced("...", &inner);
        };
        fuel.set(left);
        let named = |keyword: &str| {
            let name = self.name(id);
            let name = if name.is_empty() { "{...}" } else { name };
            if keyword.is_empty() {
                name.to_owned()
            } else {
                format!("{keyword} {name}")
            }
        };
        match ty {
            Type::Void => spaced("void", &inner),
            Type::Int { .. } | Type::Float { .. } => spaced(&named(""), &inner),
            Type::Struct(_) | Type::Fwd { is_union: false } => spaced(&named("struct"), &inner),
            Type::Union(_) | Type::Fwd { is_union: true } => spaced(&named("union"), &inner),
            Type::Enum(_) => spaced(&named("enum"), &inner),
            Type::Modifier(Modifier::Typedef, _) => spaced(&named(""), &inner),
            Type::Modifier(Modifier::TypeTag, to) => self.declare(to, inner, fuel),
            Type::Modifier(modifier, to) => {
                let word = match modifier {
                    Modifier::Const => "const",
                    Modifier::Volatile => "volatile",
                    Modifier::Restrict | Modifier::Typedef | Modifier::TypeTag => "restrict",
                };
                if self.kind(to) == Some(Kind::Ptr) {
                    self.declare(to, spaced(word, &inner), fuel)
                } else {
                    format!("{word} {}", self.declare(to, inner, fuel))
                }
            }
            Type::Ptr(to) => {
                let pointer = format!("*{inner}");
                match self.kind(to) {
                    Some(Kind::Array | Kind::FuncProto) => {
                        self.declare(to, format!("({pointer})"), fuel)
                    }
                    _ => self.declare(to, pointer, fuel),
                }
            }
            Type::Array { elem, len } => self.declare(elem, format!("{inner}[{len}]"), fuel),
            Type::FuncProto(proto) => {
                let params: Vec<String> = proto
                    .params()
                    .map(|(name, ty)| {
                        if name == 0 && ty.is_void() {
                            "...".to_owned()
                        } else {
                            self.declare(ty, self.string(name).to_owned(), fuel)
                        }
                    })
                    .collect();
                let params = if params.is_empty() {
                    "void".to_owned()
                } else {
                    params.join(", ")
                };
                self.declare(proto.result, format!("{inner}({params})"), fuel)
            }
            Type::Func { proto, .. } => self.declare(proto, self.name(id).to_owned(), fuel),
            Type::Var { ty, .. } => self.declare(ty, self.name(id).to_owned(), fuel),
            Type::DataSec(_) => spaced(&named(""), &inner),
            Type::DeclTag { target, .. } => self.declare(target, inner, fuel),
        }
    }
}

/// A base type before its declarator; arrays hang on without a space.
fn spaced(base: &str, declarator: &str) -> String {
    if declarator.is_empty() {
        base.to_owned()
    } else if declarator.starts_with('[') {
        format!("{base}{declarator}")
    } else {
        format!("{base} {declarator}")
    }
}
