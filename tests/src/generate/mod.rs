//! Random scripts that are well-typed and end: for comparing executors, and code before and after
//! the passes.
//!
//! A script has globals of random types (`world`), functions (`functions`), some functions of the library (`library`)
//! and the probes that the caller asks for; its `end` probe prints what the globals came to. The same
//! seed gives the same script. Run-time errors are meant to happen: divisions by zero, full arrays,
//! empty statistics, `error()`, mostly but not always caught. Comment lines at the head (`//# options: …`) are options of the command
//! line, as in golden files.
//!
//! Each statement stands on lines of its own and what may be left out is bracketed, so that
//! [`crate::agree`] can make a failing script smaller by its text alone.

mod formats;
mod functions;
mod large;
mod library;
mod loops;
mod numbers;
mod random;
mod statements;
mod texts;
mod world;

use std::fmt::Write as _;

pub use large::large;
pub use random::Random;
pub use world::fills_late_globals;

use library::Callable;
use world::{Ty, World};

/// The default.
const MAXSTRINGLEN: usize = 512;

/// The most bytes of an array's keys, all together, before Linux 5.11.
const SMALL_KEY_BYTES: usize = rtap_compiler::image::SMALL_KEY_BYTES as usize;

/// What a script is made for.
#[derive(Clone, Copy, Default)]
pub struct Shape<'a> {
    /// Probe points, besides `end`; each gets a body.
    pub points: &'a [&'a str],
    /// Expressions of the context that bodies may use (`pid()`, `$id`).
    pub context: &'a [&'a str],
    /// Whether there are loops.
    pub loops: bool,
    /// Whether bodies go through arrays (`foreach`), look for slices and empty whole arrays.
    pub whole_arrays: bool,
    /// Whether bodies read statistics.
    pub statistics: bool,
    /// Whether keys of arrays may have more than [`SMALL_KEY_BYTES`].
    pub large_keys: bool,
    /// Most statements of a block.
    pub statements: usize,
}

impl<'a> Shape<'a> {
    /// With everything, for these points.
    pub const fn all(points: &'a [&'a str]) -> Self {
        Shape {
            points,
            context: &[],
            loops: true,
            whole_arrays: true,
            statistics: true,
            large_keys: true,
            statements: 6,
        }
    }
}

/// Makes a script.
pub fn script(seed: u64, shape: Shape<'_>) -> String {
    let mut random = Random::new(seed);
    let all = library::functions();
    let library = (0..4).filter_map(|_| random.one_of(all).cloned());
    let mut writer = Writer {
        library: library.collect(),
        random,
        shape,
        out: String::new(),
        world: World::default(),
        functions: Vec::new(),
        scope: Scope::default(),
        depth: 0,
        names: 0,
        loops_within: 0,
        nested_calls: 0,
        in_function: false,
        in_loop: false,
        result: None,
    };
    writer.script();
    writer.out
}

/// The variables that can be used in a place.
#[derive(Clone, Debug, Default)]
struct Scope {
    longs: Vec<String>,
    texts: Vec<String>,
    /// Those of loops that would not end were they set.
    counters: Vec<String>,
}

impl Scope {
    fn add(&mut self, ty: Ty, name: String) {
        match ty {
            Ty::Long => self.longs.push(name),
            Ty::Text => self.texts.push(name),
        }
    }
}

struct Writer<'a> {
    random: Random,
    shape: Shape<'a>,
    out: String,
    world: World,
    /// Those defined so far, of which the later ones may call the former.
    functions: Vec<Callable>,
    /// The functions of the library that this script calls.
    library: Vec<Callable>,
    scope: Scope,
    /// Blocks that are open.
    depth: usize,
    /// Names made so far.
    names: usize,
    /// Loops that are open.
    loops_within: usize,
    /// Calls that are open.
    nested_calls: usize,
    in_function: bool,
    in_loop: bool,
    /// The type of the function's value.
    result: Option<Ty>,
}

/// A line of the output; what follows it are elements of arrays, whose order means nothing.
pub const UNORDERED: &str = "-- globals";

