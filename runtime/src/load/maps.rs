//! Creates the maps of an image.

use std::io;
use std::os::fd::AsFd;

use indexmap::IndexMap;
use rtap_compiler::image::{COUNTERS_MAP, FRAMES_MAP, SNAPSHOTS_MAP};
use rtap_compiler::target::Feature;

use super::LoadOptions;
use super::error::LoadError;
use super::image_file::{DataSection, MapDecl, ObjectFile};
use crate::bpf::map::{MMAPABLE, READ_ONLY_FOR_PROGRAMS};
use crate::bpf::{Btf, Map, MapSpec, MapType};
use crate::host::raise_memlock_limit;

/// Creates all declared maps and those of data sections, with contents.
pub(super) fn create(
    object: &ObjectFile,
    btf: Option<&Btf>,
    options: &LoadOptions<'_>,
) -> Result<IndexMap<String, Map>, LoadError> {
    let possible_cpus = options.target.cpus().possible;
    let mut maps = IndexMap::new();
    for decl in &object.maps {
        let map = declared(decl, btf, options, possible_cpus)
            .map_err(|error| LoadError::map(&decl.name, error))?;
        maps.insert(decl.name.clone(), map);
    }
    for data in &object.data {
        let map = filled(data, btf, options).map_err(|error| LoadError::map(&data.name, error))?;
        maps.insert(data.name.clone(), map);
    }
    Ok(maps)
}

fn declared(
    decl: &MapDecl,
    btf: Option<&Btf>,
    options: &LoadOptions<'_>,
    possible_cpus: u32,
) -> io::Result<Map> {
    let kind = MapType::from_number(decl.kind).ok_or(io::ErrorKind::Unsupported)?;
    let max_entries = match kind {
        MapType::RingBuf => options.ring_buffer_bytes.unwrap_or(decl.max_entries),
        // Declared is the number for one CPU.
        _ if [FRAMES_MAP, SNAPSHOTS_MAP, COUNTERS_MAP].contains(&decl.name.as_str()) => {
            decl.max_entries.saturating_mul(possible_cpus)
        }
        _ => decl.max_entries,
    };
    let types = (decl.key_type, decl.value_type);
    let spec = MapSpec {
        name: &decl.name,
        kind,
        key_size: decl.key_size,
        value_size: decl.value_size,
        max_entries,
        flags: decl.flags,
        btf: btf
            .filter(|_| types.0 != 0 && types.1 != 0)
            .map(|btf| (btf.as_fd(), types.0, types.1)),
        inner: None,
    };
    with_fall_backs(&spec, options, possible_cpus)
}

fn filled(data: &DataSection, btf: Option<&Btf>, options: &LoadOptions<'_>) -> io::Result<Map> {
    let value_size = u32::try_from(data.bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let spec = MapSpec {
        // `.data.rtap_globals` → `rtap_globals`; a plain `.bss` stays.
        name: data.name.rsplit('.').next().unwrap_or(&data.name),
        kind: MapType::Array,
        key_size: 4,
        value_size,
        max_entries: 1,
        flags: if data.read_only {
            READ_ONLY_FOR_PROGRAMS
        } else {
            MMAPABLE
        },
        btf: btf
            .filter(|_| data.btf_type != 0)
            .map(|btf| (btf.as_fd(), 0, data.btf_type)),
        inner: None,
    };
    let map = with_fall_backs(&spec, options, 1)?;
    map.update(&0u32.to_ne_bytes(), &data.bytes, 0)?;
    if data.read_only {
        // Lets the verifier see constants in it.
        map.freeze()?;
    }
    Ok(map)
}

/// Creates a map; without its BTF types if the kernel does not take these, after raising
/// the limit of locked memory if the kernel charges maps to it.
fn with_fall_backs(
    spec: &MapSpec<'_>,
    options: &LoadOptions<'_>,
    possible_cpus: u32,
) -> io::Result<Map> {
    let create = |spec: &MapSpec<'_>| match Map::create(spec, possible_cpus) {
        Err(error)
            if error.raw_os_error() == Some(libc::EPERM)
                && !options.target.has(Feature::CgroupAccounting) =>
        {
            raise_memlock_limit();
            Map::create(spec, possible_cpus)
        }
        result => result,
    };
    match create(spec) {
        Err(error) if spec.btf.is_some() && error.raw_os_error() != Some(libc::EPERM) => {
            create(&MapSpec { btf: None, ..*spec })
        }
        result => result,
    }
}
