//! Random scripts that are well-typed and end: for comparing executors, and code before and after
//! the passes.
//!
//! A script has globals of every kind, functions (with overloads, recursion, early returns) and
//! the probes that the caller asks for; its `end` probe prints what the globals came to. The same
//! seed gives the same script. Run-time errors are meant to happen: divisions by zero, full arrays,
//! empty statistics, `error()`, mostly but not always caught.
//!
//! Each statement stands on lines of its own and what may be left out is bracketed, so that
//! [`crate::agree`] can make a failing script smaller by its text alone.

mod expressions;
mod large;
mod random;
mod statements;

use std::fmt::Write as _;

pub use large::large;
pub use random::Random;

/// What a script is made for.
#[derive(Clone, Copy, Default)]
pub struct Shape<'a> {
    /// Probe points, besides `end`; each gets a body.
    pub points: &'a [&'a str],
    /// Expressions of the context that bodies may use (`pid()`, `$id`).
    pub context: &'a [&'a str],
    /// Whether there are loops.
    pub loops: bool,
    /// Whether bodies go through arrays (`foreach`) and empty whole ones.
    pub whole_arrays: bool,
}

/// Makes a script.
pub fn script(seed: u64, shape: Shape<'_>) -> String {
    let mut writer = Writer {
        random: Random::new(seed),
        shape,
        out: String::new(),
        depth: 0,
        loops: 0,
        in_function: false,
        in_loop: false,
        calls: true,
    };
    writer.script();
    writer.out
}

struct Writer<'a> {
    random: Random,
    shape: Shape<'a>,
    out: String,
    depth: usize,
    /// Loop variables used so far.
    loops: usize,
    in_function: bool,
    in_loop: bool,
    /// Whether functions may be called here (not in what they themselves need to end).
    calls: bool,
}

/// Globals, and a probe that never fires but tells their types, which the random part may not use.
const GLOBALS: &str = r#"global g, h = 5, gs = "start"
global arr[6], by, names[5], wide, st, hist, per, sper, ring%[3]
probe never {
  arr[0] = 0; by[gs, 0] = 0; names[0] = ""; wide[0, "", "", 0] = 0
  st <<< 0; hist <<< 0; per[0] <<< 0; sper["", 0] <<< 0; ring[0] = 1
}
"#;

/// A line of the output; what follows it are elements of arrays, whose order means nothing.
pub const UNORDERED: &str = "-- globals";

/// Shows what the globals came to.
const END: &str = r#"probe end {
  println("-- globals")
  println(g, " ", h, " ", gs)
  foreach (k in arr+) println("arr ", k, " ", arr[k])
  foreach ([s, n] in by+) println("by ", s, " ", n, " ", by[s, n])
  foreach (k in names+) println("names ", k, " ", names[k])
  foreach ([k, s, t, n] in wide+) println("wide ", k, " ", s, " ", t, " ", n, " ", wide[k, s, t, n])
  if (@count(st)) println("st ", @count(st), " ", @sum(st), " ", @min(st), " ", @max(st), " ", @avg(st))
  if (@count(hist)) { print(@hist_log(hist)) print(@hist_linear(hist, -20, 30, 7)) println(@variance(hist)) }
  foreach (k+ in per) println("per ", k, " ", @count(per[k]), " ", @sum(per[k]))
  foreach ([s+, k] in sper) println("sper ", s, " ", k, " ", @min(sper[s, k]), " ", @max(sper[s, k]))
  foreach (k+ in ring) println("ring ", k, " ", ring[k])
}
"#;

impl Writer<'_> {
    fn script(&mut self) {
        self.out.push_str(GLOBALS);
        self.functions();
        let points = self.shape.points;
        for point in points {
            let _ = writeln!(self.out, "probe {point} {{");
            self.body(6);
            self.out.push_str("}\n");
        }
        self.out.push_str(END);
    }

    fn functions(&mut self) {
        self.in_function = true;
        self.calls = false;
        self.out
            .push_str("function f0:long(a:long, b:long) {\n  s = \"\"; t = \"\";\n");
        self.statements(3);
        let result = self.long(2);
        let _ = writeln!(self.out, "  return {result}\n}}");
        self.out
            .push_str("function f1:long(a:long, b:long) {\n  s = \"\"; t = \"\";\n  if (a < 1 || a > 6) return b\n");
        let step = self.long(1);
        let _ = writeln!(
            self.out,
            "  b = ({step}) & 1023\n  return f1(a - 1, b) + a\n}}"
        );
        let (low, high) = (self.random.below(5), 2 + self.random.below(9));
        let _ = writeln!(
            self.out,
            "function f2:long(a:long, b:long) {{ if (a > {low}) next; return b }}\n\
             function f2:long(a:long, b:long) {{ if (a > {high}) next; return a }}\n\
             function f3:string(a:long, s:string) {{ if (a) return s . \"!\"; return sprintf(\"%d:%s\", a, s) }}"
        );
        self.out
            .push_str("function f4:string(s:string, t:string) {\n  a = strlen(s); b = 1;\n");
        self.statements(3);
        let result = self.text(2);
        let _ = writeln!(self.out, "  return {result}\n}}");
        self.in_function = false;
        self.calls = true;
    }

    fn body(&mut self, count: usize) {
        self.out.push_str("  a = 1; b = 2; s = \"s\"; t = \"\";\n");
        self.statements(count);
        self.out
            .push_str("  println(a, \" \", b, \" \", s, \" \", t)\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_script() {
        let shape = Shape {
            points: &["begin"],
            ..Shape::default()
        };
        assert_eq!(script(3, shape), script(3, shape));
        assert_ne!(script(3, shape), script(4, shape));
    }
}
