//! The sockets that peers come by: the daemon's own, and one for each tenant that has one.
//!
//! A socket that a service manager gave for a tenant is that tenant's as long as this process lives:
//! the manager holds it too, so nobody can close it here, and whoever connected would wait for ever.
//! When the tenant goes at a reload who comes by it is told so, and when it comes back it has it again.

use super::SupervisorError;
use super::devices::Devices;
use super::given::{self, Given, GivenSocket};
use super::registry::Registry;
use super::session::{self, Listener};
use super::tenancy::{Door, Tenancy};
use crate::config::Tenant;
use socket2::Type;
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
    /// Whether a service manager made it: then its mode is that one's, and it stays.
    given: bool,
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
    /// Opens a socket for everybody and one for each tenant that has its own; those that a service
    /// manager gave are taken. Nobody is accepted yet.
    pub(super) fn open(
        shared: &Path,
        given: &mut Given,
        tenancy: &Tenancy,
    ) -> Result<Self, SupervisorError> {
        let mut doors = Self(BTreeMap::new());
        let peers = given.take(given::PEERS, Type::SEQPACKET)?;
        doors.0.insert(Door::Shared, Opened::bind(shared, SHARED_MODE, peers)?);
        for (name, tenant) in tenancy.iter() {
            if let Some(socket) = given.take(&given::of_tenant(name), Type::SEQPACKET)? {
                let path = socket.place.path().to_owned();
                let opened = Opened::bind(&path, tenant.socket_mode.0, Some(socket))?;
                doors.0.insert(Door::Of(name.to_owned()), opened);
            }
        }
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
        self.check_given(tenancy)?;
        let mut new = BTreeMap::new();
        for (door, (path, mode)) in wanted(tenancy) {
            if !self.0.values().any(|opened| opened.path == path) {
                new.insert(door, Opened::bind(&path, mode, None)?);
            }
        }
        Ok(Self(new))
    }

    /// Adds what was prepared for these tenants, and closes what none has any more and was opened here.
    /// What stays keeps those who wait at it.
    pub(super) fn apply(&mut self, tenancy: &Tenancy, Self(mut new): Self) {
        for (door, (path, mode)) in wanted(tenancy) {
            let found = self.0.iter_mut().find(|(_, opened)| opened.path == path);
            let Some((was, opened)) = found else { continue };
            if !opened.given && opened.mode != mode {
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
            new.insert(door, Opened { path, mode, given: false, listener, accepting: None });
            self.0.remove(&was);
        }
        let stays = |door: &Door, opened: &Opened| match door {
            Door::Shared => true,
            Door::Of(_) if opened.given => true,
            Door::Of(name) => {
                let socket = tenancy.get(name).and_then(|tenant| tenant.socket.as_deref());
                socket == Some(&opened.path)
            }
        };
        self.0.retain(|door, opened| stays(door, opened));
        self.0.append(&mut new);
    }

    /// Sees that each socket that was given is nobody's but whose it was given for, and that a tenant
    /// to which one was given says so.
    fn check_given(&self, tenancy: &Tenancy) -> Result<(), SupervisorError> {
        for (door, opened) in self.0.iter().filter(|(_, opened)| opened.given) {
            let (name, owner) = match door {
                Door::Shared => (given::PEERS.to_owned(), None),
                Door::Of(tenant) => (given::of_tenant(tenant), Some(tenant.as_str())),
            };
            let at = opened.path.display();
            let has = |tenant: &Tenant| tenant.socket.as_ref() == Some(&opened.path);
            let strangers = || tenancy.iter().filter(|(tenant, _)| Some(*tenant) != owner);
            let what = if let Some((other, _)) = strangers().find(|(_, tenant)| has(tenant)) {
                format!("it is at {at}, which `[tenant.{other}]` has as its `socket`")
            } else if let Some(tenant) = owner
                && tenancy.get(tenant).is_some_and(|its| !has(its))
            {
                format!("it is at {at}, and `[tenant.{tenant}]` does not say `socket = \"{at}\"`")
            } else {
                continue;
            };
            return Err(SupervisorError::Given { name, what });
        }
        Ok(())
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
        let is_given = given.is_some();
        let listener = Arc::new(Listener::bind(path, mode, given)?);
        let path = listener.path().to_owned();
        Ok(Self { path, mode, given: is_given, listener, accepting: None })
    }
}
