//! Test VMs: Debian's kernels under QEMU's emulation, up within two seconds.
//!
//! A VM has no disk and no network. Its root is an initramfs with busybox, `rtap` and the files
//! under test ([`image`]); an agent in it ([`agent`]) runs jobs that the host sends over a serial
//! line ([`protocol`]). The other serial line is the kernel's console, shown when something
//! goes wrong. `docs/kernels.md` tells developers how to use all this.

pub mod agent;
pub mod cpio;
pub mod debug_info;
pub mod facts;
pub mod image;
pub mod kernels;
pub mod modules;
pub mod protocol;
pub mod qemu;

pub use facts::Facts;
pub use image::Image;
pub use kernels::{Kernel, MATRIX};
pub use qemu::{Failure, Vm};
