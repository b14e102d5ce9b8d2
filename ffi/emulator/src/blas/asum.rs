//! The ABI of cuBLAS's sums of absolute values.

use super::library::Library;
use super::numeric::{Numeric, Real};
use super::product::check;
use super::status::{Status, edge};
use crate::block::{Fault, Turn};
use crate::context::Context;
use crate::driver::abi::Out;
use crate::handle::Handle;
use crate::schedule::Work;
use crate::scratch::Scratch;
use crate::sm::Grid;
use std::ffi::{c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the sum goes.
enum To {
    /// To the caller, who waits for it; as the bits of an `f64`.
    Host(Arc<AtomicU64>),
    /// To this address.
    Device(u64),
}

/// Terms that are summed between two moments at which others may run.
const TERMS_PER_TURN: u64 = 1 << 16;

/// A sum, which is one block.
struct Sum {
    context: Arc<Context>,
    numeric: Numeric,
    count: u64,
    start: u64,
    /// Bytes from one element to the next.
    step: u64,
    to: To,
}

impl Sum {
    fn sum<R: Real>(&self, turn: &dyn Turn) -> Result<(), Fault> {
        let mut sum = R::from_f32(0.0);
        for index in 0..self.count {
            if index.is_multiple_of(TERMS_PER_TURN) {
                turn.attend()?;
            }
            let address = self.start.saturating_add(index.saturating_mul(self.step));
            check(&self.context, address, self.numeric.bytes())?;
            let value = self.numeric.load::<R>(address);
            sum += if value < R::from_f32(0.0) { -value } else { value };
        }
        match &self.to {
            To::Host(cell) => cell.store(sum.to_f64().to_bits(), Ordering::Release),
            To::Device(address) => {
                check(&self.context, *address, self.numeric.bytes())?;
                self.numeric.store(*address, sum);
            }
        }
        Ok(())
    }
}

impl Grid for Sum {
    fn name(&self) -> &str {
        "sum"
    }

    fn blocks(&self) -> u64 {
        1
    }

    fn run(&self, _: u64, _: u32, turn: &dyn Turn, _: &mut Scratch) -> Result<(), Fault> {
        match self.numeric {
            Numeric::F64 => self.sum::<f64>(turn),
            _ => self.sum::<f32>(turn),
        }
    }
}

/// Sums in the library's stream, and returns the sum where the caller waits for it.
fn sum(
    library: &Library,
    numeric: Numeric,
    count: c_int,
    (x, step): (*const c_void, c_int),
    result: u64,
) -> Result<Option<f64>, Status> {
    let stream = library.stream()?;
    // The manual: nothing to sum is zero.
    let count = if step > 0 { u64::try_from(count).unwrap_or(0) } else { 0 };
    let cell = Arc::new(AtomicU64::new(0));
    let to = if library.is_host_mode() { To::Host(Arc::clone(&cell)) } else { To::Device(result) };
    let grid = Sum {
        context: Arc::clone(&stream.context),
        numeric,
        count,
        start: x.addr() as u64,
        step: u64::try_from(step).unwrap_or(0) * numeric.bytes(),
        to,
    };
    if !library.is_host_mode() {
        return library.launch(&stream, Arc::new(grid)).map(|()| None);
    }
    stream.run(Work::Launch(Arc::new(grid)))?;
    Ok(Some(f64::from_bits(cell.load(Ordering::Acquire))))
}

/// Exports the sum for one type.
macro_rules! asum {
    ($name:ident, $real:ty, $numeric:expr) => {
        #[unsafe(no_mangle)]
        extern "C" fn $name(
            handle: Handle,
            count: c_int,
            x: *const c_void,
            step: c_int,
            result: *mut $real,
        ) -> Status {
            edge(|| {
                let library = Library::of(handle)?;
                if result.is_null() {
                    return Err(Status::INVALID_VALUE);
                }
                let address = result.addr() as u64;
                match sum(&library, $numeric, count, (x, step), address)? {
                    Some(sum) => Ok(Out::from(result).put(<$real as Real>::from_f64(sum))?),
                    None => Ok(()),
                }
            })
        }
    };
}

asum!(cublasSasum_v2, f32, Numeric::F32);
asum!(cublasDasum_v2, f64, Numeric::F64);
