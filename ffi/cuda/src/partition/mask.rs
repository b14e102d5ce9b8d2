//! The mask in the structure behind a stream. A store there is unchecked by anyone, so it is made only
//! at an offset that is listed for this very driver, and in the process that serves only after a
//! self-test in another one.

use crate::sets::TpcSet;
use crate::stream::Stream;
use std::sync::atomic::{AtomicU32, Ordering};

/// TPCs that a mask has bits for.
pub(super) const TPCS_MAX: u32 = 128;
/// Words that hold them.
const WORDS: u32 = TPCS_MAX / u32::BITS;

/// Where the mask lies. Whoever has one answers for it: the self-test's process, which is there to
/// be lost, or the proof that it came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mask {
    offset: usize,
}

impl Mask {
    /// # Safety
    /// This driver keeps a mask of four words, after a word that says that it counts, at this offset
    /// of a stream's structure; or the process is one that may be lost.
    pub(super) unsafe fn at(offset: usize) -> Self {
        Self { offset }
    }

    /// Confines what is launched on `stream` from now on to `tpcs`.
    pub(super) fn store(self, stream: &Stream, tpcs: &TpcSet) {
        // Our streams are made by the driver: a handle of theirs is never null nor one of the small
        // numbers that stand for default streams, which have no structure.
        let handle = stream.raw().cast::<*mut u8>();
        // SAFETY: such a handle points to a pointer to the structure, in all drivers that are listed.
        let structure = unsafe { handle.read() };
        // SAFETY: whoever made this answers for the offset.
        let words = unsafe { structure.add(self.offset) }.cast::<AtomicU32>();
        // A set bit disables a TPC. The mask counts where the word before it is 1.
        for (index, word) in (1..=WORDS as usize).zip(disabled(tpcs)) {
            // SAFETY: one of the words of the mask.
            let at = unsafe { words.add(index) };
            // SAFETY: as above; the driver copies the words while it launches, which only this
            // thread makes it do.
            unsafe { &*at }.store(word, Ordering::Relaxed);
        }
        // SAFETY: the word before the mask, as above.
        unsafe { &*words }.store(1, Ordering::Relaxed);
    }
}

/// The mask's words, the lowest first.
fn disabled(tpcs: &TpcSet) -> [u32; WORDS as usize] {
    let mut words = [u32::MAX; WORDS as usize];
    for (index, word) in (0..).zip(&mut words) {
        for bit in 0..u32::BITS {
            if tpcs.contains(index * u32::BITS + bit) {
                *word &= !(1 << bit);
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_bit_disables_and_the_lowest_word_is_first() {
        let none = u32::MAX;
        assert_eq!(disabled(&TpcSet::EMPTY), [none; 4]);
        assert_eq!(disabled(&[0, 33, 64, 127].into_iter().collect()), [!1, !2, !1, !(1 << 31)]);
    }
}
