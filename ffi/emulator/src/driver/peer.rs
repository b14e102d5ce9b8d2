//! Devices and contexts that use each other's memory, and memory of other processes, which is
//! refused.

use super::abi::{Out, edge};
use crate::code::{Code, Outcome};
use crate::context::{self, CONTEXTS, Context};
use crate::handle::Handle;
use crate::machine::Machine;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;

/// All memory of the machine is one address space, so every device can reach every other.
#[unsafe(no_mangle)]
extern "C" fn cuDeviceCanAccessPeer(can: Out<c_int>, device: c_int, peer: c_int) -> Code {
    edge(|| {
        let machine = Machine::get()?;
        machine.device(device)?;
        machine.device(peer)?;
        can.put(c_int::from(device != peer))
    })
}

/// `CUdevice_P2PAttribute`: rank, access, native atomics, and arrays, of which there are none.
#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetP2PAttribute(
    value: Out<c_int>,
    attribute: c_uint,
    source: c_int,
    destination: c_int,
) -> Code {
    edge(|| {
        let machine = Machine::get()?;
        machine.device(source)?;
        machine.device(destination)?;
        if source == destination {
            return Err(Code::INVALID_DEVICE);
        }
        match attribute {
            1 | 4 => value.put(0),
            2 | 3 => value.put(1),
            _ => Err(Code::INVALID_VALUE),
        }
    })
}

/// The calling thread's context and another one, of another device.
fn pair(peer: Handle) -> Outcome<(Arc<Context>, Arc<Context>)> {
    let current = context::current()?;
    let peer = CONTEXTS.get(peer).map_err(|_| Code::INVALID_CONTEXT)?;
    peer.check()?;
    if current.is(&peer) {
        return Err(Code::INVALID_CONTEXT);
    }
    Ok((current, peer))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxEnablePeerAccess(peer: Handle, flags: c_uint) -> Code {
    edge(|| {
        let (current, peer) = pair(peer)?;
        if flags != 0 {
            return Err(Code::INVALID_VALUE);
        }
        if current.device().ordinal() == peer.device().ordinal() {
            return Err(Code::PEER_ACCESS_UNSUPPORTED);
        }
        current.reach().enable(peer.number())
    })
}

/// Waits for the context's work first, which may still use the memory.
#[unsafe(no_mangle)]
extern "C" fn cuCtxDisablePeerAccess(peer: Handle) -> Code {
    edge(|| {
        let (current, peer) = pair(peer)?;
        current.synchronize()?;
        current.reach().disable(peer.number())
    })
}

/// Memory and events of this process are not opened by others.
#[unsafe(no_mangle)]
extern "C" fn cuIpcGetMemHandle(_handle: *mut c_void, _address: u64) -> Code {
    Code::NOT_SUPPORTED
}

/// `CUipcMemHandle` and `CUipcEventHandle`, which are passed by value.
#[repr(C)]
struct IpcHandle([u8; 64]);

#[unsafe(no_mangle)]
extern "C" fn cuIpcOpenMemHandle_v2(_out: Out<u64>, _handle: IpcHandle, _flags: c_uint) -> Code {
    Code::NOT_SUPPORTED
}

#[unsafe(no_mangle)]
extern "C" fn cuIpcCloseMemHandle(_address: u64) -> Code {
    Code::NOT_SUPPORTED
}

#[unsafe(no_mangle)]
extern "C" fn cuIpcGetEventHandle(_handle: *mut c_void, _event: Handle) -> Code {
    Code::NOT_SUPPORTED
}

#[unsafe(no_mangle)]
extern "C" fn cuIpcOpenEventHandle(_out: Out<Handle>, _handle: IpcHandle) -> Code {
    Code::NOT_SUPPORTED
}
