//! Functions: what they are and what they may use.

use super::abi::{Out, edge};
use crate::code::{Code, Outcome};
use crate::handle::Handle;
use crate::module::{Function, Module};
use std::ffi::{CStr, c_char, c_int, c_uint};

#[unsafe(no_mangle)]
extern "C" fn cuFuncGetModule(out: Out<Handle>, function: Handle) -> Code {
    edge(|| out.put(Function::of(function)?.module))
}

/// The text stays as long as the module.
#[unsafe(no_mangle)]
extern "C" fn cuFuncGetName(out: Out<*const c_char>, function: Handle) -> Code {
    edge(|| {
        let function = Function::of(function)?;
        let name: &CStr = &function.name;
        out.put(name.as_ptr())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuFuncGetParamInfo(
    function: Handle,
    index: usize,
    offset: Out<usize>,
    bytes: Out<usize>,
) -> Code {
    edge(|| put_param(&*Function::of(function)?, index, offset, bytes))
}

/// Says where a parameter lies and how long it is.
pub(super) fn put_param(
    function: &Function,
    index: usize,
    offset: Out<usize>,
    bytes: Out<usize>,
) -> Outcome {
    let param = function.kernel.params.get(index).ok_or(Code::INVALID_VALUE)?;
    offset.put(param.offset as usize)?;
    bytes.put_if_wanted(param.size as usize)
}

#[unsafe(no_mangle)]
extern "C" fn cuFuncLoad(function: Handle) -> Code {
    edge(|| Function::of(function).map(|_| ()))
}

#[unsafe(no_mangle)]
extern "C" fn cuFuncIsLoaded(out: Out<c_uint>, function: Handle) -> Code {
    const LOADED: c_uint = 1;
    edge(|| {
        Function::of(function)?;
        out.put(LOADED)
    })
}

/// `CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES`.
const MAX_DYNAMIC_SHARED: c_uint = 8;
/// `CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT`: a hint about caches, of which there are
/// none.
const CARVEOUT: c_uint = 9;

/// An attribute of a function.
pub(super) fn attribute(function: &Function, attribute: c_uint) -> Outcome<c_int> {
    let claim = function.context.device().claim();
    let kernel = &function.kernel;
    let (major, minor) = claim.capability;
    let value = match attribute {
        0 => kernel.max_threads,
        1 => kernel.static_shared_bytes,
        // All of the module's, as its constants are one bank.
        2 => {
            let bytes = Module::of(function.module)?.constant_bytes;
            u32::try_from(bytes).map_err(|_| Code::INVALID_VALUE)?
        }
        3 => kernel.local_bytes,
        4 => kernel.register_count,
        // PTX and binary version; the compiler takes every text to the device's own.
        5 | 6 => major * 10 + minor,
        MAX_DYNAMIC_SHARED => function.dynamic_shared_max(),
        // Cache mode, clusters: none.
        7 | 10..=16 => 0,
        CARVEOUT => return Ok(-1),
        _ => return Err(Code::INVALID_VALUE),
    };
    c_int::try_from(value).map_err(|_| Code::INVALID_VALUE)
}

/// Sets an attribute of a function.
pub(super) fn set_attribute(function: &Function, attribute: c_uint, value: c_int) -> Outcome {
    match attribute {
        MAX_DYNAMIC_SHARED => {
            let bytes = u32::try_from(value).map_err(|_| Code::INVALID_VALUE)?;
            function.set_dynamic_shared_max(bytes)
        }
        CARVEOUT if (-1..=100).contains(&value) => Ok(()),
        10..=15 => Err(Code::NOT_SUPPORTED),
        _ => Err(Code::INVALID_VALUE),
    }
}

/// Caches are not emulated: every preference is met.
pub(super) fn check_cache_config(config: c_uint) -> Outcome {
    if config <= 3 { Ok(()) } else { Err(Code::INVALID_VALUE) }
}

#[unsafe(no_mangle)]
extern "C" fn cuFuncGetAttribute(out: Out<c_int>, number: c_uint, function: Handle) -> Code {
    edge(|| out.put(attribute(&*Function::of(function)?, number)?))
}

#[unsafe(no_mangle)]
extern "C" fn cuFuncSetAttribute(function: Handle, number: c_uint, value: c_int) -> Code {
    edge(|| set_attribute(&*Function::of(function)?, number, value))
}

#[unsafe(no_mangle)]
extern "C" fn cuFuncSetCacheConfig(function: Handle, config: c_uint) -> Code {
    edge(|| {
        Function::of(function)?;
        check_cache_config(config)
    })
}

/// Banks of shared memory are not emulated: every preference is met.
#[unsafe(no_mangle)]
extern "C" fn cuFuncSetSharedMemConfig(function: Handle, config: c_uint) -> Code {
    edge(|| {
        Function::of(function)?;
        if config <= 2 { Ok(()) } else { Err(Code::INVALID_VALUE) }
    })
}
