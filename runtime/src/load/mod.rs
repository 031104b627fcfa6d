//! From an image's bytes to maps and programs in the kernel.
//!
//! `image_file` reads the ELF file, `check` compares its parts, `maps` creates its maps, `core_reloc` adapts field
//! accesses to the running kernel, `link` puts each program together with its
//! subprograms and map descriptors, `verifier` explains a refusal in terms of the script.
//!
//! The image is not trusted: it may come from a file. Damaged ones give an error.

mod check;
mod core_reloc;
mod error;
mod ext;
mod image_file;
mod link;
mod maps;
mod verifier;

#[cfg(test)]
pub(crate) mod tests;

pub use check::{check, read_meta};
pub use error::{FILES, FORBIDDEN, LoadError};
pub use image_file::ObjectFile;
pub use link::Linked;
pub use verifier::{SourceLine, Verdict};

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use indexmap::IndexMap;
use rtap_compiler::image::GLOBALS_MAP;
use rtap_compiler::target::Target;

use crate::bpf::prog::ProgDebug;
use crate::bpf::{AttachType, Btf, Map, Mapping, ProgSpec, ProgType, Program};

/// How a program is to be loaded: decides the context that the verifier gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramKind {
    /// Its kind.
    pub kind: ProgType,
    /// How it will be attached.
    pub attach: AttachType,
    /// BTF id of what it attaches to; 0 for none.
    pub btf_id: u32,
    /// `BPF_F_*`.
    pub flags: u32,
}

impl ProgramKind {
    /// A kind that is not tied to a BTF id.
    pub fn new(kind: ProgType, attach: AttachType) -> Self {
        Self {
            kind,
            attach,
            btf_id: 0,
            flags: 0,
        }
    }
}

/// What the loader needs to know besides the image.
#[derive(Clone, Copy)]
pub struct LoadOptions<'a> {
    /// The running machine.
    pub target: &'a dyn Target,
    /// Bytes of the ring buffer, a power of two; `None` for what the image says.
    pub ring_buffer_bytes: Option<u32>,
    /// Whether the image was compiled against this very kernel: its field offsets are right.
    pub same_kernel: bool,
}

/// Maps in the kernel, and what programs need to be loaded.
#[derive(Debug)]
pub struct Loaded {
    object: ObjectFile,
    /// The maps by name.
    pub maps: IndexMap<String, Map>,
    /// The memory-mapped globals.
    pub globals: Option<Mapping>,
    btf: Option<Btf>,
    /// What did not go as it should, without harm: for `-v`.
    pub warnings: Vec<String>,
}

impl Loaded {
    /// Creates the maps of an object and loads its BTF.
    pub fn new(mut object: ObjectFile, options: &LoadOptions<'_>) -> Result<Self, LoadError> {
        let mut warnings = Vec::new();
        let btf = object.btf_bytes().and_then(|blob| match Btf::load(blob) {
            Ok(btf) => Some(btf),
            Err(failure) => {
                let log = failure.log.trim_end();
                warnings.push(format!(
                    "the image's BTF was refused: {}\n{log}",
                    failure.error
                ));
                None
            }
        });
        if !options.same_kernel {
            object.relocate(options.target)?;
        }
        let maps = maps::create(&object, btf.as_ref(), options)?;
        let globals = maps.get(GLOBALS_MAP).map(Map::mmap).transpose();
        let globals = globals.map_err(|error| LoadError::map(GLOBALS_MAP, error))?;
        Ok(Self {
            object,
            maps,
            globals,
            btf,
            warnings,
        })
    }

    /// The object that was loaded.
    pub fn object(&self) -> &ObjectFile {
        &self.object
    }

    /// Loads the program of a symbol. Maps must have their contents by now.
    pub fn program(&self, symbol: &str, kind: ProgramKind) -> Result<Program, LoadError> {
        self.program_on(symbol, kind, None)
    }

    /// The same for a program whose BTF id is of a module, given by its BTF's descriptor.
    pub fn program_on(
        &self,
        symbol: &str,
        kind: ProgramKind,
        module_btf: Option<BorrowedFd<'_>>,
    ) -> Result<Program, LoadError> {
        let descriptor = |name: &str| Some(self.maps.get(name)?.as_fd().as_raw_fd());
        let linked = self.object.link(symbol, &descriptor)?;
        let spec = ProgSpec {
            name: symbol,
            kind: kind.kind,
            attach: kind.attach,
            insns: &linked.insns,
            flags: kind.flags,
            attach_btf_id: kind.btf_id,
            attach_btf: module_btf,
            debug: self.btf.as_ref().map(|btf| ProgDebug {
                btf: btf.as_fd(),
                func_info: &linked.func_info,
                line_info: &linked.line_info,
            }),
        };
        spec.load().map_err(|failure| {
            let verdict = verifier::explain(&failure, &linked, &self.object);
            LoadError::Refused {
                program: symbol.to_owned(),
                verdict: Box::new(verdict),
            }
        })
    }
}
