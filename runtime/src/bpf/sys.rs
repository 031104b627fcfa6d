//! `bpf(2)`: the commands in use and their arguments, as in `include/uapi/linux/bpf.h`.
//!
//! Arguments longer than an old kernel knows are accepted as long as the rest is zero.

use std::io;
use std::mem::size_of;
use std::os::fd::{FromRawFd, OwnedFd};

/// The kernel's internal "not supported", which some commands let out.
pub(super) const ENOTSUPP: i32 = 524;

/// Commands of the system call.
#[derive(Clone, Copy, Debug)]
#[repr(i64)]
pub(super) enum Command {
    MapCreate = 0,
    MapLookup = 1,
    MapUpdate = 2,
    MapDelete = 3,
    MapNextKey = 4,
    ProgLoad = 5,
    TestRun = 10,
    InfoByFd = 15,
    RawTracepointOpen = 17,
    BtfLoad = 18,
    BtfGetFdById = 19,
    MapLookupAndDelete = 21,
    MapFreeze = 22,
    BtfGetNextId = 23,
    MapLookupBatch = 24,
    LinkCreate = 28,
    EnableStats = 32,
}

/// Marks the argument structures below.
///
/// # Safety
///
/// The type must be `repr(C)`, without padding, and valid when all bytes are zero.
pub(super) unsafe trait Attr: Default {}

/// Declares argument structures that are zero by default.
macro_rules! attrs {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $ty:ty,)* })*) => {
        $($(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        #[repr(C)]
        pub(super) struct $name { $(pub $field: $ty,)* }

        // SAFETY: `repr(C)` of integers, laid out without padding, as the test below checks.
        unsafe impl Attr for $name {})*

        #[cfg(test)]
        mod tests {
            use super::*;

            /// Sum of the sizes of the fields: equal to the size when there is no padding.
            #[test]
            fn arguments_have_no_padding() {
                $(assert_eq!(size_of::<$name>(), 0 $(+ size_of::<$ty>())*, stringify!($name));)*
            }
        }
    };
}

attrs! {
    MapCreate {
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        map_flags: u32,
        inner_map_fd: u32,
        numa_node: u32,
        map_name: [u8; 16],
        map_ifindex: u32,
        btf_fd: u32,
        btf_key_type_id: u32,
        btf_value_type_id: u32,
        btf_vmlinux_value_type_id: u32,
        map_extra: u64,
    }
    /// One element; `value` is where the next key goes for `MapNextKey`.
    MapElem {
        map_fd: u32,
        pad: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    MapBatch {
        in_batch: u64,
        out_batch: u64,
        keys: u64,
        values: u64,
        count: u32,
        map_fd: u32,
        elem_flags: u64,
        flags: u64,
    }
    ProgLoad {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
        kern_version: u32,
        prog_flags: u32,
        prog_name: [u8; 16],
        prog_ifindex: u32,
        expected_attach_type: u32,
        prog_btf_fd: u32,
        func_info_rec_size: u32,
        func_info: u64,
        func_info_cnt: u32,
        line_info_rec_size: u32,
        line_info: u64,
        line_info_cnt: u32,
        attach_btf_id: u32,
        attach_btf_obj_fd: u32,
        core_relo_cnt: u32,
        fd_array: u64,
    }
    TestRun {
        prog_fd: u32,
        retval: u32,
        data_size_in: u32,
        data_size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
        ctx_size_in: u32,
        ctx_size_out: u32,
        ctx_in: u64,
        ctx_out: u64,
        flags: u32,
        cpu: u32,
    }
    InfoByFd {
        bpf_fd: u32,
        info_len: u32,
        info: u64,
    }
    RawTracepointOpen {
        name: u64,
        prog_fd: u32,
        pad: u32,
        cookie: u64,
    }
    BtfLoad {
        btf: u64,
        btf_log_buf: u64,
        btf_size: u32,
        btf_log_size: u32,
        btf_log_level: u32,
        pad: u32,
    }
    /// With the arguments of `kprobe_multi`; `perf_event` and `tracing` have a cookie
    /// at `cookie_or_counts` and `syms` (see `link`).
    LinkCreateKprobeMulti {
        prog_fd: u32,
        target_fd: u32,
        attach_type: u32,
        flags: u32,
        multi_flags: u32,
        cnt: u32,
        syms: u64,
        addrs: u64,
        cookies: u64,
    }
    LinkCreateUprobeMulti {
        prog_fd: u32,
        target_fd: u32,
        attach_type: u32,
        flags: u32,
        path: u64,
        offsets: u64,
        ref_ctr_offsets: u64,
        cookies: u64,
        cnt: u32,
        multi_flags: u32,
        pid: u32,
        pad: u32,
    }
    LinkCreatePerfEvent {
        prog_fd: u32,
        target_fd: u32,
        attach_type: u32,
        flags: u32,
        cookie: u64,
    }
    LinkCreateTracing {
        prog_fd: u32,
        target_fd: u32,
        attach_type: u32,
        flags: u32,
        target_btf_id: u32,
        pad: u32,
        cookie: u64,
    }
    EnableStats {
        kind: u32,
    }
    /// `next` is an output of `BtfGetNextId`.
    GetId {
        id: u32,
        next: u32,
        flags: u32,
    }
    MapFreeze {
        map_fd: u32,
    }
}

/// Makes the call.
///
/// # Safety
///
/// Every address in `attr` must be valid for what `command` does with it.
pub(super) unsafe fn bpf<A: Attr>(command: Command, attr: &mut A) -> io::Result<i32> {
    // SAFETY: `attr` is a structure of `size_of::<A>()` initialised bytes; the addresses in
    // it are the caller's promise.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            std::ptr::from_mut(attr),
            size_of::<A>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result as i32)
    }
}

/// Makes a call that returns a new file descriptor.
///
/// # Safety
///
/// As [`bpf`]; `command` must be one that returns a descriptor.
pub(super) unsafe fn bpf_fd<A: Attr>(command: Command, attr: &mut A) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise is the same.
    let fd = unsafe { bpf(command, attr) }?;
    // SAFETY: the command returned a new descriptor, which nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A name as the kernel takes it: 15 bytes of letters, digits, `_` and `.`.
pub(super) fn object_name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (slot, byte) in bytes[..15].iter_mut().zip(name.bytes()) {
        *slot = if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.' {
            byte
        } else {
            b'_'
        };
    }
    bytes
}
