//! The fixed layouts of a channel: what one slot says to the worker, and what the worker answers.
//!
//! They are plain words with no padding, copied out of shared memory whole before anybody looks at
//! them. Nothing here is believed: `request` and `outcome` turn the numbers into meaning.

use bytemuck::{Pod, Zeroable};
use thiserror::Error;

/// Most tensors on either side of a function.
pub const TENSORS_MAX: usize = 8;
/// Most dimensions of one item's tensor.
pub const RANK_MAX: usize = 6;

/// One input tensor, as the peer describes it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct InputRecord {
    /// Bytes from the arena's start.
    pub offset: u64,
    /// An `ElementType`'s code.
    pub element: u32,
    /// Dimensions in use.
    pub rank: u32,
    /// The item's dimensions, outermost first.
    pub dims: [u32; RANK_MAX],
}

/// Where one output may be written.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct OutputRecord {
    /// Bytes from the arena's start.
    pub offset: u64,
    /// Bytes that may be written there.
    pub capacity: u64,
}

/// One request, as it lies in its slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct RequestRecord {
    /// Which use of the slot this is; the submission entry carries the same number.
    pub generation: u32,
    /// Inputs in use.
    pub input_count: u32,
    /// Outputs in use.
    pub output_count: u32,
    /// Zero.
    pub reserved: u32,
    /// Time limit in microseconds from when the worker reads the slot; 0 is no limit.
    pub budget_us: u64,
    /// Zero.
    pub reserved_words: [u64; 5],
    /// The inputs, in the signature's order.
    pub inputs: [InputRecord; TENSORS_MAX],
    /// The outputs, in the signature's order.
    pub outputs: [OutputRecord; TENSORS_MAX],
}

/// One answer, as it lies in its slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct ResponseRecord {
    /// The generation that it answers.
    pub generation: u32,
    /// An `Outcome`'s code.
    pub outcome: u32,
    /// A `Reason`'s code when the outcome is a refusal, else 0.
    pub reason: u32,
    /// Which input the reason speaks of, or 0.
    pub subject: u32,
    /// The limit that the reason speaks of, or 0.
    pub limit: u64,
    /// When trying again may help, in microseconds; 0 says nothing.
    pub retry_after_us: u64,
    /// From being read to joining a batch that runs.
    pub queue_us: u64,
    /// From there to the end of the batch.
    pub run_us: u64,
    /// Requests in the batch; 0 when it did not run.
    pub batch: u32,
    /// Outputs written.
    pub output_count: u32,
    /// Zero.
    pub reserved: u64,
    /// Each output's dimensions, outermost first; unused ones are 0.
    pub dims: [[u32; RANK_MAX]; TENSORS_MAX],
}

const _: () = assert!(size_of::<InputRecord>() == 40);
const _: () = assert!(size_of::<OutputRecord>() == 16);
const _: () = assert!(size_of::<RequestRecord>() == 512);
const _: () = assert!(size_of::<ResponseRecord>() == 256);

/// A record as the words that it is copied by.
pub trait Record: Pod {
    /// Its words.
    type Words: Pod + AsRef<[u64]> + AsMut<[u64]>;
}

impl Record for RequestRecord {
    type Words = [u64; 64];
}

impl Record for ResponseRecord {
    type Words = [u64; 32];
}

/// What a submission entry asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmissionKind {
    /// Read the slot and run it.
    Submit,
    /// Leave off the request that the slot holds.
    Cancel,
}

/// One entry of either ring: 16 bits of slot, 16 of kind, 32 of generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The slot: below the channel's count.
    pub slot: u32,
    /// What is asked; completions carry `Submit`.
    pub kind: SubmissionKind,
    /// Which use of the slot is meant.
    pub generation: u32,
}

/// An entry that names no slot or no kind.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("ring entry {0:#018x} names no slot of this channel, or nothing that can be asked")]
pub struct BadEntry(pub u64);

impl Entry {
    /// As it lies in the ring.
    pub fn encode(self) -> u64 {
        let kind = match self.kind {
            SubmissionKind::Submit => 1u64,
            SubmissionKind::Cancel => 2,
        };
        u64::from(self.generation) << 32 | kind << 16 | u64::from(self.slot)
    }

    /// Checks a stranger's entry against the number of slots.
    ///
    /// # Errors
    /// [`BadEntry`] when the slot or the kind does not exist.
    pub fn decode(word: u64, slots: u32) -> Result<Self, BadEntry> {
        let [low, high] = [(word & 0xffff_ffff), word >> 32];
        let slot = u32::try_from(low & 0xffff).map_err(|_| BadEntry(word))?;
        let kind = match low >> 16 {
            1 => SubmissionKind::Submit,
            2 => SubmissionKind::Cancel,
            _ => return Err(BadEntry(word)),
        };
        let generation = u32::try_from(high).map_err(|_| BadEntry(word))?;
        if slot >= slots { Err(BadEntry(word)) } else { Ok(Self { slot, kind, generation }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn entries_come_back_as_they_were(slot in 0u32..4096, cancel: bool, generation: u32) {
            let kind = if cancel { SubmissionKind::Cancel } else { SubmissionKind::Submit };
            let entry = Entry { slot, kind, generation };
            prop_assert_eq!(Entry::decode(entry.encode(), 4096), Ok(entry));
        }

        #[test]
        fn any_word_is_an_entry_in_range_or_refused(word: u64, slots in 1u32..=4096) {
            match Entry::decode(word, slots) {
                Ok(entry) => {
                    prop_assert!(entry.slot < slots);
                    prop_assert_eq!(entry.encode(), word);
                }
                Err(BadEntry(refused)) => prop_assert_eq!(refused, word),
            }
        }
    }
}
