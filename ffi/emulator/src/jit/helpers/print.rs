//! What kernels print. A text is formatted by the host's C library and goes to its standard output
//! at once; a device hands its texts over when the host waits for it, so here they are never later.

use std::ffi::{CStr, CString, c_char, c_int, c_void};

use super::memory::readable;
use crate::block::Fault;
use crate::jit::frame::{BlockFrame, ThreadFrame};

/// No directive may have more values: the guide's limit.
const VALUES_MAX: usize = 32;
/// A text without an end must not read on for ever.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// The widest field that is formatted.
const FIELD_MAX: usize = 1 << 16;

unsafe extern "C" {
    static stdout: *mut libc::FILE;
}

/// Reads device memory from `address` on; `None` records a fault.
fn byte(frame: &BlockFrame, thread: &ThreadFrame, address: u64) -> Option<u8> {
    let pointer = readable(frame, thread, address, 1)?;
    // SAFETY: the byte may be read, as was just checked; another thread may write it meanwhile.
    Some(unsafe { pointer.read_volatile() })
}

/// A text of device memory without its terminating zero.
pub(super) fn text(frame: &BlockFrame, thread: &ThreadFrame, address: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for offset in 0..TEXT_BYTES_MAX as u64 {
        match byte(frame, thread, address.wrapping_add(offset))? {
            0 => break,
            byte => bytes.push(byte),
        }
    }
    Some(bytes)
}

/// The values behind a format: each aligned to its own size.
struct Values<'a> {
    frame: &'a BlockFrame,
    thread: &'a ThreadFrame,
    at: u64,
    taken: usize,
}

impl Values<'_> {
    /// The next value of `bytes` bytes.
    fn next(&mut self, bytes: u64) -> Option<u64> {
        self.taken += 1;
        let address = self.at.next_multiple_of(bytes);
        self.at = address + bytes;
        let mut value = 0;
        for offset in 0..bytes {
            value |= u64::from(byte(self.frame, self.thread, address + offset)?) << (8 * offset);
        }
        Some(value)
    }

    fn next_int(&mut self) -> Option<c_int> {
        let low = u32::try_from(self.next(4)? & 0xffff_ffff).unwrap_or(0);
        Some(low.cast_signed())
    }
}

/// One `%…` of a format, understood.
#[derive(Debug, PartialEq, Eq)]
struct Directive {
    /// Flags, width and precision as they are written, with stars replaced.
    manner: Vec<u8>,
    /// `h`s and `l`s.
    length: Vec<u8>,
    kind: u8,
}

/// Formats one value with the C library. `manner` and `length` hold only characters of the grammar.
fn formatted(directive: &Directive, value: u64) -> Option<Vec<u8>> {
    let mut spelled = b"%".to_vec();
    spelled.extend(&directive.manner);
    spelled.extend(&directive.length);
    spelled.push(directive.kind);
    let spelled = CString::new(spelled).ok()?;
    let mut buffer = vec![0u8; FIELD_MAX];
    let (start, room) = (buffer.as_mut_ptr().cast::<c_char>(), buffer.len());
    let format = spelled.as_ptr();
    let written = match (directive.kind, directive.length.as_slice()) {
        (b'e' | b'E' | b'f' | b'F' | b'g' | b'G' | b'a' | b'A', _) => {
            let value = f64::from_bits(value);
            // SAFETY: the buffer has `room` bytes, and the one directive takes a double.
            unsafe { libc::snprintf(start, room, format, value) }
        }
        (b'p', _) => {
            let value: *const c_void = std::ptr::without_provenance(usize::try_from(value).ok()?);
            // SAFETY: as above, and the directive takes a pointer, which is only printed.
            unsafe { libc::snprintf(start, room, format, value) }
        }
        (_, [b'l', ..]) => {
            // SAFETY: as above, and the directive takes a number of 64 bits.
            unsafe { libc::snprintf(start, room, format, value) }
        }
        _ => {
            let value = u32::try_from(value & 0xffff_ffff).unwrap_or(0);
            // SAFETY: as above, and the directive takes a number of 32 bits.
            unsafe { libc::snprintf(start, room, format, value) }
        }
    };
    buffer.truncate(usize::try_from(written).ok()?.min(FIELD_MAX - 1));
    Some(buffer)
}

/// Formats a text by the C library.
fn formatted_text(directive: &Directive, text: Vec<u8>) -> Option<Vec<u8>> {
    if directive.manner.is_empty() {
        return Some(text);
    }
    let text = CString::new(text).ok()?;
    let mut spelled = b"%".to_vec();
    spelled.extend(&directive.manner);
    spelled.push(b's');
    let spelled = CString::new(spelled).ok()?;
    let mut buffer = vec![0u8; FIELD_MAX];
    let (start, room) = (buffer.as_mut_ptr().cast::<c_char>(), buffer.len());
    let (format, text): (&CStr, &CStr) = (&spelled, &text);
    // SAFETY: the buffer has `room` bytes, and the one directive takes a text that ends with zero.
    let written = unsafe { libc::snprintf(start, room, format.as_ptr(), text.as_ptr()) };
    buffer.truncate(usize::try_from(written).ok()?.min(FIELD_MAX - 1));
    Some(buffer)
}

