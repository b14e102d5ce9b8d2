//! How the ends of a channel's requests reach whoever waits for them.
//!
//! Three kinds wait, at the same time if need be. Threads in `wait`: one of them sleeps in the kernel
//! on the wake-up channel, the others on a condition. Futures: their wakers stand with their slots,
//! and an *attendant* looks at the wake-up channel for them, which is a thread of the session or a
//! task of a tokio runtime. Loops outside of this crate, by a `Readiness`. Whoever of them sees a
//! wake-up first takes all completions, and tells everybody whose request ended.
//!
//! The worker sends one wake-up for each announcement of sleep. So that none is lost: an announcement
//! is taken back only by who sees that nobody else relies on it, and whoever takes a wake-up announces
//! again, and looks again, while anybody does.

use crate::bell::Bell;
use crate::channel::Channel;
use crate::clock;
use crate::error::WaitError;
use crate::state::{Link, Listener, Locked, State};
use gpumux_wire::record::ResponseRecord;
use gpumux_wire::wake;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

impl Channel {
    /// Waits until the slot's request has ended and takes the answer; `None` when that is not by
    /// then.
    pub(crate) fn wait(
        &self,
        slot: u32,
        until: Option<Instant>,
    ) -> Result<Option<ResponseRecord>, WaitError> {
        if self.control.fork.forked() {
            return Err(WaitError::Forked);
        }
        let mut state = self.lock();
        loop {
            self.take_completions(&mut state);
            if let Some(answer) = state.slots.take_answer(slot) {
                return Ok(Some(answer));
            }
            if state.slots.has_due() {
                // Wakes them.
                drop(state);
                state = self.lock();
                continue;
            }
            let left = until.map(|until| until.saturating_duration_since(clock::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            let wake = match &state.link {
                Link::Up { wake, .. } if !state.polling => Some(Arc::clone(wake)),
                Link::Up { .. } | Link::Away(_) => None,
                Link::Ended(_) => unreachable!("nothing is in flight on a channel that ended"),
            };
            state = match wake {
                Some(wake) => self.sleep(state, &wake, left)?,
                None => state.wait(&self.changed, left),
            };
        }
    }

    /// Takes the slot's answer if it is there.
    pub(crate) fn look(&self, slot: u32) -> Result<Option<ResponseRecord>, WaitError> {
        if self.control.fork.forked() {
            return Err(WaitError::Forked);
        }
        let mut state = self.lock();
        self.take_completions(&mut state);
        let answer = state.slots.take_answer(slot);
        // Nobody may be asleep on the wake-up channel to see it close.
        if answer.is_none() && self.notice(&mut state) {
            return Ok(state.slots.take_answer(slot));
        }
        Ok(answer)
    }

    /// Takes the slot's answer if it is there, and else has its end wake this task.
    pub(crate) fn poll(
        self: &Arc<Self>,
        slot: u32,
        context: &Context<'_>,
    ) -> Poll<Result<ResponseRecord, WaitError>> {
        if self.control.fork.forked() {
            return Poll::Ready(Err(WaitError::Forked));
        }
        let mut state = self.lock();
        self.take_completions(&mut state);
        let mut answer = state.slots.take_answer(slot);
        if answer.is_none() {
            state.slots.set_waker(slot, context.waker());
            self.announce(&mut state);
            answer = state.slots.take_answer(slot);
        }
        drop(state);
        match answer {
            Some(answer) => Poll::Ready(Ok(answer)),
            None => match self.see_attended() {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            },
        }
    }

    /// Sees to it that somebody looks at the wake-up channel for the task that waits here.
    fn see_attended(self: &Arc<Self>) -> Result<(), WaitError> {
        #[cfg(feature = "tokio")]
        if self.attended_by_runtime()? {
            return Ok(());
        }
        self.attended_by_thread()
    }

    /// Has the session's attendant look after the futures of this channel.
    pub(crate) fn attended_by_thread(&self) -> Result<(), WaitError> {
        let bell = self.control.attendance.bell().map_err(WaitError::Os)?;
        let mut state = self.lock();
        if !state.listeners.iter().any(|listener| Arc::ptr_eq(&listener.bell, &bell)) {
            self.listen(&mut state, bell)?;
        }
        drop(state);
        self.control.see_attended().map_err(|error| {
            WaitError::Os(error.raw_os_error().map_or(Errno::EAGAIN, Errno::from_raw))
        })
    }

    /// Has a bell ring with this channel.
    pub(crate) fn listen(&self, state: &mut State, bell: Arc<Bell>) -> Result<(), WaitError> {
        if let Link::Up { wake, .. } = &state.link {
            bell.add(wake, self.id.0).map_err(WaitError::Os)?;
        }
        state.listeners.push(Listener { bell, armed: false });
        Ok(())
    }

    /// Has a bell ring with this channel no more.
    pub(crate) fn unlisten(&self, bell: &Arc<Bell>) {
        let mut state = self.lock();
        state.listeners.retain(|listener| !Arc::ptr_eq(&listener.bell, bell));
    }

    /// A bell has rung: takes what the worker has said.
    pub(crate) fn attend(&self) {
        if !self.control.fork.forked() {
            let mut state = self.lock();
            self.hear(&mut state);
            self.announce(&mut state);
        }
    }

    /// Has a bell ring for whatever ends from now on, and takes what has ended until now.
    pub(crate) fn arm(&self, bell: &Arc<Bell>) -> Result<(), WaitError> {
        if self.control.fork.forked() {
            return Err(WaitError::Forked);
        }
        let mut state = self.lock();
        bell.silence().map_err(WaitError::Os)?;
        self.hear(&mut state);
        let listener = state.listeners.iter_mut().find(|it| Arc::ptr_eq(&it.bell, bell));
        listener.expect("it listens until it is dropped").armed = true;
        self.announce(&mut state);
        Ok(())
    }

    /// Takes the wake-ups that wait and then the completions that they spoke of.
    fn hear(&self, state: &mut State) {
        if let Link::Up { wake, .. } = &state.link
            && !state.polling
            && wake::drain(wake).is_err()
        {
            self.part(state);
        }
        self.take_completions(state);
    }

    /// Asks the worker for a wake-up if anybody relies on one. Completions that are there already
    /// are taken, since it sends none for those.
    pub(crate) fn announce(&self, state: &mut State) {
        while let Link::Up { .. } = state.link
            && state.is_awaited()
        {
            state.side.completions.announce_sleep();
            if state.side.completions.pending() == Ok(0) {
                return;
            }
            self.take_completions(state);
        }
    }

    /// Sleeps in the kernel until the worker wakes this process, for all threads of the channel.
    fn sleep<'a>(
        &'a self,
        mut state: Locked<'a>,
        wake: &Arc<OwnedFd>,
        left: Option<Duration>,
    ) -> Result<Locked<'a>, WaitError> {
        state.side.completions.announce_sleep();
        if state.side.completions.pending() != Ok(0) {
            self.no_sleep(&mut state);
            return Ok(state);
        }
        state.polling = true;
        drop(state);
        let mut ends = [PollFd::new(wake.as_fd(), PollFlags::POLLIN)];
        let woken = ppoll(&mut ends, left.map(TimeSpec::from), None);
        let mut state = self.lock();
        state.polling = false;
        self.changed.notify_all();
        // Meanwhile others may have seen it close, and the channel may be served by the next.
        let is_current =
            matches!(&state.link, Link::Up { wake: current, .. } if Arc::ptr_eq(current, wake));
        if is_current {
            self.hear(&mut state);
            self.no_sleep(&mut state);
        }
        match woken {
            Ok(_) | Err(Errno::EINTR) => Ok(state),
            Err(errno) => Err(WaitError::Os(errno)),
        }
    }

    /// This thread needs no wake-up now.
    fn no_sleep(&self, state: &mut State) {
        if state.is_awaited() {
            self.announce(state);
        } else if let Link::Up { .. } = state.link {
            state.side.completions.withdraw_sleep();
        }
    }

    /// Requests have ended, or the link has changed: tells whoever waits.
    pub(crate) fn tell(&self, state: &mut State) {
        self.changed.notify_all();
        for listener in &mut state.listeners {
            if std::mem::take(&mut listener.armed) {
                listener.bell.ring();
            }
        }
    }
}
