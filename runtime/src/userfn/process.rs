//! Facts about processes: rtap's own and others, out of /proc.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::{env, ffi::OsStr, fs, process};

use super::{Kind::*, UserFnRow, text};
use crate::values::Value;

pub(super) const ROWS: &[UserFnRow] = &[
    UserFnRow {
        name: "env_var",
        params: &[Str],
        result: Str,
        call: |_, args| {
            let value = env::var_os(OsStr::from_bytes(args[0].bytes())).unwrap_or_default();
            text(value.as_bytes())
        },
        doc: "a variable of rtap's own environment, \"\" if it is not set",
    },
    UserFnRow {
        name: "pid2execname",
        params: &[Int],
        result: Str,
        call: |_, args| {
            let comm = fs::read(format!("/proc/{}/comm", args[0].int())).unwrap_or_default();
            text(comm.strip_suffix(b"\n").unwrap_or(&comm))
        },
        doc: "name of the process with that id, \"\" if there is none",
    },
    UserFnRow {
        name: "next_process",
        params: &[Int],
        result: Int,
        call: |_, args| {
            let ids = fs::read_dir("/proc").into_iter().flatten().flatten();
            let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<i64>().ok());
            Ok(Value::Int(
                ids.filter(|id| *id > args[0].int()).min().unwrap_or(0),
            ))
        },
        doc: "the process with the next higher id, 0 if there is none",
    },
    UserFnRow {
        name: "process_inode",
        params: &[Int],
        result: Int,
        call: |_, args| {
            let program = fs::metadata(format!("/proc/{}/exe", args[0].int()));
            Ok(Value::Int(program.map_or(0, |file| file.ino() as i64)))
        },
        doc: "number of the inode of the program that a process runs, 0 if there is none",
    },
    UserFnRow {
        name: "module_name",
        params: &[],
        result: Str,
        call: |host, _| match &host.module_name {
            Some(name) => text(name),
            None => text(format!("rtap_{}", process::id())),
        },
        doc: "the session's name: what -m gave, else rtap_PID",
    },
    UserFnRow {
        name: "own_uid",
        params: &[],
        result: Int,
        call: |_, _| {
            // SAFETY: getuid has no conditions and cannot fail.
            Ok(Value::Int(i64::from(unsafe { libc::getuid() })))
        },
        doc: "user id that rtap runs under",
    },
];
