//! What a lane may run on, how one asks for it, and why one does not get it.

use super::book::Book;
use crate::error::CudaError;
use crate::sets::{SmSet, TpcSet};
use std::rc::Rc;

/// The SMs of a lane, as they were measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    tpcs: TpcSet,
    sms: SmSet,
}

impl Grant {
    pub(super) fn of(tpcs: TpcSet, sms: SmSet) -> Self {
        Self { tpcs, sms }
    }

    /// Its TPCs.
    pub fn tpcs(&self) -> &TpcSet {
        &self.tpcs
    }

    /// The SMs on which work of the lane was seen.
    pub fn sms(&self) -> &SmSet {
        &self.sms
    }

    /// How many there are: what products on the lane are prepared for.
    pub fn sm_count(&self) -> u32 {
        self.sms.len()
    }
}

/// A grant, and the book in which it stands.
pub(crate) struct Seat {
    grant: Grant,
    book: Rc<Book>,
}

impl Seat {
    pub(super) fn new(grant: Grant, book: &Rc<Book>) -> Self {
        Self { grant, book: Rc::clone(book) }
    }

    pub(crate) fn grant(&self) -> &Grant {
        &self.grant
    }

    pub(super) fn change(&mut self, grant: Grant) {
        self.grant = grant;
    }

    pub(super) fn is_in(&self, book: &Rc<Book>) -> bool {
        Rc::ptr_eq(&self.book, book)
    }

    /// Gives the SMs back. The lane has no work any more, or the device is lost.
    pub(crate) fn leave(self, lane: u32) {
        self.book.strike(lane);
    }
}

/// What one asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// These TPCs and no others.
    Tpcs(TpcSet),
    /// The smallest free grant of at least so many SMs.
    Sms(u32),
}

/// The grants that there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grants {
    /// Any set of these TPCs that is not empty.
    AnyOf(TpcSet),
    /// These and no others.
    These(Vec<TpcSet>),
}

/// Why there is no lane, or why it keeps what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// No grant has exactly these TPCs.
    #[error("no grant has the TPCs {wanted}")]
    NoSuchGrant {
        /// What was asked for.
        wanted: TpcSet,
    },
    /// Another lane is there.
    #[error(
        "the TPCs {wanted} meet the TPCs {held} of lane {lane}{}",
        if *.is_draining { ", which it gave up and still works on" } else { "" }
    )]
    Meets {
        /// The TPCs that were asked for.
        wanted: TpcSet,
        /// Whose they are,
        lane: u32,
        /// all of them,
        held: TpcSet,
        /// and whether it gave them up and only has to finish.
        is_draining: bool,
    },
    /// Nothing that is large enough is free.
    #[error("no grant of {wanted} SMs is free; {free} SMs are")]
    NoRoom {
        /// SMs that were asked for.
        wanted: u32,
        /// SMs that no lane has.
        free: u32,
    },
    /// All lanes that were made at start are out.
    #[error("every lane is leased or still draining; the partitioner was made for {lanes}")]
    NoLane {
        /// How many were made.
        lanes: u32,
    },
    /// More changes than can be kept apart are waiting for the device.
    #[error("{changes} changes of grants wait for the device; try again when some have retired")]
    TooManyChanges {
        /// How many there can be.
        changes: u32,
    },
    /// There are no partitions.
    #[error("without partitions a lane's SMs cannot be changed")]
    Unchangeable,
    /// The lane is of another partitioner, or of none.
    #[error("the lane was not leased here")]
    NotLeasedHere,
    /// The driver refused.
    #[error(transparent)]
    Call(#[from] CudaError),
}
