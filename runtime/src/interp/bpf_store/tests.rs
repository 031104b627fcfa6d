//! Globals in real maps: the same operations as in memory must give the same.

use std::time::Duration;

use cranelift_entity::EntityRef;
use rtap_compiler::image::{
    ArrayLayout, DeletedLayout, GlobalLayout, StatRecord, TurnLayout, ValueLayout, WrapLayout,
    width_bytes,
};
use rtap_compiler::lir::{
    ElementKind, GlobalData, GlobalKind, Histogram, Init, Sort, SortBy, StatField, StatLayout,
};

use super::super::mem::MemStore;
use super::super::sort;
use super::super::store::Snapshot;
use super::*;
use crate::bpf::map::MMAPABLE;
use crate::bpf::{MapSpec, MapType};

/// Maps of a test's globals.
struct Fixture {
    module: Module,
    layout: Layout,
    maps: Vec<(String, Map)>,
    mapping: Arc<Mapping>,
}

fn possible_cpus() -> u32 {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap();
    let last = text.trim().rsplit(['-', ',']).next().unwrap();
    last.parse::<u32>().unwrap() + 1
}

impl Fixture {
    /// Creates the maps; `None`, with a word on it, where that is not allowed.
    fn new(globals: Vec<GlobalKind>) -> Option<Fixture> {
        let mut module = Module::default();
        let mut layout = Layout::default();
        let mut maps = Vec::new();
        let mut scalar_bytes = 0;
        for kind in globals {
            let name = format!("g{}", module.globals.len());
            let mut create = |name: &str, kind, key_size, value_size, max_entries| -> Option<()> {
                let spec = MapSpec {
                    name,
                    kind,
                    key_size,
                    value_size,
                    max_entries,
                    flags: 0,
                    btf: None,
                    inner: None,
                };
                match Map::create(&spec, possible_cpus()) {
                    Ok(map) => maps.push((name.to_owned(), map)),
                    Err(error) => {
                        eprintln!("skipped: cannot create maps here: {error}");
                        return None;
                    }
                }
                Some(())
            };
            let global = match &kind {
                GlobalKind::Scalar { ty, .. } => {
                    let slot = Slot {
                        offset: scalar_bytes,
                        ty: *ty,
                    };
                    scalar_bytes += slot.width();
                    GlobalLayout::Scalar(slot)
                }
                GlobalKind::Stat(stat) => {
                    let record = StatRecord::new(stat.clone());
                    create(&name, MapType::PerCpuArray, 4, record.bytes, 1)?;
                    GlobalLayout::Stat {
                        map: name.clone(),
                        record,
                        turns: None,
                    }
                }
                GlobalKind::Array {
                    keys,
                    value,
                    max_entries,
                    wrap,
                } => {
                    let mut key_bytes = 0;
                    let slots = keys
                        .iter()
                        .map(|ty| {
                            let slot = Slot {
                                offset: key_bytes,
                                ty: *ty,
                            };
                            key_bytes += width_bytes(*ty);
                            slot
                        })
                        .collect();
                    let (map_type, value) = match value {
                        ElementKind::Plain(ty) => (
                            MapType::Hash,
                            ValueLayout::Plain(Slot { offset: 0, ty: *ty }),
                        ),
                        ElementKind::Stat(stat) => (
                            MapType::PerCpuHash,
                            ValueLayout::Stat(StatRecord::new(stat.clone())),
                        ),
                    };
                    create(&name, map_type, key_bytes, value.bytes(), *max_entries)?;
                    let room = DeletedLayout::room(*max_entries);
                    let wrap = if *wrap {
                        let [queue, other, born] =
                            ["queue", "other", "born"].map(|what| format!("{name}_{what}"));
                        create(&queue, MapType::Queue, 0, key_bytes + 8, room)?;
                        create(&other, MapType::Queue, 0, key_bytes + 8, room)?;
                        create(&born, MapType::Hash, key_bytes, 8, room)?;
                        let turn = scalar_bytes;
                        scalar_bytes += 8;
                        let deleted = Some(DeletedLayout { other, born, turn });
                        Some(WrapLayout { queue, deleted })
                    } else {
                        None
                    };
                    GlobalLayout::Array(ArrayLayout {
                        map: name.clone(),
                        max_entries: *max_entries,
                        keys: slots,
                        key_bytes,
                        value,
                        wrap,
                        turns: None,
                    })
                }
            };
            let id = module.globals.push(GlobalData {
                name: name.clone(),
                kind,
                print_at_end: false,
                shared: true,
            });
            layout.globals[id] = Some(global);
        }
        let spec = MapSpec {
            name: "globals",
            kind: MapType::Array,
            key_size: 4,
            value_size: scalar_bytes.max(8),
            max_entries: 1,
            flags: MMAPABLE,
            btf: None,
            inner: None,
        };
        let map = match Map::create(&spec, possible_cpus()) {
            Ok(map) => map,
            Err(error) => {
                eprintln!("skipped: cannot create maps here: {error}");
                return None;
            }
        };
        let mapping = Arc::new(map.mmap().unwrap());
        maps.push(("globals".to_owned(), map));
        Some(Fixture {
            module,
            layout,
            maps,
            mapping,
        })
    }

