//! The thread of a session that looks at the wake-up channels for futures.
//!
//! It is started when a future waits outside of a tokio runtime, and ends when none has waited for a
//! while. It holds neither the session nor its channels, so that they end with their last handles.

use crate::bell::{Bell, Heard};
use crate::control::Control;
use nix::errno::Errno;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// How long it stays when nothing waits: requests that follow each other find it there.
const LINGER: Duration = Duration::from_secs(1);

/// A session's attendant, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Attendance(Mutex<Desk>);

#[derive(Debug, Default)]
struct Desk {
    /// Made for the first, and the same for all after it.
    bell: Option<Arc<Bell>>,
    running: bool,
}

impl Attendance {
    /// What the attendant listens to.
    pub(crate) fn bell(&self) -> Result<Arc<Bell>, Errno> {
        let mut desk = self.lock();
        if let Some(bell) = &desk.bell {
            return Ok(Arc::clone(bell));
        }
        let bell = Arc::new(Bell::new()?);
        desk.bell = Some(Arc::clone(&bell));
        Ok(bell)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Desk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session ends.
    pub(crate) fn dismiss(&self) {
        if let Some(bell) = &self.lock().bell {
            bell.ring();
        }
    }
}

impl Control {
    /// Sees to it that there is an attendant. Call it after the waker stands with its slot.
    pub(crate) fn see_attended(self: &Arc<Self>) -> std::io::Result<()> {
        let mut desk = self.attendance.lock();
        if desk.running {
            return Ok(());
        }
        let Some(bell) = desk.bell.clone() else { return Ok(()) };
        let control = Arc::downgrade(self);
        let builder = std::thread::Builder::new().name("gpumux-attend".to_owned());
        builder.spawn(move || attend(&control, &bell))?;
        desk.running = true;
        Ok(())
    }

    /// Whether the attendant may end: no future waits. Who waits from now on starts another.
    fn may_leave(&self) -> bool {
        let channels = self.channels();
        let mut desk = self.attendance.lock();
        // A waker stands with its slot before its holder comes to the desk.
        desk.running = channels.iter().any(|channel| channel.is_awaited());
        let may_leave = !desk.running;
        drop(desk);
        // Whoever lets go of a channel last tells the daemon, under no lock.
        drop(channels);
        may_leave
    }
}

fn attend(control: &Weak<Control>, bell: &Bell) {
    let mut wait = Some(LINGER);
    loop {
        // It can only fail for a descriptor that is none.
        let heard = bell.hear(wait).unwrap_or_else(|errno| unreachable!("a bell rings: {errno}"));
        let Some(control) = control.upgrade() else { return };
        let channels = control.channels();
        for heard in &heard {
            let Heard::Channel(number) = heard else { continue };
            if let Some(channel) = channels.iter().find(|it| u64::from(it.id.0) == *number) {
                channel.attend();
            }
        }
        let is_needed = channels.iter().any(|channel| channel.is_awaited());
        drop(channels);
        if heard.is_empty() && !is_needed && control.may_leave() {
            return;
        }
        wait = (!is_needed).then_some(LINGER);
    }
}
