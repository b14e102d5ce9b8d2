//! Listening sockets that a service manager made before it started us. They outlive a daemon: who
//! connects while the next one starts waits in the socket's queue, and is not turned away.

use super::SupervisorError;
use super::place::Place;
use crate::os::inherited;
use nix::sys::socket::{getsockopt, sockopt::AcceptConn};
use socket2::{Domain, Socket, Type};
use std::os::fd::OwnedFd;

/// The name of the socket that peers connect to.
pub(super) const PEERS: &str = "peers";
/// The name of the socket that operators ask.
pub(super) const ADMIN: &str = "admin";

/// The name of the socket that a tenant's peers connect to.
pub(super) fn of_tenant(tenant: &str) -> String {
    format!("tenant-{tenant}")
}

/// Those that no part of the daemon has taken yet, by the names that the service manager gave them.
#[derive(Debug)]
pub(crate) struct Given(Vec<(String, OwnedFd)>);

/// A socket that listens already, and the right to serve it.
#[derive(Debug)]
pub(super) struct GivenSocket {
    pub(super) socket: Socket,
    pub(super) place: Place,
}

impl Given {
    /// What this process was given. To be called before it opens anything.
    ///
    /// # Errors
    /// The environment speaks of sockets that are not there.
    pub(crate) fn inherit() -> std::io::Result<Self> {
        let wrong = |error: std::io::Error| {
            let what = format!("the sockets of LISTEN_FDS and LISTEN_FDNAMES: {error}");
            std::io::Error::new(error.kind(), what)
        };
        inherited::sockets().map(Self).map_err(wrong)
    }

    /// Takes the socket of that name, if one was given, and sees that it is what is expected there.
    ///
    /// # Errors
    /// [`SupervisorError::Given`]: it is something else. [`SupervisorError::InUse`]: another daemon
    /// serves it.
    pub(super) fn take(
        &mut self,
        name: &str,
        kind: Type,
    ) -> Result<Option<GivenSocket>, SupervisorError> {
        let mut named: Vec<OwnedFd> =
            self.0.extract_if(.., |(given, _)| given == name).map(|(_, socket)| socket).collect();
        let wrong =
            |what: &str| SupervisorError::Given { name: name.to_owned(), what: what.into() };
        let Some(socket) = named.pop() else { return Ok(None) };
        if !named.is_empty() {
            return Err(wrong("there are several of that name, and one is served"));
        }
        let socket = Socket::from(socket);
        let is = |what: std::io::Result<bool>| what.is_ok_and(|is| is);
        if !is(socket.domain().map(|domain| domain == Domain::UNIX))
            || !is(socket.r#type().map(|its| its == kind))
            || getsockopt(&socket, AcceptConn) != Ok(true)
        {
            let stream = kind == Type::STREAM;
            let option = if stream { "ListenStream" } else { "ListenSequentialPacket" };
            return Err(wrong(&format!("it is not a Unix socket that listens, of {option}=")));
        }
        let address = socket.local_addr()?;
        let path = address.as_pathname().ok_or_else(|| wrong("it has no path"))?;
        let place = Place::hold(path)?;
        socket.set_nonblocking(true)?;
        Ok(Some(GivenSocket { socket, place }))
    }

    /// Sees that each is one that is taken: nobody would answer who connects to another. To be called
    /// before any socket is made, which may be in the place of one of them.
    ///
    /// # Errors
    /// [`SupervisorError::Given`]: the first of another name.
    pub(super) fn check<'a>(
        &self,
        tenants: impl Iterator<Item = &'a str>,
    ) -> Result<(), SupervisorError> {
        let known: Vec<String> =
            [PEERS, ADMIN].map(str::to_owned).into_iter().chain(tenants.map(of_tenant)).collect();
        match self.0.iter().find(|(name, _)| !known.contains(name)) {
            None => Ok(()),
            Some((name, _)) => {
                let what = format!(
                    "nothing is served under that name: `FileDescriptorName={PEERS}` and `{ADMIN}` are, \
                     and `{}` for a `[tenant.NAME]` of gpumuxd.toml",
                    of_tenant("NAME")
                );
                Err(SupervisorError::Given { name: name.clone(), what })
            }
        }
    }
}
