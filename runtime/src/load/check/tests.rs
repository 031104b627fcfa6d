//! An image of everything that has a place, and what `check` says when a part of it is changed.

use rtap_compiler::image::{Attach, GlobalLayout, Point, TurnLayout, ValueLayout};
use rtap_compiler::lir::{FormatId, HandlerId, Histogram, Ty};
use rtap_compiler::pipeline;
use rtap_compiler::resolve::TapsetLibrary;
use rtap_compiler::session::Session;
use rtap_compiler::target::fixture::FixtureTarget;
use rtap_grammar::source::Files;

use super::*;

/// A global of each kind; from one of the arrays that forget elements are deleted as well, and two are taken from kernel
/// handlers.
const SCRIPT: &str = r#"
global n, text, stat, plain, stats, some%[8], fewer%[8], taken, counts, words
probe kernel.trace("sched_switch") {
    n++
    text = execname()
    stat <<< n
    plain[pid(), execname()] = n
    stats[n] <<< n
    some[n] = fewer[n] = n
    println(n)
    taken <<< n
    counts[n]++
    words[n] = execname()
}
probe end {
    println(text, words[1], @count(stat), @max(stats[1]), plain[1, ""], some[1], fewer[1])
    delete fewer[1]
    delete taken
    delete counts[1]
}
"#;

fn image() -> (ObjectFile, Meta) {
    let target = FixtureTarget::standard();
    let library = TapsetLibrary::embedded();
    let session = Session::new(&target, &library);
    let mut files = Files::new();
    let id = files.add("all.rtp", SCRIPT, false);
    let output = pipeline::compile(&session, &mut files, &[id]).0.unwrap();
    (ObjectFile::parse(&output.elf).unwrap(), output.meta)
}

/// Where a global is.
fn place<'m>(meta: &'m mut Meta, name: &str) -> &'m mut GlobalLayout {
    let mut globals = meta.module.globals.iter();
    let (id, _) = globals.find(|(_, global)| global.name == name).unwrap();
    meta.layout.globals[id].as_mut().unwrap()
}

/// What `check` says after a change.
fn changed(change: impl FnOnce(&mut ObjectFile, &mut Meta)) -> String {
    let (mut object, mut meta) = image();
    change(&mut object, &mut meta);
    let result = check(&object, &meta);
    result
        .err()
        .map_or_else(String::new, |error| error.to_string())
}

/// The same after a change of where a global is.
#[track_caller]
fn moved(global: &str, change: impl FnOnce(&mut GlobalLayout), wanted: &str) {
    let found = changed(|_, meta| change(place(meta, global)));
    assert!(found.contains(wanted), "wanted {wanted:?}, found {found:?}");
}

fn array(layout: &mut GlobalLayout) -> &mut rtap_compiler::image::ArrayLayout {
    match layout {
        GlobalLayout::Array(array) => array,
        other => panic!("{other:?}"),
    }
}

fn turns(layout: &mut GlobalLayout) -> &mut TurnLayout {
    match layout {
        GlobalLayout::Stat { turns, .. } => turns.as_mut().unwrap(),
        other => array(other).turns.as_mut().unwrap(),
    }
}

#[test]
fn maps_that_take_turns() {
    for name in ["taken", "counts"] {
        moved(name, |at| turns(at).other.push('x'), "has no map");
        moved(name, |at| turns(at).other = "plain".into(), "has a map");
        moved(name, |at| turns(at).turn = 1 << 30, "a word outside");
        moved(name, |at| turns(at).turn = u32::MAX, "a word outside");
    }
    let text = |global: &mut GlobalLayout| {
        let turns = TurnLayout {
            other: "plain".into(),
            turn: 0,
        };
        array(global).turns = Some(turns);
    };
    let found = changed(|_, meta| {
        text(place(meta, "words"));
    });
    assert!(found.contains("nothing can be added"), "{found:?}");
}

#[test]
fn what_the_compiler_makes_is_sound() {
    assert_eq!(changed(|_, _| {}), "");
}

#[test]
fn scalars_lie_behind_the_header() {
    for offset in [0, header::SIZE - 8, header::SIZE + 4, 1 << 20, u32::MAX - 7] {
        let slot = |layout: &mut GlobalLayout| match layout {
            GlobalLayout::Scalar(slot) => slot.offset = offset,
            other => panic!("{other:?}"),
        };
        moved("n", slot, "lies outside of the globals");
        moved("text", slot, "lies outside of the globals");
    }
    for ty in [Ty::I64, Ty::str(u32::MAX), Ty::str(4000)] {
        let slot = |layout: &mut GlobalLayout| match layout {
            GlobalLayout::Scalar(slot) => slot.ty = ty,
            other => panic!("{other:?}"),
        };
        moved("text", slot, "is not of its type");
    }
    let found = changed(|object, _| {
        let globals = object.data.iter_mut().find(|data| data.name == GLOBALS_MAP);
        globals.unwrap().bytes.truncate(header::SIZE as usize - 8);
    });
    assert_eq!(found, "the image is damaged: it has no globals");
}

#[test]
fn statistics_lie_in_their_records() {
    fn record(layout: &mut GlobalLayout) -> &mut rtap_compiler::image::StatRecord {
        match layout {
            GlobalLayout::Stat { record, .. } => record,
            GlobalLayout::Array(array) => match &mut array.value {
                ValueLayout::Stat(record) => record,
                ValueLayout::Plain(slot) => panic!("{slot:?}"),
            },
            GlobalLayout::Scalar(slot) => panic!("{slot:?}"),
        }
    }
    let wanted = "does not lie in its record";
    for global in ["stat", "stats"] {
        moved(global, |layout| record(layout).count = u32::MAX, wanted);
        moved(global, |layout| record(layout).bytes = 0, wanted);
        moved(
            global,
            |layout| record(layout).max = Some(u32::MAX - 3),
            wanted,
        );
        moved(
            global,
            |layout| record(layout).histograms = vec![u32::MAX],
            wanted,
        );
        moved(
            global,
            |layout| record(layout).layout.histograms.push(Histogram::Log),
            wanted,
        );
    }
}

