//! The numbers that a lane marks its progress with.

/// One mark of a lane. They count up from one and wrap, so they are compared by distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sequence(u32);

impl Sequence {
    /// Before the first mark of a lane.
    pub const START: Self = Self(0);

    pub(crate) const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The bare number, as the device writes it.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The mark after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Whether this mark is `other` or came after it. True for up to 2^31 marks, far more than a
    /// lane can have outstanding.
    pub const fn has_reached(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0) < 1 << 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_ordered_across_the_wrap() {
        let last = Sequence::new(u32::MAX);
        let first = last.next();
        assert_eq!(first, Sequence::START);
        assert!(first.has_reached(last) && first.has_reached(first));
        assert!(!last.has_reached(first));
    }
}
