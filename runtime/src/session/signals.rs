//! SIGINT, SIGTERM, SIGHUP and SIGQUIT end the session. The first is remembered for loops (also
//! endless ones of user-side handlers) to look at, and wakes `poll`; the fourth in a row
//! ends rtap at once. SIGALRM is the same at the end of `-T`: it interrupts a user-side handler that
//! does not end.
//!
//! Once the end was asked for, SIGALRM comes every second: no system call waits longer without anybody
//! looking how long it has been.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::time::Duration;

static CAUGHT: AtomicU32 = AtomicU32::new(0);
static TIME_IS_UP: AtomicBool = AtomicBool::new(false);
static WAKE: AtomicI32 = AtomicI32::new(-1);

/// Signals that end a session.
const ENDING: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// So many are answered by leaving on the spot: the user is impatient or rtap is stuck.
const IMPATIENT: u32 = 4;

/// The handlers, while this exists.
#[derive(Debug)]
pub struct Signals {
    wake: OwnedFd,
}

impl Signals {
    /// Installs the handlers.
    pub fn catch() -> io::Result<Signals> {
        // SAFETY: no addresses are passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nobody else owns.
        let wake = unsafe { OwnedFd::from_raw_fd(fd) };
        WAKE.store(fd, Ordering::SeqCst);
        for signal in ENDING {
            set_handler(signal, on_signal as *const () as usize);
        }
        set_handler(libc::SIGALRM, on_signal as *const () as usize);
        Ok(Signals { wake })
    }

    /// Lets SIGALRM come after a time.
    pub fn alarm_after(&self, time: Duration) {
        set_alarm(libc::timeval {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            // A timer of nothing would be none.
            tv_usec: i64::from(time.subsec_micros()).max(1),
        });
    }

    /// Whether one of the signals has come, or time is up.
    pub fn caught() -> bool {
        Signals::count() != 0
    }

    /// How often the end has been asked for.
    pub fn count() -> u32 {
        CAUGHT.load(Ordering::Relaxed) + u32::from(TIME_IS_UP.load(Ordering::Relaxed))
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for signal in ENDING {
            set_handler(signal, libc::SIG_DFL);
        }
        // It goes on coming.
        set_handler(libc::SIGALRM, libc::SIG_IGN);
        WAKE.store(-1, Ordering::SeqCst);
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.wake.as_raw_fd()
    }
}

fn set_handler(signal: i32, handler: usize) {
    // SAFETY: a zeroed sigaction is valid (empty mask, no flags); the handler only does what
    // is allowed in one.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut());
    }
}

/// Lets SIGALRM come after a time, and then every second. A time too long to be set is as good as none.
fn set_alarm(first: libc::timeval) {
    let timer = libc::itimerval {
        it_interval: libc::timeval {
            tv_sec: 1,
            tv_usec: 0,
        },
        it_value: first,
    };
    // SAFETY: a valid itimerval; the old value is not asked for. The call touches nothing else, so it may
    // be made in a signal handler.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
}

extern "C" fn on_signal(signal: i32) {
    if signal == libc::SIGALRM {
        // After another signal it is only the reminder.
        if CAUGHT.load(Ordering::Relaxed) == 0 {
            TIME_IS_UP.store(true, Ordering::Relaxed);
        }
    } else {
        if CAUGHT.fetch_add(1, Ordering::Relaxed) + 1 >= IMPATIENT {
            // SAFETY: _exit may be called in a signal handler.
            unsafe { libc::_exit(128 + signal) };
        }
        set_alarm(libc::timeval {
            tv_sec: 1,
            tv_usec: 0,
        });
    }
    let one: u64 = 1;
    // SAFETY: write may be called in a signal handler; it is given eight bytes.
    unsafe { libc::write(WAKE.load(Ordering::SeqCst), (&raw const one).cast(), 8) };
}
