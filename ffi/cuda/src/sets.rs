//! Sets of TPCs and of SMs. They are two types, because a number of one is not a number of the other:
//! TPC `n` is SMs `2n` and `2n + 1` on every device that gpumux runs on (compute capability 7.5 on).

use std::fmt;

/// SMs of a TPC.
pub(crate) const SMS_PER_TPC: u32 = 2;

macro_rules! index_set {
    ($(#[$doc:meta])* $name:ident, $words:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name([u64; $words]);

        impl $name {
            /// The set of none.
            pub const EMPTY: Self = Self([0; $words]);

            /// Numbers at or above this are in no set.
            pub const LIMIT: u32 = $words * u64::BITS;

            /// Puts a number in. Whether that can be: it cannot at or above [`Self::LIMIT`].
            #[must_use = "a number beyond the limit is not put in"]
            pub const fn insert(&mut self, index: u32) -> bool {
                if index >= Self::LIMIT {
                    return false;
                }
                self.0[(index / u64::BITS) as usize] |= 1 << (index % u64::BITS);
                true
            }

            /// Whether a number is in it.
            pub const fn contains(&self, index: u32) -> bool {
                index < Self::LIMIT
                    && self.0[(index / u64::BITS) as usize] >> (index % u64::BITS) & 1 == 1
            }

            /// How many are in it.
            pub fn len(&self) -> u32 {
                self.0.iter().map(|word| word.count_ones()).sum()
            }

            /// Whether none is in it.
            pub fn is_empty(&self) -> bool {
                *self == Self::EMPTY
            }

            /// Those that are in it, in order.
            pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
                (0..Self::LIMIT).filter(|index| self.contains(*index))
            }

            /// What is in either.
            #[must_use]
            pub fn union(&self, other: &Self) -> Self {
                self.by_word(other, |left, right| left | right)
            }

            /// What is in both.
            #[must_use]
            pub fn intersection(&self, other: &Self) -> Self {
                self.by_word(other, |left, right| left & right)
            }

            /// What is in this one alone.
            #[must_use]
            pub fn difference(&self, other: &Self) -> Self {
                self.by_word(other, |left, right| left & !right)
            }

            /// Whether nothing is in both.
            pub fn is_disjoint(&self, other: &Self) -> bool {
                self.intersection(other).is_empty()
            }

            /// Whether the other has all of this one.
            pub fn is_subset(&self, other: &Self) -> bool {
                self.difference(other).is_empty()
            }

            fn by_word(&self, other: &Self, join: impl Fn(u64, u64) -> u64) -> Self {
                let mut joined = *self;
                for (word, other) in joined.0.iter_mut().zip(other.0) {
                    *word = join(*word, other);
                }
                joined
            }
        }

        impl FromIterator<u32> for $name {
            /// # Panics
            /// On a number at or above the limit, which no device reaches.
            fn from_iter<T: IntoIterator<Item = u32>>(indices: T) -> Self {
                let mut set = Self::EMPTY;
                for index in indices {
                    assert!(set.insert(index), "{index} is beyond what a device has");
                }
                set
            }
        }

        impl fmt::Display for $name {
            /// As ranges: `0-3,8`; the empty set is `none`.
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                if self.is_empty() {
                    return out.write_str("none");
                }
                let mut comma = "";
                let is_begin = |index: &u32| *index == 0 || !self.contains(*index - 1);
                for begin in self.iter().filter(is_begin) {
                    let end = (begin..).take_while(|index| self.contains(*index)).last();
                    match end {
                        Some(end) if end > begin => write!(out, "{comma}{begin}-{end}")?,
                        _ => write!(out, "{comma}{begin}")?,
                    }
                    comma = ",";
                }
                Ok(())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "{{{self}}}")
            }
        }
    };
}

index_set! {
    /// A set of TPCs, by number: what a lane is granted.
    TpcSet, 4
}
index_set! {
    /// A set of SMs, by the number that `%smid` gives: where work is seen to run.
    SmSet, 8
}

impl TpcSet {
    /// The SMs of its TPCs.
    pub fn sms(&self) -> SmSet {
        self.iter().flat_map(|tpc| (0..SMS_PER_TPC).map(move |sm| SMS_PER_TPC * tpc + sm)).collect()
    }
}

impl SmSet {
    /// The TPCs that have any of its SMs.
    pub fn tpcs(&self) -> TpcSet {
        self.iter().map(|sm| sm / SMS_PER_TPC).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(indices: &[u32]) -> TpcSet {
        indices.iter().copied().collect()
    }

    #[test]
    fn sets_are_shown_as_ranges() {
        for (indices, shown) in [
            (&[][..], "none"),
            (&[0], "0"),
            (&[0, 1, 2, 5], "0-2,5"),
            (&[62, 63, 64, 65, 255], "62-65,255"),
        ] {
            assert_eq!(set(indices).to_string(), shown);
        }
    }

    #[test]
    fn numbers_beyond_64_and_128_are_members_like_others() {
        let mut all = TpcSet::EMPTY;
        for index in 0..TpcSet::LIMIT {
            assert!(!all.contains(index) && all.insert(index) && all.contains(index));
            assert_eq!(all.len(), index + 1);
        }
        assert!(!all.insert(TpcSet::LIMIT) && !all.contains(TpcSet::LIMIT));
        assert_eq!(all.sms().len(), SmSet::LIMIT);
        assert_eq!(all.sms().tpcs(), all);
    }

    #[test]
    fn sets_are_joined_and_compared() {
        let (left, right) = (set(&[1, 64, 130]), set(&[64, 200]));
        assert_eq!(left.union(&right), set(&[1, 64, 130, 200]));
        assert_eq!(left.intersection(&right), set(&[64]));
        assert_eq!(left.difference(&right), set(&[1, 130]));
        assert!(!left.is_disjoint(&right) && left.is_disjoint(&set(&[0, 65, 129])));
        assert!(set(&[64]).is_subset(&left) && !left.is_subset(&right));
        assert!(TpcSet::EMPTY.is_subset(&right) && TpcSet::EMPTY.is_disjoint(&right));
        assert_eq!(left.iter().collect::<Vec<_>>(), [1, 64, 130]);
    }
}
