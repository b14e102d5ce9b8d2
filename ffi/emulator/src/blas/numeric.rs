//! Element types of matrices, and single elements read and written at checked addresses.

use super::epilogue::Epilogue;
use super::product::{Panels, ProductScratch};
use super::status::Status;
use faer::traits::RealField;
use half::{bf16, f16};

/// What products are summed in: `f32`, or `f64` where the elements are.
pub(crate) trait Real:
    RealField + Copy + std::ops::Mul<Output = Self> + std::ops::AddAssign
{
    /// The nearest value.
    fn from_f64(value: f64) -> Self;
    /// The same value.
    fn from_f32(value: f32) -> Self;
    /// The same value.
    fn to_f64(self) -> f64;
    /// The nearest value.
    fn to_f32(self) -> f32;
    /// The value after an epilogue's activation, which elements of `f64` never have.
    fn activated(self, epilogue: Epilogue) -> Self;
    /// A host thread's panels of this type.
    fn panels(scratch: &mut ProductScratch) -> &mut Panels<Self>;
}

impl Real for f32 {
    #[expect(clippy::cast_possible_truncation, reason = "rounds, as the library does")]
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    fn from_f32(value: f32) -> Self {
        value
    }
    fn to_f64(self) -> f64 {
        self.into()
    }
    fn to_f32(self) -> f32 {
        self
    }
    fn activated(self, epilogue: Epilogue) -> Self {
        epilogue.activate(self)
    }
    fn panels(scratch: &mut ProductScratch) -> &mut Panels<Self> {
        &mut scratch.single
    }
}

impl Real for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }
    fn from_f32(value: f32) -> Self {
        value.into()
    }
    fn to_f64(self) -> f64 {
        self
    }
    #[expect(clippy::cast_possible_truncation, reason = "rounds, as the library does")]
    fn to_f32(self) -> f32 {
        self as f32
    }
    fn activated(self, _: Epilogue) -> Self {
        self
    }
    fn panels(scratch: &mut ProductScratch) -> &mut Panels<Self> {
        &mut scratch.double
    }
}

/// An element type that products take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numeric {
    /// `CUDA_R_32F`.
    F32,
    /// `CUDA_R_64F`.
    F64,
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
            1 => Ok(Numeric::F64),
            2 => Ok(Numeric::F16),
            14 => Ok(Numeric::Bf16),
            _ => Err(Status::NOT_SUPPORTED),
        }
    }

    /// Bytes of one element.
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Numeric::F32 => 4,
            Numeric::F64 => 8,
            Numeric::F16 | Numeric::Bf16 => 2,
        }
    }

    /// Reads `into.len()` elements that lie one after the other, in a range that the product's
    /// context covers.
    pub(crate) fn load_run<R: Real>(self, address: u64, into: &mut [R]) {
        for (address, element) in (address..).step_by(self.step()).zip(into) {
            *element = self.load(address);
        }
    }

    fn step(self) -> usize {
        match self {
            Numeric::F16 | Numeric::Bf16 => 2,
            Numeric::F32 => 4,
            Numeric::F64 => 8,
        }
    }

    /// Reads the element at a checked address.
    pub(crate) fn load<R: Real>(self, address: u64) -> R {
        let from = pointer(address).cast_const();
        match self {
            // SAFETY: the caller checked that the element is allocated.
            Numeric::F32 => R::from_f32(unsafe { from.cast::<f32>().read_unaligned() }),
            // SAFETY: as above.
            Numeric::F64 => R::from_f64(unsafe { from.cast::<f64>().read_unaligned() }),
            Numeric::F16 => {
                // SAFETY: as above.
                let bits = unsafe { from.cast::<u16>().read_unaligned() };
                R::from_f32(f16::from_bits(bits).to_f32())
            }
            Numeric::Bf16 => {
                // SAFETY: as above.
                let bits = unsafe { from.cast::<u16>().read_unaligned() };
                R::from_f32(bf16::from_bits(bits).to_f32())
            }
        }
    }

    /// Writes the element at a checked address, rounded to nearest even.
    pub(crate) fn store<R: Real>(self, address: u64, value: R) {
        let to = pointer(address);
        match self {
            // SAFETY: the caller checked that the element is allocated.
            Numeric::F32 => unsafe { to.cast::<f32>().write_unaligned(value.to_f32()) },
            // SAFETY: as above.
            Numeric::F64 => unsafe { to.cast::<f64>().write_unaligned(value.to_f64()) },
            Numeric::F16 => {
                let bits = f16::from_f32(value.to_f32()).to_bits();
                // SAFETY: as above.
                unsafe { to.cast::<u16>().write_unaligned(bits) };
            }
            Numeric::Bf16 => {
                let bits = bf16::from_f32(value.to_f32()).to_bits();
                // SAFETY: as above.
                unsafe { to.cast::<u16>().write_unaligned(bits) };
            }
        }
    }
}

fn pointer(address: u64) -> *mut u8 {
    std::ptr::with_exposed_provenance_mut(usize::try_from(address).expect("a host address"))
}
