//! Random expressions.

use super::Writer;

const NUMBERS: [&str; 20] = [
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
    "65",
    "255",
    "4294967295",
    "4294967296",
    "2147483648",
    "9223372036854775807",
    "-9223372036854775807",
    "-4294967295",
];
const TEXTS: [&str; 9] = [
    "\"\"",
    "\"a\"",
    "\"abc\"",
    "\"a longer text\"",
    "\"%d\\n\"",
    "\"zz\"",
    "\"0x1f\"",
    "\"-12ab\"",
    "\"\\377\\001\"",
];
const PATTERNS: [&str; 8] = [
    "a",
    "^a.*c$",
    "[0-9]+",
    "(a|b)(c|n)",
    "^$",
    "x*",
    "[^a-m]+t$",
    "lo(ng)?e",
];

impl Writer<'_> {
    /// An expression whose value is a number.
    pub(super) fn long(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.simple_long();
        }
        let d = depth - 1;
        match self.random.below(24) {
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
                self.random.pick(&["==", "!=", "<", ">=", ">", "<="]),
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
            11 => match self.random.below(4) {
                0 => format!("strlen({})", self.text(d)),
                // Kernel handlers do not search for long strings that are not constant.
                1 if !self.random.one_in(20) => {
                    format!("isinstr({}, {})", self.text(d), self.random.pick(&TEXTS))
                }
                1 => format!("isinstr({}, {})", self.text(d), self.text(d)),
                2 => format!("stringat({}, {})", self.text(d), self.long(d)),
                _ => format!(
                    "strtol({}, {})",
                    self.text(d),
                    self.random.pick(&["0", "10", "16", "8"])
                ),
            },
            12 => format!("arr[({}) & 7]", self.long(d)),
            13 => match self.random.below(5) {
                0 => format!("([{}] in arr)", self.simple_long()),
                1 => format!("([{}, {}] in by)", self.text(0), self.simple_long()),
                2 if self.shape.whole_arrays => format!("([{}, *] in by)", self.text(0)),
                3 if self.shape.whole_arrays => {
                    format!("([*, {}, *, *] in wide)", self.text(0))
                }
                _ => format!("([{} & 7] in names)", self.simple_long()),
            },
            14 | 15 if self.calls => {
                let f = self.random.pick(&["f0", "f1", "f2"]);
                format!("{f}({}, {})", self.long(d), self.long(d))
            }
            16 => format!("by[{}, {}]", self.text(0), self.simple_long()),
            17 => format!(
                "({} {} \"{}\")",
                self.text(d),
                self.random.pick(&["=~", "!~"]),
                self.random.pick(&PATTERNS)
            ),
            18 => {
                let place = self.random.pick(&["a", "b", "g", "h", "arr[b & 7]"]);
                match self.random.below(3) {
                    0 => format!("({place} = {})", self.long(d)),
                    1 => format!("({place}++)"),
                    _ => format!("(--{place})"),
                }
            }
            19 | 20 => self.statistic(),
            21 => format!(
                "{}({})",
                self.random.pick(&["isdigit", "strlen"]),
                self.text(d)
            ),
            _ => self.simple_long(),
        }
    }

    /// What a statistic came to; mostly guarded, as most operators fail where there are no values.
    fn statistic(&mut self) -> String {
        let place = self
            .random
            .pick(&["st", "hist", "per[a & 3]", "sper[s, b & 1]"]);
        let operator = self.random.pick(&["min", "max", "avg", "variance"]);
        match self.random.below(7) {
            0 => format!("@count({place})"),
            1 => format!("@sum({place})"),
            2 => format!("@{operator}({place})"),
            3 => format!(
                "(@count(hist) ? @hist_log(hist)[{}] : 0)",
                self.random.below(70)
            ),
            4 => format!(
                "(@count(hist) ? @hist_linear(hist, -20, 30, 7)[{}] : 0)",
                self.random.below(10)
            ),
            _ => format!(
                "(@count({place}) ? @{operator}({place}) : {})",
                self.simple_long()
            ),
        }
    }

    /// Mostly not zero.
    pub(super) fn divisor(&mut self, depth: usize) -> String {
        match self.random.below(4) {
            0 => self.long(depth),
            1 => format!("(1 + ({} & 7))", self.long(depth)),
            _ => self
                .random
                .pick(&["1", "2", "3", "8", "(-1)", "(-4)", "1000"])
                .to_owned(),
        }
    }

    pub(super) fn simple_long(&mut self) -> String {
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
    pub(super) fn text(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self
                .random
                .pick(&["s", "t", "gs", TEXTS[0], TEXTS[2], TEXTS[3]])
                .to_owned();
        }
        let d = depth - 1;
        match self.random.below(15) {
            0 | 1 => format!("({} . {})", self.text(d), self.text(d)),
            2 => {
                let (from, length) = if self.random.one_in(3) {
                    (self.long(d), self.long(d))
                } else {
                    (
                        self.random.below(3).to_string(),
                        self.random.below(6).to_string(),
                    )
                };
                format!("substr({}, {from}, {length})", self.text(d))
            }
            3 => format!("sprint({})", self.long(d)),
            4 => format!("sprintf(\"%d-%s\", {}, {})", self.long(d), self.text(d)),
            5 => format!("({} ? {} : {})", self.long(d), self.text(d), self.text(d)),
            6 | 7 if self.calls => {
                if self.random.one_in(2) {
                    format!("f3({}, {})", self.long(d), self.text(d))
                } else {
                    format!("f4({}, {})", self.text(d), self.text(d))
                }
            }
            8 => format!("names[{} & 7]", self.simple_long()),
            9 => format!("sprintf(\"%5s%x\", {}, {})", self.text(d), self.long(d)),
            10 => {
                let head = self.random.pick(&[
                    "sprintln(",
                    "sprint(",
                    "sprintdln(\",\", 1, ",
                    "sprintd(\"\", ",
                ]);
                format!("{head}{}, {})", self.text(d), self.long(d))
            }
            11 => format!("str_replace({}, \"a\", {})", self.text(d), self.text(0)),
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
