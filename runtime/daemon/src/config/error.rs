//! What is wrong with a configuration, where, and what to do.

use super::place::Place;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// One thing wrong with the configuration.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    /// A file or folder could not be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{}:{place}: {what}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where in it.
        place: Place,
        /// What is wrong, and what to write.
        what: String,
    },
    /// A folder's name is no function's.
    #[error("{}: a function's name is 1 to 64 of a-z, 0-9, `-` and `_`: rename the folder", path.display())]
    Name {
        /// The folder.
        path: PathBuf,
    },
    /// A tenant is named by its cgroup, which this kernel does not tell of a peer.
    #[error(
        "{}:{place}: tenant `{tenant}` has a `cgroup`, and this kernel does not say which process a peer is \
         (Linux 6.5 does): give the tenant a `socket`, `uid` or `gid`",
        path.display()
    )]
    NoCgroups {
        /// The file.
        path: PathBuf,
        /// Where in it.
        place: Place,
        /// The tenant.
        tenant: String,
    },
    /// There is nothing to serve.
    #[error("{}: no folder in it holds a function.toml, so there is nothing to serve", path.display())]
    Empty {
        /// The repository.
        path: PathBuf,
    },
}

impl ConfigError {
    /// What the parser found, with its place and, for an unknown key, the nearest known one.
    pub(crate) fn from_toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let start = error.span().map_or(0, |span| span.start.min(text.len()));
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        let what = match suggestion(&message) {
            Some(nearest) => format!("{message}; did you mean `{nearest}`?"),
            None => message,
        };
        Self::Wrong { path: path.to_owned(), place: Place::of(text, start), what }
    }
}

/// The known key most like the unknown one, from serde's message, which names both:
/// "unknown field `a`, expected one of `b`, `c`".
fn suggestion(message: &str) -> Option<&str> {
    if !message.starts_with("unknown ") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    nearest(unknown, quoted)
}

/// The candidate most like `name`, if any is close.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, candidate)| candidate)
}
