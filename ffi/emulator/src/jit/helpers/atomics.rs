//! Atomics that no machine instruction does: each is a loop of compare and exchange. The caller has
//! checked the address and its alignment.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

fn update32(address: *mut u32, change: impl Fn(u32) -> u32) -> u32 {
    // SAFETY: compiled code checked that the aligned word may be accessed, and device memory is only
    // ever reached through raw pointers and atomics.
    let word = unsafe { AtomicU32::from_ptr(address) };
    word.update(Ordering::SeqCst, Ordering::SeqCst, change)
}

/// Adds and returns what was there.
pub(super) extern "C" fn add_f32(address: *mut u32, value: f32) -> f32 {
    f32::from_bits(update32(address, |old| (f32::from_bits(old) + value).to_bits()))
}

/// Adds and returns what was there.
pub(super) extern "C" fn add_f64(address: *mut u64, value: f64) -> f64 {
    // SAFETY: as in `update32`.
    let word = unsafe { AtomicU64::from_ptr(address) };
    let old = word
        .update(Ordering::SeqCst, Ordering::SeqCst, |old| (f64::from_bits(old) + value).to_bits());
    f64::from_bits(old)
}

/// `old >= bound ? 0 : old + 1`
pub(super) extern "C" fn increment(address: *mut u32, bound: u32) -> u32 {
    update32(address, |old| if old >= bound { 0 } else { old + 1 })
}

/// `old == 0 || old > bound ? bound : old - 1`
pub(super) extern "C" fn decrement(address: *mut u32, bound: u32) -> u32 {
    update32(address, |old| if old == 0 || old > bound { bound } else { old - 1 })
}
