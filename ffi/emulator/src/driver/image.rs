//! Images that programs load: PTX text, and the logs of its compilation.

use super::abi::{In, Out, Text, put_text};
use crate::code::{Code, Outcome};
use crate::handle::Handle;
use crate::image::Refusal;
use std::ffi::{OsStr, c_uint, c_void};
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
pub(super) struct Options {
    error_log: Option<Out<u8>>,
    error_log_bytes: usize,
    /// Where the caller wants to know how long a log became.
    error_log_used: Option<Out<usize>>,
    info_log_used: Option<Out<usize>>,
}

impl Options {
    /// Reads the options of a call.
    pub(super) fn read(
        count: c_uint,
        options: In<c_uint>,
        values: *mut *mut c_void,
    ) -> Outcome<Self> {
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
    pub(super) fn finish(&self, words: &str) -> Outcome {
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

/// The PTX of an image.
pub(super) fn text_of(image: &[u8]) -> Result<&str, Refusal> {
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

/// Makes what `make` makes of a text, and tells the logs why it does not.
pub(super) fn load(
    out: Out<Handle>,
    image: &[u8],
    options: &Options,
    make: impl FnOnce(&str) -> Result<Handle, Refusal>,
) -> Outcome {
    if out.is_null() {
        return Err(Code::INVALID_VALUE);
    }
    match text_of(image).and_then(make) {
        Ok(made) => {
            options.finish("")?;
            out.put(made)
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

/// The image in a file.
pub(super) fn image_in(path: Text) -> Outcome<Vec<u8>> {
    let path = OsStr::from_bytes(path.get()?.to_bytes());
    std::fs::read(path).map_err(|_| Code::FILE_NOT_FOUND)
}

/// The image that a program passes: text that ends with zero, or something else whose first bytes
/// are enough to refuse it.
pub(super) fn image_of(image: Text) -> Outcome<Vec<u8>> {
    Ok(image.get()?.to_bytes().to_vec())
}
