//! A syntax tree as source.
//!
//! [`print()`] gives source that parses to the same tree (spans apart), for every tree without `Error` nodes
//! that the parser makes; [`print_explicit`] puts parentheses around every operation, so that one can see
//! how a script was understood. Both are stable: they depend on nothing but the tree.

mod expr;
mod stmt;

use crate::ast::*;

/// A file as source, with no more parentheses than needed.
pub fn print(file: &File) -> String {
    Printer::new(false).file(file)
}

/// A file as source, with every operation in parentheses: `--emit=ast`.
pub fn print_explicit(file: &File) -> String {
    Printer::new(true).file(file)
}

/// An expression as source, for messages.
pub fn print_expr(e: &Expr) -> String {
    let mut p = Printer::new(false);
    p.expr(e, Precedence::Assign);
    p.out
}

/// A probe point as source.
pub fn print_point(point: &ProbePoint) -> String {
    let mut p = Printer::new(false);
    p.point(point);
    p.out
}

/// What stands for text that could not be understood.
const ERROR: &str = "<error>";

struct Printer {
    out: String,
    indent: usize,
    explicit: bool,
}

impl Printer {
    fn new(explicit: bool) -> Printer {
        Printer {
            out: String::new(),
            indent: 0,
            explicit,
        }
    }

    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn line(&mut self) {
        self.out.push('\n');
        for _ in 0..self.indent {
            self.out.push_str("    ");
        }
    }

    /// Puts each with commas between them.
    fn list<T>(&mut self, items: &[T], mut put: impl FnMut(&mut Printer, &T)) {
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.put(", ");
            }
            put(self, item);
        }
    }

    fn file(mut self, file: &File) -> String {
        for item in &file.items {
            self.item(item);
            self.put("\n");
        }
        self.out
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Probe(p) => {
                self.put("probe ");
                self.list(&p.points, Printer::point);
                self.put(" ");
                self.block(&p.body);
            }
            Item::Alias(a) => self.alias(a),
            Item::Function(f) => self.function(f),
            Item::Global(g) => {
                self.put(if g.private {
                    "private global "
                } else {
                    "global "
                });
                self.list(&g.vars, Printer::global);
                self.put(";");
            }
            Item::Embedded(code) => self.embedded(code),
            Item::Error(_) => self.put(ERROR),
        }
    }

    fn alias(&mut self, a: &Alias) {
        self.put("probe ");
        let op = if a.prologue.is_none() { " += " } else { " = " };
        for name in &a.names {
            self.put(&name.dotted());
            self.put(op);
        }
        self.list(&a.points, Printer::point);
        self.put(" ");
        for (i, body) in [&a.prologue, &a.epilogue].into_iter().flatten().enumerate() {
            if i > 0 {
                self.put(", ");
            }
            self.block(body);
        }
    }

    fn function(&mut self, f: &Function) {
        self.put(if f.private {
            "private function "
        } else {
            "function "
        });
        self.put(f.name.as_str());
        self.type_of(f.ret.as_ref());
        self.put("(");
        self.list(&f.params, |p, param| {
            p.put(param.name.as_str());
            p.type_of(param.ty.as_ref());
        });
        self.put(")");
        if let Some(priority) = &f.priority {
            self.put(":");
            self.literal(priority);
        }
        self.put(" ");
        match &f.body {
            FunctionBody::Block(b) => self.block(b),
            FunctionBody::Embedded(code) => self.embedded(code),
        }
    }

    fn type_of(&mut self, ty: Option<&TypeRef>) {
        match ty.map(|t| t.name) {
            None => {}
            Some(TypeName::Long) => self.put(":long"),
            Some(TypeName::String) => self.put(":string"),
        }
    }

    fn global(&mut self, g: &GlobalVar) {
        self.put(g.name.as_str());
        if g.wrap {
            self.put("%");
        }
        if let Some(size) = &g.size {
            self.put("[");
            self.literal(size);
            self.put("]");
        }
        if let Some(init) = &g.init {
            self.put(" = ");
            self.literal(init);
        }
    }

    fn point(&mut self, point: &ProbePoint) {
        for (i, component) in point.components.iter().enumerate() {
            if i > 0 {
                self.put(".");
            }
            match component {
                Component::Name { name, arg } => {
                    self.put(name.as_str());
                    if let Some(arg) = arg {
                        self.put("(");
                        self.literal(arg);
                        self.put(")");
                    }
                }
                Component::Braces { points, .. } => {
                    self.put("{");
                    self.list(points, Printer::point);
                    self.put("}");
                }
                Component::Error(_) => self.put(ERROR),
            }
        }
        match point.sufficiency {
            Sufficiency::Required => {}
            Sufficiency::Optional => self.put(" ?"),
            Sufficiency::Sufficient => self.put(" !"),
        }
        if let Some(condition) = &point.condition {
            self.put(" if (");
            self.expr(condition, Precedence::Assign);
            self.put(")");
        }
    }

    fn literal(&mut self, literal: &Literal) {
        match &literal.value {
            LiteralValue::Number(n) => self.put(&n.to_string()),
            LiteralValue::String(s) => self.string(s),
            LiteralValue::Error => self.put(ERROR),
        }
    }

    /// A string literal: what is UTF-8 and visible as it is, the rest escaped.
    fn string(&mut self, bytes: &[u8]) {
        self.put("\"");
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '"' => self.put("\\\""),
                    '\\' => self.put("\\\\"),
                    '\n' => self.put("\\n"),
                    '\t' => self.put("\\t"),
                    '\r' => self.put("\\r"),
                    c if c.is_ascii_control() => self.octal(c as u8),
                    c => self.out.push(c),
                }
            }
            for &byte in chunk.invalid() {
                self.octal(byte);
            }
        }
        self.put("\"");
    }

    fn octal(&mut self, byte: u8) {
        self.put(&format!("\\{byte:03o}"));
    }

    fn embedded(&mut self, code: &Embedded) {
        self.put("%{");
        self.put(&code.code);
        self.put("%}");
    }
}
