//! Element types of matrices, and single elements read and written at checked addresses.

use super::status::Status;
use half::{bf16, f16};

/// An element type that products take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numeric {
    /// `CUDA_R_32F`.
    F32,
    /// `CUDA_R_16F`.
    F16,
    /// `CUDA_R_16BF`.
    Bf16,
}

impl Numeric {
    /// From its number in `cudaDataType_t`.
    pub(crate) fn from_number(number: u32) -> Result<Self, Status> {
        match number {
            0 => Ok(Numeric::F32),
            2 => Ok(Numeric::F16),
            14 => Ok(Numeric::Bf16),
            _ => Err(Status::NOT_SUPPORTED),
        }
    }

    /// Bytes of one element.
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Numeric::F32 => 4,
            Numeric::F16 | Numeric::Bf16 => 2,
        }
    }

    /// Reads `into.len()` elements that lie one after the other, in a range that
    /// [`crate::machine::Machine::covers`].
    pub(crate) fn load_run(self, address: u64, into: &mut [f32]) {
        match self {
            Numeric::F32 => {
                let from = pointer(address).cast_const();
                let bytes = size_of_val(into);
                // SAFETY: the caller checked the range; bytewise, as it may lie unaligned.
                unsafe { std::ptr::copy_nonoverlapping(from, into.as_mut_ptr().cast(), bytes) };
            }
            Numeric::F16 | Numeric::Bf16 => {
                for (address, element) in (address..).step_by(2).zip(into) {
                    *element = self.load(address);
                }
            }
        }
    }

    /// Reads the element at a checked address.
    pub(crate) fn load(self, address: u64) -> f32 {
        let from = pointer(address).cast_const();
        match self {
            // SAFETY: the caller checked that the element is allocated.
            Numeric::F32 => unsafe { from.cast::<f32>().read_unaligned() },
            Numeric::F16 => {
                // SAFETY: as above.
                f16::from_bits(unsafe { from.cast::<u16>().read_unaligned() }).to_f32()
            }
            Numeric::Bf16 => {
                // SAFETY: as above.
                bf16::from_bits(unsafe { from.cast::<u16>().read_unaligned() }).to_f32()
            }
        }
    }

    /// Writes the element at a checked address, rounded to nearest even.
    pub(crate) fn store(self, address: u64, value: f32) {
        let to = pointer(address);
        match self {
            // SAFETY: the caller checked that the element is allocated.
            Numeric::F32 => unsafe { to.cast::<f32>().write_unaligned(value) },
            Numeric::F16 => {
                let bits = f16::from_f32(value).to_bits();
                // SAFETY: as above.
                unsafe { to.cast::<u16>().write_unaligned(bits) };
            }
            Numeric::Bf16 => {
                let bits = bf16::from_f32(value).to_bits();
                // SAFETY: as above.
                unsafe { to.cast::<u16>().write_unaligned(bits) };
            }
        }
    }
}

fn pointer(address: u64) -> *mut u8 {
    std::ptr::with_exposed_provenance_mut(usize::try_from(address).expect("a host address"))
}
