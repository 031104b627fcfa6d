//! Random statements.

use super::Writer;

impl Writer<'_> {
    pub(super) fn statements(&mut self, count: usize) {
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
        let choices = if self.depth < 4 { 36 } else { 24 };
        let text = match self.random.below(choices) {
            0..=2 => self.assignment(),
            3 => format!("{} = {}", self.random.pick(&["s", "t", "gs"]), self.text(3)),
            4 => format!(
                "{} .= {}",
                self.random.pick(&["s", "t", "gs"]),
                self.text(1)
            ),
            5 => {
                let place =
                    self.random
                        .pick(&["a", "g", "h", "arr[1]", "arr[b & 7]", "by[t, b & 1]"]);
                if self.random.one_in(2) {
                    format!("{place}{}", self.random.pick(&["++", "--"]))
                } else {
                    format!("{}{place}", self.random.pick(&["++", "--"]))
                }
            }
            6 => {
                let op = self
                    .random
                    .pick(&["=", "=", "+=", "-=", "|=", "*=", ">>=", "%="]);
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
            10 => {
                let op = self.random.pick(&["= 1", "+= 2", "++"]);
                format!("ring[{} & 15] {op}", self.long(1))
            }
            11 => format!("println({}, \" \", {})", self.long(3), self.text(2)),
            12 | 13 => self.printf(),
            14 => self.removal(),
            15 => format!("hist <<< {}", self.long(2)),
            16 => format!("sper[{}, b & 1] <<< {}", self.text(1), self.long(1)),
            17 | 18 => format!(
                "names[({}) & 7] {} {}",
                self.long(1),
                self.random.pick(&["=", "=", ".="]),
                self.text(2)
            ),
            19 => format!(
                "wide[a & 1, {}, {}, {} & 1] {} {}",
                self.text(1),
                self.text(1),
                self.long(1),
                self.random.pick(&["=", "+=", "-="]),
                self.long(1)
            ),
            20 => self
                .random
                .pick(&["if (a == 77) next", "if (b == 99) error(\"b\" . s)"])
                .to_owned(),
            21 if self.in_loop => {
                let cond = self.long(2);
                let how = self.random.pick(&["break", "continue"]);
                format!("if ({cond}) {how}")
            }
            22 => self.print(),
            23 if self.shape.whole_arrays => self
                .random
                .pick(&[
                    "if (@count(hist)) print(@hist_log(hist))",
                    "if (@count(hist)) print(@hist_linear(hist, -20, 30, 7))",
                    "if (@count(per[1])) print(@hist_log(per[1]))",
                ])
                .to_owned(),
            24..=27 => return self.if_else(),
            28 | 29 if self.shape.loops => return self.counted_loop(),
            30 if self.shape.loops => return self.while_loop(),
            31 if self.shape.whole_arrays => return self.each(),
            32..=34 => {
                self.block("try", 3, "");
                self.block("catch (t)", 1, "");
                return;
            }
            _ => format!("{} = {}", self.random.pick(&["a", "b"]), self.long(4)),
        };
        // Without the semicolon a `++` of the next line would belong to this one.
        self.line(&format!("{text};"));
    }

    fn assignment(&mut self) -> String {
        let place = self.random.pick(&["a", "b", "g", "h"]);
        let op = self.random.pick(&[
            "=", "=", "=", "+=", "-=", "*=", "|=", "^=", "&=", "<<=", ">>=", "/=", "%=",
        ]);
        let value = match op {
            "/=" | "%=" => self.divisor(2),
            _ => self.long(3),
        };
        format!("{place} {op} {value}")
    }

    fn printf(&mut self) -> String {
        let number = self.random.pick(&[
            "%d", "%5d", "%-4d", "%03d", "%+d", "%i", "%u", "%x", "%08x", "%#x", "%X", "%o", "%#o",
            "%p", "%c", "% d",
        ]);
        let text = self
            .random
            .pick(&["%s", "%8s", "%-6s", "%.2s", "%7.3s", "%s"]);
        if self.random.one_in(6) {
            return format!(
                "printf(\"%*d|%-*s|%.*s|\\n\", ({}) & 15, {}, {} & 7, {}, {} & 3, {})",
                self.long(1),
                self.long(1),
                self.simple_long(),
                self.text(1),
                self.simple_long(),
                self.text(1)
            );
        }
        format!(
            "printf(\"{number} {text} %{}x|%%\\n\", {}, {}, {})",
            self.random.pick(&["", "08", "#"]),
            self.long(2),
            self.text(2),
            self.long(1)
        )
    }

    fn print(&mut self) -> String {
        let mut values = Vec::new();
        for _ in 0..=self.random.below(4) {
            values.push(if self.random.one_in(2) {
                self.long(1)
            } else {
                self.text(1)
            });
        }
        let values = values.join(", ");
        let delimiter = self.random.pick(&[",", "", "--"]);
        match self.random.below(4) {
            0 => format!("print({values})"),
            1 => format!("println({values})"),
            2 => format!("printd(\"{delimiter}\", {values}, a)"),
            _ => format!("printdln(\"{delimiter}\", {values}, s)"),
        }
    }

    fn removal(&mut self) -> String {
        let elements = [
            "delete arr[a & 7]",
            "delete g",
            "delete gs",
            "delete names[1]",
            "delete by[s, b & 3]",
            "delete wide[1, s, t, 0]",
            "delete per[1]",
            "delete ring[a & 15]",
        ];
        let whole = [
            "delete arr",
            "delete by[*, 1]",
            "delete by[\"abc\", *]",
            "delete wide[*, \"abc\", *, *]",
            "delete st",
            "delete hist",
            "delete names",
            "delete per",
            "delete sper[s, *]",
            "delete ring",
        ];
        if self.shape.whole_arrays && self.random.one_in(2) {
            self.random.pick(&whole).to_owned()
        } else {
            self.random.pick(&elements).to_owned()
        }
    }

    fn if_else(&mut self) {
        let cond = self.long(3);
        let tail = if self.random.one_in(2) { " else" } else { "" };
        self.block(&format!("if ({cond})"), 3, tail);
        if !tail.is_empty() {
            self.block("", 2, "");
        }
    }

    fn counted_loop(&mut self) {
        let var = format!("i{}", self.loops);
        self.loops += 1;
        let n = 1 + self.random.below(5);
        let before = std::mem::replace(&mut self.in_loop, true);
        self.block(&format!("for ({var} = 0; {var} < {n}; {var}++)"), 3, "");
        self.in_loop = before;
    }

    fn while_loop(&mut self) {
        let var = format!("i{}", self.loops);
        self.loops += 1;
        let first = self.random.below(4);
        self.line(&format!("{var} = {first};"));
        let (n, cond) = (2 + self.random.below(3), self.long(1));
        let before = std::mem::replace(&mut self.in_loop, true);
        self.block(&format!("while ({var}++ < {n} && ({cond}))"), 3, "");
        self.in_loop = before;
    }

    fn each(&mut self) {
        let var = self.loops;
        self.loops += 1;
        let head = match self.random.below(9) {
            0 => format!("foreach (v{var} = k{var} in arr+)"),
            1 => format!("foreach (v{var} = k{var} in arr- limit 2)"),
            2 => format!("foreach (k{var}- in arr)"),
            3 => format!("foreach ([x{var}+, k{var}] in by)"),
            4 => format!("foreach (w{var} = k{var}+ in names limit 3)"),
            5 => format!("foreach ([x{var}, k{var}-] in by[\"abc\", *])"),
            6 => format!("foreach (v{var} = [x{var}, k{var}+] in by[s, *] limit 2)"),
            _ => format!("foreach (k{var}+ in per)"),
        };
        self.line(&format!("{head} {{"));
        self.depth += 1;
        let before = std::mem::replace(&mut self.in_loop, true);
        if self.random.one_in(2) {
            self.line(&format!("b ^= k{var} + 1;"));
        }
        self.statements(2);
        self.in_loop = before;
        self.depth -= 1;
        self.line("}");
    }
}
