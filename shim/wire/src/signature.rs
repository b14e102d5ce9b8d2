//! What a function takes and gives: element types, dimensions, names. It travels in the control
//! message that opens a function, and both sides check requests against it.

use crate::record::{RANK_MAX, TENSORS_MAX};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The type of a tensor's elements. Codes are part of the layout: append only.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u32)]
pub enum ElementType {
    /// Unsigned 8-bit.
    U8 = 1,
    /// Signed 32-bit.
    I32 = 2,
    /// Signed 64-bit.
    I64 = 3,
    /// IEEE binary32.
    F32 = 4,
    /// One byte, 0 or 1.
    Bool = 5,
}

impl ElementType {
    /// Every type, in the order of the codes.
    pub const ALL: [ElementType; 5] = [Self::U8, Self::I32, Self::I64, Self::F32, Self::Bool];

    /// The code on the wire.
    pub fn code(self) -> u32 {
        self as u32
    }

    /// The type that a stranger's code names.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|element| element.code() == code)
    }

    /// Bytes of one element.
    pub fn bytes(self) -> u64 {
        match self {
            Self::U8 | Self::Bool => 1,
            Self::I32 | Self::F32 => 4,
            Self::I64 => 8,
        }
    }
}

impl std::fmt::Display for ElementType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::U8 => "u8",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::Bool => "bool",
        })
    }
}

/// One dimension of an item's tensor.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dim {
    /// Always this.
    Fixed(u32),
    /// The request's length: the same number wherever it stands in one request.
    Length,
}

/// One input or output of a function, for one item: there is no batch dimension.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorSpec {
    /// The model's name for it.
    pub name: String,
    /// The type of its elements.
    pub element: ElementType,
    /// Its dimensions, outermost first; none is a scalar.
    pub dims: Vec<Dim>,
}

impl TensorSpec {
    /// Bytes that it takes at `length`, or `None` when that exceeds 64 bits.
    pub fn bytes(&self, length: u32) -> Option<u64> {
        self.dims.iter().try_fold(self.element.bytes(), |bytes, dim| {
            bytes.checked_mul(u64::from(match dim {
                Dim::Fixed(size) => *size,
                Dim::Length => length,
            }))
        })
    }

    /// Its dimensions at `length`, unused ones 0.
    pub fn dims_at(&self, length: u32) -> [u32; RANK_MAX] {
        let mut dims = [0; RANK_MAX];
        for (slot, dim) in dims.iter_mut().zip(&self.dims) {
            *slot = match dim {
                Dim::Fixed(size) => *size,
                Dim::Length => length,
            };
        }
        dims
    }
}

impl std::fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}[", self.name, self.element)?;
        for (index, dim) in self.dims.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match dim {
                Dim::Fixed(size) => write!(f, "{comma}{size}")?,
                Dim::Length => write!(f, "{comma}length")?,
            }
        }
        f.write_str("]")
    }
}

/// What a function takes and gives.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Inputs, in the order of a request's records.
    pub inputs: Vec<TensorSpec>,
    /// Outputs, likewise.
    pub outputs: Vec<TensorSpec>,
    /// Longest length served. 1 where no dimension varies.
    pub length_max: u32,
}

/// A signature that no slot can carry.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SignatureError {
    /// More tensors than a slot has records for.
    #[error("{0} tensors on one side: a request carries at most {TENSORS_MAX}")]
    TooManyTensors(usize),
    /// More dimensions than a record has room for.
    #[error("`{0}` has more than {RANK_MAX} dimensions an item")]
    RankTooHigh(String),
    /// Larger than can be addressed, or of no size at all.
    #[error("`{0}` is empty, or larger than can be addressed, at the longest length")]
    Size(String),
}

impl Signature {
    /// Checks that requests of it fit a slot.
    ///
    /// # Errors
    /// [`SignatureError`] names the tensor that does not.
    pub fn check(&self) -> Result<(), SignatureError> {
        for side in [&self.inputs, &self.outputs] {
            if side.len() > TENSORS_MAX {
                return Err(SignatureError::TooManyTensors(side.len()));
            }
            for tensor in side {
                if tensor.dims.len() > RANK_MAX {
                    return Err(SignatureError::RankTooHigh(tensor.name.clone()));
                }
                let bytes = tensor.bytes(self.length_max).unwrap_or(0);
                if bytes == 0 || bytes > crate::geometry::ARENA_BYTES_MAX {
                    return Err(SignatureError::Size(tensor.name.clone()));
                }
            }
        }
        Ok(())
    }

    /// Whether any input has a dimension that varies.
    pub fn has_length(&self) -> bool {
        self.inputs.iter().any(|input| input.dims.contains(&Dim::Length))
    }
}
