//! Libraries and their kernels, which belong to no context.

use super::abi::{In, Out, Text, edge};
use super::function::{attribute, check_cache_config, put_param, set_attribute};
use super::image::{Options, image_in, image_of, load};
use super::module::{put_variable, variable};
use crate::code::{Code, Outcome};
use crate::context;
use crate::handle::Handle;
use crate::library::{Library, LibraryKernel};
use crate::machine::Machine;
use crate::module::{Function, Module};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::Arc;

/// `CU_LIBRARY_HOST_UNIVERSAL_FUNCTION_AND_DATA_TABLE`: refused. The other option says that the
/// program keeps its image, which is copied all the same.
const HOST_TABLE: c_uint = 0;

fn check_options(count: c_uint, options: In<c_uint>) -> Outcome {
    for option in options.take(count as usize)? {
        match option {
            HOST_TABLE => return Err(Code::NOT_SUPPORTED),
            1 => {}
            _ => return Err(Code::INVALID_VALUE),
        }
    }
    Ok(())
}

#[unsafe(no_mangle)]
extern "C" fn cuLibraryLoadData(
    out: Out<Handle>,
    image: Text,
    options: In<c_uint>,
    values: *mut *mut c_void,
    count: c_uint,
    library_options: In<c_uint>,
    _library_values: *mut *mut c_void,
    library_count: c_uint,
) -> Code {
    edge(|| {
        check_options(library_count, library_options)?;
        load(out, &image_of(image)?, &Options::read(count, options, values)?, Library::load)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuLibraryLoadFromFile(
    out: Out<Handle>,
    path: Text,
    options: In<c_uint>,
    values: *mut *mut c_void,
    count: c_uint,
    library_options: In<c_uint>,
    _library_values: *mut *mut c_void,
    library_count: c_uint,
) -> Code {
    edge(|| {
        check_options(library_count, library_options)?;
        load(out, &image_in(path)?, &Options::read(count, options, values)?, Library::load)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuLibraryUnload(library: Handle) -> Code {
    edge(|| Library::unload(library))
}

#[unsafe(no_mangle)]
extern "C" fn cuLibraryGetKernel(out: Out<Handle>, library: Handle, name: Text) -> Code {
    edge(|| {
        let library = Library::of(library)?;
        out.put(*library.kernels.get(name.utf8()?).ok_or(Code::NOT_FOUND)?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuLibraryGetKernelCount(out: Out<c_uint>, library: Handle) -> Code {
    edge(|| {
        let count = Library::of(library)?.kernels.len();
        out.put(c_uint::try_from(count).map_err(|_| Code::INVALID_VALUE)?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuLibraryEnumerateKernels(out: Out<Handle>, count: c_uint, library: Handle) -> Code {
    edge(|| {
        let library = Library::of(library)?;
        for (index, kernel) in library.kernels.values().take(count as usize).enumerate() {
            out.at(index).put(*kernel)?;
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuLibraryGetModule(out: Out<Handle>, library: Handle) -> Code {
    edge(|| out.put(Library::of(library)?.module()?))
}

/// A variable of the library's module in the current context.
#[unsafe(no_mangle)]
extern "C" fn cuLibraryGetGlobal(
    address: Out<u64>,
    bytes: Out<usize>,
    library: Handle,
    name: Text,
) -> Code {
    edge(|| {
        let module = Module::of(Library::of(library)?.module()?)?;
        put_variable(variable(&module, name)?, address, bytes)
    })
}

/// A variable in managed memory, which is one for all contexts: that of the current context's
/// module, so it is refused once another context has one, too.
#[unsafe(no_mangle)]
extern "C" fn cuLibraryGetManaged(
    address: Out<u64>,
    bytes: Out<usize>,
    library: Handle,
    name: Text,
) -> Code {
    edge(|| {
        let library = Library::of(library)?;
        let module = Module::of(library.module()?)?;
        let variable = variable(&module, name)?;
        let memory = module.context.device().memory();
        if !memory.find(variable.address).is_some_and(|found| found.managed) {
            return Err(Code::NOT_FOUND);
        }
        if library.is_shared() {
            return Err(Code::NOT_SUPPORTED);
        }
        put_variable(variable, address, bytes)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuKernelGetFunction(out: Out<Handle>, kernel: Handle) -> Code {
    edge(|| out.put(LibraryKernel::of(kernel)?.function()?))
}

#[unsafe(no_mangle)]
extern "C" fn cuKernelGetLibrary(out: Out<Handle>, kernel: Handle) -> Code {
    edge(|| out.put(LibraryKernel::of(kernel)?.library))
}

/// The text stays as long as the library.
#[unsafe(no_mangle)]
extern "C" fn cuKernelGetName(out: Out<*const c_char>, kernel: Handle) -> Code {
    edge(|| {
        let kernel = LibraryKernel::of(kernel)?;
        let name: &CStr = &kernel.name;
        out.put(name.as_ptr())
    })
}

/// The kernel's function on a device, which is the current context's: a kernel has no other state.
fn on_device(kernel: Handle, device: c_int) -> Outcome<Arc<Function>> {
    Machine::get()?.device(device)?;
    let kernel = LibraryKernel::of(kernel)?;
    if context::current()?.device().ordinal().cast_signed() != device {
        return Err(Code::NOT_SUPPORTED);
    }
    Function::of(kernel.function()?)
}

#[unsafe(no_mangle)]
extern "C" fn cuKernelGetAttribute(
    out: Out<c_int>,
    number: c_uint,
    kernel: Handle,
    device: c_int,
) -> Code {
    edge(|| out.put(attribute(&*on_device(kernel, device)?, number)?))
}

#[unsafe(no_mangle)]
extern "C" fn cuKernelSetAttribute(
    number: c_uint,
    value: c_int,
    kernel: Handle,
    device: c_int,
) -> Code {
    edge(|| set_attribute(&*on_device(kernel, device)?, number, value))
}

#[unsafe(no_mangle)]
extern "C" fn cuKernelSetCacheConfig(kernel: Handle, config: c_uint, device: c_int) -> Code {
    edge(|| {
        on_device(kernel, device)?;
        check_cache_config(config)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuKernelGetParamInfo(
    kernel: Handle,
    index: usize,
    offset: Out<usize>,
    bytes: Out<usize>,
) -> Code {
    edge(|| {
        let function = Function::of(LibraryKernel::of(kernel)?.function()?)?;
        put_param(&function, index, offset, bytes)
    })
}
