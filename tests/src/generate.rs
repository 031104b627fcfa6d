//! Random scripts that are well-typed and end: for comparing executors, and code before and after
//! the passes.
//!
//! A script has globals of every kind, functions (with overloads, recursion, early returns) and
//! the probes that the caller asks for; its `end` probe prints what the globals came to. The same
//! seed gives the same script. Run-time errors are meant to happen: divisions by zero, full arrays,
//! `error()`, mostly but not always caught.

use std::fmt::Write as _;

/// A source of numbers: xorshift64*.
pub struct Random(u64);

impl Random {
    /// Starts at a seed.
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// What a script is made for.
#[derive(Clone, Copy, Default)]
pub struct Shape<'a> {
    /// Probe points, besides `end`; each gets a body.
    pub points: &'a [&'a str],
    /// Expressions of the context that bodies may use (`pid()`, `$id`).
    pub context: &'a [&'a str],
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

const NUMBERS: [&str; 16] = [
    "0",
    "1",
    "2",
    "3",
    "7",
    "8",
    "10",
    "-1",
    "-2",
    "-8",
    "63",
    "64",
    "255",
    "4294967296",
    "9223372036854775807",
    "-4294967295",
];
const TEXTS: [&str; 6] = [
    "\"\"",
    "\"a\"",
    "\"abc\"",
    "\"a longer text\"",
    "\"%d\\n\"",
    "\"zz\"",
];

