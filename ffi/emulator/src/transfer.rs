//! Bytes moved and set by the driver itself: copies, fills, and single values written or awaited in
//! stream order. Addresses on the device's side are checked against what is allocated each time
//! they are used; addresses on the host's side are the caller's word, as they are to a real driver.

use crate::code::{Code, Outcome};
use crate::machine::Machine;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// One side of a copy.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// Device memory, or host memory that devices may touch.
    Device(u64),
    /// The program's own memory.
    Host(u64),
}

impl Place {
    fn address(self) -> u64 {
        match self {
            Place::Device(address) | Place::Host(address) => address,
        }
    }

    fn check(self, machine: &Machine, bytes: u64) -> Outcome {
        match self {
            Place::Device(address) if !machine.covers(address, bytes) => Err(Code::INVALID_VALUE),
            Place::Host(0) => Err(Code::INVALID_VALUE),
            Place::Device(_) | Place::Host(_) => Ok(()),
        }
    }
}

/// Bytes that the driver moves or sets.
#[derive(Clone)]
pub(crate) enum Transfer {
    /// From one place to another; they may overlap.
    Copy {
        /// Where to.
        to: Place,
        /// Where from.
        from: Place,
        /// How many.
        bytes: u64,
    },
    /// From bytes that were set aside when the call was made.
    Staged {
        /// Where to.
        to: Place,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// Rows of a pattern, as `cuMemset*` and `cuMemsetD2D*` define them.
    Fill {
        /// Address of the first row.
        to: u64,
        /// Bytes from row to row.
        pitch: u64,
        /// Elements in a row.
        width: u64,
        /// Rows.
        height: u64,
        /// One element.
        pattern: Pattern,
    },
}

/// One element of a fill.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pattern {
    /// One byte.
    D8(u8),
    /// Two bytes.
    D16(u16),
    /// Four bytes.
    D32(u32),
}

impl Pattern {
    fn bytes(self) -> u64 {
        match self {
            Pattern::D8(_) => 1,
            Pattern::D16(_) => 2,
            Pattern::D32(_) => 4,
        }
    }
}

impl Transfer {
    /// How many bytes it writes.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Transfer::Copy { bytes, .. } => *bytes,
            Transfer::Staged { bytes, .. } => bytes.len() as u64,
            Transfer::Fill { width, height, pattern, .. } => {
                width.saturating_mul(*height).saturating_mul(pattern.bytes())
            }
        }
    }

    /// The same copy with its source read now, so that the program may reuse that memory. Only for
    /// a copy that passed [`Transfer::check`].
    pub(crate) fn staged(self) -> Outcome<Transfer> {
        let Transfer::Copy { to, from, bytes } = self else { return Ok(self) };
        let length = usize::try_from(bytes).map_err(|_| Code::INVALID_VALUE)?;
        let mut staged = vec![0_u8; length];
        let source = pointer(from.address());
        // SAFETY: the source is the caller's promise, as for `run`; `staged` is new and as long.
        unsafe { std::ptr::copy_nonoverlapping(source, staged.as_mut_ptr(), length) };
        Ok(Transfer::Staged { to, bytes: staged.into() })
    }

    /// The bytes of a copy that come from the host. Only while the copy runs, and after
    /// [`Transfer::check`].
    pub(crate) fn host_bytes(&self, machine: &Machine) -> Option<&[u8]> {
        match self {
            Transfer::Copy { from, bytes, .. } if machine.owner(from.address()).is_none() => {
                let bytes = usize::try_from(*bytes).ok()?;
                // SAFETY: host memory is the caller's promise until the copy is over, as for `run`.
                Some(unsafe { std::slice::from_raw_parts(pointer(from.address()), bytes) })
            }
            Transfer::Staged { bytes, .. } => Some(bytes),
            Transfer::Copy { .. } | Transfer::Fill { .. } => None,
        }
    }

    /// Whether its addresses are allowed now.
    pub(crate) fn check(&self, machine: &Machine) -> Outcome {
        match self {
            Transfer::Copy { to, from, bytes } => {
                to.check(machine, *bytes)?;
                from.check(machine, *bytes)
            }
            Transfer::Staged { to, bytes } => to.check(machine, bytes.len() as u64),
            Transfer::Fill { to, pitch, width, height, pattern } => {
                let row = width.checked_mul(pattern.bytes()).ok_or(Code::INVALID_VALUE)?;
                let before_last = height.saturating_sub(1);
                if !to.is_multiple_of(pattern.bytes())
                    || (before_last > 0 && (*pitch < row || !pitch.is_multiple_of(pattern.bytes())))
                {
                    return Err(Code::INVALID_VALUE);
                }
                let bytes = pitch.checked_mul(before_last).and_then(|most| most.checked_add(row));
                let bytes = bytes.ok_or(Code::INVALID_VALUE)?;
                if machine.covers(*to, bytes) { Ok(()) } else { Err(Code::INVALID_VALUE) }
            }
        }
    }

    /// Does it. Memory that was freed since the call is a fault of the device.
    pub(crate) fn run(&self, machine: &Machine) -> Outcome {
        self.check(machine).map_err(|_| Code::ILLEGAL_ADDRESS)?;
        match self {
            Transfer::Copy { to, from, bytes } => {
                let bytes = usize::try_from(*bytes).map_err(|_| Code::ILLEGAL_ADDRESS)?;
                let (to, from) = (pointer(to.address()), pointer(from.address()));
                // SAFETY: device sides were checked above and host sides are the caller's promise
                // (the driver's contract); `copy` allows overlap.
                unsafe { std::ptr::copy(from, to, bytes) };
            }
            Transfer::Staged { to, bytes } => {
                // SAFETY: as above for `to`; `bytes` is our own and apart from it.
                unsafe { std::ptr::copy(bytes.as_ptr(), pointer(to.address()), bytes.len()) };
            }
            Transfer::Fill { to, pitch, width, height, pattern } => {
                for row in 0..*height {
                    fill(to + row * pitch, *width, *pattern);
                }
            }
        }
        Ok(())
    }
}

