//! Copies.

use super::abi::edge;
use crate::capture::{CAPTURES, Status};
use crate::code::{Code, Outcome};
use crate::context::{CONTEXTS, Context};
use crate::handle::Handle;
use crate::machine::Machine;
use crate::memory::HOST;
use crate::schedule::Work;
use crate::stream::Stream;
use crate::strict;
use crate::transfer::{Place, Transfer};
use std::ffi::c_void;
use std::sync::Arc;

/// Up to this size an asynchronous copy from pageable memory is staged, as the manual says of
/// drivers; a longer one waits for its end.
const STAGED_BYTES_MAX: u64 = 64 << 10;

/// How a copy relates to the calling thread.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Return {
    /// When the bytes have arrived.
    Arrived,
    /// As soon as the manual allows.
    Early,
}

/// The host's side of a copy. An address of a device's window is never taken on trust.
fn host(pointer: *const c_void) -> Outcome<Place> {
    Ok(any(pointer.expose_provenance() as u64, Machine::get()?))
}

/// Either side of a copy that leaves it to the addresses which is which.
fn any(address: u64, machine: &Machine) -> Place {
    let known = machine.owner(address).is_some() || HOST.find(address).is_some();
    if known { Place::Device(address) } else { Place::Host(address) }
}

fn is_pageable(place: Place) -> bool {
    matches!(place, Place::Host(_))
}

fn copy(stream: Handle, to: Place, from: Place, bytes: usize, back: Return) -> Outcome {
    let stream = Stream::of(stream)?;
    strict::synchronise_copy(&stream);
    if bytes == 0 {
        return Ok(());
    }
    let machine = Machine::get()?;
    let bytes = bytes as u64;
    let transfer = Transfer::Copy { to, from, bytes };
    transfer.check(machine)?;
    if back == Return::Early && CAPTURES.status(&stream) != Status::None {
        // A graph copies what is in the program's memory when it runs.
        return stream.enqueue(Work::Transfer(transfer));
    }
    if back == Return::Arrived || is_pageable(to) {
        return stream.run(Work::Transfer(transfer));
    }
    if is_pageable(from) {
        if bytes > STAGED_BYTES_MAX {
            return stream.run(Work::Transfer(transfer));
        }
        return stream.enqueue(Work::Transfer(transfer.staged()?));
    }
    stream.enqueue(Work::Transfer(transfer))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyHtoD_v2(to: u64, from: *const c_void, bytes: usize) -> Code {
    edge(|| copy(Handle::NULL, Place::Device(to), host(from)?, bytes, Return::Arrived))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyHtoDAsync_v2(
    to: u64,
    from: *const c_void,
    bytes: usize,
    stream: Handle,
) -> Code {
    edge(|| copy(stream, Place::Device(to), host(from)?, bytes, Return::Early))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoH_v2(to: *mut c_void, from: u64, bytes: usize) -> Code {
    edge(|| copy(Handle::NULL, host(to)?, Place::Device(from), bytes, Return::Arrived))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoHAsync_v2(
    to: *mut c_void,
    from: u64,
    bytes: usize,
    stream: Handle,
) -> Code {
    edge(|| copy(stream, host(to)?, Place::Device(from), bytes, Return::Early))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoD_v2(to: u64, from: u64, bytes: usize) -> Code {
    edge(|| copy(Handle::NULL, Place::Device(to), Place::Device(from), bytes, Return::Early))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, bytes: usize, stream: Handle) -> Code {
    edge(|| copy(stream, Place::Device(to), Place::Device(from), bytes, Return::Early))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpy(to: u64, from: u64, bytes: usize) -> Code {
    edge(|| {
        let machine = Machine::get()?;
        copy(Handle::NULL, any(to, machine), any(from, machine), bytes, Return::Arrived)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyAsync(to: u64, from: u64, bytes: usize, stream: Handle) -> Code {
    edge(|| {
        let machine = Machine::get()?;
        copy(stream, any(to, machine), any(from, machine), bytes, Return::Early)
    })
}

/// The contexts of a copy between two. All memory of the machine is one address space, so that they
/// exist is all that is asked of them.
fn peers(handles: [Handle; 2]) -> Outcome<Vec<Arc<Context>>> {
    let find = |handle| -> Outcome<Arc<Context>> {
        let context = CONTEXTS.get(handle).map_err(|_| Code::INVALID_CONTEXT)?;
        context.check()?;
        Ok(context)
    };
    handles.into_iter().map(find).collect()
}

/// Comes after all that is in both contexts, as the manual has it.
#[unsafe(no_mangle)]
extern "C" fn cuMemcpyPeer(
    to: u64,
    to_context: Handle,
    from: u64,
    from_context: Handle,
    bytes: usize,
) -> Code {
    edge(|| {
        for context in peers([to_context, from_context])? {
            context.synchronize()?;
        }
        copy(Handle::NULL, Place::Device(to), Place::Device(from), bytes, Return::Arrived)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyPeerAsync(
    to: u64,
    to_context: Handle,
    from: u64,
    from_context: Handle,
    bytes: usize,
    stream: Handle,
) -> Code {
    edge(|| {
        peers([to_context, from_context])?;
        copy(stream, Place::Device(to), Place::Device(from), bytes, Return::Early)
    })
}
