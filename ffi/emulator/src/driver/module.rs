//! Modules: loading PTX, finding functions and variables in it.

use super::abi::{In, Out, Text, edge};
use super::image::{Options, image_of, load};
use crate::code::Code;
use crate::handle::Handle;
use crate::image::Refusal;
use crate::machine::Machine;
use crate::module::Module;
use crate::strict::{self, Call};
use std::ffi::{OsStr, c_uint, c_void};
use std::os::unix::ffi::OsStrExt;

/// Makes a module of a text.
fn make(text: &str) -> Result<Handle, Refusal> {
    strict::synchronise(Call::LoadModule)?;
    Module::load(text)
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleLoadData(out: Out<Handle>, image: Text) -> Code {
    edge(|| load(out, &image_of(image)?, &Options::default(), make))
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleLoadDataEx(
    out: Out<Handle>,
    image: Text,
    count: c_uint,
    options: In<c_uint>,
    values: *mut *mut c_void,
) -> Code {
    edge(|| load(out, &image_of(image)?, &Options::read(count, options, values)?, make))
}

/// A fat binary holds machine code; what PTX it may hold beside that is packed.
#[unsafe(no_mangle)]
extern "C" fn cuModuleLoadFatBinary(_out: Out<Handle>, image: Text) -> Code {
    edge(|| {
        image.get()?;
        Err(Code::NO_BINARY_FOR_GPU)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleLoad(out: Out<Handle>, path: Text) -> Code {
    edge(|| {
        let path = OsStr::from_bytes(path.get()?.to_bytes());
        let image = std::fs::read(path).map_err(|_| Code::FILE_NOT_FOUND)?;
        load(out, &image, &Options::default(), make)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleUnload(module: Handle) -> Code {
    edge(|| {
        strict::synchronise(Call::LoadModule)?;
        Module::unload(module)
    })
}

/// Everything is compiled when it is loaded.
#[unsafe(no_mangle)]
extern "C" fn cuModuleGetLoadingMode(out: Out<c_uint>) -> Code {
    const EAGER: c_uint = 1;
    edge(|| {
        Machine::get()?;
        out.put(EAGER)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleGetFunction(out: Out<Handle>, module: Handle, name: Text) -> Code {
    edge(|| {
        let module = Module::of(module)?;
        let function = module.functions.get(name.utf8()?).ok_or(Code::NOT_FOUND)?;
        out.put(*function)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleGetFunctionCount(out: Out<c_uint>, module: Handle) -> Code {
    edge(|| {
        let count = Module::of(module)?.functions.len();
        out.put(c_uint::try_from(count).map_err(|_| Code::INVALID_VALUE)?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleEnumerateFunctions(out: Out<Handle>, count: c_uint, module: Handle) -> Code {
    edge(|| {
        let module = Module::of(module)?;
        for (index, function) in module.functions.values().take(count as usize).enumerate() {
            out.at(index).put(*function)?;
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleGetGlobal_v2(
    address: Out<u64>,
    bytes: Out<usize>,
    module: Handle,
    name: Text,
) -> Code {
    edge(|| {
        let module = Module::of(module)?;
        let variable = module.variables.get(name.utf8()?).ok_or(Code::NOT_FOUND)?;
        address.put_if_wanted(variable.address)?;
        bytes.put_if_wanted(usize::try_from(variable.bytes).map_err(|_| Code::INVALID_VALUE)?)
    })
}
