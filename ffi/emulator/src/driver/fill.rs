//! Fills.

use super::abi::edge;
use crate::code::{Code, Outcome};
use crate::handle::Handle;
use crate::machine::Machine;
use crate::schedule::Work;
use crate::stream::Stream;
use crate::strict::{self, Call};
use crate::transfer::{Pattern, Transfer};

/// Rows of a fill: bytes from row to row, elements in each, how many.
#[derive(Clone, Copy)]
struct Rows {
    pitch: usize,
    width: usize,
    height: usize,
}

impl Rows {
    fn one(width: usize) -> Self {
        Self { pitch: 0, width, height: 1 }
    }
}

/// Fills never make the calling thread wait, also those without a stream.
fn fill(to: u64, rows: Rows, pattern: Pattern, stream: Handle) -> Outcome {
    if stream == Handle::NULL {
        strict::synchronise(Call::Copy)?;
    }
    let stream = Stream::of(stream)?;
    if rows.width == 0 || rows.height == 0 {
        return Ok(());
    }
    let Rows { pitch, width, height } = rows;
    let (pitch, width, height) = (pitch as u64, width as u64, height as u64);
    let transfer = Transfer::Fill { to, pitch, width, height, pattern };
    transfer.check(Machine::get()?)?;
    stream.enqueue(Work::Transfer(transfer)).map(|_| ())
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD8_v2(to: u64, value: u8, count: usize) -> Code {
    edge(|| fill(to, Rows::one(count), Pattern::D8(value), Handle::NULL))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD8Async(to: u64, value: u8, count: usize, stream: Handle) -> Code {
    edge(|| fill(to, Rows::one(count), Pattern::D8(value), stream))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD2D8_v2(
    to: u64,
    pitch: usize,
    value: u8,
    width: usize,
    height: usize,
) -> Code {
    edge(|| fill(to, Rows { pitch, width, height }, Pattern::D8(value), Handle::NULL))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD2D8Async(
    to: u64,
    pitch: usize,
    value: u8,
    width: usize,
    height: usize,
    stream: Handle,
) -> Code {
    edge(|| fill(to, Rows { pitch, width, height }, Pattern::D8(value), stream))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD16_v2(to: u64, value: u16, count: usize) -> Code {
    edge(|| fill(to, Rows::one(count), Pattern::D16(value), Handle::NULL))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD16Async(to: u64, value: u16, count: usize, stream: Handle) -> Code {
    edge(|| fill(to, Rows::one(count), Pattern::D16(value), stream))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD2D16_v2(
    to: u64,
    pitch: usize,
    value: u16,
    width: usize,
    height: usize,
) -> Code {
    edge(|| fill(to, Rows { pitch, width, height }, Pattern::D16(value), Handle::NULL))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD2D16Async(
    to: u64,
    pitch: usize,
    value: u16,
    width: usize,
    height: usize,
    stream: Handle,
) -> Code {
    edge(|| fill(to, Rows { pitch, width, height }, Pattern::D16(value), stream))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD32_v2(to: u64, value: u32, count: usize) -> Code {
    edge(|| fill(to, Rows::one(count), Pattern::D32(value), Handle::NULL))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD32Async(to: u64, value: u32, count: usize, stream: Handle) -> Code {
    edge(|| fill(to, Rows::one(count), Pattern::D32(value), stream))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD2D32_v2(
    to: u64,
    pitch: usize,
    value: u32,
    width: usize,
    height: usize,
) -> Code {
    edge(|| fill(to, Rows { pitch, width, height }, Pattern::D32(value), Handle::NULL))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD2D32Async(
    to: u64,
    pitch: usize,
    value: u32,
    width: usize,
    height: usize,
    stream: Handle,
) -> Code {
    edge(|| fill(to, Rows { pitch, width, height }, Pattern::D32(value), stream))
}