    fn store(&self) -> BpfStore<'_> {
        let find = |name: &str| {
            self.maps
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, map)| map)
        };
        BpfStore::new(
            &self.module,
            &self.layout,
            find,
            Some(Arc::clone(&self.mapping)),
        )
        .unwrap()
    }
}

fn array(keys: Vec<Ty>, value: ElementKind, max_entries: u32) -> GlobalKind {
    GlobalKind::Array {
        keys,
        value,
        max_entries,
        wrap: false,
    }
}

fn statistics() -> StatLayout {
    StatLayout {
        sum: true,
        min: true,
        max: true,
        variance: true,
        histograms: vec![Histogram::Log],
    }
}

/// All elements of an array, sorted by key.
fn contents<S: Store>(store: &mut S, global: Global, slice: &[Option<Value>]) -> Vec<String> {
    let snapshot = store.snapshot(global, slice).unwrap();
    let mut all: Vec<String> = (0..snapshot.len())
        .map(|i| {
            let keys: Vec<Value> = (0..slice.len()).map(|part| snapshot.key(i, part)).collect();
            format!(
                "{keys:?}={:?} {:?}",
                snapshot.value(i),
                snapshot.stat_field(i, StatField::Sum)
            )
        })
        .collect();
    all.sort();
    all
}

#[test]
fn random_operations_give_what_they_give_in_memory() {
    let two = || vec![Ty::I64, Ty::str(9)];
    let Some(fixture) = Fixture::new(vec![
        array(two(), ElementKind::Plain(Ty::I64), 40),
        array(two(), ElementKind::Plain(Ty::str(20)), 40),
        array(two(), ElementKind::Stat(statistics()), 1000),
        GlobalKind::Stat(statistics()),
        GlobalKind::Scalar {
            ty: Ty::I64,
            init: Init::Int(0),
        },
        GlobalKind::Scalar {
            ty: Ty::str(13),
            init: Init::Str("".into()),
        },
    ]) else {
        return;
    };
    let mut bpf = fixture.store();
    let mut mem = MemStore::new(&fixture.module.globals);
    let [ints, texts, stats, stat, int, text]: [Global; 6] = std::array::from_fn(Global::new);
    let mut state = 99_u64;
    let mut next = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695);
        (state >> 33) % below
    };
    for _ in 0..4000 {
        let keys = [
            Value::Int(next(8) as i64 - 4),
            Value::from(["", "a", "bcdefghij"][next(3) as usize]),
        ];
        let n = next(1000) as i64 - 500;
        match next(12) {
            0 | 1 => {
                let value = Value::Int(n);
                let results = (
                    bpf.insert(ints, &keys, &value).is_ok(),
                    mem.insert(ints, &keys, &value).is_ok(),
                );
                assert_eq!(results.0, results.1);
            }
            2 => {
                let value = Value::from(format!("text {n}").as_str());
                assert_eq!(
                    bpf.insert(texts, &keys, &value).is_ok(),
                    mem.insert(texts, &keys, &value).is_ok()
                );
            }
            3 => {
                let results = (
                    bpf.element_fetch_add(ints, &keys, n),
                    mem.element_fetch_add(ints, &keys, n),
                );
                assert_eq!(results.0.ok(), results.1.ok());
            }
            4 => {
                bpf.push(stats, &keys, n).unwrap();
                mem.push(stats, &keys, n).unwrap();
                bpf.push(stat, &[], n).unwrap();
                mem.push(stat, &[], n).unwrap();
            }
            5 => {
                let which = [ints, texts, stats][next(3) as usize];
                bpf.remove(which, &keys);
                mem.remove(which, &keys);
            }
            6 if next(20) == 0 => {
                let which = [ints, texts, stats][next(3) as usize];
                let slice = [Some(keys[0].clone()), None];
                bpf.clear(which, &slice);
                mem.clear(which, &slice);
            }
            7 => {
                assert_eq!(bpf.fetch_add(int, n), mem.fetch_add(int, n));
                let value = Value::from(format!("{n} is").as_str());
                bpf.set(text, &value);
                mem.set(text, &value);
            }
            8 if next(50) == 0 => {
                for global in [stat, text, int] {
                    bpf.clear(global, &[]);
                    mem.clear(global, &[]);
                }
            }
            _ => {
                assert_eq!(bpf.element(ints, &keys), mem.element(ints, &keys));
                assert_eq!(bpf.element(texts, &keys), mem.element(texts, &keys));
                assert_eq!(bpf.stat(stats, &keys), mem.stat(stats, &keys));
                assert_eq!(bpf.stat(stat, &[]), mem.stat(stat, &[]));
                assert_eq!(bpf.get(int), mem.get(int));
                assert_eq!(bpf.get(text), mem.get(text));
                for global in [ints, texts, stats] {
                    assert_eq!(bpf.contains(global, &keys), mem.contains(global, &keys));
                    let slice = [None, Some(keys[1].clone())];
                    assert_eq!(
                        bpf.contains_slice(global, &slice),
                        mem.contains_slice(global, &slice)
                    );
                    assert_eq!(
                        contents(&mut bpf, global, &slice),
                        contents(&mut mem, global, &slice)
                    );
                }
            }
        }
    }
    assert!(bpf.take_failure().is_none());
}

