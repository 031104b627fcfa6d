//! Random statements.

use super::Writer;
use super::world::{Element, Ty};

const ASSIGNMENTS: [&str; 14] = [
    "=", "=", "=", "=", "+=", "-=", "*=", "|=", "^=", "&=", "<<=", ">>=", "/=", "%=",
];

impl Writer<'_> {
    pub(super) fn statements(&mut self, count: usize) {
        let most = count.min(self.shape.statements).max(1);
        for _ in 0..=self.random.below(most) {
            self.statement();
        }
    }

    pub(super) fn line(&mut self, text: &str) {
        for _ in 0..=self.depth {
            self.out.push_str("  ");
        }
        self.out.push_str(text);
        self.out.push('\n');
    }

    pub(super) fn block(&mut self, head: &str, count: usize, tail: &str) {
        self.line(&format!("{head} {{"));
        self.depth += 1;
        self.statements(count);
        self.depth -= 1;
        self.line(&format!("}}{tail}"));
    }

    fn statement(&mut self) {
        let choices = if self.depth < 4 { 36 } else { 23 };
        let text = match self.random.below(choices) {
            0..=4 => self.long_assignment(),
            5..=7 => self.text_assignment(),
            8 | 9 => {
                let place = self.long_place(1);
                let step = self.random.pick(&["++", "--"]);
                if self.random.one_in(2) {
                    format!("{place}{step}")
                } else {
                    format!("{step}{place}")
                }
            }
            10..=12 => self.sample(),
            13..=15 => self.print(),
            16 => self.removal(),
            17 => self.leave(),
            18 => self.late(),
            19 if self.in_loop => {
                let condition = self.long(2);
                let how = self.random.pick(&["break", "continue"]);
                format!("if ({condition}) {how}")
            }
            20 => self.call(None, 2).unwrap_or_else(|| self.print()),
            21 => self.library_call(None, 2).unwrap_or_else(|| self.print()),
            // What a value is made for need not be used.
            22 => self.long(3),
            23..=26 => return self.if_else(),
            27..=29 if self.shape.loops && self.loops_within < 2 => return self.any_loop(),
            30..=32 => return self.try_catch(),
            33 => return self.block("", 2, ""),
            _ => self.long_assignment(),
        };
        // Without the semicolon a `++` of the next line would belong to this one.
        self.line(&format!("{text};"));
    }

    fn long_assignment(&mut self) -> String {
        let place = self.long_place(2);
        let op = self.random.pick(&ASSIGNMENTS);
        let value = match op {
            "/=" | "%=" => self.divisor(2),
            _ => self.long(3),
        };
        format!("{place} {op} {value}")
    }

    fn text_assignment(&mut self) -> String {
        let place = self.text_place(2);
        let op = self.random.pick(&["=", "=", ".="]);
        format!("{place} {op} {}", self.text(3))
    }

    /// Puts a number into a statistic.
    fn sample(&mut self) -> String {
        let Some(statistic) = self.random.one_of(&self.world.statistics).cloned() else {
            return self.long_assignment();
        };
        let place = self.place_of(&statistic.name, &statistic.keys, 1);
        format!("{place} <<< {}", self.long(2))
    }

    fn removal(&mut self) -> String {
        let scalars = self.world.longs.iter().chain(&self.world.texts);
        let statistics = self.world.statistics.iter().filter(|s| s.keys.is_empty());
        let scalars = scalars.chain(statistics.map(|s| &s.name));
        if self.random.one_in(4) {
            let scalar = self.random.one_of(scalars).cloned();
            return scalar.map_or_else(|| self.print(), |name| format!("delete {name}"));
        }
        let Some(array) = self.random.one_of(&self.world.arrays).cloned() else {
            return self.print();
        };
        match self.random.below(4) {
            0 if self.shape.whole_arrays => format!("delete {}", array.name),
            1 if self.shape.whole_arrays => {
                format!("delete {}[{}]", array.name, self.keys(&array.keys, 1, true))
            }
            _ => format!(
                "delete {}[{}]",
                array.name,
                self.keys(&array.keys, 1, false)
            ),
        }
    }

    /// Leaves the function or handler, in an orderly way or not.
    fn leave(&mut self) -> String {
        let condition = self.long(1);
        let how = match self.random.below(4) {
            0 | 1 => format!("error({})", self.text(2)),
            2 if self.random.one_in(3) => "exit()".to_owned(),
            _ if !self.in_function => "next".to_owned(),
            _ => {
                let value = self.result.map(|ty| self.value(ty, 1)).unwrap_or_default();
                format!("return {value}")
            }
        };
        format!("if (({condition}) == {}) {how}", self.random.below(4))
    }

    /// Does with a string what can be done without looking into it.
    fn late(&mut self) -> String {
        let Some(text) = self.late_text() else {
            return self.print();
        };
        match self.random.below(4) {
            0 => format!("println({text}, \" \", {})", self.long(1)),
            1 => format!("printf(\"%s|%12s\\n\", {text}, {})", self.text(1)),
            2 => format!("late_text = {text}"),
            _ => format!("late_keys[{text}] += {}", self.long(1)),
        }
    }

    fn if_else(&mut self) {
        let condition = self.long(3);
        let tail = if self.random.one_in(2) { " else" } else { "" };
        self.block(&format!("if ({condition})"), 3, tail);
        if !tail.is_empty() {
            self.block("", 2, "");
        }
    }

    fn try_catch(&mut self) {
        self.block("try", 3, "");
        if self.random.one_in(3) {
            self.block("catch", 2, "");
        } else {
            let message = self.local(Ty::Text);
            self.block(&format!("catch ({message})"), 2, "");
        }
    }

    /// Whether there is an array of such elements.
    pub(super) fn has(&self, element: Element) -> bool {
        self.world.arrays.iter().any(|a| a.element == element)
    }
}
