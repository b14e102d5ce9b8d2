//! Randomness from a seed. ChaCha is a fixed function, so that a seed means the same on every machine,
//! in every release and whatever else draws: each purpose has a stream of its own.

use chacha20::ChaCha8Rng;
use rand::SeedableRng;

/// A stream of random numbers.
pub(crate) type Random = ChaCha8Rng;

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Gaps between arrivals.
    Gaps = 1,
    /// Which function an arrival asks for.
    Functions = 2,
    /// How long requests are.
    Lengths = 3,
    /// A small scenario to check the scheduler with.
    Trial = 4,
    /// Which batches fail.
    Faults = 5,
}

/// The stream of a seed for one purpose of one thing.
pub(crate) fn stream(seed: u64, purpose: Purpose, index: u64) -> Random {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(purpose as u64).to_le_bytes());
    key[16..24].copy_from_slice(&index.to_le_bytes());
    Random::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn a_seed_means_these_numbers() {
        let mut one = stream(7, Purpose::Gaps, 0);
        assert_eq!(
            [one.next_u64(), one.next_u64()],
            [16_046_041_343_225_761_205, 995_032_270_771_533_213]
        );
        let mut other = stream(7, Purpose::Lengths, 0);
        assert_ne!(stream(7, Purpose::Gaps, 0).next_u64(), other.next_u64());
    }
}
