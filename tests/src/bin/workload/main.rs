//! Makes exactly so many of something, for tests that count.
//!
//! `workload ACTION ARGUMENTS`. Everything that the table [`ACTIONS`] promises is exact: the system calls
//! are made by number, one each, on descriptor 77 where there is one ([`FD`]), so that those of
//! the start-up (the loader reads libraries) can be told from the counted ones.
//!
//! With `$RTAP_FACTS` set, a file of `name=value` lines is written there: `pid`, `n`, and what the
//! action adds. It is written with `pwrite64`, which no action uses. With `$RTAP_HOLD` set, the
//! action begins when a byte or the end of file comes from standard input.

#![expect(
    unsafe_code,
    reason = "exact system calls, fork, and symbols with known names"
)]

mod faults;
mod held;
mod marks;
mod rights;
mod sockets;
mod threads;
mod unseen;

use std::ffi::CString;
use std::fmt::Write as _;
use std::os::unix::fs::FileExt;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// The descriptor that `read`, `write` and `close` work on.
const FD: i64 = 77;

/// What there is: name, arguments, promise.
#[rustfmt::skip]
const ACTIONS: [(&str, &str, &str); 36] = [
    ("as-nobody", "CAPABILITIES COMMAND", "becomes nobody with these capabilities (bpf,perfmon; none), then a shell with COMMAND"),
    ("bound-threads", "T N", "T threads, bound to the processors in turn: each calls rtap_workload_fn(i, N), then getppid, for i in 0..N"),
    ("call-function", "N", "calls rtap_workload_fn(i, 2*i + 1) for i in 0..N, which returns 10*a + b"),
    ("call-six", "N", "calls rtap_workload_six(1, -2, 3, -4, 5, -6) N times, which returns -3"),
    ("call-string", "N TEXT", "calls rtap_workload_string(TEXT, its length) N times, which returns the length"),
    ("call-unseen", "TEXT", "calls rtap_workload_string once, TEXT being in two pages that are not mapped in yet"),
    ("call-held", "T", "T threads on one processor are in rtap_workload_held(text, 10*i + 1, … 10*i + 5) at once, if whoever probes it reads the text: it comes when all have begun"),
    ("exec", "N", "starts itself N times with the action `nothing`, one after the other: N fork-likes, N execve"),
    ("exit", "N", "ends with the status N"),
    ("fork", "N", "N fork system calls, each child ends at once with status 0, each is waited for"),
    ("getpid", "N", "N getpid"),
    ("getppid", "N", "N getppid"),
    ("kill", "N", "N kill of its own process with signal 0"),
    ("marks", "N", "passes the SDT marks of marks.rs N times; the fact `raised` counts raised semaphores"),
    ("nanosleep", "N MICROSECONDS", "N nanosleep of so long"),
    ("nothing", "", "nothing"),
    ("open", "PATH N", "N openat of PATH, reading, and N close on what they gave"),
    ("open-missing", "N", "N openat of /no/such/file, which all fail with ENOENT"),
    ("page-fault", "N", "N first touches of N fresh pages"),
    ("poll", "N MILLISECONDS", "N poll of nothing, each of which waits so long"),
    ("read", "N BYTES", "N read of so many bytes from /dev/zero on descriptor 77"),
    ("recurse", "N", "calls rtap_workload_recurse(N), which calls itself down to 0 and returns N"),
    ("signal", "N", "N kill of its own process with SIGURG, which is ignored"),
    ("sleep", "SECONDS", "one sleep; fractions are allowed"),
    ("spin", "MILLISECONDS", "computes for so long in rtap_workload_spin, without system calls that sleep"),
    ("thread-life", "T", "T threads that do nothing, one after the other"),
    ("tcp", "N BYTES PORT", "N messages over one TCP connection, 127.0.0.1 to its PORT: each is sent, then received"),
    ("tcp-option", "N SECONDS", "N setsockopt and N getsockopt of TCP_KEEPIDLE, so many seconds, of one socket"),
    ("threads", "T N", "T threads, each with N getppid; the fact `tids` lists them"),
    ("touch-children", "C N", "C forked children at once: each does what a thread of `touch-threads` does"),
    ("touch-threads", "T N", "T threads at once: each calls rtap_workload_fn(1, 0), touches N fresh pages first, yields after each, calls rtap_workload_fn(2, N)"),
    ("udp", "N BYTES PORT", "N messages from UDP port PORT + 1 to PORT of 127.0.0.1: each is sent, then received"),
    ("vsock", "N BYTES PORT", "N messages over one connection of the machine's vsock to its own PORT: each is sent, then received"),
    ("without-bpf", "COMMAND", "a shell with COMMAND, in which bpf(2) is refused by a seccomp filter"),
    ("write", "N BYTES", "N write of so many bytes to /dev/null on descriptor 77"),
    ("write-text", "TEXT N", "N write of TEXT to /dev/null on descriptor 77"),
];

