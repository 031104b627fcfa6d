//! The bytes of a section: a part of the file where it lies, or a copy that was unpacked or relocated.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// A whole file in memory, read or mapped.
pub type SharedFile = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// What a file holds.
pub(crate) fn contents(file: &SharedFile) -> &[u8] {
    AsRef::<[u8]>::as_ref(&**file)
}

/// The bytes of a section.
pub(super) enum Bytes {
    Own(Vec<u8>),
    Part {
        file: SharedFile,
        range: Range<usize>,
    },
}

impl Bytes {
    /// A part of a file, `None` if the file is shorter.
    pub fn part(file: &SharedFile, offset: u64, bytes: u64) -> Option<Self> {
        let start = usize::try_from(offset).ok()?;
        let range = start..start.checked_add(usize::try_from(bytes).ok()?)?;
        contents(file).get(range.clone())?;
        Some(Self::Part {
            file: Arc::clone(file),
            range,
        })
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Part { file, range } => contents(file).get(range.clone()).unwrap_or_default(),
        }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}
