//! What computes a function, as this worker has it. Four kinds, one set of questions: which shape a
//! batch takes, what goes down, what is issued, what comes up.

use super::plan_model::{PlanModel, behind};
use gpumux_cuda::{CudaError, Lane};
use gpumux_engine::Verdict;
use gpumux_kernels::{DeviceAddress, Echo};
use gpumux_wire::channel::WorkerSide;
use gpumux_wire::request::Request;
use std::ops::Range;

/// Tensors of the built-in models start at multiples of this in the batch's bytes.
const ALIGNMENT: usize = 16;

/// From one request's bytes to the next's in a batch of a built-in model.
pub(super) fn pitch(longest: u32) -> usize {
    (longest as usize).next_multiple_of(ALIGNMENT)
}

/// See the file's head.
pub(super) enum Model {
    /// Takes bytes and gives nothing.
    Null,
    /// Gives the bytes back: they go the way of a plan's tensors, without the device.
    Return,
    /// Gives the bytes back, through the device.
    Echo,
    /// A plan.
    Plan(PlanModel),
}

/// What a batch of a model is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binding {
    /// Nothing runs on the device, and nothing goes there.
    Nothing,
    /// Tensors that are given back, one every so many bytes.
    Rows {
        /// From one request's bytes to the next's.
        pitch: usize,
        /// Requests.
        count: usize,
    },
    /// One of the plan's shapes.
    Shape(usize),
}

/// Bytes of a batch, wherever it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Traffic {
    /// Bytes that go down, to the block's begin.
    pub(super) down: usize,
    /// Bytes of the block that come up.
    pub(super) up: Range<usize>,
}

impl Model {
    /// What a batch of `count` requests of up to `longest` is bound to.
    pub(super) fn bind(&self, count: u32, longest: u32) -> Binding {
        match self {
            Self::Null => Binding::Nothing,
            Self::Return | Self::Echo => {
                Binding::Rows { pitch: pitch(longest), count: count as usize }
            }
            Self::Plan(plan) => Binding::Shape(plan.choose(count, longest)),
        }
    }

    /// Segments of a batch.
    pub(super) fn segments(&self, binding: Binding) -> usize {
        match (self, binding) {
            (Self::Plan(plan), Binding::Shape(shape)) => plan.segments(shape),
            (Self::Echo, Binding::Rows { .. }) => 1,
            _ => 0,
        }
    }

    /// Elements along the length that the device computes for a batch of `count` requests.
    pub(super) fn computed(&self, binding: Binding, own: u64) -> u64 {
        match (self, binding) {
            (Self::Plan(plan), Binding::Shape(shape)) => {
                let shape = plan.shape(shape);
                u64::from(shape.batch) * u64::from(shape.length)
            }
            _ => own,
        }
    }

    /// Bytes that travel with a batch.
    pub(super) fn traffic(&self, binding: Binding) -> Traffic {
        match (self, binding) {
            (Self::Plan(plan), Binding::Shape(shape)) => {
                let (down, up) = plan.traffic(shape);
                Traffic { down, up }
            }
            (Self::Echo, Binding::Rows { pitch, count }) => {
                let bytes = pitch * count;
                Traffic { down: bytes, up: bytes..bytes * 2 }
            }
            (Self::Return, Binding::Rows { pitch, count }) => {
                Traffic { down: pitch * count, up: 0..0 }
            }
            _ => Traffic { down: 0, up: 0..0 },
        }
    }

    /// Writes one request's inputs into the bytes that go down.
    pub(super) fn bring(
        &self,
        binding: Binding,
        place: usize,
        request: &Request,
        side: &WorkerSide,
        down: &mut [u8],
    ) {
        match (self, binding) {
            (Self::Plan(plan), Binding::Shape(shape)) => {
                plan.bring(shape, place, request, side, down);
            }
            (_, Binding::Rows { pitch, .. }) => {
                let input = request.inputs()[0];
                let bytes = usize::try_from(input.bytes()).expect("a batch fits in memory");
                side.copy_in(input, &mut down[place * pitch..][..bytes]);
            }
            _ => (),
        }
    }

    /// Completes the bytes that go down with a batch of `count` requests.
    pub(super) fn finish(&self, binding: Binding, count: usize, down: &mut [u8]) {
        if let (Self::Plan(plan), Binding::Shape(shape)) = (self, binding) {
            plan.finish(shape, count, down);
        }
    }

    /// Puts one segment on a lane, whose block of memory begins at `block`.
    pub(super) fn issue(
        &self,
        binding: Binding,
        segment: usize,
        lane_index: usize,
        lane: &mut Lane,
        block: DeviceAddress,
    ) -> Result<(), CudaError> {
        match (self, binding) {
            (Self::Plan(plan), Binding::Shape(shape)) => {
                plan.issue(shape, lane_index, segment, lane)
            }
            (Self::Echo, Binding::Rows { pitch, count }) => {
                let bytes = pitch * count;
                let (input, output) = (block.of(), behind(block, bytes).of());
                lane.launch(&Echo { input, output, bytes: bytes as u64 }.launch())
            }
            _ => Ok(()),
        }
    }

    /// How a request went, by the bytes that came up.
    pub(super) fn verdict(&self, binding: Binding, place: usize, up: &[u8]) -> Verdict {
        match (self, binding) {
            (Self::Plan(plan), Binding::Shape(shape)) => plan.verdict(shape, place, up),
            _ => Verdict::Good,
        }
    }

    /// Copies one request's outputs from the bytes that came up; or that never went down, where the
    /// batch had no segments.
    pub(super) fn take(
        &self,
        binding: Binding,
        place: usize,
        request: &Request,
        side: &mut WorkerSide,
        up: &[u8],
    ) {
        match (self, binding) {
            (Self::Plan(plan), Binding::Shape(shape)) => {
                plan.take(shape, place, request, side, up);
            }
            (_, Binding::Rows { pitch, .. }) => {
                let output = request.outputs()[0];
                let bytes = usize::try_from(output.bytes()).expect("a batch fits in memory");
                side.copy_out(&up[place * pitch..][..bytes], output);
            }
            _ => (),
        }
    }
}
