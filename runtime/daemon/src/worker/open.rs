//! The open requests of all channels, by the number that the scheduler knows them by.

use gpumux_core::{FunctionId, MonoTime, RequestId};
use gpumux_wire::request::Request;

/// Where a request came from and where its result goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    /// The channel, by its place in the table.
    pub(super) channel: usize,
    pub(super) slot: u32,
    pub(super) generation: u32,
    pub(super) function: FunctionId,
    pub(super) arrived: MonoTime,
    pub(super) request: Request,
    /// Its lane and its place in the batch, once it has them.
    pub(super) seat: Option<Seat>,
}

/// Where a request runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    pub(super) lane: usize,
    pub(super) place: usize,
}

/// A table of a fixed size.
#[derive(Debug)]
pub(super) struct OpenRequests {
    table: Box<[Option<Open>]>,
    free: Vec<RequestId>,
}

impl OpenRequests {
    pub(super) fn new(count: u32) -> Self {
        Self {
            table: vec![None; count as usize].into_boxed_slice(),
            free: (0..count).rev().map(RequestId).collect(),
        }
    }

    /// Gives a request a number, if one is free.
    pub(super) fn insert(&mut self, open: Open) -> Option<RequestId> {
        let request = self.free.pop()?;
        self.table[request.index()] = Some(open);
        Some(request)
    }

    pub(super) fn get(&self, request: RequestId) -> &Open {
        self.table[request.index()].as_ref().expect("the scheduler names open requests")
    }

    pub(super) fn get_mut(&mut self, request: RequestId) -> &mut Open {
        self.table[request.index()].as_mut().expect("the scheduler names open requests")
    }

    /// Takes a request out; its number is free again.
    pub(super) fn remove(&mut self, request: RequestId) -> Open {
        let open = self.table[request.index()].take().expect("a request ends once");
        self.free.push(request);
        open
    }
}
