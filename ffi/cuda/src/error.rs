//! How CUDA fails, in types: what a call answered, why a device could not be opened, why a product
//! was refused.

use std::fmt;
use std::path::PathBuf;

/// A number that CUDA answered, with the name that it has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The number.
    pub number: u32,
    /// Its name, as in `CUDA_ERROR_ILLEGAL_ADDRESS`; "unnamed" when the library has none.
    pub name: &'static str,
}

/// A call that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The call that returned it; an earlier piece of work may have caused it.
    pub call: &'static str,
    /// What it returned.
    pub code: Code,
}

impl fmt::Display for Failed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {} ({})", self.call, self.code.name, self.code.number)
    }
}

/// Why a call on an open device failed. It is small and plain, so that the path of a request can
/// carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CudaError {
    /// The context is gone for good: every later call fails, and only a new process helps.
    #[error("the device is lost: {0}")]
    DeviceLost(Failed),
    /// The driver has not the memory that was asked for; the context is unharmed.
    #[error("out of memory: {0}")]
    OutOfMemory(Failed),
    /// The driver refused the call; the context is unharmed.
    #[error("refused: {0}")]
    Refused(Failed),
    /// The BLAS library refused the call. It does not say whether the device is lost; the next call to
    /// the driver does.
    #[error("product failed: {0}")]
    Product(Failed),
    /// An operand is not aligned as the product was prepared for.
    #[error("an operand of the product is not aligned to {alignment} bytes")]
    Misaligned {
        /// What was promised in [`crate::Product::alignment`].
        alignment: u32,
    },
}

impl CudaError {
    /// Sorts what a driver call answered.
    pub(crate) fn from_driver(failed: Failed) -> Self {
        match failed.code.number {
            2 => Self::OutOfMemory(failed),
            number if is_sticky(number) => Self::DeviceLost(failed),
            _ => Self::Refused(failed),
        }
    }
}

/// Whether the driver's documentation says of this code that the process has to be relaunched, or
/// the device is not there any more. `CUDA_ERROR_UNKNOWN` (999) counts: nothing is known to work
/// after it.
fn is_sticky(number: u32) -> bool {
    matches!(number, 4 | 46 | 214 | 220 | 226 | 700 | 702 | 709 | 710 | 714..=719 | 721 | 999)
}

/// Why there is no device to work with.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No file with any of the names is a library that can be loaded.
    #[error("no CUDA driver: none of {} can be loaded", .tried.join(", "))]
    NoDriver {
        /// The names that were tried, in order.
        tried: Vec<String>,
    },
    /// The driver is older than what gpumux is built for.
    #[error(
        "the CUDA driver at {} is for CUDA {}.{}, at least {}.{} is needed",
        .library.display(), .found / 1000, .found % 1000 / 10, .needed / 1000, .needed % 1000 / 10
    )]
    DriverTooOld {
        /// Where it lies.
        library: PathBuf,
        /// Its version as `cuDriverGetVersion` says it: 12020 is 12.2.
        found: u32,
        /// The least that is enough, in the same form.
        needed: u32,
    },
    /// The library is not a whole CUDA driver.
    #[error("{} has no symbol {symbol}", .library.display())]
    MissingSymbol {
        /// Where it lies.
        library: PathBuf,
        /// What it lacks.
        symbol: &'static str,
    },
    /// There is a driver, and it finds no GPU.
    #[error("the CUDA driver at {} finds no device", .library.display())]
    NoDevice {
        /// The driver.
        library: PathBuf,
    },
    /// There are fewer devices than that.
    #[error("there is no device {ordinal}: the driver finds {count}")]
    NoSuchDevice {
        /// Which one was asked for.
        ordinal: u32,
        /// How many there are.
        count: u32,
    },
    /// The device is older than what the kernels are compiled for.
    #[error(
        "the device has compute capability {}.{}, at least 7.5 is needed", .found.0, .found.1
    )]
    DeviceTooOld {
        /// Major and minor compute capability.
        found: (u32, u32),
    },
    /// A kernel of ours was not accepted by the driver.
    #[error("the kernel module {module} does not load: {failed}")]
    Module {
        /// Which one.
        module: &'static str,
        /// What the driver said.
        failed: Failed,
    },
    /// A kernel is not in the module that should have it.
    #[error("the kernel {kernel} is not found: {failed}")]
    Kernel {
        /// Its entry.
        kernel: &'static str,
        /// What the driver said.
        failed: Failed,
    },
    /// No file with any of the names is a cublasLt that can be loaded.
    #[error("no cublasLt: none of {} can be loaded", .tried.join(", "))]
    NoBlas {
        /// The names that were tried, in order.
        tried: Vec<String>,
    },
    /// cublasLt is there and does not start.
    #[error("cublasLt at {} does not start: {failed}", .library.display())]
    Blas {
        /// Where it lies.
        library: PathBuf,
        /// What it answered.
        failed: Failed,
    },
    /// The operating system refused a descriptor.
    #[error("cannot make an event descriptor: {0}")]
    Descriptor(#[from] nix::errno::Errno),
    /// Another call failed.
    #[error(transparent)]
    Call(#[from] CudaError),
}

/// Why a product cannot be prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProductError {
    /// `m`, `n`, `k` or the number of batches is zero.
    #[error("a product has an extent of zero")]
    Empty,
    /// An extent, a stride or a row is more than the libraries take (2^31 − 1).
    #[error("a product has an extent or a stride beyond 2^31 - 1")]
    TooLarge,
    /// The rows of an operand would overlap.
    #[error("the row stride of operand {operand} is smaller than its row")]
    RowsOverlap {
        /// `a`, `b` or `c`.
        operand: char,
    },
    /// The batches of the result would overlap.
    #[error("the batch stride of the result is smaller than one result")]
    BatchesOverlap,
    /// Not a power of two between 4 and 256.
    #[error("{0} is not an alignment")]
    Alignment(u32),
    /// The bias is not aligned as the operands are said to be.
    #[error("the bias is not aligned as the operands are")]
    BiasMisaligned,
    /// The result cannot be stored transposed: transpose and swap the operands instead.
    #[error("the result of a product cannot be transposed")]
    ResultTransposed,
    /// The BLAS library has no algorithm for this shape and workspace.
    #[error("no algorithm: {0}")]
    NoAlgorithm(Failed),
    /// The BLAS library refused the description.
    #[error("refused: {0}")]
    Refused(Failed),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_poison_a_context_lose_the_device() {
        let sort = |number| {
            CudaError::from_driver(Failed { call: "call", code: Code { number, name: "name" } })
        };
        assert!(matches!(sort(700), CudaError::DeviceLost(_)));
        assert!(matches!(sort(716), CudaError::DeviceLost(_)));
        assert!(matches!(sort(999), CudaError::DeviceLost(_)));
        assert!(matches!(sort(2), CudaError::OutOfMemory(_)));
        assert!(matches!(sort(1), CudaError::Refused(_)));
        assert!(matches!(sort(701), CudaError::Refused(_)));
        assert!(matches!(sort(801), CudaError::Refused(_)));
    }
}
