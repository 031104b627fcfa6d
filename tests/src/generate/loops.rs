//! Loops, all of which end after few rounds, and ways through arrays.
//!
//! Elements that are equal in what they are sorted by come in any order, so that a loop may use only what is the same
//! whichever of them comes first: the sorted value itself, or sums.

use super::Writer;
use super::world::{Array, Element, Ty};

impl Writer<'_> {
    pub(super) fn any_loop(&mut self) {
        let whole = self.shape.whole_arrays && !self.world.arrays.is_empty();
        self.loops_within += 1;
        let before = std::mem::replace(&mut self.in_loop, true);
        match self.random.below(8) {
            0..=1 => self.counted(),
            2 => self.while_loop(),
            3 => self.growing(),
            4 if whole => self.summing(),
            5 | 6 if whole => self.sorted(),
            7 if whole && self.shape.statistics => self.buckets(),
            _ => self.counted(),
        }
        self.in_loop = before;
        self.loops_within -= 1;
    }

    fn fresh(&mut self, name: &str) -> String {
        self.names += 1;
        format!("{name}{}", self.names)
    }

    /// A block with one more variable that can be read, but not set.
    fn body_with(&mut self, head: &str, counter: String, count: usize) {
        self.scope.counters.push(counter);
        self.block(head, count, "");
        self.scope.counters.pop();
    }

    fn counted(&mut self) {
        let (i, n) = (self.fresh("i"), 1 + self.random.below(5));
        let head = match self.random.below(3) {
            0 => format!("for ({i} = 0; {i} < {n}; {i}++)"),
            1 => format!("for ({i} = {n}; {i}; --{i})"),
            _ => format!("for ({i} = 0; {i} < {n} && ({}); {i} += 1)", self.long(1)),
        };
        self.body_with(&head, i, 3);
    }

    fn while_loop(&mut self) {
        let i = self.fresh("i");
        let first = self.random.below(4);
        self.line(&format!("{i} = {first};"));
        let (n, condition) = (2 + self.random.below(3), self.long(1));
        self.body_with(&format!("while ({i}++ < {n} && ({condition}))"), i, 3);
    }

    /// A string that gets longer round by round, up to the longest.
    fn growing(&mut self) {
        let (i, n, place) = (
            self.fresh("i"),
            2 + self.random.below(8),
            self.text_place(0),
        );
        let how = match self.random.below(4) {
            0 => format!("{place} .= {place}"),
            1 => format!("{place} = {} . {place}", self.literal()),
            2 => format!("{place} = sprintf(\"%s%d,\", {place}, {i})"),
            _ => format!("{place} .= {}", self.text(1)),
        };
        self.line(&format!("for ({i} = 0; {i} < {n}; {i}++) {{"));
        self.line(&format!("  {how};"));
        self.line("}");
    }

    /// A slice, or nothing, with the places of the keys that may be any.
    fn slice(&mut self, array: &Array) -> (String, Vec<usize>) {
        let all = 0..array.keys.len();
        if !self.random.one_in(3) {
            return (String::new(), all.collect());
        }
        let keys = self.key_list(&array.keys, 0, true);
        let free = all.filter(|n| keys[*n] == "*").collect();
        (format!("[{}]", keys.join(", ")), free)
    }

    fn limit(&mut self) -> String {
        match self.random.below(4) {
            0 => format!(" limit {}", self.random.below(4)),
            1 => format!(" limit ({}) & 3", self.long(1)),
            _ => String::new(),
        }
    }

    /// Goes through all elements and makes sums of them.
    fn summing(&mut self) {
        let array = self
            .random
            .one_of(&self.world.arrays)
            .expect("arrays are there")
            .clone();
        let keys: Vec<String> = array.keys.iter().map(|_| self.fresh("k")).collect();
        let (slice, _) = self.slice(&array);
        let value = self.fresh("v");
        let acc = self.global(Ty::Long);
        self.line(&format!(
            "foreach ({value} = [{}] in {}{slice}) {{",
            keys.join(", "),
            array.name
        ));
        for (key, ty) in keys.iter().zip(&array.keys) {
            let amount = if *ty == Ty::Long {
                key.clone()
            } else {
                format!("strlen({key}) * 3")
            };
            self.line(&format!("  {acc} += {amount};"));
        }
        let amount = if array.element == Element::Text {
            format!("strlen({value})")
        } else {
            value
        };
        self.line(&format!("  {acc} += {amount};"));
        self.line("}");
    }

    /// Goes through elements in an order.
    fn sorted(&mut self) {
        let array = self
            .random
            .one_of(&self.world.arrays)
            .expect("arrays are there")
            .clone();
        let mut keys: Vec<String> = array.keys.iter().map(|_| self.fresh("k")).collect();
        let (slice, free) = self.slice(&array);
        let (sign, limit) = (self.random.pick(&["+", "-"]), self.limit());
        let before = self.scope.clone();
        let name = &array.name;
        let head = match (self.random.below(3), free.first().copied()) {
            // By a key: with no other free one, no two elements are equal.
            (0 | 1, Some(first)) => {
                let by = free[self.random.below(free.len())];
                let unique = free.len() == 1 && first == by;
                self.scope.add(array.keys[by], keys[by].clone());
                keys[by] += sign;
                if unique && self.random.one_in(2) && array.element != Element::Statistic {
                    let value = self.fresh("v");
                    self.scope.add(
                        if array.element == Element::Text {
                            Ty::Text
                        } else {
                            Ty::Long
                        },
                        value.clone(),
                    );
                    format!("{value} = [{}] in {name}{slice}{limit}", keys.join(", "))
                } else {
                    format!("[{}] in {name}{slice}{limit}", keys.join(", "))
                }
            }
            _ => {
                let value = self.fresh("v");
                let text = array.element == Element::Text;
                self.scope
                    .add(if text { Ty::Text } else { Ty::Long }, value.clone());
                if self.random.one_in(2) {
                    format!(
                        "{value}{sign} = [{}] in {name}{slice}{limit}",
                        keys.join(", ")
                    )
                } else {
                    // The value is that by which they are sorted only without an operator; SystemTap has the sign in front of the slice.
                    format!(
                        "{value} = [{}] in {name}{slice}{sign}{limit}",
                        keys.join(", ")
                    )
                }
            }
        };
        self.block(&format!("foreach ({head})"), 2, "");
        self.scope = before;
        if self.has(Element::Statistic) && self.shape.statistics && self.random.one_in(2) {
            self.by_operator();
        }
    }

    /// Goes through an array of statistics, sorted by what they came to.
    fn by_operator(&mut self) {
        let arrays = self
            .world
            .arrays
            .iter()
            .filter(|a| a.element == Element::Statistic);
        let array = self.random.one_of(arrays).expect("there is one").clone();
        let keys: Vec<String> = array.keys.iter().map(|_| self.fresh("k")).collect();
        let operator = self
            .random
            .pick(&["@count", "@sum", "@min", "@max", "@avg", "@variance"]);
        let (name, limit) = (&array.name, self.limit());
        let sign = self.random.pick(&["+", "-"]);
        let keys = keys.join(", ");
        self.line(&format!(
            "foreach ([{keys}] in {name} {operator}{sign}{limit}) {{"
        ));
        self.line(&format!(
            "  println(\"{operator} \", {operator}({name}[{keys}]));"
        ));
        self.line("}");
    }

    /// Goes through the buckets of a histogram.
    fn buckets(&mut self) {
        let Some(statistic) = self.random.one_of(&self.world.statistics).cloned() else {
            return self.counted();
        };
        let place = self.place_of(&statistic.name, &statistic.keys, 0);
        let histogram = if self.random.one_in(2) {
            format!("@hist_log({place})")
        } else {
            format!("@hist_linear({place}{})", statistic.linear)
        };
        if self.random.one_in(3) {
            self.line(&format!("if (@count({place})) print({histogram});"));
            return;
        }
        let (value, bucket, limit) = (self.fresh("v"), self.fresh("k"), self.limit());
        self.line(&format!("if (@count({place})) {{"));
        self.line(&format!(
            "  foreach ({value} = {bucket} in {histogram}{limit}) {{"
        ));
        self.line(&format!(
            "    if ({value}) println({bucket}, \":\", {value});"
        ));
        self.line("  }");
        self.line("}");
    }
}
