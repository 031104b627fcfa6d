//! The heap in large pages.
//!
//! A compiler touches some megabytes for the first and only time, 4 KiB after 4 KiB; each time the kernel is asked for a page.
//! With glibc's allocator the heap is one piece of memory: it is made large enough for most scripts at once, and the kernel is told
//! to give most of it out in large pages (where transparent huge pages are `madvise` or `always`). What is not touched is not there;
//! short scripts do not come so far, and need no more memory than before. What compiling took is given back when it is done.

/// The heap that is asked for at the start.
const HEAP_BYTES: usize = 16 << 20;
/// So much of it stays in small pages.
const SMALL_BYTES: usize = 4 << 20;
/// Less than what is mapped apart (128 KiB); twice as much is more than there is of the heap at first.
const STEP_BYTES: usize = 100 << 10;
/// A large page of x86-64 and of arm64 with pages of 4 KiB.
const LARGE_PAGE_BYTES: usize = 2 << 20;

/// To be called first, by a program that has one thread yet.
pub fn prepare() {
    // SAFETY: these only set how the allocator gets its memory and gives it back.
    unsafe {
        libc::mallopt(libc::M_TOP_PAD, HEAP_BYTES as libc::c_int);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
    }
    let grown = [(); 2].map(|()| std::hint::black_box(Vec::<u8>::with_capacity(STEP_BYTES)));
    let small_end = grown[1].as_ptr() as usize + SMALL_BYTES;
    let begin = small_end.next_multiple_of(LARGE_PAGE_BYTES);
    // SAFETY: the break is only read.
    let end = unsafe { libc::sbrk(0) } as usize;
    // Elsewhere than in front of the break, it is not this heap that grew.
    if (1..=HEAP_BYTES).contains(&end.saturating_sub(begin)) {
        // SAFETY: the range ends at the break and begins behind memory of the heap: all of it is the heap's,
        // and advice changes no contents.
        unsafe { libc::madvise(begin as *mut libc::c_void, end - begin, libc::MADV_HUGEPAGE) };
    }
}

/// Gives memory that is free back to the system, for what runs long and needs little.
pub fn give_back() {
    // SAFETY: only what nobody uses is given back.
    unsafe {
        libc::malloc_trim(0);
    }
}
