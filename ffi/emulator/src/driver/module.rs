//! Modules: loading PTX, finding functions and variables in it.

use super::abi::{In, Out, Text, edge, put_text};
use crate::code::{Code, Outcome};
use crate::handle::Handle;
use crate::machine::Machine;
use crate::module::{FUNCTIONS, Function, Module, Refusal};
use crate::strict::{self, Call};
use std::ffi::{CStr, OsStr, c_char, c_int, c_uint, c_void};
use std::os::unix::ffi::OsStrExt;

/// `CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES`.
const INFO_LOG_BYTES: c_uint = 4;
/// `CU_JIT_ERROR_LOG_BUFFER`.
const ERROR_LOG: c_uint = 5;
/// `CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES`.
const ERROR_LOG_BYTES: c_uint = 6;
/// First bytes of a cubin and of a fat binary: machine code, which no emulated device runs.
const ELF: &[u8] = b"\x7fELF";
const FAT_BINARY: &[u8] = &0xba55_ed50_u32.to_le_bytes();

/// Options of a compilation. All but the logs would change how code is made for a real device, and
/// no result.
#[derive(Default)]
struct Options {
    error_log: Option<Out<u8>>,
    error_log_bytes: usize,
    /// Where the caller wants to know how long a log became.
    error_log_used: Option<Out<usize>>,
    info_log_used: Option<Out<usize>>,
}

impl Options {
    fn read(count: c_uint, options: In<c_uint>, values: *mut *mut c_void) -> Outcome<Self> {
        let mut read = Self::default();
        let values_in = In::from(values.cast_const());
        let place = |index| Out::from(values.cast::<usize>()).at(index);
        for index in 0..count as usize {
            let value: *mut c_void = values_in.at(index)?;
            match options.at(index)? {
                INFO_LOG_BYTES => read.info_log_used = Some(place(index)),
                ERROR_LOG => read.error_log = Some(Out::from(value.cast())),
                ERROR_LOG_BYTES => {
                    read.error_log_bytes = value.addr();
                    read.error_log_used = Some(place(index));
                }
                _ => {}
            }
        }
        Ok(read)
    }

    /// Writes the logs: nothing to say but why a text was refused.
    fn finish(&self, words: &str) -> Outcome {
        if let Some(used) = self.info_log_used {
            used.put(0)?;
        }
        if let Some(log) = self.error_log
            && self.error_log_bytes > 0
        {
            put_text(log, self.error_log_bytes, words.as_bytes())?;
        }
        if let Some(used) = self.error_log_used {
            used.put(words.len().min(self.error_log_bytes.saturating_sub(1)))?;
        }
        Ok(())
    }
}

fn text_of(image: &[u8]) -> Result<&str, Refusal> {
    if image.starts_with(ELF) || image.starts_with(FAT_BINARY) {
        let words = "machine code, which an emulated device does not run; load PTX".to_owned();
        return Err(Refusal { code: Code::NO_BINARY_FOR_GPU, words });
    }
    let image = image.strip_suffix(b"\0").unwrap_or(image);
    match std::str::from_utf8(image) {
        Ok(text) if !text.trim().is_empty() => Ok(text),
        _ => Err(Code::INVALID_IMAGE.into()),
    }
}

fn load(out: Out<Handle>, image: &[u8], options: &Options) -> Outcome {
    Machine::get()?;
    if out.is_null() {
        return Err(Code::INVALID_VALUE);
    }
    strict::synchronise(Call::LoadModule)?;
    match text_of(image).and_then(Module::load) {
        Ok(module) => {
            options.finish("")?;
            out.put(module)
        }
        Err(Refusal { code, words }) => {
            if !words.is_empty() {
                eprintln!("gpumux emulator: PTX refused: {words}");
            }
            options.finish(&words)?;
            Err(code)
        }
    }
}

/// The image that a program passes: text that ends with zero, or something else whose first bytes
/// are enough to refuse it.
fn image_of(image: Text) -> Outcome<Vec<u8>> {
    Ok(image.get()?.to_bytes().to_vec())
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleLoadData(out: Out<Handle>, image: Text) -> Code {
    edge(|| load(out, &image_of(image)?, &Options::default()))
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleLoadDataEx(
    out: Out<Handle>,
    image: Text,
    count: c_uint,
    options: In<c_uint>,
    values: *mut *mut c_void,
) -> Code {
    edge(|| load(out, &image_of(image)?, &Options::read(count, options, values)?))
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
        load(out, &image, &Options::default())
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

#[unsafe(no_mangle)]
extern "C" fn cuFuncGetModule(out: Out<Handle>, function: Handle) -> Code {
    edge(|| out.put(Function::of(function)?.module))
}

/// The text stays as long as the module.
#[unsafe(no_mangle)]
extern "C" fn cuFuncGetName(out: Out<*const c_char>, function: Handle) -> Code {
    edge(|| {
        let function = FUNCTIONS.get(function)?;
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
    edge(|| {
        let function = Function::of(function)?;
        let param = function.kernel.params.get(index).ok_or(Code::INVALID_VALUE)?;
        offset.put(param.offset as usize)?;
        bytes.put_if_wanted(param.size as usize)
    })
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

#[unsafe(no_mangle)]
extern "C" fn cuFuncGetAttribute(out: Out<c_int>, attribute: c_uint, function: Handle) -> Code {
    edge(|| {
        let function = Function::of(function)?;
        let claim = function.context.device().claim();
        let kernel = &function.kernel;
        let (major, minor) = claim.capability;
        let value = match attribute {
            0 => kernel.max_threads,
            1 => kernel.static_shared_bytes,
            3 => kernel.local_bytes,
            4 => kernel.register_count,
            // PTX and binary version; the compiler takes every text to the device's own.
            5 | 6 => major * 10 + minor,
            MAX_DYNAMIC_SHARED => function.dynamic_shared_max(),
            // Constant memory of its own, cache mode, clusters: none.
            2 | 7 | 10..=16 => 0,
            CARVEOUT => return out.put(-1),
            _ => return Err(Code::INVALID_VALUE),
        };
        out.put(c_int::try_from(value).map_err(|_| Code::INVALID_VALUE)?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuFuncSetAttribute(function: Handle, attribute: c_uint, value: c_int) -> Code {
    edge(|| {
        let function = Function::of(function)?;
        match attribute {
            MAX_DYNAMIC_SHARED => {
                let bytes = u32::try_from(value).map_err(|_| Code::INVALID_VALUE)?;
                function.set_dynamic_shared_max(bytes)
            }
            CARVEOUT if (-1..=100).contains(&value) => Ok(()),
            10..=15 => Err(Code::NOT_SUPPORTED),
            _ => Err(Code::INVALID_VALUE),
        }
    })
}

/// Caches are not emulated: every preference is met.
#[unsafe(no_mangle)]
extern "C" fn cuFuncSetCacheConfig(function: Handle, config: c_uint) -> Code {
    edge(|| {
        Function::of(function)?;
        if config <= 3 { Ok(()) } else { Err(Code::INVALID_VALUE) }
    })
}
