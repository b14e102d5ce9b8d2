//! `--wait`: until the daemon serves on each of its devices.

use crate::admin::AdminSocket;
use crate::failure::Failure;
use gpumux_wire::status::Status;
use std::io::ErrorKind;
use std::time::Duration;

/// Between two looks.
const STEP: Duration = Duration::from_millis(50);

/// Waits until a daemon answers that serves on each of its devices, for at most `limit`.
///
/// # Errors
/// [`Failure`]: none did in time, and what was seen last; or one that this user may not ask.
pub(super) async fn until_served(socket: &AdminSocket, limit: Duration) -> Result<(), Failure> {
    // A daemon that starts has its socket before it answers there: then nothing else was seen.
    let path = socket.path().display();
    let mut seen = format!("the gpumuxd at {path} is still starting: its log says at what");
    let served = async {
        loop {
            match socket.ask().await {
                Ok(status) => match unserved(&status) {
                    None => return Ok(()),
                    Some(what) => seen = what,
                },
                Err(failure) if is_final(&failure) => return Err(failure),
                Err(failure) => seen = failure.to_string(),
            }
            tokio::time::sleep(STEP).await;
        }
    };
    match tokio::time::timeout(limit, served).await {
        Ok(ended) => ended,
        Err(_) => Err(Failure::NotServing { limit, seen }),
    }
}

/// What is not served yet.
fn unserved(status: &Status) -> Option<String> {
    if status.draining {
        return Some(format!("gpumuxd, pid {}, is draining", status.pid));
    }
    let waiting = status.devices.iter().find(|device| device.state != "ready")?;
    Some(format!("device {} is {}", waiting.ordinal, waiting.state))
}

/// Whether waiting would not help.
fn is_final(failure: &Failure) -> bool {
    matches!(failure, Failure::DaemonAbsent { source, .. } if source.kind() == ErrorKind::PermissionDenied)
}
