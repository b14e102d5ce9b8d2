//! A page of a channel that cannot be had raises SIGBUS in whoever touches it: memory is out, or a
//! limit is reached, and the page is one that the peer had given back. That is the peer's affair and
//! must not end the worker.
//!
//! So channels are watched: a fixed table holds where each is mapped. The handler maps an empty page
//! over the one that failed and marks the channel, whose session then ends as a violation. What lies
//! in no watched channel is left to whoever handled the signal before, which ends the process.
//!
//! The handler runs in the middle of anything. It loads and stores atomics, and makes two system
//! calls, `mmap` and `sigaction`, which any signal handler may.

use nix::errno::Errno;
use nix::libc::{c_int, c_void, siginfo_t};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use thiserror::Error;

/// Channels that may be watched at once: those that are served, and as many on their way out.
const WATCHED_MAX: usize = 2048;

/// Where one channel is mapped. A handler may look at any moment, so a change is between two
/// increments of `turn`: an odd number says that the place is being changed, and a number that moved
/// says that what was read is of two channels. Either is never the channel that is being touched,
/// which stays in the table for longer than anybody can touch it.
#[derive(Debug)]
struct Place {
    turn: AtomicU32,
    taken: AtomicBool,
    start: AtomicUsize,
    bytes: AtomicUsize,
    lost: AtomicBool,
}

static PLACES: [Place; WATCHED_MAX] = [const { Place::empty() }; WATCHED_MAX];

/// The unit in which memory fails: the system's smallest pages, as larger ones are not accepted as
/// channel memory. A power of two, once the handler is installed.
static PAGE: AtomicUsize = AtomicUsize::new(1);

/// Who handled the signal before.
static BEFORE: OnceLock<SigAction> = OnceLock::new();

/// There is no place left in the table.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{WATCHED_MAX} channels are mapped already: close one first")]
pub(crate) struct TableFull;

impl Place {
    const fn empty() -> Self {
        Self {
            turn: AtomicU32::new(0),
            taken: AtomicBool::new(false),
            start: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            lost: AtomicBool::new(false),
        }
    }