#[test]
fn keys_lie_in_the_key() {
    let keys = "has keys";
    moved("plain", |layout| array(layout).keys[1].offset = 4000, keys);
    moved(
        "plain",
        |layout| array(layout).keys[1].offset = u32::MAX,
        keys,
    );
    moved(
        "plain",
        |layout| array(layout).keys[0].ty = Ty::str(7),
        keys,
    );
    moved("plain", |layout| array(layout).keys.truncate(1), keys);
    moved("plain", |layout| array(layout).keys.clear(), keys);
    moved("plain", |layout| array(layout).key_bytes = u32::MAX, keys);
    moved("plain", |layout| array(layout).key_bytes -= 8, keys);
    let elements = "has elements that are not of their type";
    for ty in [Ty::str(8), Ty::str(u32::MAX)] {
        let slot = rtap_compiler::image::Slot { offset: 0, ty };
        let value = |layout: &mut GlobalLayout| array(layout).value = ValueLayout::Plain(slot);
        moved("plain", value, elements);
        moved("stats", value, elements);
    }
}

#[test]
fn globals_are_of_the_kind_that_handlers_take_them_for() {
    let other = changed(|_, meta| {
        *place(meta, "n") = place(meta, "plain").clone();
    });
    assert!(other.contains("of another kind"), "{other}");
    moved(
        "plain",
        |layout| array(layout).map = "no".into(),
        "has no map",
    );
    moved(
        "plain",
        |layout| array(layout).map = EVENTS_MAP.into(),
        "a map of another kind",
    );
    moved(
        "some",
        |layout| array(layout).wrap = None,
        "does not forget",
    );
}

#[test]
fn queues_hold_entries() {
    fn wrap(layout: &mut GlobalLayout) -> &mut rtap_compiler::image::WrapLayout {
        array(layout).wrap.as_mut().unwrap()
    }
    fn deleted(layout: &mut GlobalLayout) -> &mut rtap_compiler::image::DeletedLayout {
        wrap(layout).deleted.as_mut().unwrap()
    }
    // Its entries have a time as well.
    moved(
        "fewer",
        |layout| wrap(layout).deleted = None,
        "of another size",
    );
    moved(
        "fewer",
        |layout| wrap(layout).queue = "some_order".into(),
        "of another size",
    );
    moved(
        "fewer",
        |layout| deleted(layout).other = "some_order".into(),
        "of another size",
    );
    moved(
        "fewer",
        |layout| deleted(layout).born = "some_order".into(),
        "of another kind",
    );
    for turn in [0, header::SIZE + 4, u32::MAX] {
        moved(
            "fewer",
            |layout| deleted(layout).turn = turn,
            "outside of the globals",
        );
    }
}

#[test]
fn maps_are_as_their_layouts_say() {
    for change in [
        |map: &mut MapDecl| map.value_size = 4,
        |map: &mut MapDecl| map.value_size = u32::MAX,
        |map: &mut MapDecl| map.key_size += 8,
        |map: &mut MapDecl| map.key_size = u32::MAX,
    ] {
        for name in [
            "stat",
            "plain",
            "stats",
            "some",
            "some_order",
            "fewer_older",
            "fewer_born",
        ] {
            let found = changed(|object, _| {
                let map = object.maps.iter_mut().find(|map| map.name == name);
                change(map.unwrap());
            });
            assert!(found.contains("of another size"), "{name}: {found}");
        }
    }
    let found = changed(|object, _| {
        for map in &mut object.maps {
            map.kind = MapType::Array as u32;
        }
    });
    assert_eq!(
        found,
        "the image is damaged: the map of events is no ring buffer"
    );
    let found = changed(|object, _| {
        let map = object.maps.iter_mut().find(|map| map.name == "some");
        map.unwrap().name = "plain".into();
    });
    assert!(found.contains("two maps 'plain'"), "{found}");
    let found = changed(|object, _| object.maps[0].name = GLOBALS_MAP.into());
    assert!(found.contains("two maps"), "{found}");
}

#[test]
fn programs_have_handlers_points_and_counters() {
    let found = |change: &dyn Fn(&mut Program)| changed(|_, meta| change(&mut meta.programs[0]));
    for counters in [100, u32::MAX, u32::MAX / 24] {
        let found = found(&|program| program.counters = counters);
        assert!(found.contains("counters outside"), "{counters}: {found}");
    }
    let handler = HandlerId::from_u32(77);
    assert!(found(&|program| program.handler = handler).contains("has no handler"));
    assert!(found(&|program| program.points.push(1)).contains("points that do not exist"));
    let found = changed(|_, meta| meta.layout.records[1].format = FormatId::from_u32(77));
    assert!(found.contains("a record has no format"), "{found}");
    let found = changed(|_, meta| {
        let end = &mut meta.module.handlers[HandlerId::from_u32(1)];
        let attach = Attach::PerfCounter {
            name: "c".into(),
            number: MOST_COUNTERS,
            kind: 0,
            config: 0,
        };
        end.points = vec![Point {
            attach,
            ..end.points[0].clone()
        }];
    });
    assert!(
        found.contains("a performance counter has no place"),
        "{found}"
    );
}
