//! A port of this machine alone.

use std::net::SocketAddr;
use std::str::FromStr;

/// An address that nobody but this machine reaches. Metrics carry names of tenants and functions, and
/// nothing of the daemon answers the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loopback(SocketAddr);

impl Loopback {
    pub(super) fn address(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for Loopback {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address: SocketAddr = text.parse().map_err(|_| {
            format!("`{text}` is no address and port: write it like `127.0.0.1:9400`")
        })?;
        if address.ip().is_loopback() {
            return Ok(Self(address));
        }
        Err(format!(
            "{} is not a loopback address: metrics name tenants and functions, and anybody who reaches \
             the port reads them; listen at 127.0.0.1 or [::1], and have an agent of this machine scrape",
            address.ip()
        ))
    }
}

impl std::fmt::Display for Loopback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_listened_at() {
        for text in ["127.0.0.1:9400", "127.8.8.8:1", "[::1]:9400"] {
            let loopback: Loopback = text.parse().unwrap();
            assert_eq!(loopback.to_string(), text);
        }
        for (text, why) in [
            ("0.0.0.0:9400", "not a loopback address"),
            ("[::]:9400", "not a loopback address"),
            ("10.0.0.1:9400", "not a loopback address"),
            ("localhost:9400", "write it like"),
            ("9400", "write it like"),
            ("127.0.0.1", "write it like"),
        ] {
            let error = text.parse::<Loopback>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