#[test]
fn arrays_that_forget_do_so_as_in_memory() {
    let wrapping = |value, max_entries| GlobalKind::Array {
        keys: vec![Ty::I64],
        value,
        max_entries,
        wrap: true,
    };
    let Some(fixture) = Fixture::new(vec![
        wrapping(ElementKind::Plain(Ty::I64), 7),
        wrapping(ElementKind::Plain(Ty::str(20)), 1),
        wrapping(ElementKind::Stat(statistics()), 4),
    ]) else {
        return;
    };
    let mut bpf = fixture.store();
    let mut mem = MemStore::new(&fixture.module.globals);
    let [ints, texts, stats]: [Global; 3] = std::array::from_fn(Global::new);
    let mut state = 7_u64;
    let mut next = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695);
        (state >> 33) % below
    };
    for n in 0..5000 {
        let key = [Value::Int(next(12) as i64)];
        let text = Value::from(format!("text {n}").as_str());
        match next(6) {
            0 => {
                bpf.insert(ints, &key, &Value::Int(n)).unwrap();
                mem.insert(ints, &key, &Value::Int(n)).unwrap();
            }
            1 => assert_eq!(
                bpf.element_fetch_add(ints, &key, n).unwrap(),
                mem.element_fetch_add(ints, &key, n).unwrap()
            ),
            2 => {
                bpf.insert(texts, &key, &text).unwrap();
                mem.insert(texts, &key, &text).unwrap();
            }
            3 => {
                bpf.push(stats, &key, n).unwrap();
                mem.push(stats, &key, n).unwrap();
            }
            _ => {
                let which = [ints, texts, stats][next(3) as usize];
                bpf.remove(which, &key);
                mem.remove(which, &key);
            }
        }
        for global in [ints, texts] {
            assert_eq!(
                contents(&mut bpf, global, &[None]),
                contents(&mut mem, global, &[None]),
                "after {n}"
            );
        }
        for key in (0..12).map(|key| [Value::Int(key)]) {
            assert_eq!(bpf.stat(stats, &key), mem.stat(stats, &key), "after {n}");
        }
    }
    assert!(bpf.take_failure().is_none());
}

#[test]
fn a_full_array_is_an_error() {
    let Some(fixture) = Fixture::new(vec![array(vec![Ty::I64], ElementKind::Plain(Ty::I64), 2)])
    else {
        return;
    };
    let mut store = fixture.store();
    let a = Global::new(0);
    for key in 0..2 {
        store
            .insert(a, &[Value::Int(key)], &Value::Int(key))
            .unwrap();
    }
    let third = [Value::Int(7)];
    assert!(matches!(
        store.insert(a, &third, &Value::Int(0)),
        Err(StoreError::Full)
    ));
    assert!(matches!(
        store.element_fetch_add(a, &third, 1),
        Err(StoreError::Full)
    ));
    store.element_fetch_add(a, &[Value::Int(1)], 41).unwrap();
    assert_eq!(store.element(a, &[Value::Int(1)]), Some(Value::Int(42)));
}

