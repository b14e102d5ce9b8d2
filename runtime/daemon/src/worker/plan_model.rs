//! A model's plan, prepared for every shape that a batch can have, and how requests' tensors get
//! into a batch's bytes and out of them.

use gpumux_cuda::{CudaError, Lane};
use gpumux_engine::{Placed, Verdict, Verdicts, staging};
use gpumux_kernels::DeviceAddress;
use gpumux_plan::{Run, Slot};
use gpumux_wire::channel::WorkerSide;
use gpumux_wire::request::{Request, Span};
use std::ops::Range;

/// One shape, on each lane.
pub(super) struct Shape {
    pub(super) batch: u32,
    pub(super) length: u32,
    /// By lane.
    pub(super) placed: Vec<Placed>,
}

/// See the file's head.
pub(super) struct PlanModel {
    /// By length, then by batch.
    pub(super) shapes: Vec<Shape>,
    /// One element of padding for each input.
    pub(super) fills: Vec<Vec<u8>>,
}

impl PlanModel {
    /// The smallest prepared shape that holds `count` requests of up to `longest`.
    pub(super) fn choose(&self, count: u32, longest: u32) -> usize {
        let fits = |shape: &Shape| count <= shape.batch && longest <= shape.length;
        self.shapes.iter().position(fits).expect("every batch that can close has a shape")
    }

    pub(super) fn shape(&self, shape: usize) -> &Shape {
        &self.shapes[shape]
    }

    /// Writes a request's tensors into its part of the bytes that go down, padded.
    pub(super) fn bring(
        &self,
        shape: usize,
        place: usize,
        request: &Request,
        side: &WorkerSide,
        down: &mut [u8],
    ) {
        let bound = self.shapes[shape].placed[0].prepared().bound();
        let slots = bound.inputs().iter().zip(&self.fills);
        for ((slot, fill), span) in slots.zip(request.inputs()) {
            let run = run_of(slot, request.length());
            if run.count * run.bytes < slot.bytes_per_request() {
                staging::fill(slot, place, fill, down);
            }
            for (at, part) in pieces(slot, place, run, *span) {
                side.copy_in(part, &mut down[at]);
            }
        }
    }

    /// Fills what no request brings: the places behind the last one, and the flags.
    pub(super) fn finish(&self, shape: usize, count: usize, down: &mut [u8]) {
        let Shape { batch, placed, .. } = &self.shapes[shape];
        let bound = placed[0].prepared().bound();
        for place in count..*batch as usize {
            for (slot, fill) in bound.inputs().iter().zip(&self.fills) {
                staging::fill(slot, place, fill, down);
            }
        }
        down[bytes(bound.flags())].fill(0);
    }

    /// How a request of the batch went, by the bytes that came up.
    pub(super) fn verdict(&self, shape: usize, place: usize, up: &[u8]) -> Verdict {
        let bound = self.shapes[shape].placed[0].prepared().bound();
        Verdicts::of(bound, up).get(place).expect("the batch has this place")
    }

    /// Copies a request's outputs from the bytes that came up into its channel.
    pub(super) fn take(
        &self,
        shape: usize,
        place: usize,
        request: &Request,
        side: &mut WorkerSide,
        up: &[u8],
    ) {
        let bound = self.shapes[shape].placed[0].prepared().bound();
        let skipped = bytes(0..bound.outgoing().start).end;
        for (slot, span) in bound.outputs().iter().zip(request.outputs()) {
            let run = run_of(slot, request.length());
            for (at, part) in pieces(slot, place, run, *span) {
                side.copy_out(&up[at.start - skipped..at.end - skipped], part);
            }
        }
    }

    /// Bytes that go down, and that come up, with a batch of this shape.
    pub(super) fn traffic(&self, shape: usize) -> (usize, Range<usize>) {
        let bound = self.shapes[shape].placed[0].prepared().bound();
        (bytes(bound.incoming()).end, bytes(bound.outgoing()))
    }

    pub(super) fn segments(&self, shape: usize) -> usize {
        self.shapes[shape].placed[0].prepared().segments()
    }

    /// Puts one segment on a lane.
    pub(super) fn issue(
        &self,
        shape: usize,
        lane_index: usize,
        segment: usize,
        lane: &mut Lane,
    ) -> Result<(), CudaError> {
        self.shapes[shape].placed[lane_index].issue(segment, lane)
    }
}

/// How a tensor of a request of `length` lies in its part of a slot.
fn run_of(slot: &Slot, length: u32) -> Run {
    slot.run(u64::from(length)).expect("every length that is served was tried at load")
}

/// The runs of one request's tensor: where each lies in the batch's bytes and in the arena.
fn pieces(
    slot: &Slot,
    place: usize,
    run: Run,
    span: Span,
) -> impl Iterator<Item = (Range<usize>, Span)> {
    let begin = slot.offset() + place as u64 * slot.bytes_per_request();
    (0..run.count).map(move |index| {
        let at = begin + index * run.pitch;
        let part = span.part(index * run.bytes, run.bytes).expect("the span is the tensor's");
        (bytes(at..at + run.bytes), part)
    })
}

fn bytes(range: Range<u64>) -> Range<usize> {
    let index = |byte| usize::try_from(byte).expect("a batch fits in memory");
    index(range.start)..index(range.end)
}

/// An address `bytes` behind another.
pub(super) fn behind(address: DeviceAddress, bytes: usize) -> DeviceAddress {
    address.checked_add(bytes as u64).expect("a block's addresses do not wrap")
}
