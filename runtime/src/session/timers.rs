//! `timer.*` probes that run in user space: one timerfd each, on absolute times, so that
//! a late run does not shift the following ones.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rtap_compiler::lir::HandlerId;

/// A timer and the handler it runs.
#[derive(Debug)]
pub struct Timer {
    fd: OwnedFd,
    /// The handler.
    pub handler: HandlerId,
    /// Which of the handler's points it is.
    pub point: u32,
    period_ns: u64,
    randomize_ns: u64,
    /// When the next expiration is due, CLOCK_MONOTONIC (used with `.randomize` only).
    due_ns: u64,
    random: u64,
}

impl Timer {
    /// Creates a timer that first expires one period from now.
    pub fn start(
        handler: HandlerId,
        point: u32,
        period_ns: u64,
        randomize_ns: u64,
    ) -> io::Result<Timer> {
        // SAFETY: no addresses are passed.
        let fd = unsafe {
            libc::timerfd_create(
                libc::CLOCK_MONOTONIC,
                libc::TFD_CLOEXEC | libc::TFD_NONBLOCK,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let now = now_ns();
        let period_ns = period_ns.max(1);
        let random = now ^ u64::from(point) << 32 | 1;
        let mut timer = Timer {
            fd,
            handler,
            point,
            period_ns,
            randomize_ns,
            due_ns: now,
            random,
        };
        if randomize_ns == 0 {
            timer.set(now.saturating_add(period_ns), period_ns)?;
        } else {
            timer.arm_randomized()?;
        }
        Ok(timer)
    }

    /// How often it has expired since the last call; arms it again.
    pub fn expirations(&mut self) -> u64 {
        let mut count: u64 = 0;
        // SAFETY: room for the eight bytes that a timerfd gives.
        let read = unsafe { libc::read(self.fd.as_raw_fd(), (&raw mut count).cast(), 8) };
        if read != 8 {
            return 0;
        }
        if self.randomize_ns != 0 {
            // Its times are absolute and were valid once; arming cannot fail then.
            let _ = self.arm_randomized();
        }
        count
    }

    /// The next expiration: one period after the last one was due, give or take up to
    /// `randomize_ns`. What chance adds does not pile up.
    fn arm_randomized(&mut self) -> io::Result<()> {
        self.due_ns = self.due_ns.saturating_add(self.period_ns);
        // xorshift64: the quality does not matter, only that timers do not march in step.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let span = self.randomize_ns.saturating_mul(2).saturating_add(1);
        let at = self
            .due_ns
            .saturating_add(self.random % span)
            .saturating_sub(self.randomize_ns);
        self.set(at.max(now_ns() + 1), 0)
    }

    fn set(&self, at_ns: u64, interval_ns: u64) -> io::Result<()> {
        let spec = libc::itimerspec {
            it_interval: timespec(interval_ns),
            it_value: timespec(at_ns),
        };
        // SAFETY: a valid itimerspec; the old value is not asked for.
        let set = unsafe {
            libc::timerfd_settime(
                self.fd.as_raw_fd(),
                libc::TFD_TIMER_ABSTIME,
                &raw const spec,
                std::ptr::null_mut(),
            )
        };
        if set < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn timespec(ns: u64) -> libc::timespec {
    libc::timespec {
        tv_sec: (ns / 1_000_000_000) as i64,
        tv_nsec: (ns % 1_000_000_000) as i64,
    }
}

/// CLOCK_MONOTONIC, nanoseconds.
pub fn now_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// A clock, nanoseconds.
pub fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = timespec(0);
    // SAFETY: room for one timespec; the clocks used here always exist.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn expirations_are_counted_not_merged() {
        let mut timer = Timer::start(HandlerId::from_u32(0), 0, 1_000_000, 0).expect("a timer");
        let begin = Instant::now();
        std::thread::sleep(Duration::from_millis(20));
        let count = timer.expirations();
        assert!(count >= 19 && u128::from(count) <= begin.elapsed().as_millis() + 1);
    }

    #[test]
    fn randomized_timers_keep_their_average() {
        let mut timer =
            Timer::start(HandlerId::from_u32(0), 0, 1_000_000, 500_000).expect("a timer");
        let first = timer.due_ns;
        for _ in 0..100 {
            timer.arm_randomized().expect("arms");
        }
        assert_eq!(timer.due_ns - first, 100_000_000);
    }
}
