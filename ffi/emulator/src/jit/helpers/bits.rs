//! Bit fields and byte permutations, as the PTX ISA defines them.

/// `prmt`: picks four bytes out of eight. `mode` is 0 for the plain form, then f4e, b4e, rc8, ecl,
/// ecr, rc16 in the order of the ISA.
pub(super) extern "C" fn permute(a: u32, b: u32, select: u32, mode: u32) -> u32 {
    let bytes = (u64::from(b) << 32 | u64::from(a)).to_le_bytes();
    let first = usize::try_from(select & 3).unwrap_or(0);
    let picked: [u8; 4] = std::array::from_fn(|at| match mode {
        0 => {
            let nibble = select >> (4 * at) & 0xf;
            let byte = bytes[usize::try_from(nibble & 7).unwrap_or(0)];
            // The nibble's top bit asks for the sign of the byte, spread over all of it.
            if nibble & 8 == 0 { byte } else { byte.cast_signed().wrapping_shr(7).cast_unsigned() }
        }
        1 => bytes[first + at],
        2 => bytes[(8 + first - at) % 8],
        3 => bytes[first],
        4 => bytes[at.max(first)],
        5 => bytes[at.min(first)],
        _ => bytes[2 * (first & 1) + at % 2],
    });
    u32::from_le_bytes(picked)
}

/// `bfe`: the `length` bits from `position` of a value of `width` bits. Bits past the value's end are
/// zero, or copies of the field's sign.
pub(super) extern "C" fn extract(
    value: u64,
    position: u32,
    length: u32,
    width: u32,
    signed: u32,
) -> u64 {
    let (position, length) = (position & 0xff, length & 0xff);
    if length == 0 {
        return 0;
    }
    let sign_at = (position + length - 1).min(width - 1);
    let sign = signed != 0 && value >> sign_at & 1 == 1;
    let field = if position >= width { 0 } else { value >> position };
    let available = width.saturating_sub(position).min(length);
    let kept = mask(available);
    if sign { field & kept | !kept } else { field & kept }
}

/// `bfi`: puts the lower `length` bits of `field` into `base` at `position`.
pub(super) extern "C" fn insert(
    field: u64,
    base: u64,
    position: u32,
    length: u32,
    width: u32,
) -> u64 {
    let (position, length) = (position & 0xff, length & 0xff);
    if length == 0 || position >= width {
        return base;
    }
    let kept = mask(length.min(width - position)) << position;
    base & !kept | field << position & kept
}

/// `bfind`: the highest bit that is set, or for a negative signed value the highest that is not; all
/// ones when there is none. `as_shift` gives the distance to the top instead.
pub(super) extern "C" fn find_highest(value: u64, width: u32, signed: u32, as_shift: u32) -> u32 {
    let negative = signed != 0 && value >> (width - 1) & 1 == 1;
    let value = if negative { !value } else { value } & mask(width);
    match value.checked_ilog2() {
        None => u32::MAX,
        Some(at) if as_shift != 0 => width - 1 - at,
        Some(at) => at,
    }
}

fn mask(bits: u32) -> u64 {
    if bits >= 64 { u64::MAX } else { (1 << bits) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_permuted_as_the_isa_says() {
        let (a, b) = (0x3322_1100, 0x7766_5544);
        for (select, mode, expected) in [
            (0x3210, 0, 0x3322_1100),
            (0x7654, 0, 0x7766_5544),
            (0x0123, 0, 0x0011_2233),
            (0x800f, 0, 0x0000_0000),
            (1, 1, 0x4433_2211),
            (1, 2, 0x6677_0011),
            (2, 3, 0x2222_2222),
            (2, 4, 0x3322_2222),
            (2, 5, 0x2222_1100),
            (1, 6, 0x3322_3322),
        ] {
            assert_eq!(permute(a, b, select, mode), expected, "{select:#x} mode {mode}");
        }
        assert_eq!(permute(0x80, 0, 0x0008, 0), 0x8080_80ff);
    }

    #[test]
    fn fields_stop_at_the_end_of_the_value() {
        assert_eq!(extract(0xabcd, 4, 8, 32, 0), 0xbc);
        assert_eq!(extract(0xabcd, 4, 8, 32, 1) & 0xffff_ffff, 0xffff_ffbc);
        assert_eq!(extract(0x8000_0000, 31, 4, 32, 0), 1);
        assert_eq!(extract(0x8000_0000, 40, 4, 32, 1) & 0xffff_ffff, 0xffff_ffff);
        assert_eq!(extract(0x8000_0000, 40, 4, 32, 0), 0);
        assert_eq!(extract(7, 0, 0, 32, 1), 0);
        assert_eq!(insert(0xf, 0, 30, 8, 32), 0xc000_0000);
        assert_eq!(insert(0xf, 5, 32, 8, 32), 5);
    }

    #[test]
    fn the_highest_bit_is_found() {
        assert_eq!(find_highest(0x10, 32, 0, 0), 4);
        assert_eq!(find_highest(0x10, 32, 0, 1), 27);
        assert_eq!(find_highest(0, 32, 0, 0), u32::MAX);
        assert_eq!(find_highest(u64::from(u32::MAX), 32, 1, 0), u32::MAX);
        assert_eq!(find_highest(0xffff_fff0, 32, 1, 0), 3);
    }
}
