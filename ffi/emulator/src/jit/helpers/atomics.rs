//! Atomics that no machine instruction does: each is a loop of compare and exchange. The caller has
//! checked the address and its alignment.

use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use half::{bf16, f16};
use portable_atomic::AtomicU128;

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

fn update16(address: *mut u16, change: impl Fn(u16) -> u16) -> u32 {
    // SAFETY: as in `update32`.
    let word = unsafe { AtomicU16::from_ptr(address) };
    u32::from(word.update(Ordering::SeqCst, Ordering::SeqCst, change))
}

fn lower(bits: u32) -> u16 {
    u16::try_from(bits & 0xffff).unwrap_or(0)
}

/// The sum of two halves: a single is wide enough that rounding it again changes nothing.
fn sum_f16(a: u16, b: u16) -> u16 {
    let sum = f16::from_bits(a).to_f32() + f16::from_bits(b).to_f32();
    if sum.is_nan() { 0x7fff } else { f16::from_f32(sum).to_bits() }
}

/// The sum of two bfloats, as above.
fn sum_bf16(a: u16, b: u16) -> u16 {
    let sum = bf16::from_bits(a).to_f32() + bf16::from_bits(b).to_f32();
    if sum.is_nan() { 0x7fff } else { bf16::from_f32(sum).to_bits() }
}

fn in_pairs(a: u32, b: u32, sum: impl Fn(u16, u16) -> u16) -> u32 {
    let high = sum(lower(a >> 16), lower(b >> 16));
    u32::from(high) << 16 | u32::from(sum(lower(a), lower(b)))
}

/// Adds and returns what was there.
pub(super) extern "C" fn add_f16(address: *mut u16, value: u32) -> u32 {
    update16(address, |old| sum_f16(old, lower(value)))
}

/// Adds and returns what was there.
pub(super) extern "C" fn add_bf16(address: *mut u16, value: u32) -> u32 {
    update16(address, |old| sum_bf16(old, lower(value)))
}

/// Adds two halves and returns what was there.
pub(super) extern "C" fn add_f16x2(address: *mut u32, value: u32) -> u32 {
    update32(address, |old| in_pairs(old, value, sum_f16))
}

/// Adds two bfloats and returns what was there.
pub(super) extern "C" fn add_bf16x2(address: *mut u32, value: u32) -> u32 {
    update32(address, |old| in_pairs(old, value, sum_bf16))
}

fn wide(low: u64, high: u64) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

/// Writes what was there to the caller's frame.
fn tell(out: *mut u128, old: u128) {
    // SAFETY: compiled code passes a slot of 16 aligned bytes of its own frame.
    unsafe { out.write(old) };
}

/// Exchanges 16 bytes.
pub(super) extern "C" fn exchange128(address: *mut u128, low: u64, high: u64, out: *mut u128) {
    // SAFETY: as in `update32`.
    let word = unsafe { AtomicU128::from_ptr(address) };
    tell(out, word.swap(wide(low, high), Ordering::SeqCst));
}

/// Exchanges 16 bytes where they are what was expected.
pub(super) extern "C" fn compare128(
    address: *mut u128,
    low: u64,
    high: u64,
    new_low: u64,
    new_high: u64,
    out: *mut u128,
) {
    // SAFETY: as in `update32`.
    let word = unsafe { AtomicU128::from_ptr(address) };
    let (expected, new) = (wide(low, high), wide(new_low, new_high));
    let old = word.compare_exchange(expected, new, Ordering::SeqCst, Ordering::SeqCst);
    tell(out, old.unwrap_or_else(|found| found));
}
