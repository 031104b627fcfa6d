//! The image: what the compiler hands to the runtime.
//!
//! On disk and in memory it is one ELF object (`elf` writes it):
//! * one section per eBPF program, named after its kind and handler, plus `.text` with
//!   the subprograms;
//! * `.maps` with BTF-defined maps, `.BTF`, `.BTF.ext` (function and line information
//!   pointing at script lines, and CO-RE relocations);
//! * `.rtap`: [`Meta`], encoded by postcard, which says how to attach, how to read maps and
//!   records, and holds the LIR of user-side handlers.
//!
//! [`attach`] says what a handler is attached to, [`layout`] how bytes in maps and records
//! are laid out. Both are shared with the runtime and with the LIR interpreter.

pub mod attach;
pub mod elf;
pub mod layout;

pub use attach::*;
pub use layout::*;

use serde::{Deserialize, Serialize};

use crate::lir::{HandlerId, Module};

/// Version of [`Meta`]'s encoding; an image of another version is refused.
pub const META_VERSION: u32 = 8;

/// Name of the ELF section that holds [`Meta`].
pub const META_SECTION: &str = ".rtap";

/// Everything the runtime needs besides programs and maps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// [`META_VERSION`].
    pub version: u32,
    /// Kernel release the image was compiled against, and a hash of its BTF (0 if it was
    /// not needed). When the running kernel has the same, CO-RE relocation is skipped.
    pub kernel_release: String,
    /// See `kernel_release`.
    pub btf_hash: u64,
    /// Names of the features that its programs rely on and that [`OLDEST_RELEASE`] has not.
    ///
    /// [`OLDEST_RELEASE`]: crate::target::OLDEST_RELEASE
    pub requires: Vec<String>,
    /// CPUs that its programs go through at most, if they do (to read statistics): machines that may have
    /// more must not run it.
    pub max_cpus: Option<u32>,
    /// The program in LIR. Kernel handlers' functions are kept too, for error messages
    /// and for `rtap run --interpret`-style tests.
    pub module: Module,
    /// The loaded programs.
    pub programs: Vec<Program>,
    /// How globals, arrays and records are laid out.
    pub layout: Layout,
    /// Names of the source files and their text, for messages (`FileId` is the index).
    pub files: Vec<(String, String)>,
}

/// Why the metadata of an image cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetaError {
    /// It is no object of rtap's.
    #[error("not an rtap image: it has no {META_SECTION} section")]
    NotAnImage,
    /// Another rtap built it.
    #[error("the image is of format {0}, this rtap reads format {META_VERSION}")]
    Version(u32),
    /// It cannot be decoded.
    #[error("the image is damaged")]
    Damaged,
}

impl Meta {
    /// Decodes the metadata section's bytes.
    pub fn decode(bytes: &[u8]) -> Result<Meta, MetaError> {
        // The version comes first, so it can be read whatever follows it.
        let (version, _) =
            postcard::take_from_bytes::<u32>(bytes).map_err(|_| MetaError::Damaged)?;
        if version != META_VERSION {
            return Err(MetaError::Version(version));
        }
        postcard::from_bytes(bytes).map_err(|_| MetaError::Damaged)
    }
}

/// One eBPF program of the image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// The ELF symbol of its entry.
    pub symbol: String,
    /// The handler it runs.
    pub handler: HandlerId,
    /// Which of the handler's points it is attached to (indices into `Handler::points`).
    /// A handler on trampolines or BTF tracepoints has one program for each attachment.
    pub points: Vec<u32>,
    /// Index of its counters in the globals header.
    pub counters: u32,
    /// Whether it is only the entry half of a return probe, saving arguments.
    pub entry_half: bool,
    /// Whether it asks for the attachment's cookie: the point's index in `Handler::points`.
    pub by_cookie: bool,
    /// If its runs are measured: the element of [`TIMES_MAP`] for the handler's first point, or for all that it does where it
    /// is an entry half or the handler has more than [`MOST_POINTS_APART`] points.
    pub times: Option<u32>,
    /// Whether it has to be loaded as one that may sleep: it brings in pages of the process that it
    /// reads.
    pub sleepable: bool,
}
