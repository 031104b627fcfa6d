//! Facts about processes: rtap's own and others, out of /proc.

use std::collections::HashMap;
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
        name: "descendant",
        params: &[Int, Int],
        result: Int,
        call: |host, args| {
            let (ancestor, number) = (args[0].int(), args[1].int());
            if number == 0 {
                host.descendants = descendants(ancestor);
            }
            let at = usize::try_from(number).unwrap_or(usize::MAX);
            let found = host.descendants.get(at).copied().unwrap_or(0);
            Ok(Value::Int(found))
        },
        doc: "id of descendant number n of a process, 0 if there are fewer; number 0 looks anew",
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
    UserFnRow {
        name: "own_ppid",
        params: &[],
        result: Int,
        // SAFETY: getppid has no conditions and cannot fail.
        call: |_, _| Ok(Value::Int(i64::from(unsafe { libc::getppid() }))),
        doc: "process id of rtap's parent",
    },
    UserFnRow {
        name: "own_pgrp",
        params: &[],
        result: Int,
        // SAFETY: getpgrp has no conditions and cannot fail.
        call: |_, _| Ok(Value::Int(i64::from(unsafe { libc::getpgrp() }))),
        doc: "rtap's process group",
    },
    UserFnRow {
        name: "own_sid",
        params: &[],
        result: Int,
        // SAFETY: getsid of the calling process has no conditions.
        call: |_, _| Ok(Value::Int(i64::from(unsafe { libc::getsid(0) }))),
        doc: "rtap's session",
    },
];

/// Ids of all processes that descend from one, parents before children.
fn descendants(ancestor: i64) -> Vec<i64> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut children: HashMap<i64, Vec<i64>> = HashMap::new();
    for entry in processes.flatten() {
        let name = entry.file_name();
        if let Some(pid) = name.to_str().and_then(|name| name.parse().ok())
            && let Some(parent) = parent(pid)
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = children.remove(&ancestor).unwrap_or_default();
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        next += 1;
        found.extend(children.remove(pid).unwrap_or_default());
    }
    found
}

/// The parent's id, out of /proc/PID/stat: the second word after the name in parentheses.
fn parent(pid: i64) -> Option<i64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_of_children_are_found() {
        let mut child = process::Command::new("sh")
            .args(["-c", "sleep 5 & echo; wait"])
            .stdout(process::Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut line = [0];
        std::io::Read::read_exact(child.stdout.as_mut().expect("a pipe"), &mut line)
            .expect("the shell has started its child");
        let all = descendants(i64::from(process::id()));
        let shell = i64::from(child.id());
        assert!(all.contains(&shell));
        let of_shell = descendants(shell);
        assert_eq!(of_shell.len(), 1);
        assert!(of_shell.iter().all(|pid| all.contains(pid)));
        for pid in of_shell {
            // SAFETY: a signal to a process that this test has started.
            unsafe { libc::kill(pid as i32, libc::SIGKILL) };
        }
        child.wait().expect("the shell ends");
    }
}
