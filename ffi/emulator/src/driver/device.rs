//! Devices and what they are.

use super::abi::{Out, Text, edge, put_text};
use super::attributes;
use crate::claim::DEVICE_NAME;
use crate::code::{Code, Outcome};
use crate::machine::Machine;
use std::ffi::c_int;

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetCount(count: Out<c_int>) -> Code {
    edge(|| {
        let devices = Machine::get()?.device_count();
        count.put(c_int::try_from(devices).expect("a claim has few devices"))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGet(device: Out<c_int>, ordinal: c_int) -> Code {
    edge(|| {
        Machine::get()?.device(ordinal)?;
        device.put(ordinal)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetName(name: Out<u8>, bytes: c_int, device: c_int) -> Code {
    edge(|| {
        Machine::get()?.device(device)?;
        let bytes = usize::try_from(bytes).map_err(|_| Code::INVALID_VALUE)?;
        put_text(name, bytes, DEVICE_NAME.to_bytes())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceTotalMem_v2(bytes: Out<usize>, device: c_int) -> Code {
    edge(|| {
        let (_, total) = Machine::get()?.device(device)?.memory().free_and_total();
        bytes.put(usize::try_from(total).map_err(|_| Code::INVALID_VALUE)?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetAttribute(value: Out<c_int>, attribute: u32, device: c_int) -> Code {
    edge(|| {
        let device = Machine::get()?.device(device)?;
        value.put(attributes::of(device, attribute)?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceComputeCapability(
    major: Out<c_int>,
    minor: Out<c_int>,
    device: c_int,
) -> Code {
    edge(|| {
        let (claimed_major, claimed_minor) = Machine::get()?.device(device)?.claim().capability;
        major.put(claimed_major.cast_signed())?;
        minor.put(claimed_minor.cast_signed())
    })
}

fn uuid(out: Out<[u8; 16]>, device: c_int) -> Outcome {
    let ordinal = Machine::get()?.device(device)?.ordinal();
    let mut bytes = *b"gpumux-emulated\0";
    bytes[15] = u8::try_from(ordinal).expect("a claim has few devices");
    out.put(bytes)
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetUuid(out: Out<[u8; 16]>, device: c_int) -> Code {
    edge(|| uuid(out, device))
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetUuid_v2(out: Out<[u8; 16]>, device: c_int) -> Code {
    edge(|| uuid(out, device))
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetPCIBusId(id: Out<u8>, bytes: c_int, device: c_int) -> Code {
    edge(|| {
        let ordinal = Machine::get()?.device(device)?.ordinal();
        let bytes = usize::try_from(bytes).map_err(|_| Code::INVALID_VALUE)?;
        put_text(id, bytes, format!("0000:{:02X}:00.0", ordinal + 1).as_bytes())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetByPCIBusId(device: Out<c_int>, id: Text) -> Code {
    let find = |id: &str| {
        let bus = id.split(':').nth_back(1)?;
        c_int::from_str_radix(bus, 16).ok()?.checked_sub(1)
    };
    edge(|| {
        let ordinal = find(id.utf8()?).ok_or(Code::INVALID_VALUE)?;
        Machine::get()?.device(ordinal)?;
        device.put(ordinal)
    })
}
