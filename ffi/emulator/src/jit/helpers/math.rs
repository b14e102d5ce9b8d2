//! The approximate functions of PTX. The ISA bounds their error; these are the host's functions, which
//! are more exact, so no result equals a GPU's bit by bit.

/// `ex2.approx`
pub(super) extern "C" fn exp2(x: f32) -> f32 {
    x.exp2()
}

/// `lg2.approx`
pub(super) extern "C" fn log2(x: f32) -> f32 {
    x.log2()
}

/// `sin.approx`
pub(super) extern "C" fn sine(x: f32) -> f32 {
    x.sin()
}

/// `cos.approx`
pub(super) extern "C" fn cosine(x: f32) -> f32 {
    x.cos()
}

/// `tanh.approx`
pub(super) extern "C" fn tanh(x: f32) -> f32 {
    x.tanh()
}

/// The upper half of a double's bits, as the approximate double functions read and write them.
fn upper_half(x: f64) -> f64 {
    f64::from_bits(x.to_bits() & 0xffff_ffff_0000_0000)
}

/// Subnormal doubles become zeros of their sign.
fn flushed(x: f64) -> f64 {
    if x.is_subnormal() { 0f64.copysign(x) } else { x }
}

/// `rcp.approx.ftz.f64`: the ISA says that it works on the upper halves alone.
pub(super) extern "C" fn reciprocal64(x: f64) -> f64 {
    flushed(upper_half(1.0 / flushed(upper_half(x))))
}

/// `rsqrt.approx.ftz.f64`: works on the upper halves alone.
pub(super) extern "C" fn reciprocal_root64(x: f64) -> f64 {
    flushed(upper_half(1.0 / flushed(upper_half(x)).sqrt()))
}