#[test]
fn statistics_of_both_sides_are_one() {
    let Some(fixture) = Fixture::new(vec![
        GlobalKind::Stat(statistics()),
        array(vec![Ty::I64], ElementKind::Stat(statistics()), 10),
    ]) else {
        return;
    };
    let record = StatRecord::new(statistics());
    let mut value = vec![0; fixture.maps[0].1.value_bytes()];
    // What a kernel handler on CPU 0 would have left.
    Stat::push_record(&record, &mut value, 100).unwrap();
    fixture.maps[0].1.update(&[0; 4], &value, 0).unwrap();
    fixture.maps[1]
        .1
        .update(&5_i64.to_le_bytes(), &value, 0)
        .unwrap();
    let mut store = fixture.store();
    let (scalar, array) = (Global::new(0), Global::new(1));
    store.push(scalar, &[], -1).unwrap();
    store.push(array, &[Value::Int(5)], 3).unwrap();
    store.push(array, &[Value::Int(6)], 4).unwrap();
    let stat = store.stat(scalar, &[]).unwrap();
    assert_eq!((stat.count, stat.sum, stat.min, stat.max), (2, 99, -1, 100));
    assert_eq!(
        store.stat_field(array, &[Value::Int(5)], StatField::Sum),
        Some(103)
    );
    let snapshot = store.snapshot(array, &[None]).unwrap();
    let sums: Vec<_> = (0..snapshot.len())
        .map(|i| {
            (
                snapshot.key(i, 0).int(),
                snapshot.stat_field(i, StatField::Sum),
            )
        })
        .collect();
    assert_eq!(sums, [(5, 103), (6, 4)]);
}

/// Processor time of this thread: other work on the machine does not count.
fn cpu_time() -> Duration {
    // SAFETY: all-zero is a valid timespec, and a valid one is written to.
    let time = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time);
        time
    };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn a_hundred_thousand_elements_are_sorted_quickly() {
    let Some(fixture) = Fixture::new(vec![array(
        vec![Ty::I64],
        ElementKind::Plain(Ty::I64),
        100_000,
    )]) else {
        return;
    };
    let mut store = fixture.store();
    let a = Global::new(0);
    for key in 0..100_000 {
        let value = Value::Int(key * 7919 % 100_003);
        store.insert(a, &[Value::Int(key)], &value).unwrap();
    }
    let start = cpu_time();
    let snapshot = store.snapshot(a, &[None]).unwrap();
    let read = cpu_time() - start;
    let by_value = Sort {
        by: SortBy::Value,
        descending: true,
    };
    let order = sort::order(&snapshot, Some(by_value), 10, |_, value| value);
    let top: Vec<i64> = order
        .iter()
        .map(|i| snapshot.value(*i as usize).int())
        .collect();
    let all = cpu_time() - start;
    eprintln!(
        "processor time: read in {read:?}, sorted in {:?}",
        all - read
    );
    assert!(top.windows(2).all(|pair| pair[0] >= pair[1]));
    assert_eq!(top.len(), 10);
    assert_eq!(
        top[0],
        (0..100_000_i64).map(|k| k * 7919 % 100_003).max().unwrap()
    );
}

#[test]
fn additions_of_many_at_once_are_all_there() {
    let Some(fixture) = Fixture::new(vec![array(
        vec![Ty::I64, Ty::str(30)],
        ElementKind::Plain(Ty::I64),
        8,
    )]) else {
        return;
    };
    let a = Global::new(0);
    let each = 20_000;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut store = fixture.store();
                let keys = [Value::Int(-1), Value::from("a key of some length")];
                for _ in 0..each {
                    store.element_fetch_add(a, &keys, 3).unwrap();
                }
                assert!(store.take_failure().is_none());
            });
        }
    });
    let mut store = fixture.store();
    let keys = [Value::Int(-1), Value::from("a key of some length")];
    assert_eq!(store.element_fetch_add(a, &keys, 0).unwrap(), 2 * 3 * each);
}

/// A number and a statistic for each key, of which two maps take turns.
fn taking_turns(max_entries: u32) -> Option<Fixture> {
    let mut fixture = Fixture::new(vec![
        array(vec![Ty::I64], ElementKind::Plain(Ty::I64), max_entries),
        array(vec![Ty::I64], ElementKind::Stat(statistics()), max_entries),
        array(vec![Ty::I64], ElementKind::Plain(Ty::I64), max_entries),
        array(vec![Ty::I64], ElementKind::Stat(statistics()), max_entries),
        GlobalKind::Scalar {
            ty: Ty::str(15),
            init: Init::Str("".into()),
        },
    ])?;
    for n in 0..2 {
        let [global, other] = [n, n + 2].map(Global::from_u32);
        let Some(GlobalLayout::Array(of_other)) = fixture.layout.globals[other].take() else {
            return None;
        };
        if let Some(GlobalLayout::Array(layout)) = &mut fixture.layout.globals[global] {
            layout.turns = Some(TurnLayout {
                other: of_other.map,
                turn: n * 8,
            });
        }
    }
    Some(fixture)
}

