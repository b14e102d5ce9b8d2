//! The linker's calls.

use super::abi::{In, Out, Text, edge};
use super::image::{Options, image_in, text_of};
use crate::code::{Code, Outcome};
use crate::context;
use crate::handle::Handle;
use crate::image::Refusal;
use crate::link::{LINKERS, Linker};
use std::ffi::{c_uint, c_void};

/// `CU_JIT_INPUT_PTX`. Machine code and intermediate code are refused.
const PTX: c_uint = 1;
/// The last of `CUjitInputType`.
const LAST_INPUT: c_uint = 5;

#[unsafe(no_mangle)]
extern "C" fn cuLinkCreate_v2(
    count: c_uint,
    options: In<c_uint>,
    values: *mut *mut c_void,
    out: Out<Handle>,
) -> Code {
    edge(|| {
        context::current()?;
        if out.is_null() {
            return Err(Code::INVALID_VALUE);
        }
        // Nothing is compiled before the outcome is loaded, so there is nothing to log.
        Options::read(count, options, values)?.finish("")?;
        out.put(Linker::create())
    })
}

fn add(linker: Handle, kind: c_uint, image: &[u8]) -> Outcome {
    let linker = Linker::of(linker)?;
    match kind {
        PTX => {}
        0..=LAST_INPUT => return Err(Code::NO_BINARY_FOR_GPU),
        _ => return Err(Code::INVALID_VALUE),
    }
    linker.add(text_of(image).map_err(|Refusal { code, .. }| code)?)
}

#[unsafe(no_mangle)]
extern "C" fn cuLinkAddData_v2(
    linker: Handle,
    kind: c_uint,
    data: In<u8>,
    bytes: usize,
    _name: Text,
    _count: c_uint,
    _options: In<c_uint>,
    _values: *mut *mut c_void,
) -> Code {
    edge(|| add(linker, kind, &data.take(bytes)?))
}

#[unsafe(no_mangle)]
extern "C" fn cuLinkAddFile_v2(
    linker: Handle,
    kind: c_uint,
    path: Text,
    _count: c_uint,
    _options: In<c_uint>,
    _values: *mut *mut c_void,
) -> Code {
    edge(|| add(linker, kind, &image_in(path)?))
}

#[unsafe(no_mangle)]
extern "C" fn cuLinkComplete(linker: Handle, image: Out<*const u8>, bytes: Out<usize>) -> Code {
    edge(|| {
        let (start, length) = Linker::of(linker)?.complete()?;
        image.put(start)?;
        bytes.put_if_wanted(length)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuLinkDestroy(linker: Handle) -> Code {
    edge(|| LINKERS.remove(linker).map(|_| ()))
}
