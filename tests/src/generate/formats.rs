//! The print family, and the strings made in its ways.

use super::Writer;

impl Writer<'_> {
    /// A statement that prints.
    pub(super) fn print(&mut self) -> String {
        match self.random.below(9) {
            0..=3 => {
                let (format, values) = self.format(2, true);
                format!("printf(\"{format}\\n\"{values})")
            }
            4 => format!("print({})", self.values(2)),
            5 | 6 => format!("println({})", self.values(2)),
            7 => format!("printd(\"{}\", {}, 1)", self.delimiter(), self.values(1)),
            _ => format!(
                "printdln(\"{}\", {}, \"z\")",
                self.delimiter(),
                self.values(1)
            ),
        }
    }

    /// A string made as it would be printed.
    pub(super) fn sprint(&mut self, depth: usize) -> String {
        match self.random.below(6) {
            0..=2 => {
                let (format, values) = self.format(depth, false);
                format!("sprintf(\"{format}\"{values})")
            }
            3 => format!("sprint({})", self.values(depth)),
            4 => format!("sprintln({})", self.values(depth)),
            _ => {
                let name = self.random.pick(&["sprintd", "sprintdln"]);
                format!(
                    "{name}(\"{}\", {}, {})",
                    self.delimiter(),
                    self.values(depth),
                    self.long(0)
                )
            }
        }
    }

    fn delimiter(&mut self) -> &'static str {
        self.random.pick(&["", ",", "--", "\\n", "%"])
    }

    /// One to four values.
    fn values(&mut self, depth: usize) -> String {
        let mut values = Vec::new();
        for _ in 0..=self.random.below(4) {
            values.push(if self.random.one_in(2) {
                self.long(depth)
            } else {
                self.text(depth)
            });
        }
        values.join(", ")
    }

    /// A format, and its values with a comma before each.
    fn format(&mut self, depth: usize, printed: bool) -> (String, String) {
        let (mut format, mut values) = (String::new(), String::new());
        for _ in 0..=self.random.below(4) {
            format += self.random.pick(&["", " ", "|", "x=", "\\t", "%%"]);
            let depth = if self.random.one_in(2) { depth } else { 0 };
            match self.random.below(10) {
                0..=3 => self.number_conversion(depth, &mut format, &mut values),
                4..=6 => self.text_conversion(depth, &mut format, &mut values),
                7 => {
                    let size = self.random.pick(&["", "1", "2", "4", "8"]);
                    format += &format!("%{size}b");
                    values += &format!(", {}", self.long(depth));
                }
                8 => {
                    format += self.random.pick(&["%c", "%#c", "%5c", "%-3c"]);
                    values += &format!(", {}", self.long(depth));
                }
                _ => self.memory_conversion(printed, &mut format, &mut values),
            }
        }
        (format, values)
    }

    fn number_conversion(&mut self, depth: usize, format: &mut String, values: &mut String) {
        let flag = self.random.pick(&["", "", "0", "+", "-", " ", "#"]);
        *format += &format!("%{flag}");
        self.width(format, values);
        if self.random.one_in(3) {
            *format += ".";
            self.size(9, format, values);
        }
        *format += self
            .random
            .pick(&["d", "d", "i", "u", "o", "x", "X", "p", "ld", "lu"]);
        *values += &format!(", {}", self.long(depth));
    }

    fn text_conversion(&mut self, depth: usize, format: &mut String, values: &mut String) {
        *format += self.random.pick(&["%", "%", "%-"]);
        self.width(format, values);
        if self.random.one_in(3) {
            *format += ".";
            self.size(9, format, values);
        }
        *format += "s";
        *values += &format!(", {}", self.text(depth));
    }

    /// Memory at an address: nothing is ever at these. Only where it is printed: what a string is made of is not read if
    /// the string is not used.
    fn memory_conversion(&mut self, printed: bool, format: &mut String, values: &mut String) {
        if !self.random.one_in(8) {
            *format += "%n";
            return;
        }
        let length = 1 + self.random.below(20);
        let letter = self.random.pick(&["m", "M"]);
        let address = self.random.pick(&[", 0", ", 8", ", 4095"]);
        if printed {
            *format += &format!("%.{length}{letter}");
            *values += address;
        }
    }

    fn width(&mut self, format: &mut String, values: &mut String) {
        match self.random.below(4) {
            0 => self.size(12, format, values),
            1 => self.size(40, format, values),
            _ => {}
        }
    }

    /// A width or precision below `most`, perhaps an argument.
    fn size(&mut self, most: usize, format: &mut String, values: &mut String) {
        if self.random.one_in(4) {
            *format += "*";
            *values += &format!(", {} & 15", self.simple_long());
        } else {
            *format += &(1 + self.random.below(most)).to_string();
        }
    }
}
