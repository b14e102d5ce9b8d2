//! Values that a stream writes to memory or waits for.

use super::abi::edge;
use crate::code::{Code, Outcome};
use crate::handle::Handle;
use crate::machine::Machine;
use crate::schedule::Work;
use crate::stream::Stream;
use crate::transfer::{Until, Word};
use std::ffi::c_uint;

/// `CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER`: allowed, and without effect, as the barrier is free.
const NO_MEMORY_BARRIER: c_uint = 1;
/// `CU_STREAM_WAIT_VALUE_FLUSH`: refused, as the device says that it cannot flush remote writes.
const FLUSH: c_uint = 1 << 30;

fn write(stream: Handle, address: u64, word: Word, flags: c_uint) -> Outcome {
    let stream = Stream::of(stream)?;
    if flags & !NO_MEMORY_BARRIER != 0 {
        return Err(Code::INVALID_VALUE);
    }
    word.check(Machine::get()?, address)?;
    stream.enqueue(Work::Write(address, word))
}

fn wait(stream: Handle, address: u64, word: Word, flags: c_uint) -> Outcome {
    let stream = Stream::of(stream)?;
    if flags & FLUSH != 0 {
        return Err(Code::NOT_SUPPORTED);
    }
    let until = match flags {
        0 => Until::Reached,
        1 => Until::Equal,
        2 => Until::AnyBit,
        3 => Until::NotAllBits,
        _ => return Err(Code::INVALID_VALUE),
    };
    word.check(Machine::get()?, address)?;
    stream.enqueue(Work::Await(address, word, until))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamWriteValue32(
    stream: Handle,
    address: u64,
    value: u32,
    flags: c_uint,
) -> Code {
    edge(|| write(stream, address, Word::W32(value), flags))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamWaitValue32(stream: Handle, address: u64, value: u32, flags: c_uint) -> Code {
    edge(|| wait(stream, address, Word::W32(value), flags))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamWriteValue32_v2(
    stream: Handle,
    address: u64,
    value: u32,
    flags: c_uint,
) -> Code {
    edge(|| write(stream, address, Word::W32(value), flags))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamWaitValue32_v2(
    stream: Handle,
    address: u64,
    value: u32,
    flags: c_uint,
) -> Code {
    edge(|| wait(stream, address, Word::W32(value), flags))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamWriteValue64(
    stream: Handle,
    address: u64,
    value: u64,
    flags: c_uint,
) -> Code {
    edge(|| write(stream, address, Word::W64(value), flags))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamWaitValue64(stream: Handle, address: u64, value: u64, flags: c_uint) -> Code {
    edge(|| wait(stream, address, Word::W64(value), flags))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamWriteValue64_v2(
    stream: Handle,
    address: u64,
    value: u64,
    flags: c_uint,
) -> Code {
    edge(|| write(stream, address, Word::W64(value), flags))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamWaitValue64_v2(
    stream: Handle,
    address: u64,
    value: u64,
    flags: c_uint,
) -> Code {
    edge(|| wait(stream, address, Word::W64(value), flags))
}
