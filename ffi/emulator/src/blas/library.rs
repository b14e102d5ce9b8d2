//! The ABI of cuBLAS besides its products: the handle and what is set on it.

use super::descriptor::PointerMode;
use super::product::{Product, Scalar, Tiles};
use super::status::{Status, edge};
use crate::code::Code;
use crate::driver::abi::{In, Out};
use crate::handle::{Handle, Table};
use crate::machine::{Machine, claim};
use crate::schedule::Work;
use crate::sm::Grid;
use crate::stream::Stream;
use std::ffi::{c_char, c_int, c_void};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

static LIBRARIES: Table<Library> = Table::new(0x6715);

/// What `cublasHandle_t` stands for.
pub(super) struct Library {
    settings: Mutex<Settings>,
}

#[derive(Clone, Copy)]
struct Settings {
    stream: Handle,
    pointer_mode: PointerMode,
    /// `cublasMath_t`: noted, as everything is computed in full precision.
    math_mode: u32,
    /// `cublasAtomicsMode_t`: noted, as nothing here uses atomics.
    atomics_mode: u32,
    /// SMs that products may use; zero is all.
    sm_count: c_int,
}

impl Library {
    /// The library behind a handle.
    pub(super) fn of(handle: Handle) -> Result<Arc<Library>, Status> {
        LIBRARIES.get(handle).map_err(|_| Status::NOT_INITIALIZED)
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream that its work goes to.
    pub(super) fn stream(&self) -> Result<Stream, Status> {
        Ok(Stream::of(self.settings().stream)?)
    }

    /// Whether factors and results lie on the host.
    pub(super) fn is_host_mode(&self) -> bool {
        self.settings().pointer_mode == PointerMode::Host
    }

    /// The `index`th of the factors behind a pointer, where the mode says.
    pub(super) fn scalar(
        &self,
        pointer: *const c_void,
        wide: bool,
        index: usize,
    ) -> Result<Scalar, Status> {
        if pointer.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        if !self.is_host_mode() {
            let bytes = if wide { 8 } else { 4 };
            return Ok(Scalar::Device(pointer.addr() as u64 + bytes * index as u64));
        }
        Ok(Scalar::Host(if wide {
            In::from(pointer.cast::<f64>()).at(index)?
        } else {
            In::from(pointer.cast::<f32>()).at(index)?.into()
        }))
    }

    /// SMs that a product may use.
    pub(super) fn sms_max(&self) -> usize {
        let count = self.settings().sm_count;
        usize::try_from(count).ok().filter(|count| *count > 0).unwrap_or(usize::MAX)
    }

    /// Runs a product in the library's stream.
    pub(super) fn multiply(&self, product: Product) -> Result<(), Status> {
        let stream = self.stream()?;
        let tiles = Tiles::cut(product, &stream.context);
        self.launch(&stream, Arc::new(tiles))
    }

    /// Runs blocks in the library's stream.
    pub(super) fn launch(&self, stream: &Stream, grid: Arc<dyn Grid>) -> Result<(), Status> {
        Ok(stream.enqueue(Work::Launch(grid))?)
    }
}

/// Reads or changes what is set on a library.
fn with(handle: Handle, body: impl FnOnce(&mut Settings) -> Result<(), Status>) -> Status {
    edge(|| body(&mut Library::of(handle)?.settings()))
}

/// Initialises the driver where the program did not; a context has to be current, as there is no
/// runtime that would make one.
#[unsafe(no_mangle)]
extern "C" fn cublasCreate_v2(out: Out<Handle>) -> Status {
    edge(|| {
        Machine::init()?;
        crate::context::current()?;
        if out.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        let settings = Settings {
            stream: Handle::NULL,
            pointer_mode: PointerMode::Host,
            math_mode: 0,
            atomics_mode: 0,
            sm_count: 0,
        };
        Ok(out.put(LIBRARIES.add(Library { settings: Mutex::new(settings) }))?)
    })
}

/// Waits for the device, as the manual says.
#[unsafe(no_mangle)]
extern "C" fn cublasDestroy_v2(handle: Handle) -> Status {
    edge(|| {
        let library = LIBRARIES.remove(handle).map_err(|_| Status::NOT_INITIALIZED)?;
        let stream = library.settings().stream;
        // A stream that is gone has nothing to wait for.
        match Stream::of(stream).and_then(|stream| stream.context.synchronize()) {
            Ok(()) | Err(Code::INVALID_HANDLE | Code::INVALID_CONTEXT) => Ok(()),
            Err(code) => Err(code.into()),
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasGetVersion_v2(handle: Handle, out: Out<c_int>) -> Status {
    edge(|| {
        Library::of(handle)?;
        let (major, minor) = claim()?.driver;
        let number = major * 10_000 + minor * 100;
        Ok(out.put(c_int::try_from(number).map_err(|_| Status::INTERNAL_ERROR)?)?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasSetStream_v2(handle: Handle, stream: Handle) -> Status {
    with(handle, |settings| {
        Stream::of(stream)?;
        settings.stream = stream;
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasGetStream_v2(handle: Handle, out: Out<Handle>) -> Status {
    with(handle, |settings| Ok(out.put(settings.stream)?))
}

#[unsafe(no_mangle)]
extern "C" fn cublasSetPointerMode_v2(handle: Handle, mode: u32) -> Status {
    with(handle, |settings| {
        settings.pointer_mode = match mode {
            0 => PointerMode::Host,
            1 => PointerMode::Device,
            _ => return Err(Status::INVALID_VALUE),
        };
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasGetPointerMode_v2(handle: Handle, out: Out<u32>) -> Status {
    with(handle, |settings| Ok(out.put(u32::from(settings.pointer_mode == PointerMode::Device))?))
}

/// `CUBLAS_DEFAULT_MATH`, `_TENSOR_OP_`, `_PEDANTIC_` and `_TF32_TENSOR_OP_MATH`.
const MATH_MODES: std::ops::RangeInclusive<u32> = 0..=3;
/// `CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION`.
const NO_REDUCED_PRECISION: u32 = 16;

#[unsafe(no_mangle)]
extern "C" fn cublasSetMathMode(handle: Handle, mode: u32) -> Status {
    with(handle, |settings| {
        if !MATH_MODES.contains(&(mode & !NO_REDUCED_PRECISION)) {
            return Err(Status::INVALID_VALUE);
        }
        settings.math_mode = mode;
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasGetMathMode(handle: Handle, out: Out<u32>) -> Status {
    with(handle, |settings| Ok(out.put(settings.math_mode)?))
}

#[unsafe(no_mangle)]
extern "C" fn cublasSetAtomicsMode(handle: Handle, mode: u32) -> Status {
    with(handle, |settings| {
        if mode > 1 {
            return Err(Status::INVALID_VALUE);
        }
        settings.atomics_mode = mode;
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasGetAtomicsMode(handle: Handle, out: Out<u32>) -> Status {
    with(handle, |settings| Ok(out.put(settings.atomics_mode)?))
}

#[unsafe(no_mangle)]
extern "C" fn cublasSetSmCountTarget(handle: Handle, count: c_int) -> Status {
    with(handle, |settings| {
        if count < 0 {
            return Err(Status::INVALID_VALUE);
        }
        settings.sm_count = count;
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasGetSmCountTarget(handle: Handle, out: Out<c_int>) -> Status {
    with(handle, |settings| Ok(out.put(settings.sm_count)?))
}

/// No workspace is needed, so every one will do.
#[unsafe(no_mangle)]
extern "C" fn cublasSetWorkspace_v2(handle: Handle, _space: *mut c_void, _bytes: usize) -> Status {
    with(handle, |_| Ok(()))
}

#[unsafe(no_mangle)]
extern "C" fn cublasGetStatusName(status: Status) -> *const c_char {
    status.name().as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn cublasGetStatusString(status: Status) -> *const c_char {
    status.name().as_ptr()
}
