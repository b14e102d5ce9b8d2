//! Contexts, primary and other.
#![expect(non_snake_case, reason = "the names of the ABI")]

use super::abi::{In, Out, edge};
use crate::code::{Code, Outcome};
use crate::context::{self, Context, View};
use crate::handle::Handle;
use crate::machine::Machine;
use crate::stream::GREATEST_PRIORITY;
use crate::strict::{self, Call};
use std::ffi::{c_int, c_uint, c_void};

/// `CU_CTX_FLAGS_MASK` as of 12.1.
const FLAGS: c_uint = 0xff;
/// The version of the context interface, as `cuCtxGetApiVersion` counts it.
const API_VERSION: c_uint = 3020;

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxRetain(out: Out<Handle>, device: c_int) -> Code {
    edge(|| {
        let device = Machine::get()?.device(device)?;
        if out.is_null() {
            return Err(Code::INVALID_VALUE);
        }
        out.put(Context::retain_primary(device)?.handle())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxRelease_v2(device: c_int) -> Code {
    edge(|| Context::release_primary(Machine::get()?.device(device)?))
}

/// Destroys the primary context whoever retains it; their releases are still due.
#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxReset_v2(device: c_int) -> Code {
    edge(|| {
        let mut primary = Machine::get()?.device(device)?.primary();
        if let Some(context) = primary.context.take() {
            context.destroy();
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxGetState(
    device: c_int,
    flags: Out<c_uint>,
    active: Out<c_int>,
) -> Code {
    edge(|| {
        let primary = Machine::get()?.device(device)?.primary();
        flags.put(primary.flags)?;
        active.put(c_int::from(primary.context.is_some()))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxSetFlags_v2(device: c_int, flags: c_uint) -> Code {
    edge(|| {
        let device = Machine::get()?.device(device)?;
        if flags & !FLAGS != 0 {
            return Err(Code::INVALID_VALUE);
        }
        device.primary().flags = flags;
        Ok(())
    })
}

fn create(out: Out<Handle>, flags: c_uint, device: c_int) -> Outcome {
    let device = Machine::get()?.device(device)?;
    if flags & !FLAGS != 0 || out.is_null() {
        return Err(Code::INVALID_VALUE);
    }
    let context = Context::create(device, flags)?;
    out.put(context.handle())?;
    context::push(View::from(&context));
    Ok(())
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxCreate_v2(out: Out<Handle>, flags: c_uint, device: c_int) -> Code {
    edge(|| create(out, flags, device))
}

/// An affinity is an MPS matter: a context with one is refused.
#[unsafe(no_mangle)]
extern "C" fn cuCtxCreate_v3(
    out: Out<Handle>,
    _affinities: *mut c_void,
    count: c_int,
    flags: c_uint,
    device: c_int,
) -> Code {
    edge(|| {
        if count != 0 {
            return Err(Code::UNSUPPORTED_EXEC_AFFINITY);
        }
        create(out, flags, device)
    })
}

/// `CUctxCreateParams`.
#[repr(C)]
#[derive(Clone, Copy)]
struct CUctxCreateParams {
    execAffinityParams: *mut c_void,
    numExecAffinityParams: c_int,
    cigParams: *mut c_void,
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxCreate_v4(
    out: Out<Handle>,
    params: In<CUctxCreateParams>,
    flags: c_uint,
    device: c_int,
) -> Code {
    edge(|| {
        if !params.is_null() {
            let params = params.get()?;
            if params.numExecAffinityParams != 0 || !params.execAffinityParams.is_null() {
                return Err(Code::UNSUPPORTED_EXEC_AFFINITY);
            }
            if !params.cigParams.is_null() {
                return Err(Code::NOT_SUPPORTED);
            }
        }
        create(out, flags, device)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxDestroy_v2(handle: Handle) -> Code {
    edge(|| {
        // That of a green context is a primary one as well.
        let context = find(handle)?.context;
        strict::synchronise_device(Call::Context, context.device());
        let is_primary = {
            let primary = context.device().primary();
            primary.context.as_ref().is_some_and(|primary| primary.is(&context))
        };
        if is_primary {
            return Err(Code::INVALID_CONTEXT);
        }
        context.destroy();
        if context::top().is_some_and(|top| top.context.is(&context)) {
            context::pop();
        }
        Ok(())
    })
}

/// A context by its handle.
fn find(handle: Handle) -> Outcome<View> {
    View::of(handle)
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetCurrent(out: Out<Handle>) -> Code {
    edge(|| out.put(context::top_handle()))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSetCurrent(handle: Handle) -> Code {
    edge(|| {
        let view = if handle == Handle::NULL { None } else { Some(find(handle)?) };
        context::set_top(view);
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxPushCurrent_v2(handle: Handle) -> Code {
    edge(|| {
        context::push(find(handle)?);
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxPopCurrent_v2(out: Out<Handle>) -> Code {
    edge(|| {
        let view = context::pop().ok_or(Code::INVALID_CONTEXT)?;
        out.put_if_wanted(view.handle())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSynchronize() -> Code {
    edge(|| {
        strict::synchronise(Call::Context)?;
        context::current_view()?.synchronize()
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetDevice(out: Out<c_int>) -> Code {
    edge(|| {
        let context = context::current()?;
        out.put(context.device().ordinal().cast_signed())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetFlags(out: Out<c_uint>) -> Code {
    edge(|| out.put(context::current()?.flags()))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetId(handle: Handle, out: Out<u64>) -> Code {
    edge(|| {
        let view = if handle == Handle::NULL { context::current_view()? } else { find(handle)? };
        let number = view.green.map_or(view.context.number(), |green| green.number());
        out.put(number as u64)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetApiVersion(handle: Handle, out: Out<c_uint>) -> Code {
    edge(|| {
        if handle == Handle::NULL {
            context::current_view()?
        } else {
            find(handle)?
        };
        out.put(API_VERSION)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetStreamPriorityRange(least: Out<c_int>, greatest: Out<c_int>) -> Code {
    edge(|| {
        context::current()?;
        least.put_if_wanted(0)?;
        greatest.put_if_wanted(GREATEST_PRIORITY)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetLimit(out: Out<usize>, limit: c_uint) -> Code {
    edge(|| out.put(context::current()?.limit(limit)?))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSetLimit(limit: c_uint, value: usize) -> Code {
    edge(|| context::current()?.set_limit(limit, value))
}

/// Caches are not emulated: every preference is met.
#[unsafe(no_mangle)]
extern "C" fn cuCtxGetCacheConfig(out: Out<c_uint>) -> Code {
    edge(|| {
        context::current()?;
        out.put(0)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSetCacheConfig(config: c_uint) -> Code {
    edge(|| {
        context::current()?;
        if config <= 3 { Ok(()) } else { Err(Code::INVALID_VALUE) }
    })
}
