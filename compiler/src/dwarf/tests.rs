//! Over `target/fixture/lines.elf`, a program of C files of DWARF 5 and 4, compressed.

use std::ops::RangeInclusive;

use super::*;
use crate::target::fixture::LINES;

/// A file whose symbols are not looked at; all below an address is code.
struct Below(u64);

impl Code for Below {
    fn is_code(&self, address: u64) -> bool {
        address < self.0
    }

    fn symbol_at(&self, _: u64) -> Option<Symbol> {
        None
    }

    fn starts_of(&self, _: &str) -> Vec<u64> {
        Vec::new()
    }
}

const ALL: Below = Below(u64::MAX);

fn shown(places: &[Place]) -> Vec<String> {
    let one = |place: &Place| {
        let Place {
            address,
            file,
            line,
            function,
        } = place;
        format!("{address:#x} {function} {file}:{line}")
    };
    places.iter().map(one).collect()
}

fn statements(function: &str, file: &str, lines: &Lines) -> Vec<String> {
    let query = Query {
        function,
        file,
        lines,
    };
    let info = DebugInfo::parse(LINES).unwrap();
    shown(&info.statements(&query, &ALL).unwrap().places)
}

fn functions(function: &str, file: &str, lines: &Lines) -> Vec<String> {
    let query = Query {
        function,
        file,
        lines,
    };
    let info = DebugInfo::parse(LINES).unwrap();
    shown(
        &info
            .functions(&query, Instances::Called, &ALL)
            .unwrap()
            .places,
    )
}

fn numbered(lines: RangeInclusive<u64>) -> Lines {
    Lines::Numbered(vec![lines])
}

#[test]
fn statements_of_lines() {
    let line = |function, file, line| statements(function, file, &numbered(line..=line));
    let tenth = ["0x400176 step /src/lines/lines.c:10"];
    assert_eq!(line("*", "lines.c", 10), tenth);
    assert_eq!(line("st*", "l*/lines.c", 10), tenth);
    assert_eq!(line("*", "/src/lines/lines.c", 10), tenth);
    assert_eq!(line("run", "lines.c", 10), [""; 0]);
    assert_eq!(line("*", "ines.c", 10), [""; 0]);
    assert_eq!(line("*", "lines.c", 13), [""; 0]);
    // Two of one line: before the loop, and after each round.
    assert_eq!(
        line("run", "lines.c", 27),
        [
            "0x4001f7 run /src/lines/lines.c:27",
            "0x400271 run /src/lines/lines.c:27"
        ]
    );
    let of_step = statements("step", "lines.c", &Lines::All);
    assert_eq!(of_step.len(), 6, "{of_step:?}");
    assert_eq!(of_step, statements("*", "lines.c", &numbered(7..=12)));
    let fourth = statements("step", "lines.c", &Lines::Relative(vec![4..=4]));
    assert_eq!(fourth, tenth);
    let entry = statements("twice", "lines/*", &Lines::First);
    assert_eq!(
        entry,
        [
            "0x400181 twice /src/lines/lines.c:16",
            "0x400292 twice /src/lines/area.c:4"
        ]
    );
}

/// DWARF 5 and 4 alike.
#[test]
fn inlined_functions_are_where_they_have_gone() {
    assert_eq!(
        statements("square", "area.h", &numbered(5..=5)),
        [
            "0x400226 square /src/lines/area.h:5",
            "0x4002bc square /src/lines/area.h:5"
        ]
    );
    assert_eq!(functions("square", "area.h", &Lines::First), [""; 0]);
}

#[test]
fn functions_of_files_and_lines() {
    assert_eq!(
        functions("*", "lines.c", &Lines::First),
        [
            "0x40015a step /src/lines/lines.c:6",
            "0x400181 twice /src/lines/lines.c:15",
            "0x400192 run /src/lines/lines.c:21"
        ]
    );
    assert_eq!(
        functions("*", "area.c", &numbered(10..=10)),
        ["0x4002a3 area /src/lines/area.c:8"]
    );
    assert_eq!(functions("*", "lines.c", &numbered(19..=20)), [""; 0]);
}

#[test]
fn code_that_is_not_there_is_left_out() {
    let info = DebugInfo::parse(LINES).unwrap();
    let query = Query {
        function: "*",
        file: "lines.c",
        lines: &Lines::First,
    };
    let found = info.functions(&query, Instances::Called, &Below(0x40_0190));
    assert_eq!(found.unwrap().places.len(), 2);
    let files: Vec<String> = info.files().unwrap().into_iter().collect();
    assert_eq!(
        files,
        [
            "/src/lines/area.c",
            "/src/lines/area.h",
            "/src/lines/lines.c"
        ]
    );
}

#[test]
fn what_is_no_debug_information() {
    assert!(DebugInfo::parse(b"\x7fELF".as_slice()).is_err());
    let mut stripped = LINES.to_vec();
    // The names of the sections: ".debug_line" becomes another.
    let at = stripped.windows(12).position(|w| w == b".debug_line\0");
    stripped[at.unwrap() + 7] = b'x';
    assert_eq!(
        DebugInfo::parse(stripped.as_slice()).err(),
        Some(DwarfError::None)
    );
}

/// What is damaged gives an error or what is good in it, never a panic, and never for ever.
#[test]
fn damaged_sections_never_panic() {
    // The same program with its sections as they are.
    let good = include_bytes!("../../../tests/fuzz/corpus/elf/lines");
    // A generator of numbers that is the same each time.
    let mut seed = 1_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % below
    };
    let query = Query {
        function: "*",
        file: "*",
        lines: &Lines::All,
    };
    let mut read = 0;
    for _ in 0..3000 {
        let mut bytes = good.to_vec();
        for _ in 0..=random(8) {
            let at = random(bytes.len());
            bytes[at] = [0, 0xff, random(256) as u8][random(3)];
        }
        let Ok(info) = DebugInfo::parse(bytes.as_slice()) else {
            continue;
        };
        let found = info.statements(&query, &ALL);
        read += usize::from(found.is_ok_and(|found| !found.places.is_empty()));
        let _ = info.functions(&query, Instances::Called, &ALL);
    }
    assert!(read > 1000, "{read}");
}

/// Each place that a line has is of that line; what no unit has is of none.
#[test]
fn the_line_of_an_address() {
    let info = DebugInfo::parse(LINES).unwrap();
    let units = info.units().unwrap();
    let query = Query {
        function: "*",
        file: "*",
        lines: &Lines::All,
    };
    let places = info.statements(&query, &ALL).unwrap().places;
    assert!(places.len() > 20, "{places:?}");
    for place in &places {
        let found = info.line_at(&units, place.address).unwrap().unwrap();
        let here = places.iter().filter(|other| other.address == place.address);
        let mut lines = here.map(|place| (place.file.as_str(), place.line));
        assert!(
            lines.any(|line| line == (found.file.as_str(), found.line)),
            "{place:?} {found:?}"
        );
    }
    for nowhere in [0, 1, u64::MAX] {
        assert_eq!(info.line_at(&units, nowhere), Ok(None));
    }
}
