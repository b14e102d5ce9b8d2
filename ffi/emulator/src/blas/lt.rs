//! The ABI of cublasLt: handles, descriptors, the one algorithm, and the product.
#![expect(non_snake_case, reason = "the fields of the ABI")]

use super::descriptor::{Addresses, Descriptor, Layouts, PointerMode, set_layout};
use super::layout::Layout;
use super::numeric::Numeric;
use super::product::{Product, Scalar, Tiles};
use super::status::{Status, edge};
use crate::driver::abi::{In, Out, Text};
use crate::handle::{Handle, Table};
use crate::machine::{Machine, claim};
use crate::schedule::Work;
use crate::stream::Stream;
use std::ffi::{OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

static LIBRARIES: Table<()> = Table::new(0x6711);
static DESCRIPTORS: Table<Mutex<Descriptor>> = Table::new(0x6712);
static LAYOUTS: Table<Mutex<Layout>> = Table::new(0x6713);
static PREFERENCES: Table<()> = Table::new(0x6714);

/// `cublasLtMatmulAlgo_t`. Ours is known by its first word, and there is one.
#[repr(C)]
#[derive(Clone, Copy)]
struct cublasLtMatmulAlgo_t {
    data: [u64; 8],
}

const ALGORITHM: cublasLtMatmulAlgo_t =
    cublasLtMatmulAlgo_t { data: [u64::from_be_bytes(*b"gpumux 1"), 0, 0, 0, 0, 0, 0, 0] };

/// `cublasLtMatmulHeuristicResult_t`.
#[repr(C)]
#[derive(Clone, Copy)]
struct cublasLtMatmulHeuristicResult_t {
    algo: cublasLtMatmulAlgo_t,
    workspaceSize: usize,
    state: Status,
    wavesCount: f32,
    reserved: [c_int; 4],
}

fn locked<T>(object: &Mutex<T>) -> MutexGuard<'_, T> {
    object.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the bytes of an attribute.
fn attribute(buffer: In<u8>, bytes: usize) -> Result<Vec<u8>, Status> {
    // No attribute is longer: a wrong size must not make us read far.
    if bytes > 64 {
        return Err(Status::INVALID_VALUE);
    }
    Ok(buffer.take(bytes)?)
}

/// Writes the bytes of an attribute; with a size of zero only tells how many there are.
fn put_attribute(
    value: &[u8],
    buffer: Out<u8>,
    bytes: usize,
    written: Out<usize>,
) -> Result<(), Status> {
    written.put_if_wanted(value.len())?;
    if bytes == 0 {
        return Ok(());
    }
    if bytes < value.len() {
        return Err(Status::INVALID_VALUE);
    }
    for (index, byte) in value.iter().enumerate() {
        buffer.at(index).put(*byte)?;
    }
    Ok(())
}

/// Initialises the driver, as the real library does for programs that did not.
#[unsafe(no_mangle)]
extern "C" fn cublasLtCreate(out: Out<Handle>) -> Status {
    edge(|| {
        Machine::init()?;
        if out.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        Ok(out.put(LIBRARIES.add(()))?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtDestroy(library: Handle) -> Status {
    edge(|| LIBRARIES.remove(library).map(|_| ()).map_err(|_| Status::NOT_INITIALIZED))
}

/// The release that goes with the claimed driver: 13.3 is 130300.
#[unsafe(no_mangle)]
extern "C" fn cublasLtGetVersion() -> usize {
    claim().map_or(0, |claim| claim.driver.0 as usize * 10_000 + claim.driver.1 as usize * 100)
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmulDescCreate(out: Out<Handle>, compute: u32, scale: u32) -> Status {
    edge(|| {
        let descriptor = Descriptor::new(compute, scale)?;
        if out.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        Ok(out.put(DESCRIPTORS.add(Mutex::new(descriptor)))?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmulDescDestroy(descriptor: Handle) -> Status {
    edge(|| Ok(DESCRIPTORS.remove(descriptor).map(|_| ())?))
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmulDescSetAttribute(
    descriptor: Handle,
    number: u32,
    buffer: In<u8>,
    bytes: usize,
) -> Status {
    edge(|| {
        let value = attribute(buffer, bytes)?;
        locked(&*DESCRIPTORS.get(descriptor)?).set(number, &value)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmulDescGetAttribute(
    descriptor: Handle,
    number: u32,
    buffer: Out<u8>,
    bytes: usize,
    written: Out<usize>,
) -> Status {
    edge(|| {
        let value = locked(&*DESCRIPTORS.get(descriptor)?).get(number)?;
        put_attribute(&value, buffer, bytes, written)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatrixLayoutCreate(
    out: Out<Handle>,
    numeric: u32,
    rows: u64,
    cols: u64,
    leading: i64,
) -> Status {
    edge(|| {
        let layout = Layout::new(Numeric::from_number(numeric)?, rows, cols, leading);
        if out.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        Ok(out.put(LAYOUTS.add(Mutex::new(layout)))?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatrixLayoutDestroy(layout: Handle) -> Status {
    edge(|| Ok(LAYOUTS.remove(layout).map(|_| ())?))
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatrixLayoutSetAttribute(
    layout: Handle,
    number: u32,
    buffer: In<u8>,
    bytes: usize,
) -> Status {
    edge(|| {
        let value = attribute(buffer, bytes)?;
        set_layout(&mut locked(&*LAYOUTS.get(layout)?), number, &value)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmulPreferenceCreate(out: Out<Handle>) -> Status {
    edge(|| {
        if out.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        Ok(out.put(PREFERENCES.add(()))?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmulPreferenceDestroy(preference: Handle) -> Status {
    edge(|| Ok(PREFERENCES.remove(preference).map(|_| ())?))
}

/// The one algorithm needs no workspace and no alignment, so every preference is met.
#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmulPreferenceSetAttribute(
    preference: Handle,
    number: u32,
    buffer: In<u8>,
    bytes: usize,
) -> Status {
    edge(|| {
        attribute(buffer, bytes)?;
        PREFERENCES.get(preference)?;
        if number <= 12 { Ok(()) } else { Err(Status::NOT_SUPPORTED) }
    })
}

fn layouts(a: Handle, b: Handle, c: Handle, d: Handle) -> Result<Layouts, Status> {
    let read = |handle| -> Result<Layout, Status> { Ok(*locked(&*LAYOUTS.get(handle)?)) };
    Ok(Layouts { a: read(a)?, b: read(b)?, c: read(c)?, d: read(d)? })
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmulAlgoGetHeuristic(
    library: Handle,
    descriptor: Handle,
    a: Handle,
    b: Handle,
    c: Handle,
    d: Handle,
    _preference: Handle,
    requested: c_int,
    results: Out<cublasLtMatmulHeuristicResult_t>,
    found: Out<c_int>,
) -> Status {
    edge(|| {
        LIBRARIES.get(library).map_err(|_| Status::NOT_INITIALIZED)?;
        found.put(0)?;
        if requested < 1 {
            return Err(Status::INVALID_VALUE);
        }
        let descriptor = *locked(&*DESCRIPTORS.get(descriptor)?);
        let scalars = (Scalar::Host(1.0), Scalar::Host(0.0));
        descriptor.product(&layouts(a, b, c, d)?, Addresses::default(), scalars)?;
        results.put(cublasLtMatmulHeuristicResult_t {
            algo: ALGORITHM,
            workspaceSize: 0,
            state: Status::SUCCESS,
            wavesCount: 1.0,
            reserved: [0; 4],
        })?;
        Ok(found.put(1)?)
    })
}

fn scalar(pointer: In<f32>, mode: PointerMode) -> Result<Scalar, Status> {
    match mode {
        PointerMode::Host => Ok(Scalar::Host(pointer.get()?.into())),
        PointerMode::Device => Ok(Scalar::Device(pointer.address())),
    }
}

fn launch(product: Product, stream: Handle) -> Result<(), Status> {
    let stream = Stream::of(stream)?;
    let tiles = Tiles::cut(product, &stream.context);
    Ok(stream.enqueue(Work::Launch(Arc::new(tiles)))?)
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmul(
    library: Handle,
    descriptor: Handle,
    alpha: In<f32>,
    a: u64,
    a_layout: Handle,
    b: u64,
    b_layout: Handle,
    beta: In<f32>,
    c: u64,
    c_layout: Handle,
    d: u64,
    d_layout: Handle,
    algorithm: In<cublasLtMatmulAlgo_t>,
    _workspace: *mut c_void,
    _workspace_bytes: usize,
    stream: Handle,
) -> Status {
    edge(|| {
        LIBRARIES.get(library).map_err(|_| Status::NOT_INITIALIZED)?;
        if !algorithm.is_null() && algorithm.get()?.data[0] != ALGORITHM.data[0] {
            return Err(Status::INVALID_VALUE);
        }
        let descriptor = *locked(&*DESCRIPTORS.get(descriptor)?);
        let mode = descriptor.pointer_mode;
        let scalars = (scalar(alpha, mode)?, scalar(beta, mode)?);
        let layouts = layouts(a_layout, b_layout, c_layout, d_layout)?;
        launch(descriptor.product(&layouts, Addresses { a, b, c, d }, scalars)?, stream)
    })
}

/// The status in words, for error messages of programs.
#[unsafe(no_mangle)]
extern "C" fn cublasLtGetStatusName(status: Status) -> *const c_char {
    status.name().as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtGetStatusString(status: Status) -> *const c_char {
    status.name().as_ptr()
}

/// The most talkative level.
const LOG_LEVEL_MAX: c_int = 5;

/// Nothing is logged, at every level.
#[unsafe(no_mangle)]
extern "C" fn cublasLtLoggerSetLevel(level: c_int) -> Status {
    edge(|| {
        let known = (0..=LOG_LEVEL_MAX).contains(&level);
        if known { Ok(()) } else { Err(Status::INVALID_VALUE) }
    })
}

/// Makes the log's file, which stays empty.
#[unsafe(no_mangle)]
extern "C" fn cublasLtLoggerOpenFile(path: Text) -> Status {
    edge(|| {
        let path = Path::new(OsStr::from_bytes(path.get()?.to_bytes()));
        std::fs::File::create(path).map(|_| ()).map_err(|_| Status::INVALID_VALUE)
    })
}
