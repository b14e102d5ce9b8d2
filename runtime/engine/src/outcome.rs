//! What came back with a batch, besides its outputs: whose values were wrong.

use gpumux_plan::Bound;

/// How a request of a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its outputs are right.
    Good,
    /// A value of it would have been a wrong address. It is refused; the others are unaffected.
    BadValue,
    /// A value of some request of the batch would have been a wrong address, and nobody knows
    /// whose: each has to run alone.
    Unknown,
}

/// The flags of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Verdicts<'a> {
    /// One 32-bit word for each request, then the batch's.
    words: &'a [u8],
}

impl<'a> Verdicts<'a> {
    /// Finds the flags in what came back: the bytes of `bound.outgoing()`.
    ///
    /// # Panics
    /// When `outgoing` is shorter than the flags.
    pub fn of(bound: &Bound, outgoing: &'a [u8]) -> Self {
        let flags = bound.flags();
        let bytes = usize::try_from(flags.end - flags.start).expect("a block fits in memory");
        Self { words: &outgoing[..bytes] }
    }

    /// How a request went, by its place in the batch; `None` where the batch has no such place.
    pub fn get(&self, request: usize) -> Option<Verdict> {
        let mut words = self.words.chunks_exact(4).map(|word| word != [0; 4]);
        let count = words.len().checked_sub(1)?;
        if count <= request {
            return None;
        }
        let own = words.nth(request)?;
        let shared = words.next_back()?;
        Some(match (own, shared) {
            (true, _) => Verdict::BadValue,
            (false, true) => Verdict::Unknown,
            (false, false) => Verdict::Good,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &[u32], expected: &[Option<Verdict>]) {
        let bytes: Vec<u8> = words.iter().flat_map(|it| it.to_ne_bytes()).collect();
        let verdicts = Verdicts { words: &bytes };
        let found: Vec<_> = (0..expected.len()).map(|request| verdicts.get(request)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_flag_refuses_its_own_request_only() {
        use Verdict::*;
        check(&[0, 1, 0, 0], &[Some(Good), Some(BadValue), Some(Good), None]);
    }

    #[test]
    fn the_flag_of_the_batch_is_everybodys() {
        use Verdict::*;
        check(&[0, 1, 9], &[Some(Unknown), Some(BadValue), None]);
        check(&[7], &[None]);
    }
}