impl Writer<'_> {
    fn script(&mut self) {
        self.out
            .push_str("global g, h = 5, gs = \"start\", arr[6], by, st, per, ring%[3]\n");
        // Tells the types of what the random part may not use.
        self.out.push_str(
            "probe never { arr[0] = 0; by[gs, 0] = 0; st <<< 0; per[0] <<< 0; ring[0] = 1 }\n",
        );
        self.functions();
        let points = self.shape.points;
        for point in points {
            let _ = writeln!(self.out, "probe {point} {{");
            self.body(6);
            self.out.push_str("}\n");
        }
        self.out.push_str(
            r#"probe end {
  println(g, " ", h, " ", gs)
  foreach (k in arr+) println("arr ", k, " ", arr[k])
  foreach ([s, n] in by+) println("by ", s, " ", n, " ", by[s, n])
  if (@count(st)) println("st ", @count(st), " ", @sum(st), " ", @min(st), " ", @max(st), " ", @avg(st))
  foreach (k+ in per) println("per ", k, " ", @count(per[k]), " ", @sum(per[k]))
  foreach (k+ in ring) println("ring ", k)
}
"#,
        );
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
        self.in_function = false;
        self.calls = true;
    }

    fn body(&mut self, count: usize) {
        self.out.push_str("  a = 1; b = 2; s = \"s\"; t = \"\";\n");
        self.statements(count);
        self.out
            .push_str("  println(a, \" \", b, \" \", s, \" \", t)\n");
    }

    fn statements(&mut self, count: usize) {
        for _ in 0..=self.random.below(count) {
            self.statement();
        }
    }

    fn line(&mut self, text: &str) {
        for _ in 0..=self.depth {
            self.out.push_str("  ");
        }
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn block(&mut self, head: &str, count: usize, tail: &str) {
        self.line(&format!("{head} {{"));
        self.depth += 1;
        self.statements(count);
        self.depth -= 1;
        self.line(&format!("}}{tail}"));
    }

    fn statement(&mut self) {
        let choices = if self.depth < 4 { 24 } else { 14 };
        let text = match self.random.below(choices) {
            0..=2 => {
                let place = self.random.pick(&["a", "b", "g", "h"]);
                let op = self.random.pick(&[
                    "=", "=", "=", "+=", "-=", "*=", "|=", "^=", "&=", "<<=", ">>=",
                ]);
                format!("{place} {op} {}", self.long(3))
            }
            3 => format!("{} = {}", self.random.pick(&["s", "t", "gs"]), self.text(3)),
            4 => format!("{} .= {}", self.random.pick(&["s", "t"]), self.text(1)),
            5 => {
                let place = self.random.pick(&["a", "g", "h", "arr[1]", "arr[b & 7]"]);
                if self.random.one_in(2) {
                    format!("{place}{}", self.random.pick(&["++", "--"]))
                } else {
                    format!("{}{place}", self.random.pick(&["++", "--"]))
                }
            }
            6 => {
                let op = self.random.pick(&["=", "=", "+=", "-=", "|="]);
                format!("arr[({}) & 7] {op} {}", self.long(2), self.long(2))
            }
            7 => format!(
                "by[{}, a & 3] {} {}",
                self.text(1),
                self.random.pick(&["=", "+="]),
                self.long(1)
            ),
            8 => format!("st <<< {}", self.long(2)),
            9 => format!("per[a & 3] <<< {}", self.long(2)),
            10 => format!("ring[{} & 15] = 1", self.long(1)),
            11 => format!("println({}, \" \", {})", self.long(3), self.text(2)),
            12 => format!(
                "printf(\"%{}d %s %{}x|\\n\", {}, {}, {})",
                self.random.pick(&["", "5", "-4", "03"]),
                self.random.pick(&["", "08", "#"]),
                self.long(2),
                self.text(2),
                self.long(1)
            ),
            13 => self
                .random
                .pick(&[
                    "delete arr[a & 7]",
                    "delete arr",
                    "delete g",
                    "delete by[*, 1]",
                    "delete st",
                    "delete per[1]",
                    "if (a == 77) next",
                    "if (b == 99) error(\"b\" . s)",
                ])
                .to_owned(),
            14..=16 => {
                let cond = self.long(3);
                let tail = if self.random.one_in(2) { " else" } else { "" };
                self.block(&format!("if ({cond})"), 3, tail);
                if !tail.is_empty() {
                    self.block("", 2, "");
                }
                return;
            }
            17 | 18 => return self.counted_loop(),
            19 => {
                let (key, var) = (
                    self.random.pick(&["arr", "arr+", "arr- limit 2"]),
                    self.loops,
                );
                self.loops += 1;
                let before = std::mem::replace(&mut self.in_loop, true);
                self.block(&format!("foreach (v{var} = k{var} in {key})"), 2, "");
                self.in_loop = before;
                return;
            }
            20 | 21 => {
                self.block("try", 3, "");
                self.block("catch (t)", 1, "");
                return;
            }
            22 if self.in_loop => {
                let cond = self.long(2);
                let how = self.random.pick(&["break", "continue"]);
                format!("if ({cond}) {how}")
            }
            22 if self.in_function => format!("if ({}) return {}", self.long(2), self.long(2)),
            _ => format!("{} = {}", self.random.pick(&["a", "b"]), self.long(4)),
        };
        // Without the semicolon a `++` of the next line would belong to this one.
        self.line(&format!("{text};"));
    }

    fn counted_loop(&mut self) {
        let var = format!("i{}", self.loops);
        self.loops += 1;
        let n = 1 + self.random.below(5);
        let before = std::mem::replace(&mut self.in_loop, true);
        self.block(&format!("for ({var} = 0; {var} < {n}; {var}++)"), 3, "");
        self.in_loop = before;
    }

    /// An expression whose value is a number.
    fn long(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.simple_long();
        }
        let d = depth - 1;
        match self.random.below(16) {
            0..=3 => {
                let op = self
                    .random
                    .pick(&["+", "-", "*", "&", "|", "^", "<<", ">>", ">>>"]);
                format!("({} {op} {})", self.long(d), self.long(d))
            }
            4 => format!(
                "({} {} {})",
                self.long(d),
                self.random.pick(&["/", "%"]),
                self.divisor(d)
            ),
            5 | 6 => {
                let op = self.random.pick(&["<", "<=", ">", ">=", "==", "!="]);
                format!("({} {op} {})", self.long(d), self.long(d))
            }
            7 => format!(
                "({} {} {})",
                self.text(d),
                self.random.pick(&["==", "!=", "<", ">="]),
                self.text(d)
            ),
            8 => format!(
                "({} {} {})",
                self.long(d),
                self.random.pick(&["&&", "||"]),
                self.long(d)
            ),
            9 => format!("({} ? {} : {})", self.long(d), self.long(d), self.long(d)),
            10 => format!("({}{})", self.random.pick(&["- ", "~", "!"]), self.long(d)),
            11 => format!("strlen({})", self.text(d)),
            12 => format!("arr[({}) & 7]", self.long(d)),
            13 => format!("([{}] in arr)", self.simple_long()),
            14 if self.calls => {
                let f = self.random.pick(&["f0", "f1", "f2"]);
                format!("{f}({}, {})", self.long(d), self.long(d))
            }
            14 => self.simple_long(),
            _ => format!(
                "strtol({}, {})",
                self.text(d),
                self.random.pick(&["0", "10", "16"])
            ),
        }
    }

    /// Mostly not zero.
    fn divisor(&mut self, depth: usize) -> String {
        match self.random.below(4) {
            0 => self.long(depth),
            1 => format!("(1 + ({} & 7))", self.long(depth)),
            _ => self
                .random
                .pick(&["1", "2", "3", "8", "-1", "-4", "1000"])
                .to_owned(),
        }
    }

    fn simple_long(&mut self) -> String {
        let context = self.shape.context;
        match self.random.below(8) {
            0..=2 => self.random.pick(&["a", "b"]).to_owned(),
            3 => self.random.pick(&["g", "h"]).to_owned(),
            4 if !context.is_empty() && !self.in_function => self.random.pick(context).to_owned(),
            _ => {
                let n = self.random.pick(&NUMBERS);
                if n.starts_with('-') {
                    format!("({n})")
                } else {
                    n.to_owned()
                }
            }
        }
    }

    /// An expression whose value is a string.
    fn text(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self
                .random
                .pick(&["s", "t", "gs", TEXTS[0], TEXTS[2], TEXTS[3]])
                .to_owned();
        }
        let d = depth - 1;
        match self.random.below(9) {
            0 | 1 => format!("({} . {})", self.text(d), self.text(d)),
            2 => format!(
                "substr({}, {}, {})",
                self.text(d),
                self.random.below(3),
                self.random.below(6)
            ),
            3 => format!("sprint({})", self.long(d)),
            4 => format!("sprintf(\"%d-%s\", {}, {})", self.long(d), self.text(d)),
            5 => format!("({} ? {} : {})", self.long(d), self.text(d), self.text(d)),
            6 if self.calls => format!("f3({}, {})", self.long(d), self.text(d)),
            _ => {
                let texts = ["s", "t", "gs"]
                    .iter()
                    .chain(&TEXTS)
                    .copied()
                    .collect::<Vec<_>>();
                self.random.pick(&texts).to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_script() {
        let shape = Shape {
            points: &["begin"],
            context: &[],
        };
        assert_eq!(script(3, shape), script(3, shape));
        assert_ne!(script(3, shape), script(4, shape));
    }
}
