//! Device memory and host memory that devices may touch.

use super::abi::{Out, edge};
use crate::capture::CAPTURES;
use crate::code::{Code, Outcome};
use crate::context::{self, CONTEXTS};
use crate::handle::Handle;
use crate::machine::Machine;
use crate::memory::HOST;
use crate::schedule::Work;
use crate::stream::Stream;
use crate::strict::{self, Call};
use std::ffi::{c_uint, c_void};

/// Rows of `cuMemAllocPitch` start at multiples of this.
const PITCH_BYTES: usize = 512;

fn allocate(out: Out<u64>, bytes: usize) -> Outcome {
    let context = context::current()?;
    CAPTURES.refuse_unsafe()?;
    if out.is_null() {
        return Err(Code::INVALID_VALUE);
    }
    out.put(context.device().memory().allocate(bytes as u64, context.number())?)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemAlloc_v2(out: Out<u64>, bytes: usize) -> Code {
    edge(|| {
        strict::synchronise(Call::Allocate)?;
        allocate(out, bytes)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemAllocPitch_v2(
    out: Out<u64>,
    pitch: Out<usize>,
    width_bytes: usize,
    height: usize,
    element_bytes: c_uint,
) -> Code {
    edge(|| {
        strict::synchronise(Call::Allocate)?;
        if !matches!(element_bytes, 4 | 8 | 16) || width_bytes == 0 {
            return Err(Code::INVALID_VALUE);
        }
        let row = width_bytes.checked_next_multiple_of(PITCH_BYTES).ok_or(Code::OUT_OF_MEMORY)?;
        pitch.put(row)?;
        allocate(out, row.checked_mul(height).ok_or(Code::OUT_OF_MEMORY)?)
    })
}

/// Waits for the context's work first, as drivers do: what runs may still use the memory.
#[unsafe(no_mangle)]
extern "C" fn cuMemFree_v2(address: u64) -> Code {
    edge(|| {
        strict::synchronise(Call::Free)?;
        let current = context::current()?;
        CAPTURES.refuse_unsafe()?;
        if address == 0 {
            return Ok(());
        }
        let memory = Machine::get()?.owner(address).ok_or(Code::INVALID_VALUE)?.memory();
        let allocation = memory.find(address).ok_or(Code::INVALID_VALUE)?;
        let owner = CONTEXTS.get(allocation.context.into()).unwrap_or(current);
        owner.synchronize()?;
        memory.free(address)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFreeAsync(address: u64, stream: Handle) -> Code {
    edge(|| {
        let stream = Stream::of(stream)?;
        // A graph that frees would have to own what it frees.
        CAPTURES.refuse(&stream)?;
        if address == 0 {
            return Ok(());
        }
        let owner = Machine::get()?.owner(address).ok_or(Code::INVALID_VALUE)?;
        owner.memory().begin_free(address)?;
        stream.enqueue(Work::Free(address))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemGetInfo_v2(free: Out<usize>, total: Out<usize>) -> Code {
    edge(|| {
        let (free_bytes, total_bytes) = context::current()?.device().memory().free_and_total();
        let size = |bytes| usize::try_from(bytes).map_err(|_| Code::INVALID_VALUE);
        free.put_if_wanted(size(free_bytes)?)?;
        total.put_if_wanted(size(total_bytes)?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemGetAddressRange_v2(start: Out<u64>, bytes: Out<usize>, address: u64) -> Code {
    edge(|| {
        context::current()?;
        let owner = Machine::get()?.owner(address);
        let found = match owner {
            Some(owner) => owner.memory().find(address).map(|found| (found.start, found.bytes)),
            None => HOST.find(address).map(|found| (found.start, found.bytes)),
        };
        let (first, length) = found.ok_or(Code::NOT_FOUND)?;
        start.put_if_wanted(first)?;
        bytes.put_if_wanted(usize::try_from(length).map_err(|_| Code::INVALID_VALUE)?)
    })
}

fn allocate_host(out: Out<u64>, bytes: usize, flags: c_uint) -> Outcome {
    let context = context::current()?;
    CAPTURES.refuse_unsafe()?;
    if out.is_null() {
        return Err(Code::INVALID_VALUE);
    }
    out.put(HOST.allocate(bytes as u64, flags, context.number())?)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemHostAlloc(out: Out<u64>, bytes: usize, flags: c_uint) -> Code {
    edge(|| {
        strict::synchronise(Call::Allocate)?;
        allocate_host(out, bytes, flags)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemAllocHost_v2(out: Out<u64>, bytes: usize) -> Code {
    edge(|| {
        strict::synchronise(Call::Allocate)?;
        allocate_host(out, bytes, 0)
    })
}

/// Waits for all of the context's work first, which may still use the memory.
#[unsafe(no_mangle)]
extern "C" fn cuMemFreeHost(memory: *mut c_void) -> Code {
    edge(|| {
        strict::synchronise(Call::Free)?;
        let current = context::current()?;
        CAPTURES.refuse_unsafe()?;
        let range = HOST.find(memory.addr() as u64).ok_or(Code::INVALID_VALUE)?;
        current.synchronize()?;
        if let Ok(owner) = CONTEXTS.get(range.context.into()) {
            owner.synchronize()?;
        }
        HOST.free(memory.addr() as u64)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemHostRegister_v2(memory: *mut c_void, bytes: usize, flags: c_uint) -> Code {
    edge(|| {
        strict::synchronise(Call::Register)?;
        let context = context::current()?;
        HOST.register(memory.expose_provenance() as u64, bytes as u64, flags, context.number())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemHostUnregister(memory: *mut c_void) -> Code {
    edge(|| {
        strict::synchronise(Call::Register)?;
        context::current()?.synchronize()?;
        HOST.unregister(memory.addr() as u64)
    })
}

/// The device uses host memory at the host's own addresses.
#[unsafe(no_mangle)]
extern "C" fn cuMemHostGetDevicePointer_v2(
    out: Out<u64>,
    memory: *mut c_void,
    flags: c_uint,
) -> Code {
    edge(|| {
        context::current()?;
        let address = memory.addr() as u64;
        if flags != 0 || HOST.find(address).is_none() {
            return Err(Code::INVALID_VALUE);
        }
        out.put(address)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemHostGetFlags(out: Out<c_uint>, memory: *mut c_void) -> Code {
    edge(|| {
        context::current()?;
        let range = HOST.find(memory.addr() as u64).ok_or(Code::INVALID_VALUE)?;
        if !range.pinned {
            return Err(Code::INVALID_VALUE);
        }
        out.put(range.flags)
    })
}
