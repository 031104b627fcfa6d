//! Expressions whose value is a number.

use super::world::{Element, Ty};
use super::{Writer, texts};

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
    "0x8000000000000000",
];

const ARITHMETIC: [&str; 9] = ["+", "-", "*", "&", "|", "^", "<<", ">>", ">>>"];
const COMPARISONS: [&str; 6] = ["<", "<=", ">", ">=", "==", "!="];

impl Writer<'_> {
    /// An expression whose value is a number.
    pub(super) fn long(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.simple_long();
        }
        let d = depth - 1;
        match self.random.below(27) {
            0..=3 => {
                let op = self.random.pick(&ARITHMETIC);
                format!("({} {op} {})", self.long(d), self.long(d))
            }
            4 => {
                let op = self.random.pick(&["/", "%"]);
                format!("({} {op} {})", self.long(d), self.divisor(d))
            }
            5 | 6 => {
                let op = self.random.pick(&COMPARISONS);
                format!("({} {op} {})", self.long(d), self.long(d))
            }
            7 => {
                let op = self.random.pick(&COMPARISONS);
                format!("({} {op} {})", self.text(d), self.text(d))
            }
            8 => {
                let op = self.random.pick(&["&&", "||"]);
                format!("({} {op} {})", self.long(d), self.long(d))
            }
            9 => format!("({} ? {} : {})", self.long(d), self.long(d), self.long(d)),
            10 => {
                let op = self.random.pick(&["- ", "~", "!", "+ "]);
                format!("({op}{})", self.long(d))
            }
            11 | 12 => self
                .element_of(Element::Long, d)
                .unwrap_or_else(|| self.simple_long()),
            13 => self.membership(),
            14 | 15 => self
                .call(Some(Ty::Long), d)
                .unwrap_or_else(|| self.simple_long()),
            16 | 17 => self
                .library_call(Some(Ty::Long), d)
                .unwrap_or_else(|| self.simple_long()),
            18 => {
                let op = self.random.pick(&["=~", "!~"]);
                format!(
                    "({} {op} \"{}\")",
                    self.text(d),
                    self.random.pick(&texts::PATTERNS)
                )
            }
            19 => self.assigned_long(d),
            20 | 21 => self.statistic(d),
            22 => format!("strlen({})", self.text(d)),
            23 if !self.in_function => {
                let n = self.long(d);
                match self.random.below(3) {
                    0 => format!("(@defined($nothing) ? 1 : {n})"),
                    1 => format!("@choose_defined($nothing, {n})"),
                    _ => format!("(@defined(no_such_function({n})) + {n})"),
                }
            }
            24 => format!(
                "({} =~ \"{}\" ? ngroups() : {})",
                self.text(d),
                self.random.pick(&texts::PATTERNS),
                self.long(d)
            ),
            _ => self.simple_long(),
        }
    }

    /// An assignment, or one step up or down, as a value.
    fn assigned_long(&mut self, depth: usize) -> String {
        let place = self.long_place(depth);
        match self.random.below(6) {
            0 => format!("({place} = {})", self.long(depth)),
            1 => {
                let op = self
                    .random
                    .pick(&["+=", "-=", "*=", "|=", "^=", "&=", "<<=", ">>="]);
                format!("({place} {op} {})", self.long(depth))
            }
            2 => format!("({place}++)"),
            3 => format!("({place}--)"),
            4 => format!("(++{place})"),
            _ => format!("(--{place})"),
        }
    }

    /// Where a number can be put.
    pub(super) fn long_place(&mut self, depth: usize) -> String {
        match self.random.below(6) {
            0..=2 => self.local(Ty::Long),
            3 => self.global(Ty::Long),
            _ => self
                .element_of(Element::Long, depth)
                .unwrap_or_else(|| self.global(Ty::Long)),
        }
    }

    /// Whether an array has some element.
    fn membership(&mut self) -> String {
        let Some(array) = self.random.one_of(&self.world.arrays).cloned() else {
            return self.simple_long();
        };
        let wild = self.shape.whole_arrays && self.random.one_in(2);
        let keys = self.keys(&array.keys, 0, wild);
        format!("([{keys}] in {})", array.name)
    }

    /// What a statistic came to; mostly guarded, as most operators fail where there are no values.
    fn statistic(&mut self, depth: usize) -> String {
        let statistic = self.random.one_of(&self.world.statistics).cloned();
        let Some(statistic) = statistic.filter(|_| self.shape.statistics) else {
            return self.simple_long();
        };
        // Not twice what can have an effect.
        let place = self.place_of(&statistic.name, &statistic.keys, 0);
        let linear = &statistic.linear;
        let operator = match self.random.below(10) {
            0 => return format!("@count({place})"),
            1 => return format!("@sum({place})"),
            2 => format!("@min({place})"),
            3 => format!("@max({place})"),
            4 | 5 => format!("@avg({place})"),
            6 => format!("@variance({place})"),
            7 => format!("@variance({place}, {})", self.random.below(63)),
            8 => format!("@hist_log({place})[{}]", self.bucket(129)),
            _ => format!("@hist_linear({place}{linear})[{}]", self.bucket(10)),
        };
        if self.random.one_in(4) {
            return operator;
        }
        format!("(@count({place}) ? {operator} : {})", self.long(depth))
    }

    /// The number of a bucket, mostly of one that is there.
    fn bucket(&mut self, buckets: usize) -> String {
        match self.random.below(6) {
            0 => self.simple_long(),
            1 => format!(
                "{} + ({} & 3)",
                self.random.below(buckets),
                self.simple_long()
            ),
            _ => self.random.below(buckets).to_string(),
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
            0..=2 => self.readable_long(),
            3 => self.global(Ty::Long),
            4 if !context.is_empty() && !self.in_function => self.random.pick(context).to_owned(),
            _ => {
                let number = self.number();
                if number.starts_with('-') {
                    format!("({number})")
                } else {
                    number
                }
            }
        }
    }

    /// A constant.
    pub(super) fn number(&mut self) -> String {
        match self.random.below(12) {
            0 => (self.random.any() >> self.random.below(63)).to_string(),
            1 => format!("{:#x}", self.random.any()),
            2 => format!("0{:o}", self.random.below(5000)),
            _ => self.random.pick(&NUMBERS).to_owned(),
        }
    }
}
