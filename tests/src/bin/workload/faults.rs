//! First touches of fresh pages, each a page fault.

const PAGE_BYTES: usize = 4096;

/// `n` first touches.
pub(crate) fn touch(n: u64) -> Result<(), String> {
    touch_and(n, || ())
}

/// The same in threads at once, marked by calls.
pub(crate) fn in_threads(threads: u64, n: u64) -> Result<(), String> {
    let threads: Vec<_> = (0..threads)
        .map(|_| std::thread::spawn(move || marked(n)))
        .collect();
    threads
        .into_iter()
        .try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
}

/// The same in forked children.
pub(crate) fn in_children(children: u64, n: u64) -> Result<(), String> {
    for _ in 0..children {
        // SAFETY: the process has one thread, so that its child can do what it could.
        if unsafe { libc::fork() } == 0 {
            let status = i32::from(marked(n).is_err());
            // SAFETY: no more of the child is to run.
            unsafe { libc::_exit(status) };
        }
    }
    for _ in 0..children {
        // SAFETY: a null status pointer is allowed.
        unsafe { libc::wait(std::ptr::null_mut()) };
    }
    Ok(())
}

/// What is done for the first time, the calls' breakpoints too, faults by itself: so all is done twice, the
/// second time between the marks, of which the last has the thread's faults as the kernel counts them.
fn marked(n: u64) -> Result<(), String> {
    let give_way = || {
        super::syscall(libc::SYS_sched_yield, [0; 3]);
    };
    super::rtap_workload_fn(0, 0);
    touch_and(1, give_way)?;
    faults();
    super::rtap_workload_fn(1, 0);
    let before = faults();
    touch_and(n, give_way)?;
    super::rtap_workload_fn(2, faults() - before);
    Ok(())
}

/// Page faults of this thread so far.
fn faults() -> i64 {
    // SAFETY: numbers only, for which zeros are fine.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: a place for a struct rusage.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    usage.ru_minflt + usage.ru_majflt
}

fn touch_and(n: u64, after: impl Fn()) -> Result<(), String> {
    let length = n as usize * PAGE_BYTES;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a fresh private mapping of our own.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            length,
            protection,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(std::io::Error::last_os_error().to_string());
    }
    // SAFETY: the mapping is of that length. Without huge pages each page faults by itself.
    unsafe { libc::madvise(start, length, libc::MADV_NOHUGEPAGE) };
    for page in 0..n as usize {
        // SAFETY: inside the mapping.
        unsafe { start.cast::<u8>().add(page * PAGE_BYTES).write_volatile(1) };
        after();
    }
    Ok(())
}
