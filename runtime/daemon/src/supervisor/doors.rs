//! The sockets that peers come by: the daemon's own, and one for each tenant that has one.

use super::SupervisorError;
use super::devices::Devices;
use super::given::GivenSocket;
use super::registry::Registry;
use super::session::{self, Listener};
use super::tenancy::{Door, Tenancy};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::task::AbortHandle;
use tracing::error;

/// Anybody whom the file system lets through to the daemon's own socket may connect; whose a peer is
/// is decided later.
const SHARED_MODE: u32 = 0o666;

/// See the file's head.
#[derive(Debug)]
pub(super) struct Doors(BTreeMap<Door, Opened>);

#[derive(Debug)]
struct Opened {
    path: PathBuf,
    mode: u32,
    listener: Arc<Listener>,
    /// The task that accepts, once there is somebody to serve.
    accepting: Option<AbortHandle>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.accepting.iter().for_each(AbortHandle::abort);
    }
}

impl Doors {
    /// Opens a socket for everybody and one for each tenant that has its own. Nobody is accepted yet.
    /// The first may be one that a service manager gave.
    pub(super) fn open(
        shared: &Path,
        given: Option<GivenSocket>,
        tenancy: &Tenancy,
    ) -> Result<Self, SupervisorError> {
        let mut doors = Self(BTreeMap::new());
        doors.0.insert(Door::Shared, Opened::bind(shared, SHARED_MODE, given)?);
        let new = doors.prepare(tenancy)?;
        doors.apply(tenancy, new);
        Ok(doors)
    }

    /// Where the daemon's own socket is.
    pub(super) fn shared_path(&self) -> &Path {
        self.0[&Door::Shared].listener.path()
    }

    /// Opens what tenants have that is not open. Nobody is accepted there yet.
    pub(super) fn prepare(&self, tenancy: &Tenancy) -> Result<Self, SupervisorError> {
        let mut new = BTreeMap::new();
        for (door, (path, mode)) in wanted(tenancy) {
            if !self.0.values().any(|opened| opened.path == path) {
                new.insert(door, Opened::bind(&path, mode, None)?);
            }
        }
        Ok(Self(new))
    }

    /// Adds what was prepared for these tenants, and closes what none has any more. What stays keeps
    /// those who wait at it.
    pub(super) fn apply(&mut self, tenancy: &Tenancy, Self(mut new): Self) {
        for (door, (path, mode)) in wanted(tenancy) {
            let found = self.0.iter_mut().find(|(_, opened)| opened.path == path);
            let Some((was, opened)) = found else { continue };
            if opened.mode != mode {
                match opened.listener.permit(mode) {
                    Ok(()) => opened.mode = mode,
                    Err(error) => error!(%error, "a socket keeps the mode that it had"),
                }
            }
            if *was == door {
                continue;
            }
            let (was, listener) = (was.clone(), Arc::clone(&opened.listener));
            // Another tenant has the socket now: whoever waits at it is that one's.
            new.insert(door, Opened { path, mode, listener, accepting: None });
            self.0.remove(&was);
        }
        let stays = |door: &Door, opened: &Opened| match door {
            Door::Shared => true,
            Door::Of(name) => {
                let socket = tenancy.get(name).and_then(|tenant| tenant.socket.as_deref());
                socket == Some(&opened.path)
            }
        };
        self.0.retain(|door, opened| stays(door, opened));
        self.0.append(&mut new);
    }

    /// Closes every door.
    pub(super) fn close(&mut self) {
        self.0.clear();
    }

    /// Accepts peers at every door from now on.
    pub(super) fn serve(&mut self, registry: &Arc<Registry>, devices: &Devices) {
        for (door, opened) in &mut self.0 {
            if opened.accepting.is_none() {
                let listener = Arc::clone(&opened.listener);
                let (registry, devices) = (Arc::clone(registry), devices.clone());
                let accepting = session::accept(listener, door.clone(), registry, devices);
                opened.accepting = Some(tokio::spawn(accepting).abort_handle());
            }
        }
    }
}

/// The sockets of tenants: where each is, and its mode.
fn wanted(tenancy: &Tenancy) -> BTreeMap<Door, (PathBuf, u32)> {
    let own = tenancy.iter().filter_map(|(name, tenant)| {
        let mode = tenant.socket_mode.0;
        tenant.socket.clone().map(|path| (Door::Of(name.to_owned()), (path, mode)))
    });
    own.collect()
}

impl Opened {
    fn bind(path: &Path, mode: u32, given: Option<GivenSocket>) -> Result<Self, SupervisorError> {
        let listener = Arc::new(Listener::bind(path, mode, given)?);
        Ok(Self { path: path.to_owned(), mode, listener, accepting: None })
    }
}
