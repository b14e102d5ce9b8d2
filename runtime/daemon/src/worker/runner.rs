//! A lane at work: the batch that holds it, what was issued of it, and the memory that it uses.

use super::function::Function;
use super::model::{Binding, Traffic};
use super::plan_model::behind;
use gpumux_core::{BatchId, FunctionId, MonoTime};
use gpumux_cuda::{CudaError, DeviceBlock, Lane, Lent, Sequence, Staging, TransferError};
use gpumux_wire::channel::WorkerSide;
use gpumux_wire::request::Request;
use std::collections::VecDeque;
use std::time::Duration;

/// See the file's head.
pub(super) struct Runner {
    index: usize,
    lane: Lane,
    block: DeviceBlock,
    down: Travelling,
    up: Travelling,
    /// The marks of outstanding segments, oldest first.
    marks: VecDeque<Sequence>,
    /// When the device last made progress on this lane, or got work on it while it was idle.
    moved: MonoTime,
    running: Option<Running>,
}

/// The batch that holds a lane.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) batch: BatchId,
    pub(super) function: FunctionId,
    pub(super) binding: Binding,
    pub(super) segments: usize,
    traffic: Traffic,
    /// When it got the lane.
    pub(super) begun: MonoTime,
    /// When its inputs were gathered.
    pub(super) gathered: MonoTime,
    /// Elements that its requests brought.
    pub(super) own: u64,
}

impl Running {
    /// When it has retired, where that is seen in a pass that began at `now`: a batch without
    /// segments is over in the pass in which it began.
    pub(super) fn retired(&self, now: MonoTime) -> MonoTime {
        now.max(self.gathered)
    }

    /// How long it has held its lane by then.
    pub(super) fn held(&self, now: MonoTime) -> Duration {
        self.retired(now).since(self.begun)
    }
}

/// A block of pinned memory: ours, or the lane's while transfers use it.
enum Travelling {
    Here(Staging),
    There(Lent),
    /// Between the two; or lost to a failed transfer.
    Nowhere,
}

impl Travelling {
    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Here(staging) => staging.bytes_mut(),
            Self::There(_) | Self::Nowhere => unreachable!("no batch is on the lane"),
        }
    }

    fn lend(&mut self, lane: &Lane) -> &mut Lent {
        if let Self::Here(staging) = std::mem::replace(self, Self::Nowhere) {
            *self = Self::There(lane.lend(staging));
        }
        match self {
            Self::There(lent) => lent,
            Self::Here(_) | Self::Nowhere => unreachable!("a block is lent once a batch"),
        }
    }

    /// Takes the block back, if its transfers are over.
    fn reclaim(&mut self, lane: &Lane) {
        *self = match std::mem::replace(self, Self::Nowhere) {
            Self::There(lent) => match lane.reclaim(lent) {
                Ok(staging) => Self::Here(staging),
                Err(lent) => Self::There(lent),
            },
            other => other,
        };
    }
}

impl Runner {
    /// A lane with its memory, on which nothing runs.
    pub(super) fn new(
        index: usize,
        lane: Lane,
        block: DeviceBlock,
        staging: [Staging; 2],
        run_ahead: u32,
    ) -> Self {
        let [down, up] = staging.map(Travelling::Here);
        let marks = VecDeque::with_capacity(run_ahead as usize + 1);
        Self { index, lane, block, down, up, marks, moved: MonoTime::ZERO, running: None }
    }

    /// How many SMs this lane may use of a device's `sms`, and which.
    pub(super) fn place(&self, sms: u32) -> (u32, String) {
        match self.lane.grant() {
            Some(grant) => (grant.sm_count(), grant.sms().to_string()),
            None => (sms, "all".to_owned()),
        }
    }

    /// Binds a batch to this lane and gathers its inputs. Says how many segments it has.
    pub(super) fn begin<'a>(
        &mut self,
        batch: BatchId,
        (function_id, function): (FunctionId, &Function),
        binding: Binding,
        members: impl Iterator<Item = (&'a Request, &'a WorkerSide)>,
    ) -> usize {
        let model = &function.model;
        let traffic = model.traffic(binding);
        let mut count = 0;
        if traffic.down > 0 {
            let down = self.down.bytes_mut();
            for (request, side) in members {
                model.bring(binding, count, request, side, down);
                count += 1;
            }
            model.finish(binding, count, down);
        }
        let segments = model.segments(binding);
        self.running = Some(Running {
            batch,
            function: function_id,
            binding,
            segments,
            traffic,
            begun: MonoTime::ZERO,
            gathered: MonoTime::ZERO,
            own: 0,
        });
        segments
    }

    /// Notes when the batch began, when its inputs were gathered, and how many elements they are.
    pub(super) fn note(&mut self, begun: MonoTime, gathered: MonoTime, own: u64) {
        if let Some(running) = &mut self.running {
            (running.begun, running.gathered, running.own) = (begun, gathered, own);
        }
    }

    /// Puts one segment on the lane; with the first the inputs, behind the last the outputs.
    pub(super) fn issue(
        &mut self,
        now: MonoTime,
        function: &Function,
        segment: u32,
    ) -> Result<(), TransferError> {
        let Some(running) = &self.running else { unreachable!("a batch was begun") };
        let segment = segment as usize;
        let address = self.block.address();
        if segment == 0 {
            let lent = self.down.lend(&self.lane);
            self.lane.copy_in(lent, 0, running.traffic.down, address)?;
        }
        let lane = &mut self.lane;
        function.model.issue(running.binding, segment, self.index, lane, address)?;
        if segment + 1 == running.segments {
            let up = &running.traffic.up;
            let lent = self.up.lend(&self.lane);
            self.lane.copy_out(behind(address, up.start), lent, 0, up.len())?;
        }
        let mark = self.lane.mark()?;
        if self.marks.is_empty() {
            self.moved = now;
        }
        self.marks.push_back(mark);
        Ok(self.lane.wake()?)
    }

    /// Takes the oldest outstanding segment if it has retired, and says whose it was.
    pub(super) fn retired(&mut self, now: MonoTime) -> Option<BatchId> {
        let oldest = *self.marks.front()?;
        if !self.lane.retired().has_reached(oldest) {
            return None;
        }
        self.marks.pop_front();
        self.moved = now;
        if self.marks.is_empty() {
            self.down.reclaim(&self.lane);
            self.up.reclaim(&self.lane);
        }
        self.running.as_ref().map(|running| running.batch)
    }

    /// The batch that holds the lane.
    pub(super) fn running(&self) -> Option<&Running> {
        self.running.as_ref()
    }

    /// What came up with a batch that has retired; what was gathered of one without segments.
    pub(super) fn results(&self) -> &[u8] {
        let on_device = self.running.as_ref().is_some_and(|running| running.segments > 0);
        match if on_device { &self.up } else { &self.down } {
            Travelling::Here(staging) => staging.bytes(),
            Travelling::There(_) | Travelling::Nowhere => unreachable!("the batch has retired"),
        }
    }

    /// The batch is over.
    pub(super) fn release(&mut self) {
        self.running = None;
    }

    /// Whether segments are outstanding.
    pub(super) fn is_busy(&self) -> bool {
        !self.marks.is_empty()
    }

    /// Since when the device has made no progress on this lane, if it has work there.
    pub(super) fn stands_since(&self) -> Option<MonoTime> {
        self.is_busy().then_some(self.moved)
    }

    /// Whether the device is sound, as far as the driver knows.
    pub(super) fn check(&self) -> Result<(), CudaError> {
        self.lane.is_idle().map(|_| ())
    }
}
