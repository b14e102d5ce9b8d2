//! Who is connected and what they have open: the supervisor's memory, under one short lock.

use crate::config::Function;
use crate::link::Attachment;
use crate::options::SupervisorOptions;
use gpumux_wire::control::{ChannelId, OpenRefusal};
use gpumux_wire::geometry::Geometry;
use gpumux_wire::status::SessionStatus;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// Most sessions at once.
const SESSIONS_MAX: usize = 512;
/// Most sessions, and most channels, of one user. Half of what there is, so that nobody takes every
/// place from everybody else.
const USER_SESSIONS_MAX: usize = SESSIONS_MAX / 2;
const USER_CHANNELS_MAX: usize = 512;
/// Most channels of one session.
const SESSION_CHANNELS_MAX: usize = 64;

/// See the file's head.
#[derive(Debug)]
pub(super) struct Registry {
    functions: Vec<String>,
    mapped_bytes_max: u64,
    session_mapped_bytes_max: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    draining: bool,
    sessions: BTreeMap<u64, Session>,
    last_session: u64,
    last_attachment: u64,
    mapped_bytes: u64,
}

#[derive(Debug)]
struct Session {
    pid: i32,
    uid: u32,
    channels: BTreeMap<ChannelId, OpenChannel>,
    mapped_bytes: u64,
    /// Tells the session's task that its peer broke the protocol.
    violations: mpsc::UnboundedSender<String>,
}

#[derive(Debug)]
struct OpenChannel {
    attachment: Attachment,
    function: String,
    bytes: u64,
}

impl Registry {
    pub(super) fn new(functions: &[Function], options: &SupervisorOptions) -> Self {
        Self {
            functions: functions.iter().map(|function| function.name.clone()).collect(),
            mapped_bytes_max: options.mapped_bytes_max,
            session_mapped_bytes_max: options.session_mapped_bytes_max,
            state: Mutex::default(),
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

    /// Enters a session, if there is room for one more.
    ///
    /// # Errors
    /// Which limit is in the way.
    pub(super) fn enter(
        &self,
        pid: i32,
        uid: u32,
        violations: mpsc::UnboundedSender<String>,
    ) -> Result<u64, String> {
        let mut state = self.lock();
        if state.sessions.len() >= SESSIONS_MAX {
            return Err(format!("there are {SESSIONS_MAX} sessions: try again later"));
        }
        let of_user = state.sessions.values().filter(|session| session.uid == uid).count();
        if of_user >= USER_SESSIONS_MAX {
            return Err(format!("user {uid} has {USER_SESSIONS_MAX} sessions: end one first"));
        }
        state.last_session += 1;
        let id = state.last_session;
        let session = Session { pid, uid, channels: BTreeMap::new(), mapped_bytes: 0, violations };
        state.sessions.insert(id, session);
        Ok(id)
    }

    /// Enters a channel, if its function exists and no limit is in the way.
    pub(super) fn open(
        &self,
        session: u64,
        channel: ChannelId,
        function: &str,
        geometry: &Geometry,
    ) -> Result<Attachment, OpenRefusal> {
        let mut state = self.lock();
        if state.draining {
            return Err(OpenRefusal::Draining);
        }
        if !self.functions.iter().any(|known| known == function) {
            let nearest = self.nearest(function).map(str::to_owned);
            return Err(OpenRefusal::UnknownFunction { name: function.to_owned(), nearest });
        }
        let bytes = geometry.total_bytes();
        let total = state.mapped_bytes.saturating_add(bytes);
        let over = |what: String| Err(OpenRefusal::OverLimit { what });
        if total > self.mapped_bytes_max {
            let limit = self.mapped_bytes_max;
            return over(format!(
                "all peers together may map {limit} bytes: ask for a smaller arena, or later"
            ));
        }
        let attachment = Attachment(state.last_attachment + 1);
        let uid = state.sessions.get(&session).map(|entry| entry.uid);
        let of_user = state.sessions.values().filter(|other| Some(other.uid) == uid);
        if of_user.map(|other| other.channels.len()).sum::<usize>() >= USER_CHANNELS_MAX {
            return over(format!(
                "one user may have {USER_CHANNELS_MAX} channels: close one first"
            ));
        }
        let Some(entry) = state.sessions.get_mut(&session) else {
            return over("the session is over".to_owned());
        };
        if entry.channels.contains_key(&channel) {
            return over(format!("channel {} is open already", channel.0));
        }
        if entry.channels.len() >= SESSION_CHANNELS_MAX {
            return over(format!(
                "a session may have {SESSION_CHANNELS_MAX} channels: close one first"
            ));
        }
        if entry.mapped_bytes.saturating_add(bytes) > self.session_mapped_bytes_max {
            let limit = self.session_mapped_bytes_max;
            return over(format!(
                "one peer may map {limit} bytes: ask for a smaller arena, or close a channel"
            ));
        }
        entry.mapped_bytes += bytes;
        let open = OpenChannel { attachment, function: function.to_owned(), bytes };
        entry.channels.insert(channel, open);
        state.mapped_bytes = total;
        state.last_attachment = attachment.0;
        Ok(attachment)
    }

    /// The function whose name is most like `name`, where one is close.
    pub(super) fn nearest(&self, name: &str) -> Option<&str> {
        crate::config::nearest(name, self.functions.iter().map(String::as_str))
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
            let _ended = session.violations.send(what);
        }
    }

    pub(super) fn sessions(&self) -> Vec<SessionStatus> {
        let state = self.lock();
        let sessions = state.sessions.iter();
        sessions
            .map(|(id, session)| SessionStatus {
                id: *id,
                pid: session.pid,
                uid: session.uid,
                functions: session.channels.values().map(|open| open.function.clone()).collect(),
                mapped_bytes: session.mapped_bytes,
            })
            .collect()
    }
}
