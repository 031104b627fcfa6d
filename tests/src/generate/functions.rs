//! Functions of random scripts, and their calls: plain ones, overloads, some that call themselves or one another.

use std::fmt::Write as _;

use super::library::Callable;
use super::world::Ty;
use super::{Scope, Writer};

/// Calls that one expression or statement may hold within each other are few, as each is another run of a body.
const NESTED_CALLS: usize = 2;

impl Writer<'_> {
    /// Defines functions.
    pub(super) fn functions(&mut self) {
        self.in_function = true;
        for n in 0..=self.random.below(4) {
            let name = format!("f{n}");
            match self.random.below(6) {
                0 | 1 => self.plain(name),
                2 => self.overloaded(name),
                3 => self.recursive(name),
                4 => self.branching(name),
                _ => self.mutual(name),
            }
        }
        self.in_function = false;
    }

    /// What some functions of that type of result are called with.
    pub(super) fn call(&mut self, ret: Option<Ty>, depth: usize) -> Option<String> {
        let own = self.functions.iter().filter(|f| f.ret == ret);
        let function = self.random.one_of(own)?.clone();
        self.call_of(&function, depth)
    }

    /// The same for functions of the library.
    pub(super) fn library_call(&mut self, ret: Option<Ty>, depth: usize) -> Option<String> {
        let steady = self.library.iter().filter(|f| f.ret == ret && !f.late);
        let function = self.random.one_of(steady)?.clone();
        self.call_of(&function, depth)
    }

    /// A string of which kernel handlers may know no more than its number.
    pub(super) fn late_text(&mut self) -> Option<String> {
        let late = self
            .library
            .iter()
            .filter(|f| f.late && f.ret == Some(Ty::Text));
        let function = self.random.one_of(late)?.clone();
        self.call_of(&function, 1)
    }

    fn call_of(&mut self, function: &Callable, depth: usize) -> Option<String> {
        if self.nested_calls == NESTED_CALLS {
            return None;
        }
        self.nested_calls += 1;
        let args: Vec<String> = function
            .params
            .iter()
            .map(|ty| match ty {
                Ty::Long if self.random.one_in(2) => self.random.below(6).to_string(),
                ty => self.value(*ty, depth),
            })
            .collect();
        self.nested_calls -= 1;
        Some(format!("{}({})", function.name, args.join(", ")))
    }

    /// A signature of up to so many parameters.
    fn signature(&mut self, name: String, first: Option<Ty>, void: bool) -> Callable {
        let types = [Ty::Long, Ty::Text];
        let mut params: Vec<Ty> = first.into_iter().collect();
        for _ in 0..self.random.below(4) {
            params.push(types[self.random.below(2)]);
        }
        let ret = (!void || !self.random.one_in(4)).then(|| types[self.random.below(2)]);
        Callable {
            name,
            params,
            ret,
            late: false,
        }
    }

    /// Begins a function: its head, its locals.
    fn head(&mut self, function: &Callable) {
        let word = |ty: Ty| if ty == Ty::Long { "long" } else { "string" };
        let mut scope = Scope::default();
        let mut params = Vec::new();
        for (n, ty) in function.params.iter().enumerate() {
            let name = format!("p{n}");
            params.push(format!("{name}:{}", word(*ty)));
            scope.add(*ty, name);
        }
        let ret = function
            .ret
            .map_or(String::new(), |ty| format!(":{}", word(ty)));
        let _ = writeln!(
            self.out,
            "function {}{ret}({}) {{",
            function.name,
            params.join(", ")
        );
        scope.add(Ty::Long, "a".to_owned());
        scope.add(Ty::Text, "s".to_owned());
        let (a, s) = (self.number(), self.literal());
        let _ = writeln!(self.out, "  a = {a}; s = {s};");
        self.scope = scope;
        self.result = function.ret;
    }

    /// Ends a function with its value.
    fn tail(&mut self, function: &Callable) {
        if let Some(ret) = function.ret {
            let value = self.value(ret, 2);
            let _ = writeln!(self.out, "  return {value}");
        }
        self.out.push_str("}\n");
    }

    fn plain(&mut self, name: String) {
        let function = self.signature(name, None, true);
        self.head(&function);
        self.statements(4);
        self.tail(&function);
        self.functions.push(function);
    }

    /// Two or three of one name: each but mostly the last can pass on.
    fn overloaded(&mut self, name: String) {
        let function = self.signature(name.clone(), None, true);
        let count = 2 + self.random.below(2);
        for n in 0..count {
            self.head(&function);
            if n + 1 < count || self.random.one_in(4) {
                let condition = self.long(1);
                let _ = writeln!(self.out, "  if ({condition}) next;");
            }
            self.statements(2);
            self.tail(&function);
        }
        if self.random.one_in(3) {
            let mut other = self.signature(name, None, true);
            other.params.resize(function.params.len() + 1, Ty::Long);
            other.ret = function.ret;
            self.head(&other);
            self.tail(&other);
            self.functions.push(other);
        }
        self.functions.push(function);
    }

    /// One that calls itself once.
    fn recursive(&mut self, name: String) {
        let function = self.signature(name, Some(Ty::Long), true);
        self.head(&function);
        self.end_of_recursion(&function, 7);
        self.statements(3);
        let call = self.inner_call(&function, "p0 - 1");
        match function.ret {
            None => {
                let _ = writeln!(self.out, "  {call};");
                self.statements(2);
                self.out.push_str("}\n");
            }
            Some(ret) => {
                let other = self.value(ret, 1);
                let op = if ret == Ty::Long { "+" } else { "." };
                let text = match self.random.below(3) {
                    0 => call,
                    1 => format!("{call} {op} {other}"),
                    _ => format!("{other} {op} {call}"),
                };
                let _ = writeln!(self.out, "  return {text}\n}}");
            }
        }
        self.functions.push(function);
    }

    /// One that calls itself twice.
    fn branching(&mut self, name: String) {
        let function = self.signature(name, Some(Ty::Long), false);
        self.head(&function);
        self.end_of_recursion(&function, 4);
        self.statements(1);
        let (one, other) = (
            self.inner_call(&function, "p0 - 1"),
            self.inner_call(&function, "p0 - 2"),
        );
        let op = if function.ret == Some(Ty::Long) {
            "^"
        } else {
            "."
        };
        let _ = writeln!(self.out, "  return {one} {op} {other}\n}}");
        self.functions.push(function);
    }

    /// Two that call each other.
    fn mutual(&mut self, name: String) {
        let function = self.signature(name, Some(Ty::Long), false);
        let other = Callable {
            name: format!("{}_too", function.name),
            ..function.clone()
        };
        for (this, next) in [(&function, &other), (&other, &function)] {
            self.head(this);
            self.end_of_recursion(this, 6);
            self.statements(2);
            let call = self.inner_call(next, "p0 - 1");
            let _ = writeln!(self.out, "  return {call}\n}}");
        }
        self.functions.push(function);
    }

    /// The way out of a function that calls itself, seldom deeper than `most`.
    fn end_of_recursion(&mut self, function: &Callable, most: usize) {
        let value = function.ret.map(|ty| self.value(ty, 1)).unwrap_or_default();
        let most = if self.random.one_in(10) { 20 } else { most };
        let _ = writeln!(self.out, "  if (p0 < 1 || p0 > {most}) return {value};");
    }

    fn inner_call(&mut self, function: &Callable, first: &str) -> String {
        let mut args = vec![first.to_owned()];
        for ty in function.params.iter().skip(1) {
            args.push(self.value(*ty, 1));
        }
        format!("{}({})", function.name, args.join(", "))
    }
}
