//! Where things lie in a channel. Both sides compute it from the same two numbers, which travel in
//! the control message; nothing in shared memory says how large anything is.

use crate::record::{RequestRecord, ResponseRecord};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Most slots a channel may have.
pub const SLOTS_MAX: u32 = 4096;
/// Most bytes an arena may have. Quotas are smaller; this bounds the arithmetic.
pub const ARENA_BYTES_MAX: u64 = 1 << 36;
/// Tensors start at multiples of this in the arena: a cache line, and any element type's alignment.
pub const TENSOR_ALIGNMENT: u64 = 64;

const PAGE: u64 = 4096;
const HEADER_BYTES: u64 = PAGE;
const ENTRY_BYTES: u64 = 8;

/// What a peer asks for when it opens a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelSize {
    /// Requests that may be in flight at once: a power of two up to [`SLOTS_MAX`].
    pub slots: u32,
    /// Bytes of the arena: a multiple of [`TENSOR_ALIGNMENT`] up to [`ARENA_BYTES_MAX`].
    pub arena_bytes: u64,
}

/// A channel size that no channel can have.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum GeometryError {
    /// Not a power of two from 1 to the limit.
    #[error("{0} slots: ask for a power of two from 1 to {SLOTS_MAX}")]
    Slots(u32),
    /// Not a multiple of the alignment, or outside the limit.
    #[error(
        "an arena of {0} bytes: ask for a multiple of {TENSOR_ALIGNMENT} from {TENSOR_ALIGNMENT} to {ARENA_BYTES_MAX}"
    )]
    Arena(u64),
}

/// The layout of one channel, in bytes from its start. Holding one is the proof that the sizes are
/// sane and that no sum below overflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    slots: u32,
    arena_bytes: u64,
}

impl Geometry {
    /// Checks the sizes that a peer asked for.
    ///
    /// # Errors
    /// [`GeometryError`] says which size is wrong and what to ask for.
    pub fn new(size: ChannelSize) -> Result<Self, GeometryError> {
        let ChannelSize { slots, arena_bytes } = size;
        if !slots.is_power_of_two() || slots > SLOTS_MAX {
            return Err(GeometryError::Slots(slots));
        }
        if arena_bytes == 0
            || !arena_bytes.is_multiple_of(TENSOR_ALIGNMENT)
            || arena_bytes > ARENA_BYTES_MAX
        {
            return Err(GeometryError::Arena(arena_bytes));
        }
        Ok(Self { slots, arena_bytes })
    }

    /// The two numbers it was made from.
    pub fn size(&self) -> ChannelSize {
        ChannelSize { slots: self.slots, arena_bytes: self.arena_bytes }
    }

    /// Slots.
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// Bytes of the arena.
    pub fn arena_bytes(&self) -> u64 {
        self.arena_bytes
    }

    /// Entries of each ring. A slot has at most three that the worker has not read: the cancellation
    /// of a use that it had ended already, and the submission and the cancellation of the next.
    pub fn ring_capacity(&self) -> u32 {
        self.slots * 4
    }

    pub(crate) fn submission_entries(&self) -> u64 {
        HEADER_BYTES
    }

    pub(crate) fn completion_entries(&self) -> u64 {
        self.submission_entries() + u64::from(self.ring_capacity()) * ENTRY_BYTES
    }

    pub(crate) fn requests(&self) -> u64 {
        (self.completion_entries() + u64::from(self.ring_capacity()) * ENTRY_BYTES)
            .next_multiple_of(PAGE)
    }

    pub(crate) fn responses(&self) -> u64 {
        self.requests() + u64::from(self.slots) * size_of::<RequestRecord>() as u64
    }

    pub(crate) fn arena(&self) -> u64 {
        (self.responses() + u64::from(self.slots) * size_of::<ResponseRecord>() as u64)
            .next_multiple_of(PAGE)
    }

    /// Bytes of the whole channel: what its memfd must hold.
    pub fn total_bytes(&self) -> u64 {
        (self.arena() + self.arena_bytes).next_multiple_of(PAGE)
    }
}

/// Where the six shared counters lie, in bytes from the channel's start: a cache line each, so that
/// the two sides do not take lines from one another without need.
pub(crate) mod header {
    pub(crate) const SUBMISSION_TAIL: u64 = 0;
    pub(crate) const SUBMISSION_HEAD: u64 = 64;
    pub(crate) const SUBMISSION_ASLEEP: u64 = 128;
    pub(crate) const COMPLETION_TAIL: u64 = 192;
    pub(crate) const COMPLETION_HEAD: u64 = 256;
    pub(crate) const COMPLETION_ASLEEP: u64 = 320;
    const _: () = assert!(COMPLETION_ASLEEP + 64 <= super::HEADER_BYTES);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(slots: u32, arena_bytes: u64) -> ChannelSize {
        ChannelSize { slots, arena_bytes }
    }

    #[test]
    fn sizes_that_no_channel_can_have_are_refused() {
        for slots in [0, 3, SLOTS_MAX * 2, u32::MAX] {
            assert_eq!(Geometry::new(size(slots, 64)), Err(GeometryError::Slots(slots)));
        }
        for arena in [0, 63, 65, ARENA_BYTES_MAX + 64, u64::MAX, u64::MAX - 63] {
            assert_eq!(Geometry::new(size(1, arena)), Err(GeometryError::Arena(arena)));
        }
    }

    #[test]
    fn regions_do_not_overlap_at_the_extremes() {
        for (slots, arena) in [(1, 64), (SLOTS_MAX, ARENA_BYTES_MAX), (8, 4096)] {
            let geometry = Geometry::new(size(slots, arena)).unwrap();
            let ring = u64::from(geometry.ring_capacity()) * ENTRY_BYTES;
            assert!(geometry.submission_entries() >= HEADER_BYTES);
            assert!(geometry.completion_entries() >= geometry.submission_entries() + ring);
            assert!(geometry.requests() >= geometry.completion_entries() + ring);
            assert!(geometry.responses() >= geometry.requests() + u64::from(slots) * 512);
            assert!(geometry.arena() >= geometry.responses() + u64::from(slots) * 256);
            assert!(geometry.total_bytes() >= geometry.arena() + arena);
            assert_eq!(geometry.arena() % PAGE, 0);
        }
    }
}