fn fill(to: u64, width: u64, pattern: Pattern) {
    let width = usize::try_from(width).expect("the whole fill was checked");
    match pattern {
        // SAFETY: the row was checked with the whole fill.
        Pattern::D8(value) => unsafe { pointer(to).write_bytes(value, width) },
        Pattern::D16(value) => {
            let row: *mut u16 = pointer(to).cast();
            for index in 0..width {
                // SAFETY: in the checked row, and aligned as `check` demands.
                unsafe { row.wrapping_add(index).write(value) };
            }
        }
        Pattern::D32(value) => {
            let row: *mut u32 = pointer(to).cast();
            for index in 0..width {
                // SAFETY: in the checked row, and aligned as `check` demands.
                unsafe { row.wrapping_add(index).write(value) };
            }
        }
    }
}

fn pointer(address: u64) -> *mut u8 {
    std::ptr::with_exposed_provenance_mut(usize::try_from(address).expect("a host address"))
}

/// A value in memory that a stream writes or waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    /// Four bytes.
    W32(u32),
    /// Eight bytes.
    W64(u64),
}

/// When a wait for a value is over, as `CUstreamWaitValue_flags` counts them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// The signed difference is not negative: the value has been reached, in cyclic order.
    Reached,
    /// The value is equal.
    Equal,
    /// A bit of the value is set.
    AnyBit,
    /// Some bit is set neither in memory nor in the value.
    NotAllBits,
}

impl Word {
    fn bytes(self) -> u64 {
        match self {
            Word::W32(_) => 4,
            Word::W64(_) => 8,
        }
    }

    /// Whether a word of this width may be used at `address` now.
    pub(crate) fn check(self, machine: &Machine, address: u64) -> Outcome {
        let fits = address.is_multiple_of(self.bytes()) && machine.covers(address, self.bytes());
        if fits { Ok(()) } else { Err(Code::INVALID_VALUE) }
    }

    /// Stores the word; everything that the stream did before is visible to whoever reads it.
    pub(crate) fn write(self, machine: &Machine, address: u64) -> Outcome {
        self.check(machine, address).map_err(|_| Code::ILLEGAL_ADDRESS)?;
        match self {
            Word::W32(value) => {
                // SAFETY: allocated and aligned, checked above; others use it as one word too.
                let word = unsafe { AtomicU32::from_ptr(pointer(address).cast()) };
                word.store(value, Ordering::Release);
            }
            Word::W64(value) => {
                // SAFETY: as above.
                let word = unsafe { AtomicU64::from_ptr(pointer(address).cast()) };
                word.store(value, Ordering::Release);
            }
        }
        Ok(())
    }

    /// Whether the word in memory is what the stream waits for.
    pub(crate) fn is_there(self, machine: &Machine, address: u64, until: Until) -> Outcome<bool> {
        self.check(machine, address).map_err(|_| Code::ILLEGAL_ADDRESS)?;
        Ok(match self {
            Word::W32(value) => {
                // SAFETY: allocated and aligned, checked above; others use it as one word too.
                let word = unsafe { AtomicU32::from_ptr(pointer(address).cast()) };
                let found = word.load(Ordering::Acquire);
                match until {
                    Until::Reached => found.wrapping_sub(value).cast_signed() >= 0,
                    Until::Equal => found == value,
                    Until::AnyBit => found & value != 0,
                    Until::NotAllBits => !(found | value) != 0,
                }
            }
            Word::W64(value) => {
                // SAFETY: as above.
                let word = unsafe { AtomicU64::from_ptr(pointer(address).cast()) };
                let found = word.load(Ordering::Acquire);
                match until {
                    Until::Reached => found.wrapping_sub(value).cast_signed() >= 0,
                    Until::Equal => found == value,
                    Until::AnyBit => found & value != 0,
                    Until::NotAllBits => !(found | value) != 0,
                }
            }
        })
    }
}
