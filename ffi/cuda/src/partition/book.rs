//! Who has which SMs: lanes in use, lanes that gave SMs up and still work on them, lanes that wait to
//! be leased. All room is made at start; nothing here allocates later.

use super::grant::LeaseError;
use crate::context::Context;
use crate::error::CudaError;
use crate::lane::Lane;
use crate::sets::SmSet;
use crate::stream::{Event, Stream};
use std::cell::RefCell;
use std::rc::Rc;

/// Changes that can wait for the device at a time, for each lane. One event more is kept for each, so
/// that a lane can always be given back.
const CHANGES_PER_LANE: u32 = 4;

/// See the head of this file. No lane is ever dropped while the pages are borrowed.
pub(crate) struct Book {
    lanes: u32,
    pages: RefCell<Pages>,
}

struct Pages {
    held: Vec<Held>,
    draining: Vec<Draining>,
    /// Events that nothing waits for.
    events: Vec<Event>,
    idle: Vec<Lane>,
}

struct Held {
    lane: u32,
    sms: SmSet,
}

/// SMs that a lane gave up, until the device has passed `event`.
struct Draining {
    lane: u32,
    sms: SmSet,
    event: Event,
    /// The lane itself, where it was given back.
    parked: Option<Lane>,
}

impl Book {
    /// A book with `idle` lanes to lease.
    pub(super) fn open(context: &Rc<Context>, idle: Vec<Lane>) -> Result<Rc<Self>, CudaError> {
        let lanes = u32::try_from(idle.len()).expect("a device has a few lanes");
        let places = lanes * (CHANGES_PER_LANE + 1);
        let events: Result<Vec<_>, _> = (0..places).map(|_| Event::create(context)).collect();
        let pages = Pages {
            held: Vec::with_capacity(idle.len()),
            draining: Vec::with_capacity(places as usize),
            events: events?,
            idle,
        };
        Ok(Rc::new(Self { lanes, pages: RefCell::new(pages) }))
    }

    /// Frees what the device has finished with.
    pub(super) fn settle(&self) -> Result<(), CudaError> {
        let mut pages = self.pages.borrow_mut();
        let Pages { draining, events, idle, .. } = &mut *pages;
        let mut index = 0;
        while index < draining.len() {
            if !draining[index].event.is_past()? {
                index += 1;
                continue;
            }
            let done = draining.swap_remove(index);
            events.push(done.event);
            idle.extend(done.parked);
        }
        Ok(())
    }

    /// The first lane but `except` that has any of `sms`, or works on them.
    pub(super) fn meets(&self, sms: &SmSet, except: Option<u32>) -> Result<(), LeaseError> {
        let pages = self.pages.borrow();
        let held = pages.held.iter().map(|held| (held.lane, held.sms, false));
        let draining = pages.draining.iter().map(|left| (left.lane, left.sms, true));
        let met = held
            .chain(draining)
            .find(|(lane, theirs, _)| Some(*lane) != except && !theirs.is_disjoint(sms));
        match met {
            Some((lane, held, is_draining)) => {
                let (wanted, held) = (sms.tpcs(), held.tpcs());
                Err(LeaseError::Meets { wanted, lane, held, is_draining })
            }
            None => Ok(()),
        }
    }

    /// All SMs that a lane but `except` has or works on.
    pub(super) fn taken(&self, except: Option<u32>) -> SmSet {
        let pages = self.pages.borrow();
        let held = pages.held.iter().map(|held| (held.lane, held.sms));
        let all = held.chain(pages.draining.iter().map(|left| (left.lane, left.sms)));
        all.filter(|(lane, _)| Some(*lane) != except)
            .fold(SmSet::EMPTY, |all, (_, sms)| all.union(&sms))
    }

    /// A lane that waits to be leased.
    pub(super) fn take_idle(&self) -> Result<Lane, LeaseError> {
        self.pages.borrow_mut().idle.pop().ok_or(LeaseError::NoLane { lanes: self.lanes })
    }

    /// Notes that a lane has SMs.
    pub(super) fn enter(&self, lane: u32, sms: SmSet) {
        self.pages.borrow_mut().held.push(Held { lane, sms });
    }

    /// Notes that a lane has other SMs.
    pub(super) fn change(&self, lane: u32, sms: SmSet) {
        let mut pages = self.pages.borrow_mut();
        let held = pages.held.iter_mut().find(|held| held.lane == lane);
        held.expect("a lane with a seat is in the book").sms = sms;
    }

    /// Notes that a lane has none. What it gave up before stays until the device has passed it.
    pub(super) fn strike(&self, lane: u32) {
        self.pages.borrow_mut().held.retain(|held| held.lane != lane);
    }

    /// Takes the place behind all work of `stream` and keeps `sms` until the device has passed it.
    /// What `then` does comes behind that place; where it fails, nothing is kept.
    pub(super) fn drain(
        &self,
        lane: u32,
        sms: SmSet,
        stream: &Stream,
        then: impl FnOnce(&Event) -> Result<(), CudaError>,
    ) -> Result<(), LeaseError> {
        let mut pages = self.pages.borrow_mut();
        if pages.events.len() <= self.lanes as usize {
            return Err(LeaseError::TooManyChanges { changes: self.lanes * CHANGES_PER_LANE });
        }
        Ok(pages.keep(lane, sms, stream, then)?)
    }

    /// Takes a lane back; it can be leased again when the device has passed its last work.
    pub(super) fn park(&self, lane: Lane, sms: SmSet) -> Result<(), CudaError> {
        let mut pages = self.pages.borrow_mut();
        let kept = pages.keep(lane.id(), sms, lane.queue(), |_| Ok(()));
        if kept.is_ok() {
            pages.draining.last_mut().expect("entered just now").parked = Some(lane);
            return Ok(());
        }
        // Dropped, the lane waits for its work; it has no seat, so it needs no page of this book.
        drop((pages, lane));
        kept
    }
}

impl Pages {
    fn keep(
        &mut self,
        lane: u32,
        sms: SmSet,
        stream: &Stream,
        then: impl FnOnce(&Event) -> Result<(), CudaError>,
    ) -> Result<(), CudaError> {
        let event = self.events.pop().expect("one is kept for each lane");
        let recorded = event.record(stream).and_then(|()| then(&event));
        match recorded {
            Ok(()) => self.draining.push(Draining { lane, sms, event, parked: None }),
            Err(_) => self.events.push(event),
        }
        recorded
    }
}
