//! Text in pages that the process is kept from having: who reads it waits, until it comes. So threads on one processor can be
//! in the same handler at the same time.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::{rtap_workload_held, threads};

const PAGE_BYTES: usize = 4096;
/// Nothing takes longer, on an emulated machine either.
const PATIENCE_MS: i32 = 20_000;

/// `UFFDIO_API`, `UFFDIO_REGISTER` and `UFFDIO_COPY` of linux/userfaultfd.h with their structures, as arrays of words.
const API: libc::c_ulong = 0xc018_aa3f;
const REGISTER: libc::c_ulong = 0xc020_aa00;
const COPY: libc::c_ulong = 0xc028_aa03;
/// What `API` is to be asked for.
const API_VERSION: u64 = 0xaa;
/// Of `REGISTER`: the pages are missing.
const MISSING: u64 = 1;
/// Bytes of a `struct uffd_msg`.
const MESSAGE_BYTES: usize = 32;

/// One thread after the other, all bound to one processor, calls `rtap_workload_held(text, i, …)` with a text that is missing. The next one
/// begins when the one before has tried to read its text, or has ended. Then the texts come, the first thread's first.
pub(crate) fn threads(count: u64) -> io::Result<()> {
    let processor = *threads::processors()
        .map_err(io::Error::other)?
        .first()
        .ok_or(io::ErrorKind::NotFound)?;
    let faults = descriptor()?;
    let (mut ends, end) = io::pipe()?;
    let begun: Vec<_> = (0..count)
        .map(|number| {
            let page = missing_page(&faults)?;
            let end = end.try_clone()?;
            let thread = std::thread::spawn(move || call(processor, number, page, end));
            wait(&faults, &mut ends)?;
            Ok((thread, page))
        })
        .collect::<io::Result<_>>()?;
    for (number, (thread, page)) in begun.into_iter().enumerate() {
        bring(&faults, page, &format!("text of {number}"))?;
        thread
            .join()
            .map_err(|_| io::Error::other("a thread panicked"))?;
    }
    Ok(())
}

fn call(processor: usize, number: u64, page: usize, mut end: PipeWriter) {
    assert!(
        threads::bind(processor),
        "cannot bind a thread to a processor"
    );
    let at = |place: u64| (number * 10 + place) as i64;
    rtap_workload_held(
        page as *const libc::c_char,
        at(1),
        at(2),
        at(3),
        at(4),
        at(5),
    );
    // Nobody reads it any more when the texts have come.
    let _ = end.write_all(&[0]);
}

/// Until a thread has tried to read a missing page, or has ended.
fn wait(faults: &OwnedFd, ends: &mut PipeReader) -> io::Result<()> {
    let wanted = |fd: i32| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    let mut fds = [wanted(faults.as_raw_fd()), wanted(ends.as_raw_fd())];
    // SAFETY: two descriptors' worth.
    let ready = unsafe { libc::poll(fds.as_mut_ptr(), 2, PATIENCE_MS) };
    if ready <= 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    if fds[1].revents != 0 {
        return ends.read_exact(&mut [0]);
    }
    let mut message = [0_u8; MESSAGE_BYTES];
    // SAFETY: that many bytes are there.
    let read = unsafe { libc::read(fds[0].fd, message.as_mut_ptr().cast(), MESSAGE_BYTES) };
    if read < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A descriptor that is told of faults in missing pages.
fn descriptor() -> io::Result<OwnedFd> {
    // Such descriptors cannot be waited for unless reading them does not.
    let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
    // SAFETY: flags are all it takes.
    let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that nobody else owns.
    let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    request(&fd, API, &mut [API_VERSION, 0, 0])?;
    Ok(fd)
}

/// The address of a page that is missing until it is brought.
fn missing_page(faults: &OwnedFd) -> io::Result<usize> {
    // SAFETY: a new mapping.
    let page = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            PAGE_BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let mut range = [page as u64, PAGE_BYTES as u64, MISSING, 0];
    request(faults, REGISTER, &mut range)?;
    Ok(page as usize)
}

/// Lets the page be there, with a text.
fn bring(faults: &OwnedFd, page: usize, text: &str) -> io::Result<()> {
    let mut source = vec![0_u8; 2 * PAGE_BYTES];
    let aligned = source.as_ptr().align_offset(PAGE_BYTES);
    source[aligned..][..text.len()].copy_from_slice(text.as_bytes());
    let from = source[aligned..].as_ptr() as u64;
    let mut copy = [page as u64, from, PAGE_BYTES as u64, 0, 0];
    request(faults, COPY, &mut copy)
}

fn request<const N: usize>(
    fd: &OwnedFd,
    what: libc::c_ulong,
    words: &mut [u64; N],
) -> io::Result<()> {
    // SAFETY: each request is given its structure; what addresses are in it are those of mapped pages.
    if unsafe { libc::ioctl(fd.as_raw_fd(), what, words.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
