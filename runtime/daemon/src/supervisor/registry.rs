//! Who is connected and what they have open: the supervisor's memory, under one short lock.

use super::audit::{Audit, Refused as Refusal, What};
use super::identity::Identity;
use super::tenancy::{Door, Tenancy};
use crate::config::tenant::DEFAULT;
use crate::config::{Function, Tenant};
use crate::link::{Attachment, TenantLimits};
use crate::options::SupervisorOptions;
use gpumux_wire::control::{ChannelId, OpenRefusal};
use gpumux_wire::geometry::Geometry;
use gpumux_wire::reload::Reload;
use gpumux_wire::status::{ConnectionStatus, RefusalCount, SessionStatus, TenantStatus};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{Semaphore, mpsc};

/// Most sessions at once.
const SESSIONS_MAX: usize = 512;
/// Most connections that are refused and still held, to hear them out.
const TURNED_AWAY_MAX: usize = 64;
/// Most channels of one session.
const SESSION_CHANNELS_MAX: usize = 64;

/// See the file's head.
#[derive(Debug)]
pub(super) struct Registry {
    mapped_bytes_max: u64,
    session_mapped_bytes_max: u64,
    audit: Audit,
    /// Places for those who are turned away and heard out first.
    pub(super) turned_away: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    draining: bool,
    functions: Vec<String>,
    tenancy: Tenancy,
    refused: HashMap<String, Refused>,
    sessions: BTreeMap<u64, Session>,
    last_session: u64,
    last_attachment: u64,
    mapped_bytes: u64,
    /// Who came so far. What is now is added when somebody asks.
    connections: ConnectionStatus,
}

/// What a tenant was refused.
#[derive(Clone, Copy, Debug, Default)]
struct Refused {
    connections: u64,
    opens: u64,
}

#[derive(Debug)]
struct Session {
    peer: Identity,
    tenant: String,
    channels: BTreeMap<ChannelId, OpenChannel>,
    mapped_bytes: u64,
    /// Tells the session's task that it ends, and why.
    farewells: mpsc::UnboundedSender<String>,
}

#[derive(Debug)]
struct OpenChannel {
    attachment: Attachment,
    function: String,
    bytes: u64,
}

/// What workers are told when the tenants are others.
#[derive(Debug)]
pub(super) struct Orders {
    /// What each tenant is held to.
    pub(super) limits: Vec<TenantLimits>,
    /// Channels that their tenants may not have any more, with their functions.
    pub(super) withdrawn: Vec<(Attachment, String)>,
}

/// What some sessions have together.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    sessions: usize,
    channels: usize,
    mapped_bytes: u64,
}

impl State {
    fn share(&self, belongs: impl Fn(&Session) -> bool) -> Share {
        let sessions = self.sessions.values().filter(|session| belongs(session));
        sessions.fold(Share::default(), |share, session| Share {
            sessions: share.sessions + 1,
            channels: share.channels + session.channels.len(),
            mapped_bytes: share.mapped_bytes + session.mapped_bytes,
        })
    }

    /// What a tenant's sessions have, and, where several users share a tenant that nobody configured
    /// for them, what one user's have.
    fn shares(&self, tenant: &str, uid: u32) -> (Share, Option<Share>) {
        let of_tenant = self.share(|session| session.tenant == tenant);
        let of_user = (tenant == DEFAULT)
            .then(|| self.share(|session| session.tenant == tenant && session.peer.uid == uid));
        (of_tenant, of_user)
    }

    fn refused(&mut self, tenant: &str) -> &mut Refused {
        self.refused.entry(tenant.to_owned()).or_default()
    }
}