#[test]
fn what_is_taken_is_of_one_moment() {
    let Some(fixture) = taking_turns(3) else {
        return;
    };
    let (numbers, stats) = (Global::new(0), Global::new(1));
    let record = StatRecord::new(statistics());
    // As kernel handlers would.
    let add = |key: i64, n: i64| {
        let turn = usize::from(fixture.mapping.load(0) != 0);
        let map = &fixture.maps[2 * turn].1;
        let mut value = vec![0; 8];
        map.lookup(&key.to_le_bytes(), &mut value).unwrap();
        value.resize(8, 0);
        let sum = i64::from_le_bytes(value.try_into().unwrap()) + n;
        map.update(&key.to_le_bytes(), &sum.to_le_bytes(), 0)
            .unwrap();
        let map = &fixture.maps[2 * turn + 1].1;
        let mut value = Vec::new();
        map.lookup(&key.to_le_bytes(), &mut value).unwrap();
        value.resize(map.value_bytes(), 0);
        Stat::push_record(&record, &mut value, n).unwrap();
        map.update(&key.to_le_bytes(), &value, 0).unwrap();
    };
    let mut store = fixture.store();
    let handler = HandlerId::from_u32(0);
    let key = |n| [Value::Int(n)];
    let least = |store: &mut BpfStore<'_>, n| store.stat(stats, &key(n)).map(|stat| stat.min);

    // A handler that only reads and adds sees both.
    store.begin(handler);
    add(1, 5);
    store.push(stats, &key(1), 3).unwrap();
    assert_eq!(store.element_fetch_add(numbers, &key(1), 3).unwrap(), 5);
    add(1, 2);
    assert_eq!(store.element(numbers, &key(1)), Some(Value::Int(10)));
    assert_eq!(least(&mut store, 1), Some(2));
    assert_eq!(store.element(numbers, &key(2)), None);
    assert!(!store.contains(stats, &key(2)));
    store.end();

    // One that deletes takes all, and what comes after that is not its own.
    store
        .takers
        .insert(handler, HashSet::from([numbers, stats]));
    store.begin(handler);
    assert_eq!(store.element(numbers, &key(1)), Some(Value::Int(10)));
    add(1, 1);
    add(2, 7);
    assert_eq!(store.element(numbers, &key(1)), Some(Value::Int(10)));
    assert_eq!(least(&mut store, 1), Some(2));
    assert_eq!(store.element(numbers, &key(2)), None);
    assert_eq!(contents(&mut store, numbers, &[None]).len(), 1);
    assert!(!store.contains_slice(stats, &[Some(Value::Int(2))]));
    store.remove(stats, &key(1));
    store.insert(numbers, &key(1), &Value::Int(100)).unwrap();
    assert_eq!(least(&mut store, 1), None);
    store.end();
    assert_eq!(store.element(numbers, &key(1)), Some(Value::Int(101)));
    assert_eq!(least(&mut store, 1), Some(1));
    assert_eq!(contents(&mut store, numbers, &[None]).len(), 2);

    // There is room for three: two more are not kept, and that is said.
    store.begin(handler);
    assert_eq!(store.element(numbers, &key(2)), Some(Value::Int(7)));
    store.end();
    add(2, 1);
    add(3, 1);
    add(4, 1);
    store.begin(handler);
    let sum: usize = [2, 3, 4]
        .into_iter()
        .filter(|n| store.element(numbers, &key(*n)).is_some())
        .count();
    assert_eq!(sum, 2);
    let failure = store.take_failure().unwrap().to_string();
    assert!(
        failure.contains("'g0' has room for 3 elements: 1 are lost"),
        "{failure}"
    );
    store.clear(numbers, &[None]);
    store.end();
    assert_eq!(contents(&mut store, numbers, &[None]).len(), 0);
}

#[test]
fn an_image_without_its_maps_is_refused() {
    let Some(fixture) = Fixture::new(vec![GlobalKind::Stat(statistics())]) else {
        return;
    };
    let missing = BpfStore::new(&fixture.module, &fixture.layout, |_| None, None);
    assert!(matches!(missing, Err(NoMap(name)) if name == "g0"));
}
