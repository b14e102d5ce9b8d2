//! Amounts of memory in a configuration: always with a unit, never a bare number.

use bytesize::ByteSize;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::fmt;
use std::str::FromStr;

/// An amount that is written as `64MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad =
            |why: &str| format!("`{text}` is no amount of memory ({why}): write it like `64MiB`");
        if !text.ends_with(['B', 'b']) {
            return Err(bad("it has no unit"));
        }
        let amount: ByteSize = text.parse().map_err(|why: String| bad(&why))?;
        Ok(Self(amount.as_u64()))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The largest unit that says it exactly, so that what is written reads back the same.
        let units = [(1u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        let whole = units.iter().find(|(unit, _)| self.0 >= *unit && self.0.is_multiple_of(*unit));
        match whole {
            Some((unit, name)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_units() {
        for (text, bytes) in
            [("64MiB", 64 << 20), ("1.5GiB", 3 << 29), ("1GB", 1_000_000_000), ("7B", 7)]
        {
            assert_eq!(text.parse(), Ok(Bytes(bytes)));
        }
        for text in ["", "64", "64M", "MiB", "-1MiB", "64 MiBs", "many"] {
            let refused = text.parse::<Bytes>().unwrap_err();
            assert!(refused.contains("write it like `64MiB`"), "{refused}");
        }
        for bytes in [0, 7, 1 << 10, (1 << 30) + 1, 64 << 20, 5 << 40] {
            assert_eq!(Bytes(bytes).to_string().parse(), Ok(Bytes(bytes)));
        }
    }
}
