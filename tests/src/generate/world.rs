//! What the functions and probes of a random script share: its globals.

use std::fmt::Write as _;

use super::Writer;

/// A type of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ty {
    Long,
    Text,
}

/// What elements of an array are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Long,
    Text,
    Statistic,
}

/// An array.
#[derive(Clone, Debug)]
pub(super) struct Array {
    pub name: String,
    pub keys: Vec<Ty>,
    pub element: Element,
}

/// A statistic, or the elements of an array of such, with the histograms that are taken of it.
#[derive(Clone, Debug)]
pub(super) struct Statistic {
    /// A global, or an array, whose elements are the statistics.
    pub name: String,
    pub keys: Vec<Ty>,
    /// `@hist_linear(…, low, high, width)`: what stands after the statistic.
    pub linear: String,
}

/// The globals of a script.
#[derive(Default)]
pub(super) struct World {
    pub longs: Vec<String>,
    pub texts: Vec<String>,
    pub arrays: Vec<Array>,
    pub statistics: Vec<Statistic>,
}

/// A string that kernel handlers may know by its number only, and an array with such keys.
pub(super) const LATE: &str = "global late_text, late_keys\n";

/// Whether a script puts anything into them.
pub fn fills_late_globals(script: &str) -> bool {
    // Once where their types are told, and once where they are printed.
    script.matches("late_text = ").count() > 1 || script.matches("late_keys[").count() > 2
}

impl Writer<'_> {
    /// Declares globals, with a probe that never fires but tells their types, which the random part may not use.
    pub(super) fn globals(&mut self) {
        let mut types = String::from("probe never {\n  late_text = \"\"; late_keys[\"\"] = 0;\n");
        for n in 0..=self.random.below(3) {
            let name = format!("g{n}");
            let value = self.number();
            let _ = writeln!(self.out, "global {name} = {value}");
            self.world.longs.push(name);
        }
        for n in 0..=self.random.below(2) {
            let name = format!("t{n}");
            let value = self.literal();
            let _ = writeln!(self.out, "global {name} = {value}");
            self.world.texts.push(name);
        }
        for n in 0..2 + self.random.below(4) {
            self.array(n, &mut types);
        }
        if self.random.one_in(2) {
            self.out.push_str("global s0\n");
            types.push_str("  s0 <<< 0;\n");
            self.statistic_of("s0", &[]);
        }
        self.out.push_str(LATE);
        self.out.push_str(&types);
        self.out.push_str("}\n");
    }

    fn array(&mut self, number: usize, types: &mut String) {
        let name = format!("a{number}");
        let count = if self.random.one_in(4) {
            1 + self.random.below(9)
        } else {
            1 + self.random.below(2)
        };
        let keys: Vec<Ty> = (0..count)
            .map(|_| [Ty::Long, Ty::Text][self.random.below(2)])
            .collect();
        let element = [
            Element::Long,
            Element::Long,
            Element::Text,
            Element::Statistic,
        ][self.random.below(4)];
        let size = 1 + self.random.below(9);
        let size = match self.random.below(4) {
            0 => format!("[{size}]"),
            1 => format!("%[{size}]"),
            _ => String::new(),
        };
        let zeros: Vec<&str> = keys
            .iter()
            .map(|key| if *key == Ty::Long { "0" } else { "\"\"" })
            .collect();
        let _ = writeln!(self.out, "global {name}{size}");
        let value = match element {
            Element::Long => "= 0",
            Element::Text => "= \"\"",
            Element::Statistic => "<<< 0",
        };
        let _ = writeln!(types, "  {name}[{}] {value};", zeros.join(", "));
        if element == Element::Statistic {
            self.statistic_of(&name, &keys);
        }
        self.world.arrays.push(Array {
            name,
            keys,
            element,
        });
    }

    fn statistic_of(&mut self, name: &str, keys: &[Ty]) {
        let low = self.random.below(60) as i64 - 40;
        let (buckets, width) = (1 + self.random.below(40), 1 + self.random.below(9));
        let high = low + (buckets * width) as i64;
        self.world.statistics.push(Statistic {
            name: name.to_owned(),
            keys: keys.to_vec(),
            linear: format!(", {low}, {high}, {width}"),
        });
    }

    /// Shows, at the end, what the globals came to.
    pub(super) fn show_globals(&mut self) {
        let World {
            longs,
            texts,
            arrays,
            statistics,
        } = &self.world;
        let scalars: Vec<&str> = longs.iter().chain(texts).map(String::as_str).collect();
        let mut out = format!(
            "probe end {{\n  println(\"{}\")\n  println({}, \" \", late_text)\n",
            super::UNORDERED,
            scalars.join(", \" \", ")
        );
        out.push_str("  foreach (k in late_keys) println(\"late \", k, \" \", late_keys[k])\n");
        for array in arrays.iter().filter(|a| a.element != Element::Statistic) {
            let keys = key_names(&array.name, &array.keys);
            let name = &array.name;
            let _ = writeln!(
                out,
                "  foreach ([{keys}] in {name}) println(\"{name} \", sprintd(\",\", {keys}), \" \", {name}[{keys}])"
            );
        }
        for statistic in statistics {
            let name = &statistic.name;
            let keys = key_names(name, &statistic.keys);
            let (head, place, shown) = if keys.is_empty() {
                (format!("if (@count({name}))"), name.clone(), String::new())
            } else {
                (
                    format!("foreach ([{keys}] in {name})"),
                    format!("{name}[{keys}]"),
                    format!("sprintd(\",\", {keys}), "),
                )
            };
            let linear = &statistic.linear;
            let _ = writeln!(
                out,
                "  {head} {{\n    println(\"{name} \", {shown}\" \", @count({place}), \" \", @sum({place}), \" \", @min({place}), \" \", @max({place}), \" \", @avg({place}), \" \", @variance({place}))\n    \
                 println(\"{name} \", {shown}sprint(@hist_log({place})), sprint(@hist_linear({place}{linear})))\n  }}"
            );
        }
        out.push_str("}\n");
        self.out.push_str(&out);
    }
}

/// Names for the keys of an array.
fn key_names(array: &str, keys: &[Ty]) -> String {
    let names: Vec<String> = (0..keys.len()).map(|n| format!("{array}_{n}")).collect();
    names.join(", ")
}
