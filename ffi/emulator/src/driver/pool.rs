//! Memory pools.
#![expect(non_snake_case, reason = "the fields of the ABI")]

use super::abi::{In, Out, edge};
use crate::capture::CAPTURES;
use crate::code::{Code, Outcome};
use crate::handle::Handle;
use crate::machine::Machine;
use crate::pool::{self, Access, Pool, REUSE};
use crate::stream::Stream;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::atomic::Ordering;

/// `CUmemLocation`.
#[repr(C)]
#[derive(Clone, Copy)]
struct CUmemLocation {
    kind: c_uint,
    id: c_int,
}

/// `CU_MEM_LOCATION_TYPE_DEVICE`.
const DEVICE: c_uint = 1;
/// `CU_MEM_ALLOCATION_TYPE_PINNED`: memory that stays where it is.
const PINNED: c_uint = 1;

/// `CUmemPoolProps`.
#[repr(C)]
#[derive(Clone, Copy)]
struct CUmemPoolProps {
    allocType: c_uint,
    handleTypes: c_uint,
    location: CUmemLocation,
    win32SecurityAttributes: *mut c_void,
    maxSize: usize,
    usage: u16,
    reserved: [u8; 54],
}
const _: () = assert!(size_of::<CUmemPoolProps>() == 88);