/// Reads the directive after a `%`, up to and including its kind; `None` when it is none.
fn directive(format: &[u8], values: &mut Values<'_>) -> Option<Option<(Directive, usize)>> {
    let mut at = 0;
    let mut manner = Vec::new();
    while let Some(&byte) = format.get(at) {
        match byte {
            b'#' | b' ' | b'0'..=b'9' | b'+' | b'-' | b'.' => manner.push(byte),
            b'*' => manner.extend(values.next_int()?.to_string().into_bytes()),
            _ => break,
        }
        at += 1;
    }
    let length: Vec<u8> =
        format[at..].iter().copied().take_while(|byte| matches!(byte, b'h' | b'l')).collect();
    at += length.len();
    Some(format.get(at).map(|&kind| (Directive { manner, length, kind }, at + 1)))
}

/// The text of a format and its values, and how many values it took. `None` records a fault.
fn assembled(
    frame: &BlockFrame,
    thread: &ThreadFrame,
    format: &[u8],
    address: u64,
) -> Option<(Vec<u8>, usize)> {
    let mut values = Values { frame, thread, at: address, taken: 0 };
    let mut out = Vec::new();
    let mut rest = format;
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let Some((directive, length)) = directive(rest, &mut values)? else { break };
        if values.taken >= VALUES_MAX {
            break;
        }
        let piece = match directive.kind {
            b'%' => Some(vec![b'%']),
            b's' => {
                let address = values.next(8)?;
                let text =
                    if address == 0 { b"(null)".to_vec() } else { text(frame, thread, address)? };
                formatted_text(&directive, text)
            }
            b'c' => {
                let character = values.next(4)?;
                match u8::try_from(character & 0xff) {
                    // The C library's own text would end there.
                    Ok(0) | Err(_) => Some(vec![0]),
                    Ok(_) => formatted(&directive, character),
                }
            }
            b'd' | b'i' | b'o' | b'u' | b'x' | b'X' => {
                let bytes = if directive.length.first() == Some(&b'l') { 8 } else { 4 };
                let value = values.next(bytes)?;
                formatted(&directive, value)
            }
            b'p' | b'e' | b'E' | b'f' | b'F' | b'g' | b'G' | b'a' | b'A' => {
                let value = values.next(8)?;
                formatted(&directive, value)
            }
            _ => None,
        };
        // What is no directive is printed as it stands.
        match piece {
            Some(piece) => out.extend(piece),
            None => {
                out.push(b'%');
                out.extend_from_slice(&rest[..length]);
            }
        }
        rest = &rest[length..];
    }
    out.extend_from_slice(rest);
    Some((out, values.taken))
}

/// `vprintf`: the count of values in the lower half, or a status to leave with in the upper.
pub(super) extern "C" fn print(
    frame: &BlockFrame,
    thread: &ThreadFrame,
    format: u64,
    values: u64,
) -> u64 {
    if format == 0 {
        // The guide: minus one for a format that is null.
        return u64::from(u32::MAX);
    }
    let found =
        text(frame, thread, format).and_then(|format| assembled(frame, thread, &format, values));
    let Some((text, count)) = found else { return 1 << 32 };
    // SAFETY: the C library's stream is set up before main and never changes here.
    let stream = unsafe { stdout };
    // SAFETY: the text has as many bytes as it says; the stream locks itself.
    unsafe { libc::fwrite(text.as_ptr().cast(), 1, text.len(), stream) };
    // SAFETY: as above. Whoever waits for the kernel finds the text behind the stream's own.
    unsafe { libc::fflush(stream) };
    count as u64
}

/// `__assertfail`: says what did not hold, in the driver's words.
pub(super) extern "C" fn assert_fail(
    frame: &BlockFrame,
    thread: &ThreadFrame,
    message: u64,
    file: u64,
    function: u64,
    line: u32,
    x: u32,
    y: u32,
    z: u32,
) -> u32 {
    // A text that cannot be read is a fault of its own.
    let read = |address| {
        text(frame, thread, address).map(|text| String::from_utf8_lossy(&text).into_owned())
    };
    if let (Some(message), Some(file), Some(function)) = (read(message), read(file), read(function))
    {
        let [block_x, block_y, block_z] = frame.index;
        eprintln!(
            "{file}:{line}: {function}: block: [{block_x},{block_y},{block_z}], \
             thread: [{x},{y},{z}] Assertion `{message}` failed."
        );
    }
    frame.fail(Fault::Assert)
}
