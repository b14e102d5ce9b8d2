//! Modules: loading PTX, finding functions and variables in it.

use super::abi::{In, Out, Text, edge};
use super::image::{Options, image_in, image_of, load};
use crate::code::{Code, Outcome};
use crate::handle::Handle;
use crate::module::{Module, Variable};
use std::ffi::{c_uint, c_void};

#[unsafe(no_mangle)]
extern "C" fn cuModuleLoadData(out: Out<Handle>, image: Text) -> Code {
    edge(|| load(out, &image_of(image)?, &Options::default(), Module::load))
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleLoadDataEx(
    out: Out<Handle>,
    image: Text,
    count: c_uint,
    options: In<c_uint>,
    values: *mut *mut c_void,
) -> Code {
    edge(|| load(out, &image_of(image)?, &Options::read(count, options, values)?, Module::load))
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
    edge(|| load(out, &image_in(path)?, &Options::default(), Module::load))
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleUnload(module: Handle) -> Code {
    edge(|| Module::unload(module))
}

/// Everything is compiled when it is loaded.
#[unsafe(no_mangle)]
extern "C" fn cuModuleGetLoadingMode(out: Out<c_uint>) -> Code {
    const EAGER: c_uint = 1;
    edge(|| out.put(EAGER))
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
        put_variable(variable(&module, name)?, address, bytes)
    })
}

/// A variable of a module by its name.
pub(super) fn variable(module: &Module, name: Text) -> Outcome<Variable> {
    module.variables.get(name.utf8()?).copied().ok_or(Code::NOT_FOUND)
}

/// Says where a variable lies and how long it is.
pub(super) fn put_variable(variable: Variable, address: Out<u64>, bytes: Out<usize>) -> Outcome {
    address.put_if_wanted(variable.address)?;
    bytes.put_if_wanted(usize::try_from(variable.bytes).map_err(|_| Code::INVALID_VALUE)?)
}