    /// Changes what the place says. Its owner alone calls this.
    fn set(&self, start: usize, bytes: usize) {
        // SYNC(turn): a reader that sees any store below sees the odd number before it too.
        self.turn.fetch_add(1, Ordering::AcqRel);
        std::sync::atomic::fence(Ordering::Release);
        self.start.store(start, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        self.lost.store(false, Ordering::Relaxed);
        self.turn.fetch_add(1, Ordering::Release);
    }

    fn holds(&self, address: usize) -> bool {
        let turn = self.turn.load(Ordering::Acquire);
        let start = self.start.load(Ordering::Relaxed);
        let bytes = self.bytes.load(Ordering::Relaxed);
        // SYNC(turn): the loads above are made before this number is read again.
        std::sync::atomic::fence(Ordering::Acquire);
        turn.is_multiple_of(2)
            && self.turn.load(Ordering::Relaxed) == turn
            && address.wrapping_sub(start) < bytes
    }
}

/// A mapping that is watched for as long as this lives. It must be dropped before the mapping is.
#[derive(Debug)]
pub(crate) struct Watched(&'static Place);

impl Watched {
    /// Whether a page of it could not be had since it is watched.
    pub(crate) fn is_lost(&self) -> bool {
        self.0.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.set(0, 0);
        self.0.taken.store(false, Ordering::Release);
    }
}

/// Watches a mapping.
///
/// # Errors
/// [`TableFull`].
pub(crate) fn watch(addresses: &Range<usize>) -> Result<Watched, TableFull> {
    let free = |place: &&Place| {
        let taken = &place.taken;
        taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    };
    let place = PLACES.iter().find(free).ok_or(TableFull)?;
    place.set(addresses.start, addresses.len());
    Ok(Watched(place))
}

/// Handles the signal from now on.
///
/// # Errors
/// What the kernel says.
pub(crate) fn install() -> Result<(), Errno> {
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?;
    let page = page.and_then(|bytes| usize::try_from(bytes).ok()).ok_or(Errno::EINVAL)?;
    PAGE.store(page, Ordering::Relaxed);
    // On the alternate stack, where one is: the fault may come with little left of the ordinary one.
    let flags = SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK;
    let ours = SigAction::new(SigHandler::SigAction(handle), flags, SigSet::empty());
    // SAFETY: the handler does nothing but what may be done in one, as its comments say.
    let before = unsafe { sigaction(Signal::SIGBUS, &ours) }?;
    // A second installation keeps the first one's predecessor: the second's is our own handler.
    let _kept = BEFORE.set(before);
    Ok(())
}

extern "C" fn handle(_signal: c_int, info: *mut siginfo_t, _context: *mut c_void) {
    let errno = Errno::last_raw();
    // SAFETY: the kernel hands a live record to a handler that was installed with SA_SIGINFO.
    let info = unsafe { &*info };
    // SAFETY: a SIGBUS that the kernel raised carries an address; for others the number is looked at
    // only after `si_code` has said who raised it.
    let address = unsafe { info.si_addr() }.addr();
    let raised_by_kernel = info.si_code > 0;
    let place = PLACES.iter().find(|place| raised_by_kernel && place.holds(address));
    match place {
        Some(place) if cover(address) => place.lost.store(true, Ordering::Relaxed),
        _ => hand_back(raised_by_kernel),
    }
    Errno::set_raw(errno);
}

/// Maps an empty page of this process's own over the one of a channel that an address is in. Says
/// whether that could be done.
fn cover(address: usize) -> bool {
    let bytes = PAGE.load(Ordering::Relaxed);
    let page = std::ptr::with_exposed_provenance_mut(address & !(bytes - 1));
    let protection = nix::libc::PROT_READ | nix::libc::PROT_WRITE;
    let flags = nix::libc::MAP_PRIVATE | nix::libc::MAP_ANONYMOUS | nix::libc::MAP_FIXED;
    // SAFETY: the page lies in a channel's mapping, which nothing reaches but by atomics and volatile
    // copies, and which its owner unmaps as a whole, this page with it.
    let mapped = unsafe { nix::libc::mmap(page, bytes, protection, flags, -1, 0) };
    mapped != nix::libc::MAP_FAILED
}

/// Lets whoever was there before handle the signal when the access that failed is made again. A
/// signal that somebody sent is sent again, to do what it does by default: Rust's own handler, which
/// is the one before, would take it for a fault that comes again.
fn hand_back(raised_by_kernel: bool) {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    let before = BEFORE.get().filter(|_| raised_by_kernel).unwrap_or(&default);
    // SAFETY: it was this process's handler before ours, or is the system's default.
    let restored = unsafe { sigaction(Signal::SIGBUS, before) };
    if restored.is_err() || (!raised_by_kernel && raise(Signal::SIGBUS).is_err()) {
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gpumux_wire::channel::{Mapping, WorkerSide};
    use gpumux_wire::geometry::{ChannelSize, Geometry};
    use nix::sys::memfd::{MFdFlags, memfd_create};
    use nix::unistd::ftruncate;
    use std::os::fd::OwnedFd;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;
    use std::sync::Arc;

    /// Channel memory as no peer could pass it: nothing keeps it from shrinking.
    fn unsealed() -> (OwnedFd, Arc<Mapping>) {
        let geometry = Geometry::new(ChannelSize { slots: 4, arena_bytes: 1 << 16 }).unwrap();
        let memory = memfd_create(c"unsealed", MFdFlags::empty()).unwrap();
        ftruncate(&memory, i64::try_from(geometry.total_bytes()).unwrap()).unwrap();
        let mapping = Mapping::new(&memory, geometry).unwrap();
        (memory, mapping)
    }

    #[test]
    fn a_page_that_is_gone_marks_its_channel_and_ends_nobody() {
        install().unwrap();
        let (memory, mapping) = unsealed();
        let (_other_memory, other_mapping) = unsealed();
        let watched = watch(&mapping.addresses()).unwrap();
        let other = watch(&other_mapping.addresses()).unwrap();
        let mut side = WorkerSide::new(&mapping);
        assert_eq!(side.submissions.pending(), Ok(0));
        assert!(!watched.is_lost());
        ftruncate(&memory, 0).unwrap();
        // A load, and a store to another page.
        assert_eq!(side.submissions.pending(), Ok(0));
        assert!(watched.is_lost());
        side.write_response(1, &gpumux_wire::record::ResponseRecord::default());
        assert!(watched.is_lost() && !other.is_lost());
        // The place is as good as new for the next.
        drop(watched);
        let again = watch(&other_mapping.addresses()).unwrap();
        assert!(!again.is_lost());
    }

    #[test]
    fn places_hold_their_own_addresses_alone() {
        let place = Place::empty();
        assert!(!place.holds(0));
        place.set(0x1000, 0x2000);
        for (address, held) in [(0xfff, false), (0x1000, true), (0x2fff, true), (0x3000, false)] {
            assert_eq!(place.holds(address), held, "{address:#x}");
        }
        // Half-way through a change it holds nothing.
        place.turn.fetch_add(1, Ordering::Relaxed);
        assert!(!place.holds(0x1000));
    }

    /// Runs this test again as a process of its own, and says by which signal that ended.
    fn signal_of_child(test: &str) -> Option<i32> {
        let this = std::env::current_exe().unwrap();
        let mut child = Command::new(this);
        child.args(["--exact", test, "--nocapture"]).env(CHILD, "1");
        child.output().unwrap().status.signal()
    }

    const CHILD: &str = "GPUMUX_TEST_SIGBUS_CHILD";

    fn is_child() -> bool {
        std::env::var_os(CHILD).is_some()
    }

    #[test]
    fn a_fault_elsewhere_still_kills() {
        if is_child() {
            install().unwrap();
            let (_watched_memory, watched_mapping) = unsealed();
            let _watched = watch(&watched_mapping.addresses()).unwrap();
            let (memory, mapping) = unsealed();
            ftruncate(&memory, 0).unwrap();
            let _never = WorkerSide::new(&mapping).submissions.pending();
            return;
        }
        let killed = signal_of_child("os::sigbus::tests::a_fault_elsewhere_still_kills");
        assert_eq!(killed, Some(nix::libc::SIGBUS));
    }

    #[test]
    fn a_signal_that_was_sent_still_kills() {
        if is_child() {
            install().unwrap();
            raise(Signal::SIGBUS).unwrap();
            return;
        }
        let killed = signal_of_child("os::sigbus::tests::a_signal_that_was_sent_still_kills");
        assert_eq!(killed, Some(nix::libc::SIGBUS));
    }
}
