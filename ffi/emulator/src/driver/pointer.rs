//! What an address is: attributes by their number in `CUpointer_attribute`.

use super::abi::{In, Out, edge};
use crate::code::{Code, Outcome};
use crate::handle::Handle;
use crate::machine::Machine;
use crate::memory::HOST;
use std::ffi::{c_int, c_uint, c_void};

/// `CU_MEMORYTYPE_HOST` and `CU_MEMORYTYPE_DEVICE`.
const HOST_MEMORY: c_uint = 1;
const DEVICE_MEMORY: c_uint = 2;

/// What is known of an address.
struct Known {
    context: usize,
    ordinal: u32,
    kind: c_uint,
    start: u64,
    bytes: u64,
    managed: bool,
}

fn know(address: u64) -> Outcome<Option<Known>> {
    let machine = Machine::get()?;
    if let Some(device) = machine.owner(address) {
        return Ok(device.memory().find(address).map(|found| Known {
            context: found.context,
            ordinal: device.ordinal(),
            kind: DEVICE_MEMORY,
            start: found.start,
            bytes: found.bytes,
            managed: found.managed,
        }));
    }
    Ok(HOST.find(address).map(|found| Known {
        context: found.context,
        ordinal: 0,
        kind: HOST_MEMORY,
        start: found.start,
        bytes: found.bytes,
        managed: false,
    }))
}

/// Writes one attribute; for an address that nothing is known of, the zero that the manual names.
fn put(data: *mut c_void, attribute: c_uint, address: u64, known: Option<&Known>) -> Outcome {
    let number = |value: u64| usize::try_from(value).map_err(|_| Code::INVALID_VALUE);
    match attribute {
        1 => {
            let handle = known.map_or(Handle::NULL, |known| known.context.into());
            Out::from(data.cast::<Handle>()).put(handle)
        }
        2 => Out::from(data.cast::<c_uint>()).put(known.map_or(0, |known| known.kind)),
        3 => Out::from(data.cast::<u64>()).put(known.map_or(0, |_| address)),
        4 => {
            let is_host = known.is_some_and(|known| known.kind == HOST_MEMORY || known.managed);
            Out::from(data.cast::<u64>()).put(if is_host { address } else { 0 })
        }
        6 | 10 => Out::from(data.cast::<bool>()).put(false),
        8 => Out::from(data.cast::<bool>()).put(known.is_some_and(|known| known.managed)),
        7 => Out::from(data.cast::<u64>()).put(known.map_or(0, |known| known.start)),
        9 => {
            // The manual's answer for unknown addresses is -2, an ordinal that is none.
            let ordinal = known.map_or(-2, |known| known.ordinal.cast_signed());
            Out::from(data.cast::<c_int>()).put(ordinal)
        }
        11 => Out::from(data.cast::<u64>()).put(known.map_or(0, |known| known.start)),
        12 => {
            let bytes = known.map_or(Ok(0), |known| number(known.bytes))?;
            Out::from(data.cast::<usize>()).put(bytes)
        }
        13 => Out::from(data.cast::<bool>()).put(known.is_some()),
        _ => Err(Code::INVALID_VALUE),
    }
}

#[unsafe(no_mangle)]
extern "C" fn cuPointerGetAttribute(data: *mut c_void, attribute: c_uint, address: u64) -> Code {
    edge(|| {
        let known = know(address)?.ok_or(Code::INVALID_VALUE)?;
        put(data, attribute, address, Some(&known))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuPointerGetAttributes(
    count: c_uint,
    attributes: In<c_uint>,
    data: In<*mut c_void>,
    address: u64,
) -> Code {
    edge(|| {
        let known = know(address)?;
        for index in 0..count as usize {
            put(data.at(index)?, attributes.at(index)?, address, known.as_ref())?;
        }
        Ok(())
    })
}
