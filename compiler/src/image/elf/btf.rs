//! The image's `.BTF`: types of maps (so that `bpftool map dump` names the fields), of the data
//! sections, and of the programs.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use crate::bpf::insn::MapId;
use crate::bpf::plan::{MapDef, MapSort, Shape};
use crate::bpf::{Arguments, Object};
use crate::btf::{Btf, BtfBuilder, BtfError, Kind, Linkage, TypeId, extract_into};
use crate::lir::Module;

/// `.BTF` under construction.
pub struct Written {
    /// Types and strings.
    pub builder: BtfBuilder,
    /// The function type of each function, in the order of [`Object::functions`].
    pub functions: Vec<TypeId>,
    /// The kernel's types that relocations are about, by their ids in the kernel.
    pub kernel: BTreeMap<TypeId, TypeId>,
}

/// `BTF_INT_SIGNED`
const SIGNED: u8 = 1;
/// `BTF_INT_CHAR`
const CHAR: u8 = 2;

/// Basic types.
struct Basic {
    int: TypeId,
    u32: TypeId,
    i64: TypeId,
    char: TypeId,
}

struct Types {
    builder: BtfBuilder,
    basic: Basic,
    arrays: FxHashMap<(TypeId, u32), TypeId>,
}

/// Writes all types; the line information adds its strings later.
pub fn write(
    object: &Object,
    used: &BTreeSet<MapId>,
    module: &Module,
    kernel: Option<&Btf>,
) -> Result<Written, BtfError> {
    let plan = &object.plan;
    let mut builder = BtfBuilder::new();
    let basic = Basic {
        int: builder.int("int", 4, 32, SIGNED),
        u32: builder.int("unsigned int", 4, 32, 0),
        i64: builder.int("long", 8, 64, SIGNED),
        char: builder.int("char", 1, 8, CHAR),
    };
    let mut types = Types {
        builder,
        basic,
        arrays: FxHashMap::default(),
    };
    let mut maps = Vec::new();
    let mut maps_bytes = 0;
    for &map in used {
        let def = &plan.maps[map.0 as usize];
        match def.sort {
            MapSort::Data => types.data_section(def, &plan.globals_fields, plan.globals_bytes),
            MapSort::Rodata => {
                let bytes = plan.rodata.len() as u32;
                types.data_section(
                    def,
                    &[("constants".to_owned(), 0, Shape::Str(bytes))],
                    bytes,
                );
            }
            _ => {
                let ty = types.map(def);
                let var = types.builder.var(&def.name, ty, Linkage::Global);
                let bytes = map_struct_bytes(def);
                maps.push((var, maps_bytes, bytes));
                maps_bytes += bytes;
            }
        }
    }
    if !maps.is_empty() {
        types.builder.data_section(".maps", maps_bytes, &maps);
    }
    let context = types.builder.ptr(TypeId(0));
    let int = types.basic.int;
    let entry = types.builder.func_proto(int, &[("ctx", context)]);
    let long = types.basic.i64;
    let subprogram = types.builder.func_proto(int, &[("frame", long)]);
    let mut several = None;
    let element = ["map", "key", "value", "context"].map(|name| (name, context));
    let callback = types.builder.func_proto(long, &element);
    let mut functions = Vec::new();
    for program in &object.programs {
        for (number, function) in program.functions.iter().enumerate() {
            let (proto, linkage) = match (number, function.arguments) {
                (0, _) => (entry, Linkage::Global),
                (_, Arguments::Index) => (subprogram, Linkage::Global),
                (_, Arguments::IndexAndNumber) => {
                    let builder = &mut types.builder;
                    let both = [("frame", long), ("which", long)];
                    let several = several.get_or_insert_with(|| builder.func_proto(int, &both));
                    (*several, Linkage::Global)
                }
                (_, Arguments::Element) => (callback, Linkage::Static),
            };
            functions.push(types.builder.func(&function.symbol, proto, linkage));
        }
    }
    let roots: BTreeSet<TypeId> = object
        .functions()
        .flat_map(|(_, function)| &function.cores)
        .map(|(_, core)| TypeId(module.core[*core].type_id))
        .collect();
    let kernel = match kernel {
        Some(kernel) if !roots.is_empty() => {
            let roots: Vec<TypeId> = roots.into_iter().collect();
            extract_into(kernel, &roots, &mut types.builder)?
        }
        _ => BTreeMap::new(),
    };
    Ok(Written {
        builder: types.builder,
        functions,
        kernel,
    })
}

/// Bytes of a map's declaration in `.maps`: one pointer for each member.
pub fn map_struct_bytes(def: &MapDef) -> u32 {
    let members = [&def.key, &def.value].into_iter();
    16 + 8 * members.filter(|shape| **shape != Shape::None).count() as u32
}

impl Types {
    fn array(&mut self, of: TypeId, len: u32) -> TypeId {
        if let Some(&known) = self.arrays.get(&(of, len)) {
            return known;
        }
        let id = self.builder.array(of, self.basic.u32, len);
        self.arrays.insert((of, len), id);
        id
    }

    /// The type of a shape; `name` is for structures.
    fn shape(&mut self, shape: &Shape, name: &str) -> TypeId {
        match shape {
            Shape::None => TypeId(0),
            Shape::U32 => self.basic.u32,
            Shape::I64 => self.basic.i64,
            Shape::Str(bytes) => self.array(self.basic.char, *bytes),
            Shape::Words(words) => self.array(self.basic.i64, *words),
            Shape::Struct(fields, bytes) => {
                let members: Vec<(String, TypeId, u32)> = fields
                    .iter()
                    .map(|(field, at, shape)| (identifier(field), self.shape(shape, field), *at))
                    .collect();
                let members: Vec<(&str, TypeId, u32, u8)> = members
                    .iter()
                    .map(|(name, ty, at)| (name.as_str(), *ty, at * 8, 0))
                    .collect();
                self.builder
                    .composite(Kind::Struct, &identifier(name), *bytes, &members)
            }
        }
    }

    /// `int (*)[n]`: how BTF-defined maps spell a number.
    fn number(&mut self, n: u32) -> TypeId {
        let array = self.array(self.basic.int, n);
        self.builder.ptr(array)
    }

    fn map(&mut self, def: &MapDef) -> TypeId {
        let mut members = vec![
            ("type", self.number(def.sort.number()), 0, 0),
            ("max_entries", self.number(def.max_entries), 64, 0),
        ];
        let mut at = 128;
        for (what, shape) in [("key", &def.key), ("value", &def.value)] {
            if *shape != Shape::None {
                let ty = self.shape(shape, &format!("{}_{what}", def.name));
                members.push((what, self.builder.ptr(ty), at, 0));
                at += 64;
            }
        }
        self.builder
            .composite(Kind::Struct, "", map_struct_bytes(def), &members)
    }

    fn data_section(&mut self, def: &MapDef, fields: &[(String, u32, Shape)], bytes: u32) {
        let mut vars = Vec::new();
        for (name, at, shape) in fields {
            let ty = self.shape(shape, name);
            // Static, so that loaders look for no symbol of that name.
            let var = self.builder.var(&identifier(name), ty, Linkage::Static);
            vars.push((var, *at, shape.bytes()));
        }
        if bytes != 0 {
            self.builder.data_section(&def.name, bytes, &vars);
        }
    }
}

/// A name that the kernel takes.
fn identifier(name: &str) -> String {
    let mut name: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() {
        name.insert(0, '_');
    }
    name
}
