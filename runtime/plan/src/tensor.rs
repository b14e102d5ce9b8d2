//! What a plan works on: buffers, the ports by which tensors come and go, and the plan itself.

use serde::{Deserialize, Serialize};

use crate::{Op, Size};

/// The type of a tensor's elements, as ONNX names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Element {
    /// 32-bit IEEE 754 float.
    F32,
    /// 64-bit signed integer.
    I64,
    /// 32-bit signed integer.
    I32,
    /// One byte, 0 or 1.
    Bool,
}

impl Element {
    /// Bytes of one element.
    pub const fn bytes(self) -> u64 {
        match self {
            Element::F32 | Element::I32 => 4,
            Element::I64 => 8,
            Element::Bool => 1,
        }
    }
}

/// A buffer's place in [`Plan::buffers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BufferIndex(pub u32);

/// What a buffer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Written by the transfer that brings the requests' tensors.
    Input,
    /// Read by the transfer that takes the results away.
    Output,
    /// Lives within the plan.
    Scratch,
    /// The weight of this number in the model's table; never written.
    Weight(u32),
}

/// A run of elements that operations read and write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buffer {
    /// What it is for.
    pub role: Role,
    /// Type of the elements.
    pub element: Element,
    /// How many elements.
    pub elements: Size,
}

/// A tensor that comes from, or goes to, the requests. Its first dimension is the batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The name that the model gives it.
    pub name: String,
    /// Where it lies, row-major and without gaps.
    pub buffer: BufferIndex,
    /// Its dimensions, the batch first.
    pub dims: Vec<Size>,
}

/// The operations of a model, for every shape or for one batch size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The only batch size that the plan is right for, if it is not free.
    pub batch: Option<u64>,
    /// What must be brought.
    pub inputs: Vec<Port>,
    /// What can be taken away.
    pub outputs: Vec<Port>,
    /// All buffers.
    pub buffers: Vec<Buffer>,
    /// The operations, in an order in which they may run.
    pub ops: Vec<Op<Size>>,
}
