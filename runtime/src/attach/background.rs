//! Letting go of what is attached without waiting for it.
//!
//! The kernel detaches one after the other, and waits for grace periods each time: hundreds of probes take seconds. So a
//! child process shares their descriptors; rtap closes its own, which does nothing then, and the child ends: the kernel
//! detaches meanwhile, and does so too if the child is killed.

use std::io::{PipeReader, pipe};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

/// So long rtap waits for it all the same: what is done by then has left nothing behind when rtap ends.
const PATIENCE: Duration = Duration::from_millis(100);
/// How often it looks.
const STEP: Duration = Duration::from_millis(1);

/// Drops what holds these descriptors, and lets a child process wait for the kernel if that takes long.
pub(super) fn close<T>(held: T, mut descriptors: Vec<RawFd>) {
    let Ok((gate, opener)) = pipe() else {
        return drop(held);
    };
    descriptors.push(gate.as_raw_fd());
    descriptors.sort_unstable();
    // SAFETY: the child makes system calls only, with memory that is there already.
    match unsafe { libc::fork() } {
        -1 => drop(held),
        0 => keep(&gate, &descriptors),
        child => {
            drop(held);
            drop(opener);
            wait(child);
        }
    }
}

/// In the child: has these descriptors and no others until the gate is at its end, as rtap has closed its own or is gone.
fn keep(gate: &PipeReader, descriptors: &[RawFd]) -> ! {
    // SAFETY: system calls on descriptors of this process, of which nothing but these calls is left to run; the name and
    // the byte that is read have their places.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, c"rtap-detaching".as_ptr());
        let mut next = 0;
        for kept in descriptors.iter().copied().chain([RawFd::MAX]) {
            // Who reads what rtap prints would wait for the child: without the call there is none.
            if kept > next && libc::syscall(libc::SYS_close_range, next, kept - 1, 0) < 0 {
                libc::_exit(0);
            }
            next = kept.saturating_add(1);
        }
        let mut byte = 0_u8;
        while libc::read(gate.as_raw_fd(), (&raw mut byte).cast(), 1) < 0
            && *libc::__errno_location() == libc::EINTR
        {}
        libc::_exit(0)
    }
}

/// Waits a little until the child has ended. One that takes longer is nobody's child when rtap has ended.
fn wait(child: libc::pid_t) {
    let until = Instant::now() + PATIENCE;
    // SAFETY: a null status pointer is allowed.
    while unsafe { libc::waitpid(child, std::ptr::null_mut(), libc::WNOHANG) } == 0
        && Instant::now() < until
    {
        std::thread::sleep(STEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::io::{PipeWriter, Read};

    /// Whether a pipe has an end, as nobody can write any more.
    fn is_at_end(end: &PipeReader) -> bool {
        let mut polled = libc::pollfd {
            fd: end.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one valid pollfd, no waiting.
        unsafe { libc::poll(&raw mut polled, 1, 0) > 0 }
    }

    /// Tells, when it has been dropped, whether somebody else still holds what it held.
    struct Held<'t>(Option<PipeWriter>, &'t PipeReader, &'t Cell<bool>);

    impl Drop for Held<'_> {
        fn drop(&mut self) {
            self.0 = None;
            self.2.set(!is_at_end(self.1));
        }
    }

    #[test]
    fn what_is_held_is_closed_by_the_child() {
        let (end, writer) = pipe().expect("a pipe");
        let still_held = Cell::new(false);
        let descriptors = vec![writer.as_raw_fd()];
        close(Held(Some(writer), &end, &still_held), descriptors);
        assert!(
            still_held.get(),
            "by the child, when rtap had closed its own"
        );
        (&end)
            .read_to_end(&mut Vec::new())
            .expect("the end of the file");
    }

    #[test]
    fn the_child_holds_what_it_is_to_hold_and_nothing_else() {
        let (mut others_end, other) = pipe().expect("a pipe");
        let (mut end, held) = pipe().expect("a pipe");
        let (gate, opener) = pipe().expect("a pipe");
        // SAFETY: as in `close`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let mut kept = [held.as_raw_fd(), gate.as_raw_fd()];
            kept.sort_unstable();
            keep(&gate, &kept);
        }
        drop((held, other));
        let mut rest = Vec::new();
        others_end.read_to_end(&mut rest).expect("the end");
        assert!(!is_at_end(&end), "still held");
        drop((gate, opener));
        end.read_to_end(&mut rest).expect("the end");
        wait(child);
    }
}
