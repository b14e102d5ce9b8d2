//! What functions and tenants may be called.

/// Whether a name may consist of these.
pub(super) fn has_good_letters(name: &str) -> bool {
    name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

/// Whether it is a name.
pub(super) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && has_good_letters(name)
}