/// For `process("workload").function("rtap_workload_fn")`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rtap_workload_fn(a: i64, b: i64) -> i64 {
    std::hint::black_box(a).wrapping_mul(10).wrapping_add(b)
}

/// Six arguments, some negative: all that x86-64 passes in registers.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rtap_workload_six(a1: i32, a2: i32, a3: i64, a4: i64, a5: i16, a6: i8) -> i64 {
    std::hint::black_box(i64::from(a1)) + i64::from(a2) + a3 + a4 + i64::from(a5) + i64::from(a6)
}

/// A C string and its length. Only the script looks into it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rtap_workload_string(text: *const libc::c_char, length: usize) -> usize {
    std::hint::black_box(text);
    std::hint::black_box(length)
}

/// A text and numbers.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rtap_workload_held(
    text: *const libc::c_char,
    a: i64,
    b: i64,
    c: i64,
    d: i64,
    e: i64,
) -> i64 {
    std::hint::black_box(text);
    std::hint::black_box(a + b + c + d + e)
}

/// `n + 1` nested calls.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rtap_workload_recurse(n: i64) -> i64 {
    if std::hint::black_box(n) <= 0 {
        return 0;
    }
    std::hint::black_box(rtap_workload_recurse(n - 1)) + 1
}

/// Where a profiler finds `workload spin`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rtap_workload_spin(milliseconds: u64) -> u64 {
    let start = Instant::now();
    let mut x = 1_u64;
    while start.elapsed() < Duration::from_millis(milliseconds) {
        for _ in 0..10_000 {
            x = std::hint::black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
    }
    x
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if std::env::var_os("RTAP_HOLD").is_some() {
        let mut line = [0; 1];
        // End of file means go as well.
        let _ = std::io::Read::read(&mut std::io::stdin(), &mut line);
    }
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match act(&words) {
        Ok(status) => ExitCode::from(status),
        Err(problem) => {
            let mut usage = format!("workload: {problem}\nusage: workload ACTION ARGUMENTS\n");
            for (name, arguments, promise) in ACTIONS {
                let call = format!("{name} {arguments}");
                let _ = writeln!(usage, "  {call:<28}{promise}");
            }
            eprint!("{usage}");
            ExitCode::from(2)
        }
    }
}

