//! The device's clocks, which are the host's. A cycle of the emulated device is a nanosecond.

fn nanoseconds(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes to a valid record that lives through the call.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut now) };
    assert!(failed == 0, "the clock can be read");
    now.tv_sec.cast_unsigned().wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec.cast_unsigned())
}

/// `%clock64`
pub(super) extern "C" fn clock() -> u64 {
    nanoseconds(libc::CLOCK_MONOTONIC)
}

/// `%globaltimer`
pub(super) extern "C" fn global_timer() -> u64 {
    nanoseconds(libc::CLOCK_REALTIME)
}
