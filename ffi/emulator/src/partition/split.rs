//! How many SMs a part has: the sizes that a compute capability allows, and what becomes of a wish.
//! Pure arithmetic; which SMs they are is decided elsewhere.
//!
//! Rules after the chapters on green contexts in the driver's manual (12.9, 13.1) and the CUDA
//! programming guide (13.1, section 4.6). A real device's SMs lie in groups of uneven size (GPCs),
//! which may make fewer parts than this arithmetic; the emulated one has no such groups.

use crate::code::{Code, Outcome};

/// The sizes that parts come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grain {
    /// The smallest part.
    pub(crate) least: u32,
    /// Every part is a multiple of this; SMs in such a bunch are scheduled together.
    pub(crate) step: u32,
}

/// A bunch of SMs can be this large from compute capability 9.0 on, and two before.
const BUNCH_MAX: u32 = 32;

/// The sizes that are usual for a compute capability.
pub(crate) fn grain(capability: (u32, u32)) -> Grain {
    match capability.0 {
        ..=6 => Grain { least: 1, step: 1 },
        7 => Grain { least: 2, step: 2 },
        8 => Grain { least: 4, step: 2 },
        9.. => Grain { least: 8, step: 8 },
    }
}

/// The sizes where SMs need not be scheduled together. The manual only says that they are smaller;
/// its example of 132 SMs shows two on 9.0.
pub(super) fn fine_grain(capability: (u32, u32)) -> Grain {
    let two = Grain { least: 2, step: 2 };
    if capability.0 <= 6 { grain(capability) } else { two }
}

/// Equal parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Equal {
    /// SMs of each.
    pub(super) size: u32,
    /// How many there can be.
    pub(super) count: u32,
}

/// The equal parts that `available` SMs make, each of `wanted` or more.
pub(super) fn equal_parts(available: u32, wanted: u32, grain: Grain) -> Outcome<Equal> {
    if wanted > available {
        return Err(Code::INVALID_RESOURCE_CONFIGURATION);
    }
    let size = wanted.max(grain.least).next_multiple_of(grain.step);
    Ok(Equal { size, count: available / size })
}

/// What a program wants of one of several unequal parts; in each field, 0 leaves it to the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// SMs.
    pub(crate) count: u32,
    /// SMs of each bunch.
    pub(crate) bunch: u32,
    /// SMs of larger bunches, where they can be had.
    pub(crate) preferred: u32,
    /// SMs that are in no bunch may fill it up.
    pub(crate) backfill: bool,
}

/// What becomes of `wishes`, in their order, on `available` SMs. Nothing is rounded.
pub(super) fn exact_parts(
    available: u32,
    wishes: &[Wish],
    capability: (u32, u32),
) -> Outcome<Vec<Wish>> {
    let mut left = available;
    let grant = |wish: &Wish| {
        let part = one_part(left, wish, capability)?;
        left -= part.count;
        Ok(part)
    };
    wishes.iter().map(grant).collect()
}