fn act(words: &[&str]) -> Result<u8, String> {
    let (action, arguments) = words.split_first().ok_or("no action")?;
    let at = |i: usize| {
        arguments
            .get(i)
            .copied()
            .ok_or(format!("{action}: too few arguments"))
    };
    let number =
        |i: usize| at(i).and_then(|text| text.parse::<u64>().map_err(|e| format!("{text}: {e}")));
    let c_string = |i: usize| at(i).and_then(|text| CString::new(text).map_err(|e| e.to_string()));
    let mut facts = Facts::default();
    let n = number(usize::from(matches!(*action, "open" | "write-text"))).unwrap_or(0);
    facts.add("n", n);
    match *action {
        "as-nobody" => rights::as_nobody(at(0)?, at(1)?)?,
        "bound-threads" => facts.add("tids", threads::bound(n, number(1)?)?),
        "call-function" => {
            let last = (0..n as i64).fold(0, |_, i| rtap_workload_fn(i, 2 * i + 1));
            facts.add("last", last);
        }
        "call-held" => held::threads(n).map_err(|e| e.to_string())?,
        "call-six" => (0..n).for_each(|_| {
            std::hint::black_box(rtap_workload_six(1, -2, 3, -4, 5, -6));
        }),
        "call-string" => {
            let text = c_string(1)?;
            for _ in 0..n {
                std::hint::black_box(rtap_workload_string(text.as_ptr(), text.as_bytes().len()));
            }
        }
        "call-unseen" => unseen::with_text(&c_string(0)?, |text| {
            std::hint::black_box(rtap_workload_string(text, 0));
        })
        .map_err(|e| e.to_string())?,
        "exec" => {
            let me = std::env::current_exe().map_err(|e| e.to_string())?;
            for _ in 0..n {
                let mut command = Command::new(&me);
                command
                    .arg("nothing")
                    .env_remove("RTAP_FACTS")
                    .env_remove("RTAP_HOLD");
                command.status().map_err(|e| e.to_string())?;
            }
        }
        "exit" => {
            facts.write();
            return Ok(n as u8);
        }
        "fork" => (0..n).for_each(|_| fork_and_wait()),
        "getpid" => repeat(n, libc::SYS_getpid, [0; 3]),
        "getppid" => repeat(n, libc::SYS_getppid, [0; 3]),
        "kill" => repeat(n, libc::SYS_kill, [own_pid(), 0, 0]),
        "nanosleep" => {
            let micros = number(1)?;
            let time = [
                (micros / 1_000_000) as i64,
                (micros % 1_000_000 * 1000) as i64,
            ];
            repeat(n, libc::SYS_nanosleep, [time.as_ptr() as i64, 0, 0]);
        }
        "marks" => facts.add("raised", marks::pass(n)),
        "nothing" => {}
        "open" => {
            let path = c_string(0)?;
            for _ in 0..n {
                let fd = syscall(
                    libc::SYS_openat,
                    [i64::from(libc::AT_FDCWD), path.as_ptr() as i64, 0],
                );
                syscall(libc::SYS_close, [fd, 0, 0]);
            }
        }
        "open-missing" => {
            let path = c"/no/such/file";
            repeat(
                n,
                libc::SYS_openat,
                [i64::from(libc::AT_FDCWD), path.as_ptr() as i64, 0],
            );
        }
        "page-fault" => faults::touch(n)?,
        "poll" => repeat(n, libc::SYS_poll, [0, 0, number(1)? as i64]),
        "read" => {
            let mut buffer = vec![0_u8; number(1)? as usize];
            open_counted(c"/dev/zero")?;
            repeat(
                n,
                libc::SYS_read,
                [FD, buffer.as_mut_ptr() as i64, buffer.len() as i64],
            );
        }
        "recurse" => facts.add("result", rtap_workload_recurse(n as i64)),
        "signal" => repeat(n, libc::SYS_kill, [own_pid(), i64::from(libc::SIGURG), 0]),
        "sleep" => {
            let seconds: f64 = at(0)?.parse().map_err(|e| format!("sleep: {e}"))?;
            std::thread::sleep(Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())?);
        }
        "spin" => {
            std::hint::black_box(rtap_workload_spin(n));
        }
        "thread-life" => {
            for _ in 0..n {
                std::thread::spawn(|| ())
                    .join()
                    .map_err(|_| "a thread panicked")?;
            }
        }
        "tcp" => {
            sockets::tcp(n, number(1)? as usize, number(2)? as u16).map_err(|e| e.to_string())?;
        }
        "tcp-option" => sockets::option(n, number(1)? as i32).map_err(|e| e.to_string())?,
        "threads" => facts.add("tids", threads::threads(n, number(1)?)),
        "touch-children" => faults::in_children(n, number(1)?)?,
        "touch-threads" => faults::in_threads(n, number(1)?)?,
        "udp" => {
            sockets::udp(n, number(1)? as usize, number(2)? as u16).map_err(|e| e.to_string())?;
        }
        "vsock" => {
            sockets::vsock(n, number(1)? as usize, number(2)? as u32).map_err(|e| e.to_string())?;
        }
        "without-bpf" => rights::without_bpf(at(0)?)?,
        "write" | "write-text" => {
            let bytes = if *action == "write" {
                vec![b'x'; number(1)? as usize]
            } else {
                at(0)?.as_bytes().to_vec()
            };
            open_counted(c"/dev/null")?;
            repeat(
                n,
                libc::SYS_write,
                [FD, bytes.as_ptr() as i64, bytes.len() as i64],
            );
        }
        unknown => return Err(format!("no action {unknown}")),
    }
    facts.write();
    Ok(0)
}

/// One system call, by number. Those used here touch no memory but what is passed.
fn syscall(number: libc::c_long, args: [i64; 3]) -> i64 {
    // SAFETY: the callers pass either no pointers, or such to buffers that outlive the call
    // with their true lengths.
    unsafe { libc::syscall(number, args[0], args[1], args[2]) }
}

/// The process' ID, without a `getpid` that would be counted: the main thread has the same.
fn own_pid() -> i64 {
    syscall(libc::SYS_gettid, [0; 3])
}

fn repeat(n: u64, number: libc::c_long, args: [i64; 3]) {
    for _ in 0..n {
        syscall(number, args);
    }
}

/// Opens `path` as the descriptor [`FD`].
fn open_counted(path: &std::ffi::CStr) -> Result<(), String> {
    let fd = syscall(
        libc::SYS_openat,
        [
            i64::from(libc::AT_FDCWD),
            path.as_ptr() as i64,
            i64::from(libc::O_RDWR),
        ],
    );
    if syscall(libc::SYS_dup2, [fd, FD, 0]) == FD {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error().to_string())
    }
}

fn fork_and_wait() {
    let pid = syscall(libc::SYS_fork, [0; 3]);
    if pid == 0 {
        syscall(libc::SYS_exit_group, [0; 3]);
    }
    // The fourth argument, the resource usage, is what is left in its register: so not the
    // system call but the library's function.
    // SAFETY: a null status pointer is allowed.
    unsafe { libc::waitpid(pid as libc::pid_t, std::ptr::null_mut(), 0) };
}

/// The lines for `$RTAP_FACTS`.
#[derive(Default)]
struct Facts(String);

impl Facts {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name}={value}");
    }

    fn write(mut self) {
        let Some(path) = std::env::var_os("RTAP_FACTS") else {
            return;
        };
        self.add("pid", own_pid());
        if let Ok(file) = std::fs::File::create(path) {
            // A test that misses its facts fails by itself.
            let _ = file.write_all_at(self.0.as_bytes(), 0);
        }
    }
}