impl Writer<'_> {
    fn script(&mut self) {
        let length = self.options();
        self.globals();
        if !self.shape.large_keys {
            self.keep_keys_small(length);
        }
        self.functions();
        let points = self.shape.points;
        for point in points {
            for _ in 0..=self.random.below(2) {
                self.probe(point);
            }
        }
        self.show_globals();
    }

    /// Limits: mostly many errors are allowed, so that what comes after them is seen. Gives MAXSTRINGLEN.
    fn options(&mut self) -> usize {
        if !self.random.one_in(4) {
            self.out.push_str("//# options: -DMAXERRORS=100\n");
        }
        if !self.random.one_in(5) {
            return MAXSTRINGLEN;
        }
        let length = [8, 16, 33, 64, 100, 256, 300][self.random.below(7)];
        self.limit_strings(length);
        length
    }

    fn limit_strings(&mut self, length: usize) {
        let _ = writeln!(self.out, "//# options: -DMAXSTRINGLEN={length}");
    }

    /// Limits strings to what the keys have room for.
    fn keep_keys_small(&mut self, length: usize) {
        let rooms = self.world.arrays.iter().filter_map(|array| {
            let texts = array.keys.iter().filter(|key| **key == Ty::Text).count();
            let bytes = SMALL_KEY_BYTES - 8 * (array.keys.len() - texts);
            (bytes / 8).checked_div(texts).map(|words| words * 8)
        });
        if let Some(least) = rooms.min().filter(|least| *least < length) {
            self.limit_strings(least);
        }
    }

    fn probe(&mut self, point: &str) {
        self.scope = Scope {
            longs: ["a", "b"].map(str::to_owned).into(),
            texts: ["s", "t"].map(str::to_owned).into(),
            counters: Vec::new(),
        };
        self.result = None;
        let (number, text) = (self.number(), self.literal());
        let _ = writeln!(
            self.out,
            "probe {point} {{\n  a = {number}; b = 2; s = {text}; t = \"\";"
        );
        self.statements(6);
        self.out
            .push_str("  println(a, \" \", b, \" \", s, \" \", t)\n}\n");
    }

    /// A variable that can be set.
    fn local(&mut self, ty: Ty) -> String {
        let names = match ty {
            Ty::Long => &self.scope.longs,
            Ty::Text => &self.scope.texts,
        };
        self.random
            .one_of(names)
            .expect("every body has some")
            .clone()
    }

    fn global(&mut self, ty: Ty) -> String {
        let names = match ty {
            Ty::Long => &self.world.longs,
            Ty::Text => &self.world.texts,
        };
        self.random
            .one_of(names)
            .expect("every script has some")
            .clone()
    }

    /// A local number that can be read.
    fn readable_long(&mut self) -> String {
        let names = self.scope.longs.iter().chain(&self.scope.counters);
        self.random
            .one_of(names)
            .expect("every body has some")
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_script() {
        let shape = Shape::all(&["begin"]);
        assert_eq!(script(3, shape), script(3, shape));
        assert_ne!(script(3, shape), script(4, shape));
    }

    /// What the language has is there, sooner or later.
    #[test]
    fn scripts_have_all_of_the_language() {
        let scripts: String = (0..300)
            .map(|seed| script(seed, Shape::all(&["begin"])))
            .collect();
        let all = [
            "%[",
            "try",
            "catch (",
            "foreach (",
            "limit",
            "while (",
            "for (",
            "break",
            "continue",
            "return",
            "next",
            "delete",
            "error(",
            "exit()",
            "sprintf(",
            "printdln(",
            "%.*",
            "%*",
            "%#c",
            "matched(",
            "ngroups()",
            "=~",
            "!~",
            "<<<",
            "@count",
            "@variance",
            "@hist_log",
            "@hist_linear",
            "@defined",
            "in a",
            "*]",
            "str_replace(",
            "htons(",
            "errno_str(",
            "late_keys[",
            "-DMAXSTRINGLEN=",
            "p0 - 2",
            "_too(",
        ];
        for what in all {
            assert!(scripts.contains(what), "{what}");
        }
    }

    #[test]
    fn some_scripts_fill_late_globals() {
        let scripts = (0..200).map(|seed| script(seed, Shape::all(&["begin"])));
        let fill = scripts.filter(|text| fills_late_globals(text)).count();
        assert!((1..200).contains(&fill), "{fill} of 200");
        assert!(!fills_late_globals(
            "global late_text, late_keys\nprobe never { late_text = \"\"; late_keys[\"\"] = 0 }\n\
             probe end { foreach (k in late_keys) println(late_keys[k]) }"
        ));
    }

    #[test]
    fn what_a_kernel_lacks_is_left_out() {
        let shape = Shape {
            whole_arrays: false,
            statistics: false,
            large_keys: false,
            ..Shape::all(&["begin"])
        };
        for seed in 0..100 {
            let text = script(seed, shape);
            let handlers = text.split("probe end").next().unwrap();
            assert!(
                !handlers.contains("foreach") && !handlers.contains("@count"),
                "{text}"
            );
        }
    }
}
