//! Fills.

use super::abi::edge;
use crate::code::{Code, Outcome};
use crate::handle::Handle;
use crate::machine::Machine;
use crate::memory::HOST;
use crate::schedule::Work;
use crate::stream::Stream;
use crate::strict;
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

/// A fill in a stream never makes the calling thread wait.
fn fill(to: u64, rows: Rows, pattern: Pattern, stream: Handle) -> Outcome {
    if let Some((stream, work)) = prepare(to, rows, pattern, stream)? {
        stream.enqueue(work)?;
    }
    Ok(())
}

/// One without a stream does not either, but for memory that the program uses, too: it waits for
/// that, as the manual has it.
fn fill_now(to: u64, rows: Rows, pattern: Pattern) -> Outcome {
    let Some((stream, work)) = prepare(to, rows, pattern, Handle::NULL)? else { return Ok(()) };
    let owner = Machine::get()?.owner(to);
    let is_managed = owner.and_then(|owner| owner.memory().find(to)).is_some_and(|it| it.managed);
    if is_managed || HOST.find(to).is_some() { stream.run(work) } else { stream.enqueue(work) }
}

/// The stream and the work of a fill; `None` where it has no element.
fn prepare(
    to: u64,
    rows: Rows,
    pattern: Pattern,
    stream: Handle,
) -> Outcome<Option<(Stream, Work)>> {
    let stream = Stream::of(stream)?;
    strict::synchronise_copy(&stream);
    if rows.width == 0 || rows.height == 0 {
        return Ok(None);
    }
    let Rows { pitch, width, height } = rows;
    let (pitch, width, height) = (pitch as u64, width as u64, height as u64);
    let transfer = Transfer::Fill { to, pitch, width, height, pattern };
    transfer.check(Machine::get()?)?;
    Ok(Some((stream, Work::Transfer(transfer))))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD8_v2(to: u64, value: u8, count: usize) -> Code {
    edge(|| fill_now(to, Rows::one(count), Pattern::D8(value)))
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
    edge(|| fill_now(to, Rows { pitch, width, height }, Pattern::D8(value)))
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
    edge(|| fill_now(to, Rows::one(count), Pattern::D16(value)))
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
    edge(|| fill_now(to, Rows { pitch, width, height }, Pattern::D16(value)))
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
    edge(|| fill_now(to, Rows::one(count), Pattern::D32(value)))
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
    edge(|| fill_now(to, Rows { pitch, width, height }, Pattern::D32(value)))
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
