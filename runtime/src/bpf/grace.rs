//! Waiting until no program runs that ran before.
//!
//! The kernel waits for a grace period of RCU whenever user space replaces a map in a map of maps, so that what it reads
//! of the old one is final. (Programs that may sleep are not waited for.)

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use super::map::{Map, MapSpec, MapType};

/// What it takes to wait.
pub struct Grace {
    outer: Map,
    inner: Map,
}

impl Grace {
    /// Makes a map of maps that nobody reads.
    pub fn new() -> io::Result<Grace> {
        let mut spec = MapSpec {
            name: "rtap_grace",
            kind: MapType::Array,
            key_size: 4,
            value_size: 4,
            max_entries: 1,
            flags: 0,
            btf: None,
            inner: None,
        };
        let inner = Map::create(&spec, 1)?;
        spec.kind = MapType::ArrayOfMaps;
        spec.inner = Some(inner.as_fd());
        let outer = Map::create(&spec, 1)?;
        Ok(Grace { outer, inner })
    }

    /// Waits, some milliseconds.
    pub fn wait(&self) -> io::Result<()> {
        let inner = self.inner.as_fd().as_raw_fd().to_ne_bytes();
        self.outer.update(&[0; 4], &inner, 0)
    }
}
