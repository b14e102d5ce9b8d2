//! A peer of the demo: an example's process, its progress as a bar, its result as text.

use crate::failure::Failure;
use crate::node::beside;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A running peer. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Peer {
    name: &'static str,
    child: Child,
    bar: ProgressBar,
}

impl Peer {
    pub(super) fn start(
        name: &'static str,
        socket: &Path,
        arguments: &[OsString],
        bars: &MultiProgress,
    ) -> Result<Self, Failure> {
        let child = Command::new(beside(name)?)
            .arg("--progress")
            .arg("--socket")
            .arg(socket)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let style = ProgressStyle::with_template("{prefix:24} {bar:40} {pos}/{len} ({elapsed})")
            .expect("a template of this file");
        let bar = bars.add(ProgressBar::new(0)).with_style(style).with_prefix(name);
        Ok(Self { name, child, bar })
    }

    /// Moves the bar until the peer has ended; returns its result.
    ///
    /// # Errors
    /// [`Failure::Process`] when it failed; it has said why.
    pub(super) async fn follow(mut self) -> Result<String, Failure> {
        let stdout = self.child.stdout.take().expect("it was piped");
        let mut lines = BufReader::new(stdout).lines();
        let mut result = String::new();
        while let Some(line) = lines.next_line().await? {
            match progress(&line) {
                Some((done, of)) => {
                    self.bar.set_length(of);
                    self.bar.set_position(done);
                }
                None => {
                    result.push_str(&line);
                    result.push('\n');
                }
            }
        }
        let status = self.child.wait().await?;
        self.bar.finish();
        if status.success() {
            Ok(result)
        } else {
            Err(Failure::process(format!("{} ended with {status}", self.name)))
        }
    }
}

/// What a line `progress DONE OF` says.
fn progress(line: &str) -> Option<(u64, u64)> {
    let (done, of) = line.strip_prefix("progress ")?.split_once(' ')?;
    Some((done.parse().ok()?, of.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_progress_lines_are_progress() {
        assert_eq!(progress("progress 3 420"), Some((3, 420)));
        for line in ["progress", "progress 3", "progress is slow", "  0.61  progress 3 4", ""] {
            assert_eq!(progress(line), None, "{line:?}");
        }
    }
}
