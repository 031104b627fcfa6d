//! Threads that do the same, each bound to a processor or not.

use crate::{repeat, rtap_workload_fn, syscall};

/// So many threads, each with `n` getppid; their ids.
pub fn threads(count: u64, n: u64) -> String {
    all(count, move |_| repeat(n, libc::SYS_getppid, [0; 3]))
}

/// So many threads, bound to the processors in turn. Each calls `rtap_workload_fn(i, n)`, then getppid, for `i` in 0..`n`.
/// Their ids.
pub fn bound(count: u64, n: u64) -> Result<String, String> {
    let processors = processors()?;
    let tids = all(count, move |number| {
        let turn = number as usize % processors.len();
        let bound = processors.get(turn).is_some_and(|cpu| bind(*cpu));
        assert!(bound, "cannot bind a thread to a processor");
        for i in 0..n {
            std::hint::black_box(rtap_workload_fn(i as i64, n as i64));
            syscall(libc::SYS_getppid, [0; 3]);
        }
    });
    Ok(tids)
}

/// Runs so many threads at once; the work is given each one's number.
fn all(count: u64, work: impl Fn(u64) + Clone + Send + 'static) -> String {
    let threads: Vec<_> = (0..count)
        .map(|number| {
            let work = work.clone();
            std::thread::spawn(move || {
                work(number);
                syscall(libc::SYS_gettid, [0; 3]).to_string()
            })
        })
        .collect();
    let tids: Vec<String> = threads
        .into_iter()
        .filter_map(|thread| thread.join().ok())
        .collect();
    tids.join(",")
}

/// The processors that this process may use.
pub fn processors() -> Result<Vec<usize>, String> {
    // SAFETY: a set of processors is an array of bits, for which zero is a value; the kernel fills what it is told is there.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) != 0 {
            return Err(std::io::Error::last_os_error().to_string());
        }
        set
    };
    // SAFETY: the number is below that of the set's bits.
    let is_in = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &set) };
    Ok((0..libc::CPU_SETSIZE as usize).filter(is_in).collect())
}

/// Binds this thread to a processor.
pub fn bind(cpu: usize) -> bool {
    // SAFETY: as above; the set is only read by the kernel.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set) == 0
    }
}
