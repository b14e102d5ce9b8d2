//! What crosses the ABI besides handles: pointers that the caller passes, and the edge that no
//! panic passes. The contract of every exported function is the CUDA manual's: a pointer is null or
//! good for its type. These types hold to it in one place.

use crate::code::{Code, Outcome};
use crate::machine::Machine;
use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Where a result goes. Null is refused when it is written, unless the manual makes it optional.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Out<T>(*mut T);

impl<T: Copy> Out<T> {
    /// Whether the caller wants no result.
    pub(crate) fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// Writes the result.
    pub(crate) fn put(self, value: T) -> Outcome {
        if self.0.is_null() {
            return Err(Code::INVALID_VALUE);
        }
        // SAFETY: the caller's contract: not null, so writable as a `T`; C types may lie unaligned.
        unsafe { self.0.write_unaligned(value) };
        Ok(())
    }

    /// Writes the result where one is wanted.
    pub(crate) fn put_if_wanted(self, value: T) -> Outcome {
        if self.is_null() { Ok(()) } else { self.put(value) }
    }

    /// The place of the `index`th element, where the manual says that the pointer is an array.
    pub(crate) fn at(self, index: usize) -> Out<T> {
        if self.is_null() { self } else { Out(self.0.wrapping_add(index)) }
    }
}

impl<T> From<*mut T> for Out<T> {
    fn from(pointer: *mut T) -> Self {
        Self(pointer)
    }
}

/// Where an argument lies.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct In<T>(*const T);

impl<T: Copy> In<T> {
    /// Whether the caller passes none.
    pub(crate) fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// The bare address, where the manual makes the pointer a device's.
    pub(crate) fn address(self) -> u64 {
        self.0.addr() as u64
    }

    /// Reads the argument.
    pub(crate) fn get(self) -> Outcome<T> {
        self.at(0)
    }

    /// Reads the `index`th element, where the manual says that the pointer is an array.
    pub(crate) fn at(self, index: usize) -> Outcome<T> {
        if self.0.is_null() {
            return Err(Code::INVALID_VALUE);
        }
        // SAFETY: the caller's contract: an array at least this long, unaligned at worst.
        Ok(unsafe { self.0.wrapping_add(index).read_unaligned() })
    }

    /// Reads `count` elements.
    pub(crate) fn take(self, count: usize) -> Outcome<Vec<T>> {
        (0..count).map(|index| self.at(index)).collect()
    }
}

impl<T> From<*const T> for In<T> {
    fn from(pointer: *const T) -> Self {
        Self(pointer)
    }
}

/// Text that ends with a zero byte.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Text(*const c_char);

impl Text {
    /// The text, for as long as the call lasts.
    pub(crate) fn get(&self) -> Outcome<&CStr> {
        if self.0.is_null() {
            return Err(Code::INVALID_VALUE);
        }
        // SAFETY: the caller's contract: text that ends with zero and stays during the call, which
        // the borrow of `self`, an argument of the call, does not outlive.
        Ok(unsafe { CStr::from_ptr(self.0) })
    }

    /// The text, where it is UTF-8.
    pub(crate) fn utf8(&self) -> Outcome<&str> {
        self.get()?.to_str().map_err(|_| Code::INVALID_VALUE)
    }
}

/// Writes text and its zero byte into a buffer of `bytes`, cut where it does not fit.
pub(crate) fn put_text(buffer: Out<u8>, bytes: usize, text: &[u8]) -> Outcome {
    if bytes == 0 {
        return Err(Code::INVALID_VALUE);
    }
    let shown = &text[..text.len().min(bytes - 1)];
    for (index, byte) in shown.iter().chain([&0]).enumerate() {
        buffer.at(index).put(*byte)?;
    }
    Ok(())
}

/// Runs the body of an exported function, where the driver is initialised: no panic leaves it.
pub(crate) fn edge(body: impl FnOnce() -> Outcome) -> Code {
    early_edge(|| {
        // Before anything else is looked at, as drivers do.
        Machine::get()?;
        body()
    })
}

/// Runs the body of an exported function that may be called before `cuInit`.
pub(crate) fn early_edge(body: impl FnOnce() -> Outcome) -> Code {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => Code::SUCCESS,
        Ok(Err(code)) => code,
        // The panic's own message went to stderr.
        Err(_) => {
            eprintln!("gpumux emulator: a fault of the emulator's own, reported as 999");
            Code::UNKNOWN
        }
    }
}
