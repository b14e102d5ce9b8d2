//! The mask that a stream's structure holds: where it lies in which driver, how it is read, and which
//! SMs it leaves.
//!
//! NVIDIA documents none of this. Offsets (x86_64) and layouts are those that users of the method
//! known as libsmctrl published for each driver version. A set bit disables a TPC. What lies at these
//! offsets on a real device is for a test there to find out; this table cannot show it.

use std::sync::Arc;

/// The most words that a mask has.
pub(super) const WORDS_MAX: usize = 5;

/// How a mask lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Bits 32 to 63, then bits 0 to 31.
    Pair,
    /// A word that is 1 where the mask counts, then 128 bits from the lowest word up. What another
    /// value of the first word does is not known; here it is as good as 0.
    Enabled,
}

/// Where a mask lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// Bytes from the start of the structure.
    pub(super) offset: usize,
    /// See [`Layout`].
    pub(super) layout: Layout,
}

/// By CUDA version of the driver. Versions that are not listed (12.9, 13.1, 13.2) have the field
/// somewhere, but nobody published where; the emulated driver of such a version has none.
const FIELDS: &[((u32, u32), usize)] = &[
    ((8, 0), 0x0ec),
    ((9, 0), 0x130),
    ((9, 1), 0x130),
    ((9, 2), 0x140),
    ((10, 0), 0x244),
    ((10, 1), 0x244),
    ((10, 2), 0x244),
    ((11, 0), 0x274),
    ((11, 1), 0x2c4),
    ((11, 2), 0x37c),
    ((11, 3), 0x37c),
    ((11, 4), 0x37c),
    ((11, 5), 0x37c),
    ((11, 6), 0x38c),
    ((11, 7), 0x3c4),
    ((11, 8), 0x47c),
    ((12, 0), 0x4cc),
    ((12, 1), 0x4cc),
    ((12, 2), 0x4e4),
    ((12, 3), 0x49c),
    ((12, 4), 0x4ac),
    ((12, 5), 0x4ec),
    ((12, 6), 0x4ec),
    ((12, 7), 0x4fc),
    ((12, 8), 0x4fc),
    ((13, 0), 0x51c),
    ((13, 3), 0x5fc),
];

impl Field {
    /// The field of a driver.
    pub(super) fn of(driver: (u32, u32)) -> Option<Self> {
        let layout = if driver.0 < 12 { Layout::Pair } else { Layout::Enabled };
        let found = FIELDS.iter().find(|(version, _)| *version == driver);
        found.map(|(_, offset)| Self { offset: *offset, layout })
    }

    /// How many words it has.
    pub(super) fn words(self) -> usize {
        match self.layout {
            Layout::Pair => 2,
            Layout::Enabled => WORDS_MAX,
        }
    }

    /// The TPCs that these words disable.
    pub(super) fn disabled(self, words: [u32; WORDS_MAX]) -> u128 {
        let [first, second, ..] = words;
        match self.layout {
            Layout::Pair => u128::from(first) << 32 | u128::from(second),
            Layout::Enabled if first != 1 => 0,
            Layout::Enabled => {
                words[1..].iter().rev().fold(0, |mask, word| mask << 32 | u128::from(*word))
            }
        }
    }
}

/// SMs of a TPC: two, but one before 6.0 and on 6.1 and 6.2.
fn sms_per_tpc(capability: (u32, u32)) -> u32 {
    if matches!(capability, (..=5, _) | (6, 1 | 2)) { 1 } else { 2 }
}

/// The SMs of a set whose TPCs are not disabled. TPCs that have no bit in the mask stay enabled.
pub(crate) fn allowed(sms: &[u32], disabled: u128, capability: (u32, u32)) -> Arc<[u32]> {
    let is_enabled = |sm: &u32| {
        let tpc = sm / sms_per_tpc(capability);
        tpc >= u128::BITS || disabled >> tpc & 1 == 0
    };
    sms.iter().copied().filter(is_enabled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_put_together_in_the_order_of_the_version() {
        let new = Field::of((13, 3)).unwrap();
        assert_eq!((new.offset, new.words()), (0x5fc, 5));
        assert_eq!(new.disabled([1, 2, 3, 4, 5]), 5 << 96 | 4 << 64 | 3 << 32 | 2);
        assert_eq!(new.disabled([0, 2, 3, 4, 5]), 0);
        assert_eq!(new.disabled([2, 2, 3, 4, 5]), 0);
        let old = Field::of((11, 8)).unwrap();
        assert_eq!((old.offset, old.words()), (0x47c, 2));
        assert_eq!(old.disabled([1, 2, 9, 9, 9]), 1 << 32 | 2);
        for unknown in [(7, 5), (12, 9), (13, 1), (13, 2), (13, 4)] {
            assert_eq!(Field::of(unknown), None);
        }
    }

    #[test]
    fn each_bit_is_a_tpc() {
        let sms: Vec<u32> = (0..300).collect();
        for bit in 0..128_u32 {
            let left = allowed(&sms, !(1 << bit), (9, 0));
            assert_eq!(left[..2], [2 * bit, 2 * bit + 1], "bit {bit}");
            // What has no bit stays enabled.
            assert_eq!(left.len(), 2 + 300 - 256);
            assert!(!allowed(&sms, 1 << bit, (9, 0)).contains(&(2 * bit)));
        }
        assert_eq!(*allowed(&sms[..4], 0b101, (6, 1)), [1, 3]);
        assert_eq!(*allowed(&sms[..4], u128::MAX, (9, 0)), []);
    }
}
