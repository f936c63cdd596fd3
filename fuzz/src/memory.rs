//! How much memory a decoder takes: an allocator that counts, thread by thread.
//!
//! What a decoder holds at its worst moment, beyond what was held before, is compared with what the target allows. An
//! allocation that would take a thread to [`MOST_BYTES`] fails, so that no input takes the whole machine first.
#![allow(unsafe_code, reason = "what `GlobalAlloc` is: every call is handed on to the system's allocator as it came")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// No thread may hold so much; the program is aborted where one asks for it.
pub const MOST_BYTES: isize = 1 << 30;

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

thread_local! {
    /// What this thread has allocated and not freed; what another thread frees stays counted here, and is missing there.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// Runs `decode`, and demands that it never holds more than `limit_bytes`, its result included.
pub fn within<T>(limit_bytes: usize, decode: impl FnOnce() -> T) -> T {
    let (result, peak_bytes) = measured(decode);
    assert!(peak_bytes <= limit_bytes, "decoding held {peak_bytes} bytes, expected at most {limit_bytes}");
    result
}

/// Runs `decode`, and says how many bytes it held at its worst moment, its result included.
pub fn measured<T>(decode: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let result = decode();
    (result, usize::try_from(PEAK.get() - before).unwrap_or(0))
}

/// Counts `size` bytes, unless they are too many.
fn take(size: usize) -> bool {
    let held = HELD.get().saturating_add_unsigned(size);
    if held > MOST_BYTES {
        return false;
    }
    HELD.set(held);
    PEAK.set(PEAK.get().max(held));
    true
}

fn give_back(size: usize) {
    HELD.set(HELD.get().saturating_sub_unsigned(size));
}

// SAFETY: memory comes from the system's allocator and goes back to it with the layout that it was asked for with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        if take(layout.size()) { unsafe { System.alloc(layout) } } else { std::ptr::null_mut() }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        if take(layout.size()) { unsafe { System.alloc_zeroed(layout) } } else { std::ptr::null_mut() }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        give_back(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Old and new may both be there while the bytes are copied.
        if !take(new_size) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promises are passed on.
        let moved = unsafe { System.realloc(place, layout, new_size) };
        give_back(if moved.is_null() { new_size } else { layout.size() });
        moved
    }
}
