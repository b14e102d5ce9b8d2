//! Codes in words.

use super::abi::{Out, early_edge};
use crate::code::Code;
use std::ffi::{CStr, c_char};

fn put(text: Out<*const c_char>, known: Option<&'static CStr>) -> Code {
    early_edge(|| {
        text.put(known.map_or(std::ptr::null(), CStr::as_ptr))?;
        known.map(|_| ()).ok_or(Code::INVALID_VALUE)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuGetErrorName(error: Code, text: Out<*const c_char>) -> Code {
    put(text, error.name())
}

#[unsafe(no_mangle)]
extern "C" fn cuGetErrorString(error: Code, text: Out<*const c_char>) -> Code {
    put(text, error.text())
}