fn one_part(left: u32, wish: &Wish, capability: (u32, u32)) -> Outcome<Wish> {
    let refused = Err(Code::INVALID_RESOURCE_CONFIGURATION);
    let bunch_max = if capability.0 < 9 { 2 } else { BUNCH_MAX };
    let bunch = if wish.bunch == 0 { grain(capability).step.max(2) } else { wish.bunch };
    let preferred = if wish.preferred == 0 { bunch } else { wish.preferred };
    if bunch % 2 != 0 || bunch > bunch_max || preferred % bunch != 0 {
        return refused;
    }
    let step = if wish.backfill { 2 } else { bunch };
    let count = match wish.count {
        0 => left / step * step,
        count => count,
    };
    // Even a part that is filled up has one whole bunch.
    let count = if wish.count == 0 && count < bunch { 0 } else { count };
    let fits = count <= left && count % step == 0 && (wish.count == 0 || count >= bunch);
    if fits { Ok(Wish { count, bunch, preferred, ..*wish }) } else { refused }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NINE: (u32, u32) = (9, 0);
    const REFUSED: Outcome<u32> = Err(Code::INVALID_RESOURCE_CONFIGURATION);

    fn wish(count: u32, bunch: u32, backfill: bool) -> Wish {
        Wish { count, bunch, preferred: 0, backfill }
    }

    /// The sizes of the parts, or why there are none.
    fn counts(available: u32, wishes: &[Wish], capability: (u32, u32)) -> Outcome<Vec<u32>> {
        let parts = exact_parts(available, wishes, capability)?;
        Ok(parts.iter().map(|part| part.count).collect())
    }

    #[test]
    fn the_guides_example_of_132_sms() {
        for (wanted, grain, size, count) in [
            (11, grain(NINE), 16, 8),
            (11, fine_grain(NINE), 12, 11),
            (72, grain(NINE), 72, 1),
            (1, grain(NINE), 8, 16),
        ] {
            assert_eq!(equal_parts(132, wanted, grain), Ok(Equal { size, count }), "{wanted}");
        }
    }

    #[test]
    fn equal_parts_follow_the_capability() {
        for (capability, wanted, size) in [
            ((6, 1), 0, 1),
            ((6, 1), 3, 3),
            ((7, 5), 1, 2),
            ((7, 5), 3, 4),
            ((8, 6), 1, 4),
            ((8, 6), 5, 6),
            ((9, 0), 0, 8),
            ((9, 0), 9, 16),
            ((12, 0), 9, 16),
        ] {
            let equal = equal_parts(32, wanted, grain(capability)).unwrap();
            assert_eq!(equal.size, size, "{wanted} on {capability:?}");
        }
        assert_eq!(equal_parts(32, 33, grain(NINE)).map(|equal| equal.size), REFUSED);
        // Rounded up past what there is: none.
        assert_eq!(equal_parts(12, 9, grain(NINE)).unwrap().count, 0);
    }

    #[test]
    fn exact_parts_are_never_rounded() {
        assert_eq!(counts(132, &[wish(28, 4, false), wish(32, 4, false)], NINE), Ok(vec![28, 32]));
        for refused in [
            wish(11, 2, false),
            wish(12, 0, false),
            wish(12, 8, false),
            wish(134, 2, false),
            wish(34, 34, false),
            wish(9, 3, false),
            wish(4, 8, true),
            Wish { count: 16, bunch: 8, preferred: 12, backfill: false },
        ] {
            assert_eq!(
                counts(132, &[refused], NINE),
                Err(Code::INVALID_RESOURCE_CONFIGURATION),
                "{refused:?} was granted"
            );
        }
        // Bunches larger than two came with 9.0.
        assert_eq!(
            counts(32, &[wish(8, 4, false)], (8, 6)),
            Err(Code::INVALID_RESOURCE_CONFIGURATION)
        );
    }

    #[test]
    fn zero_discovers_what_is_left_in_order() {
        let rest = wish(0, 2, true);
        assert_eq!(counts(132, &[wish(0, 0, false)], NINE), Ok(vec![128]));
        assert_eq!(counts(132, &[wish(16, 2, false), rest], NINE), Ok(vec![16, 116]));
        assert_eq!(counts(132, &[wish(8, 2, false), wish(0, 4, false)], NINE), Ok(vec![8, 124]));
        assert_eq!(counts(132, &[wish(0, 4, false), wish(8, 2, false)], NINE).ok(), None);
        assert_eq!(counts(12, &[wish(8, 0, false), wish(0, 8, true)], NINE), Ok(vec![8, 0]));
    }

    #[test]
    fn what_was_left_open_is_filled_in() {
        let part = exact_parts(132, &[wish(0, 0, false)], NINE).unwrap()[0];
        assert_eq!((part.bunch, part.preferred), (8, 8));
        let part = exact_parts(32, &[wish(0, 0, false)], (8, 6)).unwrap()[0];
        assert_eq!((part.bunch, part.preferred), (2, 2));
    }
}