/// `CUmemAccessDesc`.
#[repr(C)]
#[derive(Clone, Copy)]
struct CUmemAccessDesc {
    location: CUmemLocation,
    flags: c_uint,
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetDefaultMemPool(out: Out<Handle>, device: c_int) -> Code {
    edge(|| out.put(pool::default_of(Machine::get()?.device(device)?)))
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetMemPool(out: Out<Handle>, device: c_int) -> Code {
    edge(|| out.put(pool::current_of(Machine::get()?.device(device)?)))
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceSetMemPool(device: c_int, pool: Handle) -> Code {
    edge(|| pool::set_current(Machine::get()?.device(device)?, pool))
}

/// Pools of device memory; those of the host, and those that other processes open, are not offered.
#[unsafe(no_mangle)]
extern "C" fn cuMemPoolCreate(out: Out<Handle>, props: In<CUmemPoolProps>) -> Code {
    edge(|| {
        let machine = Machine::get()?;
        let props = props.get()?;
        if props.allocType != PINNED || out.is_null() {
            return Err(Code::INVALID_VALUE);
        }
        if props.handleTypes != 0 || props.location.kind != DEVICE {
            return Err(Code::NOT_SUPPORTED);
        }
        out.put(Pool::create(machine.device(props.location.id)?, props.maxSize as u64))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemPoolDestroy(pool: Handle) -> Code {
    edge(|| Pool::destroy(pool))
}

/// A pool holds nothing that could be given back.
#[unsafe(no_mangle)]
extern "C" fn cuMemPoolTrimTo(pool: Handle, _keep: usize) -> Code {
    edge(|| Pool::of(pool).map(|_| ()))
}

/// Attributes by their number in `CUmemPool_attribute`, from `RELEASE_THRESHOLD` on.
const THRESHOLD: c_uint = 4;
const RESERVED: c_uint = 5;
const RESERVED_HIGH: c_uint = 6;
const USED: c_uint = 7;
const USED_HIGH: c_uint = 8;
const ALLOCATION_TYPE: c_uint = 9;
const HANDLE_TYPES: c_uint = 10;
const LOCATION_ID: c_uint = 11;
const LOCATION_TYPE: c_uint = 12;
const MAX_SIZE: c_uint = 13;

fn attribute(pool: &Pool, attribute: c_uint, value: *mut c_void) -> Outcome {
    let word = |number: u32| Out::from(value.cast::<u32>()).put(number);
    let long = |number: u64| Out::from(value.cast::<u64>()).put(number);
    if let Some(allowed) = pool.reuse(attribute as usize) {
        return word(u32::from(allowed.load(Ordering::Relaxed) != 0));
    }
    match attribute {
        THRESHOLD => long(pool.threshold().load(Ordering::Relaxed)),
        RESERVED | USED => long(pool.used()),
        RESERVED_HIGH | USED_HIGH => long(pool.high()),
        ALLOCATION_TYPE => word(PINNED),
        HANDLE_TYPES => word(0),
        LOCATION_ID => word(pool.device().ordinal()),
        LOCATION_TYPE => word(DEVICE),
        MAX_SIZE => long(pool.max_bytes()),
        _ => Err(Code::INVALID_VALUE),
    }
}

#[unsafe(no_mangle)]
extern "C" fn cuMemPoolGetAttribute(pool: Handle, number: c_uint, value: *mut c_void) -> Code {
    edge(|| attribute(&*Pool::of(pool)?, number, value))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemPoolSetAttribute(pool: Handle, number: c_uint, value: *mut c_void) -> Code {
    const { assert!(REUSE + 1 == THRESHOLD as usize) };
    edge(|| {
        let pool = Pool::of(pool)?;
        let long = In::from(value.cast_const().cast::<u64>());
        if let Some(allowed) = pool.reuse(number as usize) {
            let wanted = In::from(value.cast_const().cast::<c_int>()).get()?;
            allowed.store(u64::from(wanted != 0), Ordering::Relaxed);
            return Ok(());
        }
        match number {
            THRESHOLD => pool.threshold().store(long.get()?, Ordering::Relaxed),
            // The manual: only to begin anew.
            RESERVED_HIGH | USED_HIGH if long.get()? == 0 => pool.reset_high(),
            _ => return Err(Code::INVALID_VALUE),
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemPoolSetAccess(
    pool: Handle,
    descriptions: In<CUmemAccessDesc>,
    count: usize,
) -> Code {
    edge(|| {
        let pool = Pool::of(pool)?;
        for description in descriptions.take(count)? {
            let access = match description.flags {
                0 => Access::None,
                3 => Access::ReadWrite,
                // Reading alone would need a check of its own at every store.
                1 => return Err(Code::NOT_SUPPORTED),
                _ => return Err(Code::INVALID_VALUE),
            };
            if description.location.kind != DEVICE {
                return Err(Code::NOT_SUPPORTED);
            }
            let device = Machine::get()?.device(description.location.id)?;
            pool.set_access(device.ordinal(), access)?;
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemPoolGetAccess(
    out: Out<c_uint>,
    pool: Handle,
    location: In<CUmemLocation>,
) -> Code {
    edge(|| {
        let (pool, location) = (Pool::of(pool)?, location.get()?);
        if location.kind != DEVICE {
            return Err(Code::NOT_SUPPORTED);
        }
        let device = Machine::get()?.device(location.id)?;
        out.put(if pool.access(device.ordinal()) == Access::None { 0 } else { 3 })
    })
}

/// Memory is there at once, so it is usable in every order that the stream allows. Where there is
/// none, what the stream has still to free may be enough: that is waited for.
fn allocate(out: Out<u64>, bytes: usize, pool: &Pool, stream: &Stream) -> Outcome {
    if out.is_null() {
        return Err(Code::INVALID_VALUE);
    }
    // A graph that allocates would have to own what it allocates.
    CAPTURES.refuse(stream)?;
    let allocate = || pool.allocate(bytes as u64, &stream.context);
    let address = allocate().or_else(|code| {
        if code == Code::OUT_OF_MEMORY && pool.device().memory().awaits_frees() {
            stream.synchronize()?;
            return allocate();
        }
        Err(code)
    })?;
    out.put(address)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemAllocAsync(out: Out<u64>, bytes: usize, stream: Handle) -> Code {
    edge(|| {
        let stream = Stream::of(stream)?;
        let pool = Pool::of(pool::current_of(stream.context.device()))?;
        allocate(out, bytes, &pool, &stream)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemAllocFromPoolAsync(
    out: Out<u64>,
    bytes: usize,
    pool: Handle,
    stream: Handle,
) -> Code {
    edge(|| allocate(out, bytes, &*Pool::of(pool)?, &Stream::of(stream)?))
}

/// Pools of this process are not opened by others.
#[unsafe(no_mangle)]
extern "C" fn cuMemPoolExportToShareableHandle(
    _out: *mut c_void,
    _pool: Handle,
    _kind: c_uint,
    _flags: u64,
) -> Code {
    Code::NOT_SUPPORTED
}

#[unsafe(no_mangle)]
extern "C" fn cuMemPoolImportFromShareableHandle(
    _out: Out<Handle>,
    _handle: *mut c_void,
    _kind: c_uint,
    _flags: u64,
) -> Code {
    Code::NOT_SUPPORTED
}
