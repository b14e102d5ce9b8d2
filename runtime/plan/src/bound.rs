//! A plan at one shape: every number known, every access checked, every buffer placed.

use std::ops::Range;

use crate::{Element, Op, Shape, Size, SizeError};

/// Where a buffer lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this byte of the plan's block.
    Block(u64),
    /// At this byte of the model's weights.
    Weights(u64),
}

/// A buffer of a bound plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) place: Place,
    pub(crate) element: Element,
}

/// A plan at one shape. Holding one is the proof that every access of its operations lies within
/// its block or its weights, and reads only what was written before.
#[derive(Clone, Debug)]
pub struct Bound {
    pub(crate) shape: Shape,
    pub(crate) ops: Vec<Op<u64>>,
    pub(crate) buffers: Vec<Placed>,
    pub(crate) inputs: Vec<Slot>,
    pub(crate) outputs: Vec<Slot>,
    pub(crate) flags: Range<u64>,
    pub(crate) outgoing_end: u64,
    pub(crate) bytes: u64,
}

/// The place of one port's tensor in the block: one stretch for each request.
#[derive(Clone, Debug)]
pub struct Slot {
    pub(crate) name: String,
    pub(crate) element: Element,
    pub(crate) offset: u64,
    /// Dimensions of one request's part, padded.
    pub(crate) dims: Vec<u64>,
    /// The same, for any length.
    pub(crate) sizes: Vec<Size>,
}

/// How one request's tensor lies in a slot: `count` runs, one every `pitch` bytes of the slot and
/// every `bytes` of the tensor. What lies between the runs is padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// How many runs.
    pub count: u64,
    /// Bytes of a run.
    pub bytes: u64,
    /// From the begin of one run to that of the next, in the slot.
    pub pitch: u64,
}

impl Bound {
    /// What it was bound to.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Its operations, in the order in which they run.
    pub fn ops(&self) -> &[Op<u64>] {
        &self.ops
    }

    /// Where a buffer of one of its operations lies, and the type of its elements.
    ///
    /// # Panics
    /// When the index is of another plan.
    pub fn buffer(&self, index: crate::BufferIndex) -> (Place, Element) {
        let buffer = self.buffers[usize::try_from(index.0).expect("a checked index")];
        (buffer.place, buffer.element)
    }

    /// Where the inputs go, in the plan's order.
    pub fn inputs(&self) -> &[Slot] {
        &self.inputs
    }

    /// Where the outputs come from, in the plan's order.
    pub fn outputs(&self) -> &[Slot] {
        &self.outputs
    }

    /// The bytes that go to the device before it runs: the inputs, and the flags as zeros.
    pub fn incoming(&self) -> Range<u64> {
        0..self.flags.end
    }

    /// The bytes that come back: the flags and the outputs.
    pub fn outgoing(&self) -> Range<u64> {
        self.flags.start..self.outgoing_end
    }

    /// The flags, 32 bits each: one for every request, then one for the batch. Not 0 says that a
    /// value of that request (or of an unknown one) would have been a wrong address.
    pub fn flags(&self) -> Range<u64> {
        self.flags.clone()
    }

    /// The size of the block.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Slot {
    /// The port's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type of its elements.
    pub fn element(&self) -> Element {
        self.element
    }

    /// Where the first request's part begins in the block.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The dimensions of one request's part, padded to the bound length.
    pub fn dims(&self) -> &[u64] {
        &self.dims
    }

    /// The bytes of one request's part, padded. The parts follow each other.
    pub fn bytes_per_request(&self) -> u64 {
        self.dims.iter().product::<u64>() * self.element.bytes()
    }

    /// How the tensor of a request of `length` lies in its part, or `None` where the request is
    /// longer than the bound length or the length changes more than one dimension.
    pub fn run(&self, length: u64) -> Option<Run> {
        let own = |index: usize| -> Result<u64, SizeError> {
            self.sizes[index].evaluate(Shape { batch: 1, length })
        };
        let mut run = Run { count: 1, bytes: self.element.bytes(), pitch: self.element.bytes() };
        let mut cut = false;
        for (index, full) in self.dims.iter().enumerate().rev() {
            let own = own(index).ok()?;
            if own == *full && cut {
                run.count *= own;
            } else if own == *full {
                run.bytes *= own;
                run.pitch *= own;
            } else if own < *full && !cut {
                cut = true;
                run.bytes *= own;
                run.pitch *= full;
            } else {
                return None;
            }
        }
        Some(run)
    }
}
