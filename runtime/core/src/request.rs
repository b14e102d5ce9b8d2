//! The table of open requests.

use crate::id::{BatchId, BucketId, FunctionId, RequestId};
use crate::time::MonoTime;

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The number names no request.
    Free,
    /// Waits in a bucket.
    Bucket(BucketId),
    /// Waits in a batch that is closed and has no lane yet.
    Closed(BatchId),
    /// Its batch has a lane.
    Running {
        /// The batch.
        batch: BatchId,
        /// Nobody wants its result any more.
        cancelled: bool,
    },
}

/// One open request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) place: Place,
    pub(crate) function: FunctionId,
    pub(crate) length: u32,
    pub(crate) arrived: MonoTime,
    /// Trials wait for its end.
    pub(crate) awaited: bool,
}

/// All of them, by number.
#[derive(Debug)]
pub(crate) struct Requests(Box<[Request]>);

impl Requests {
    pub(crate) fn new(count: u32) -> Self {
        let free = Request {
            place: Place::Free,
            function: FunctionId(0),
            length: 0,
            arrived: MonoTime::ZERO,
            awaited: false,
        };
        Self(vec![free; count as usize].into_boxed_slice())
    }

    pub(crate) fn get(&self, request: RequestId) -> &Request {
        &self.0[request.index()]
    }

    pub(crate) fn get_mut(&mut self, request: RequestId) -> &mut Request {
        &mut self.0[request.index()]
    }
}
