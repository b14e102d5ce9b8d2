//! Managed memory. The device's window is mapped in the process, so it is ordinary device memory
//! that the program may use as well; where it lies is a hint that changes nothing.

use super::abi::{Out, edge};
use crate::code::{Code, Outcome};
use crate::context;
use crate::handle::Handle;
use crate::machine::Machine;
use crate::schedule::Work;
use crate::stream::Stream;
use crate::strict::{self, Call};
use std::ffi::{c_int, c_uint};

/// `CU_MEM_ATTACH_GLOBAL`, `CU_MEM_ATTACH_HOST`, `CU_MEM_ATTACH_SINGLE`.
const GLOBAL: c_uint = 1;
const HOST: c_uint = 2;
const SINGLE: c_uint = 4;

/// `CUmemLocation`: a kind and a number.
#[repr(C)]
struct CUmemLocation {
    kind: c_int,
    number: c_int,
}

#[unsafe(no_mangle)]
extern "C" fn cuMemAllocManaged(out: Out<u64>, bytes: usize, flags: c_uint) -> Code {
    edge(|| {
        strict::synchronise(Call::Allocate)?;
        let context = context::current()?;
        if out.is_null() || !matches!(flags, GLOBAL | HOST) {
            return Err(Code::INVALID_VALUE);
        }
        let memory = context.device().memory();
        out.put(memory.allocate_managed(bytes as u64, context.number())?)
    })
}

/// Whether a range may be advised about: it is managed, and not longer than its allocation.
fn check(address: u64, bytes: usize) -> Outcome {
    let machine = Machine::get()?;
    let owner = machine.owner(address).ok_or(Code::INVALID_VALUE)?;
    let is_managed = owner.memory().find(address).is_some_and(|found| found.managed);
    if is_managed && machine.covers(address, bytes as u64) {
        Ok(())
    } else {
        Err(Code::INVALID_VALUE)
    }
}

/// Who may use the memory is not enforced; the call takes its place in the stream.
#[unsafe(no_mangle)]
extern "C" fn cuStreamAttachMemAsync(
    stream: Handle,
    address: u64,
    bytes: usize,
    flags: c_uint,
) -> Code {
    edge(|| {
        let stream = Stream::of(stream)?;
        if !matches!(flags, GLOBAL | HOST | SINGLE) {
            return Err(Code::INVALID_VALUE);
        }
        check(address, bytes)?;
        stream.enqueue(Work::Nothing)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemAdvise_v2(
    address: u64,
    bytes: usize,
    advice: c_uint,
    _location: CUmemLocation,
) -> Code {
    edge(|| {
        context::current()?;
        if !(1..=6).contains(&advice) {
            return Err(Code::INVALID_VALUE);
        }
        check(address, bytes)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemPrefetchAsync_v2(
    address: u64,
    bytes: usize,
    _location: CUmemLocation,
    _flags: c_uint,
    stream: Handle,
) -> Code {
    edge(|| {
        let stream = Stream::of(stream)?;
        check(address, bytes)?;
        stream.enqueue(Work::Nothing)
    })
}
