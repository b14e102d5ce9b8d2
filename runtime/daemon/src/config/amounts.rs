//! How options take amounts of memory and spans of time, and between which bounds.

use super::Bytes;
use clap::builder::{StringValueParser, TypedValueParser};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Amounts of memory, as `4GiB`; on a command line and in the environment a bare number is bytes.
pub(crate) fn size(range: RangeInclusive<u64>) -> impl TypedValueParser<Value = Bytes> {
    StringValueParser::new().try_map(move |text| {
        let bytes = match text.parse() {
            Ok(bytes) => Bytes(bytes),
            Err(_) => text.parse::<Bytes>()?,
        };
        match range.contains(&bytes.0) {
            true => Ok(bytes),
            false => {
                let (least, most) = (Bytes(*range.start()), Bytes(*range.end()));
                Err(format!("{bytes} is not in {least}..={most}"))
            }
        }
    })
}

/// Spans of time, as `20us`.
pub(crate) fn span(
    range: RangeInclusive<Duration>,
) -> impl TypedValueParser<Value = humantime::Duration> {
    StringValueParser::new().try_map(move |text| {
        let span: humantime::Duration = text.parse().map_err(|error| {
            format!("`{text}` is no span of time ({error}): write it like `20us`")
        })?;
        match range.contains(&*span) {
            true => Ok(span),
            false => {
                let [least, most] =
                    [range.start(), range.end()].map(|it| humantime::format_duration(*it));
                Err(format!("{span} is not in {least}..={most}"))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, Command};

    /// What an option of this parser makes of a text.
    fn take<P>(parser: P, text: &str) -> Result<P::Value, String>
    where
        P: TypedValueParser,
        P::Value: Send + Sync + Clone,
    {
        let command = Command::new("x").arg(Arg::new("it").long("it").value_parser(parser));
        let matches = command.try_get_matches_from(["x".to_owned(), format!("--it={text}")]);
        let mut matches = matches.map_err(|error| error.to_string())?;
        Ok(matches.remove_one("it").unwrap())
    }

    #[test]
    fn amounts_are_bounded_and_have_units_or_are_bytes() {
        let range = 1024..=1 << 30;
        for (text, bytes) in [("1GiB", 1 << 30), ("4096", 4096), ("1kiB", 1024)] {
            assert_eq!(take(size(range.clone()), text), Ok(Bytes(bytes)));
        }
        for (text, why) in [
            ("1023", "1023B is not in 1KiB..=1GiB"),
            ("2GiB", "2GiB is not in 1KiB..=1GiB"),
            ("4G", "write it like `64MiB`"),
        ] {
            let refused = take(size(range.clone()), text).unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }

    #[test]
    fn spans_are_bounded_and_have_units() {
        let range = Duration::ZERO..=Duration::from_secs(1);
        assert_eq!(*take(span(range.clone()), "20us").unwrap(), Duration::from_micros(20));
        for (text, why) in [("2s", "2s is not in 0s..=1s"), ("20", "write it like `20us`")] {
            let refused = take(span(range.clone()), text).unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }
}