impl Registry {
    pub(super) fn new(
        functions: &[Function],
        options: &SupervisorOptions,
        tenancy: Tenancy,
    ) -> Self {
        Self {
            mapped_bytes_max: options.mapped_bytes_max.0,
            session_mapped_bytes_max: options.session_mapped_bytes_max.0,
            audit: Audit::default(),
            turned_away: Semaphore::new(TURNED_AWAY_MAX),
            state: Mutex::new(State {
                draining: false,
                functions: names(functions),
                tenancy,
                refused: HashMap::new(),
                sessions: BTreeMap::new(),
                last_session: 0,
                last_attachment: 0,
                mapped_bytes: 0,
                connections: ConnectionStatus::default(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No change below can panic half-way, so a poisoned lock guards a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn drain(&self) {
        self.lock().draining = true;
    }

    pub(super) fn is_draining(&self) -> bool {
        self.lock().draining
    }

    /// Whether a peer's cgroup decides whose it is.
    pub(super) fn asks_for_cgroups(&self) -> bool {
        self.lock().tenancy.asks_for_cgroups()
    }

    /// From now on these functions can be opened.
    pub(super) fn set_functions(&self, functions: &[Function]) {
        self.lock().functions = names(functions);
    }

    /// Puts other tenants in the place of those there are. Sessions of tenants that are no more are
    /// told so, and end. Returns what has changed, and what workers are to be told.
    pub(super) fn set_tenants(&self, tenancy: Tenancy) -> (Reload, Orders) {
        let mut state = self.lock();
        for session in state.sessions.values() {
            if tenancy.get(&session.tenant).is_none() {
                let tenant = &session.tenant;
                let why = format!("the tenant `{tenant}` is not configured any more");
                // A session whose task has ended needs no telling.
                let _ended = session.farewells.send(why);
            }
        }
        self.audit.keep(|tenant| tenancy.get(tenant).is_some());
        state.refused.retain(|tenant, _| tenancy.get(tenant).is_some());
        let limits = tenancy.iter().map(|(name, tenant)| limits_of(name, tenant)).collect();
        let reload = difference(&state.tenancy, &tenancy);
        let may_stay = |tenant: &str, function: &str| {
            tenancy.get(tenant).is_some_and(|tenant| tenant.may_open(function))
        };
        let withdrawn = state.sessions.values().flat_map(|session| {
            let lost = session.channels.values();
            lost.filter(|open| !may_stay(&session.tenant, &open.function))
        });
        let withdrawn = withdrawn.map(|open| (open.attachment, open.function.clone())).collect();
        state.tenancy = tenancy;
        (reload, Orders { limits, withdrawn })
    }

    /// Enters a session, if its peer is some tenant's and there is room for one more.
    ///
    /// # Errors
    /// Why not, for the peer.
    pub(super) fn enter(
        &self,
        door: &Door,
        peer: &Identity,
        farewells: mpsc::UnboundedSender<String>,
    ) -> Result<u64, String> {
        let mut state = self.lock();
        let Some(tenant) = state.tenancy.of(door, peer).map(str::to_owned) else {
            let why = "no tenant has this peer: gpumuxd.toml says by socket, cgroup, uid or gid whose \
                       it is";
            drop(state);
            self.note_nobodys(peer, "no_tenant", why);
            return Err(why.to_owned());
        };
        match room_for_session(&state, &tenant, peer) {
            Ok(()) => {
                state.connections.accepted += 1;
                state.last_session += 1;
                let id = state.last_session;
                let (peer, channels) = (peer.clone(), BTreeMap::new());
                let session = Session { peer, tenant, channels, mapped_bytes: 0, farewells };
                state.sessions.insert(id, session);
                Ok(id)
            }
            Err((reason, why)) => {
                state.refused(&tenant).connections += 1;
                RefusalCount::add(&mut state.connections.refused, reason, 1);
                drop(state);
                let refused = Refusal { what: What::Connection, reason, why: &why };
                self.audit.refused(Some(&tenant), peer, refused);
                Err(why)
            }
        }
    }

    /// Notes that a peer was turned away of whom it is not known whose it is.
    pub(super) fn note_nobodys(&self, peer: &Identity, reason: &'static str, why: &str) {
        RefusalCount::add(&mut self.lock().connections.refused, reason, 1);
        let refused = Refusal { what: What::Connection, reason, why };
        self.audit.refused(None, peer, refused);
    }

    /// Enters a channel, if the session's tenant may have it. Says what a worker is to hold it to.
    pub(super) fn open(
        &self,
        session: u64,
        channel: ChannelId,
        function: &str,
        geometry: &Geometry,
    ) -> Result<(Attachment, TenantLimits), OpenRefusal> {
        let mut state = self.lock();
        let limits = self.room_for_channel(&state, session, (channel, function), geometry)?;
        let attachment = Attachment(state.last_attachment + 1);
        let entry = state.sessions.get_mut(&session).ok_or_else(session_over)?;
        let bytes = geometry.total_bytes();
        let open = OpenChannel { attachment, function: function.to_owned(), bytes };
        entry.channels.insert(channel, open);
        entry.mapped_bytes += bytes;
        state.mapped_bytes += bytes;
        state.last_attachment = attachment.0;
        Ok((attachment, limits))
    }

    fn room_for_channel(
        &self,
        state: &State,
        session: u64,
        (channel, function): (ChannelId, &str),
        geometry: &Geometry,
    ) -> Result<TenantLimits, OpenRefusal> {
        if state.draining {
            return Err(OpenRefusal::Draining);
        }
        let over = |what: String| Err(OpenRefusal::OverLimit { what });
        let entry = state.sessions.get(&session).ok_or_else(session_over)?;
        let Some(tenant) = state.tenancy.get(&entry.tenant) else {
            return over(format!("the tenant `{}` is not configured any more", entry.tenant));
        };
        // What a tenant may not open is to it as if it were not there.
        let its =
            || state.functions.iter().map(String::as_str).filter(|name| tenant.may_open(name));
        if !its().any(|known| known == function) {
            let nearest = crate::config::nearest(function, its()).map(str::to_owned);
            return Err(OpenRefusal::UnknownFunction { name: function.to_owned(), nearest });
        }
        if entry.channels.contains_key(&channel) {
            return over(format!("channel {} is open already", channel.0));
        }
        if entry.channels.len() >= SESSION_CHANNELS_MAX {
            return over(format!(
                "a session may have {SESSION_CHANNELS_MAX} channels: close one first"
            ));
        }
        let (of_tenant, of_user) = state.shares(&entry.tenant, entry.peer.uid);
        let channels_max = tenant.channels_max as usize;
        if of_tenant.channels >= channels_max {
            return over(format!(
                "tenant `{}` may have {channels_max} channels: close one first",
                entry.tenant
            ));
        }
        if of_user.is_some_and(|share| share.channels >= half(channels_max)) {
            let limit = half(channels_max);
            return over(format!("one user may have {limit} channels: close one first"));
        }
        let bytes = geometry.total_bytes();
        for (has, limit, who) in [
            (entry.mapped_bytes, self.session_mapped_bytes_max, "one peer"),
            (of_tenant.mapped_bytes, self.bytes_of(tenant), "this tenant's peers together"),
            (state.mapped_bytes, self.mapped_bytes_max, "all peers together"),
        ] {
            if has.saturating_add(bytes) > limit {
                return over(format!(
                    "{who} may map {limit} bytes: ask for a smaller arena, or close a channel"
                ));
            }
        }
        Ok(limits_of(&entry.tenant, tenant))
    }

    fn bytes_of(&self, tenant: &Tenant) -> u64 {
        tenant.mapped_bytes_max.map_or(self.mapped_bytes_max, |bytes| bytes.0)
    }

    /// The function whose name is most like `name`, where one is close.
    pub(super) fn nearest(&self, name: &str) -> Option<String> {
        let state = self.lock();
        let nearest = crate::config::nearest(name, state.functions.iter().map(String::as_str));
        nearest.map(str::to_owned)
    }

    /// Takes a channel out, and says which function it was of.
    pub(super) fn close(&self, session: u64, channel: ChannelId) -> Option<(Attachment, String)> {
        let mut state = self.lock();
        let entry = state.sessions.get_mut(&session)?;
        let closed = entry.channels.remove(&channel)?;
        entry.mapped_bytes -= closed.bytes;
        state.mapped_bytes -= closed.bytes;
        Some((closed.attachment, closed.function))
    }

    /// Takes a session out, with all its channels and their functions.
    pub(super) fn leave(&self, session: u64) -> Vec<(Attachment, String)> {
        let mut state = self.lock();
        let Some(entry) = state.sessions.remove(&session) else { return Vec::new() };
        state.mapped_bytes -= entry.mapped_bytes;
        let channels = entry.channels.into_values();
        channels.map(|channel| (channel.attachment, channel.function)).collect()
    }

    /// Tells the session of a channel that its peer broke the protocol.
    pub(super) fn violated(&self, attachment: Attachment, what: String) {
        let state = self.lock();
        let of = |session: &&Session| {
            session.channels.values().any(|channel| channel.attachment == attachment)
        };
        if let Some(session) = state.sessions.values().find(of) {
            // A session whose task has ended needs no telling.
            let _ended = session.farewells.send(what);
        }
    }

    /// Notes that a session did not get a function, whoever refused it.
    pub(super) fn note_not_opened(&self, session: u64, function: &str, refusal: &OpenRefusal) {
        let reason = match refusal {
            OpenRefusal::UnknownFunction { .. } => "unknown_function",
            OpenRefusal::BadMemory { .. } => "bad_memory",
            OpenRefusal::OverLimit { .. } => "over_limit",
            OpenRefusal::Unavailable { .. } => "unavailable",
            OpenRefusal::Draining => "draining",
        };
        let mut state = self.lock();
        RefusalCount::add(&mut state.connections.opens_refused, reason, 1);
        let Some(entry) = state.sessions.get(&session) else { return };
        let (tenant, peer) = (entry.tenant.clone(), entry.peer.clone());
        state.refused(&tenant).opens += 1;
        drop(state);
        let (what, why) = (What::Function(function), refusal.to_string());
        self.audit.refused(Some(&tenant), &peer, Refusal { what, reason, why: &why });
    }

    /// Notes that a session ends because its peer broke the protocol.
    pub(super) fn note_violation(&self, session: u64, what: &str) {
        let mut state = self.lock();
        state.connections.violations += 1;
        let Some(entry) = state.sessions.get(&session) else { return };
        let (tenant, peer) = (entry.tenant.clone(), entry.peer.clone());
        drop(state);
        let refused = Refusal { what: What::Session, reason: "violation", why: what };
        self.audit.refused(Some(&tenant), &peer, refused);
    }

    /// Who came, and what is open now.
    pub(super) fn connections(&self) -> ConnectionStatus {
        let state = self.lock();
        let channels: usize = state.sessions.values().map(|session| session.channels.len()).sum();
        ConnectionStatus {
            channels: u32::try_from(channels).unwrap_or(u32::MAX),
            mapped_bytes: state.mapped_bytes,
            mapped_bytes_max: self.mapped_bytes_max,
            ..state.connections.clone()
        }
    }

    pub(super) fn sessions(&self) -> Vec<SessionStatus> {
        let state = self.lock();
        let sessions = state.sessions.iter();
        sessions
            .map(|(id, session)| SessionStatus {
                id: *id,
                pid: session.peer.pid,
                uid: session.peer.uid,
                tenant: session.tenant.clone(),
                functions: session.channels.values().map(|open| open.function.clone()).collect(),
                mapped_bytes: session.mapped_bytes,
            })
            .collect()
    }

    pub(super) fn tenants(&self) -> Vec<TenantStatus> {
        let state = self.lock();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let status = |(name, tenant): (&str, &Tenant)| {
            let share = state.share(|session| session.tenant == name);
            let refused = state.refused.get(name).copied().unwrap_or_default();
            TenantStatus {
                name: name.to_owned(),
                functions: tenant.functions.iter().cloned().map(String::from).collect(),
                sessions: count(share.sessions),
                sessions_max: tenant.sessions_max,
                channels: count(share.channels),
                channels_max: tenant.channels_max,
                mapped_bytes: share.mapped_bytes,
                mapped_bytes_max: self.bytes_of(tenant),
                queue_max: tenant.queue_max,
                requests_per_s: tenant.requests_per_s,
                refused_connections: refused.connections,
                refused_opens: refused.opens,
                audit_left_out: self.audit.left_out(name),
            }
        };
        state.tenancy.iter().map(status).collect()
    }
}

/// What two configurations of tenants have otherwise.
fn difference(before: &Tenancy, after: &Tenancy) -> Reload {
    let names = |of: &Tenancy, is: &dyn Fn(&str, &Tenant) -> bool| {
        let those = of.iter().filter(|(name, tenant)| is(name, tenant));
        those.map(|(name, _)| name.to_owned()).collect()
    };
    Reload {
        tenants_added: names(after, &|name, _| before.get(name).is_none()),
        tenants_changed: names(after, &|name, tenant| {
            before.get(name).is_some_and(|other| other != tenant)
        }),
        tenants_removed: names(before, &|name, _| after.get(name).is_none()),
        ..Reload::default()
    }
}

fn names(functions: &[Function]) -> Vec<String> {
    functions.iter().map(|function| function.name.clone()).collect()
}

fn session_over() -> OpenRefusal {
    OpenRefusal::OverLimit { what: "the session is over".to_owned() }
}

/// Half of a limit, and at least one.
fn half(limit: usize) -> usize {
    limit.div_ceil(2)
}

/// The error is the reason, in the word for it in metrics, and the text for the peer.
fn room_for_session(
    state: &State,
    tenant: &str,
    peer: &Identity,
) -> Result<(), (&'static str, String)> {
    if state.sessions.len() >= SESSIONS_MAX {
        let why = format!("there are {SESSIONS_MAX} sessions: try again later");
        return Err(("sessions_full", why));
    }
    let max = state.tenancy.get(tenant).map_or(0, |tenant| tenant.sessions_max as usize);
    let (of_tenant, of_user) = state.shares(tenant, peer.uid);
    if of_tenant.sessions >= max {
        let why = format!("tenant `{tenant}` has {max} sessions: end one first");
        return Err(("tenant_sessions_full", why));
    }
    if of_user.is_some_and(|share| share.sessions >= half(max)) {
        let why = format!("user {} has {} sessions: end one first", peer.uid, half(max));
        return Err(("user_sessions_full", why));
    }
    Ok(())
}

fn limits_of(name: &str, tenant: &Tenant) -> TenantLimits {
    TenantLimits {
        tenant: name.to_owned(),
        queue_max: tenant.queue_max,
        requests_per_s: tenant.requests_per_s,
    }
}
