//! Where globals live: in the globals map, or in maps of their own.

use super::map::stat_shape;
use super::{MapSort, Place, Plan, Shape};
use crate::bpf::insn::MapId;
use crate::image::{
    ArrayLayout, DeletedLayout, Slot, StatRecord, TurnLayout, ValueLayout, WrapLayout,
};
use crate::lir::{ElementKind, Global, GlobalKind, Init, Module};

impl Plan {
    pub(super) fn place(&mut self, module: &Module, global: Global, takes_turns: bool) {
        let data = &module.globals[global];
        let place = match &data.kind {
            GlobalKind::Scalar { ty, init } => {
                let slot = Slot {
                    offset: self.globals_bytes,
                    ty: *ty,
                };
                self.globals_bytes += slot.width();
                self.globals_data.resize(self.globals_bytes as usize, 0);
                let bytes = match init {
                    Init::Int(value) => value.to_le_bytes().to_vec(),
                    Init::Str(text) => {
                        let most = slot.width() as usize - 1;
                        text[..text.len().min(most)].to_vec()
                    }
                };
                let at = slot.offset as usize;
                self.globals_data[at..at + bytes.len()].copy_from_slice(&bytes);
                self.globals_fields
                    .push((data.name.clone(), slot.offset, Shape::of(*ty)));
                Place::Scalar(slot)
            }
            GlobalKind::Stat(layout) => {
                let record = StatRecord::new(layout.clone());
                let map = self.map(
                    &data.name,
                    MapSort::PerCpuArray,
                    Shape::U32,
                    stat_shape(&record),
                    1,
                );
                let turns = takes_turns.then(|| self.turns(map));
                Place::Stat(map, record, turns)
            }
            GlobalKind::Array {
                keys,
                value,
                max_entries,
                wrap,
            } => {
                let mut key_bytes = 0;
                let keys: Vec<Slot> = keys
                    .iter()
                    .map(|&ty| {
                        let slot = Slot {
                            offset: key_bytes,
                            ty,
                        };
                        key_bytes += slot.width();
                        slot
                    })
                    .collect();
                let (sort, value, shape) = match value {
                    ElementKind::Plain(ty) => {
                        let slot = Slot { offset: 0, ty: *ty };
                        let value = ValueLayout::Plain(slot);
                        (MapSort::Hash, value, Shape::of(*ty))
                    }
                    ElementKind::Stat(layout) => {
                        let record = StatRecord::new(layout.clone());
                        let shape = stat_shape(&record);
                        let value = ValueLayout::Stat(record);
                        (MapSort::PerCpuHash, value, shape)
                    }
                };
                let key = match keys.as_slice() {
                    [slot] => Shape::of(slot.ty),
                    slots => Shape::Struct(
                        slots
                            .iter()
                            .enumerate()
                            .map(|(n, slot)| (format!("key{n}"), slot.offset, Shape::of(slot.ty)))
                            .collect(),
                        key_bytes,
                    ),
                };
                let wrap = wrap.then(|| {
                    let deleted = crate::bpf::analysis::deletes_elements(module, global);
                    self.wrap(&data.name, &key, *max_entries, deleted)
                });
                let map = self.map(&data.name, sort, key, shape, *max_entries);
                let turns = (wrap.is_none() && takes_turns).then(|| self.turns(map));
                Place::Array(
                    map,
                    ArrayLayout {
                        map: self.maps[map.0 as usize].name.clone(),
                        max_entries: *max_entries,
                        keys,
                        key_bytes,
                        value,
                        wrap,
                        turns,
                    },
                )
            }
        };
        self.places[global] = Some(place);
    }

    /// Makes the map that another takes turns with.
    fn turns(&mut self, map: MapId) -> TurnLayout {
        let first = self.maps[map.0 as usize].clone();
        let name = format!("{}_turn", first.name);
        let other = self.map(&name, first.sort, first.key, first.value, first.max_entries);
        TurnLayout {
            other: self.maps[other.0 as usize].name.clone(),
            turn: self.word(name),
        }
    }

    /// A word of the globals map.
    fn word(&mut self, name: String) -> u32 {
        let at = self.globals_bytes;
        self.globals_bytes += 8;
        self.globals_data.resize(self.globals_bytes as usize, 0);
        self.globals_fields.push((name, at, Shape::I64));
        at
    }

    /// Makes the maps by which an array knows its oldest element.
    fn wrap(&mut self, name: &str, key: &Shape, size: u32, deleted: bool) -> WrapLayout {
        let of = |what: &str| format!("{name}_{what}");
        if !deleted {
            let queue = self.map(&of("order"), MapSort::Queue, Shape::None, key.clone(), size);
            return WrapLayout {
                queue: self.maps[queue.0 as usize].name.clone(),
                deleted: None,
            };
        }
        let room = DeletedLayout::room(size);
        let time = key.bytes();
        let fields = vec![
            ("key".to_owned(), 0, key.clone()),
            ("time".to_owned(), time, Shape::I64),
        ];
        let entry = Shape::Struct(fields, time + 8);
        let [queue, other] = ["order", "older"]
            .map(|what| self.map(&of(what), MapSort::Queue, Shape::None, entry.clone(), room));
        let born = self.map(&of("born"), MapSort::Hash, key.clone(), Shape::I64, room);
        let turn = self.word(of("turn"));
        let [queue, other, born] =
            [queue, other, born].map(|map| self.maps[map.0 as usize].name.clone());
        WrapLayout {
            queue,
            deleted: Some(DeletedLayout { other, born, turn }),
        }
    }
}
