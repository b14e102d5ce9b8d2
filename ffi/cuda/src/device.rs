//! One GPU, opened: what it is, and the parts that lanes share.

use crate::context::Context;
use crate::driver::Driver;
use crate::driver_api::{Attribute, DriverApi, NOT_SUPPORTED, STREAM_NON_BLOCKING};
use crate::driver_key::DriverKey;
use crate::error::{CudaError, OpenError, ProductError};
use crate::functions::Functions;
use crate::lane::Lane;
use crate::lt::Lt;
use crate::memory::DeviceMemory;
use crate::partition::Probe;
use crate::pinned::{Pinned, PinnedPool};
use crate::product::{PreparedProduct, Product};
use crate::wake::Wake;
use cudarc::driver::sys::{CUdevice, CUstream};
use gpumux_kernels::DevicePtr;
use std::cell::Cell;
use std::ffi::{CStr, c_char};
use std::path::Path;
use std::ptr;
use std::rc::Rc;

/// The oldest compute capability that the committed PTX runs on.
const COMPUTE_CAPABILITY_NEEDED: (u32, u32) = (7, 5);

/// What a device is; read once, when it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its name, as the driver says it.
    pub name: String,
    /// Major and minor compute capability.
    pub compute_capability: (u32, u32),
    /// Streaming multiprocessors.
    pub sm_count: u32,
    /// Bytes of memory in all.
    pub memory_bytes: u64,
    /// Bytes of it that were free after the context was made.
    pub memory_free_bytes: u64,
    /// The driver's version: 12020 is that of CUDA 12.2.
    pub driver_version: u32,
    /// Whether this is gpumux's own emulated driver.
    pub is_emulated: bool,
    /// How lanes mark.
    pub marks: MarkPath,
    /// What multiplies matrices.
    pub products: ProductPath,
}

/// How a lane's mark gets to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkPath {
    /// `cuStreamWriteValue32`.
    StreamWrite,
    /// A kernel of one thread, where the driver does not write values.
    Kernel,
}

/// What multiplies matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProductPath {
    /// cublasLt.
    CublasLt,
    /// Our own kernel: slower, for hosts that have a driver and no cublasLt.
    Kernel,
}

/// Choices that are otherwise made by what the machine has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceOptions {
    /// Mark this way, or fail where it is not possible; `None` takes the best there is.
    pub marks: Option<MarkPath>,
    /// Multiply this way, or fail where it is not possible; `None` takes the best there is.
    pub products: Option<ProductPath>,
}

/// An open device. All its kernels are loaded. Its parts may outlive it.
pub struct Device {
    info: DeviceInfo,
    key: DriverKey,
    shared: Rc<Shared>,
    lanes: Cell<u32>,
}

/// What the lanes of a device share.
pub(crate) struct Shared {
    // The order is that of dropping: the context goes last.
    pub(crate) lt: Option<Lt>,
    pub(crate) functions: Functions,
    pub(crate) marks: MarkPath,
    pub(crate) context: Rc<Context>,
}

impl Device {
    /// Opens the device `ordinal`, makes its context current on this thread and loads every kernel.
    ///
    /// # Errors
    /// When there is no such device, it is too old, a kernel does not load, or what `options`
    /// ask for is not there.
    pub fn open(driver: &Driver, ordinal: u32, options: DeviceOptions) -> Result<Self, OpenError> {
        let api = driver.api();
        let device = find(driver, ordinal)?;
        let compute_capability = (
            api.attribute(Attribute::ComputeCapabilityMajor, device)?,
            api.attribute(Attribute::ComputeCapabilityMinor, device)?,
        );
        if compute_capability < COMPUTE_CAPABILITY_NEEDED {
            return Err(OpenError::DeviceTooOld { found: compute_capability });
        }
        let context = Context::open(api, device)?;
        let functions = Functions::load(&context)?;
        let marks = choose_marks(&context, options.marks)?;
        let lt = choose_products(&context, options.products)?;
        let (memory_free_bytes, memory_bytes) = context.memory_info()?;
        let info = DeviceInfo {
            name: name_of(api, device)?,
            compute_capability,
            sm_count: api.attribute(Attribute::MultiprocessorCount, device)?,
            memory_bytes,
            memory_free_bytes,
            driver_version: driver.version(),
            is_emulated: driver.is_emulated(),
            marks,
            products: if lt.is_some() { ProductPath::CublasLt } else { ProductPath::Kernel },
        };
        let shared = Rc::new(Shared { lt, functions, marks, context });
        let key = DriverKey::of(driver, ordinal)?;
        Ok(Self { info, key, shared, lanes: Cell::new(0) })
    }

    /// What it is.
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    pub(crate) fn context(&self) -> &Rc<Context> {
        &self.shared.context
    }

    /// The file of the BLAS library in use, links followed; `None` when our own kernel multiplies.
    pub fn product_library(&self) -> Option<&Path> {
        self.shared.lt.as_ref().map(Lt::library_path)
    }

    /// Reserves `bytes` of device memory. A device has one reservation, made before work starts:
    /// this may synchronise it.
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`] when the device has not that much.
    pub fn reserve(&self, bytes: usize) -> Result<DeviceMemory, CudaError> {
        DeviceMemory::reserve(&self.shared.context, bytes)
    }

    /// Allocates `blocks` blocks of pinned memory of `block_bytes` each. For start-up and loads: this
    /// may synchronise the device.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn pinned_pool(&self, block_bytes: usize, blocks: usize) -> Result<PinnedPool, CudaError> {
        PinnedPool::alloc(&self.shared.context, block_bytes, blocks)
    }

    /// Makes a lane on the whole device that wakes through `wake`. For start-up: this may synchronise
    /// the device.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn lane(&self, wake: &Wake) -> Result<Lane, CudaError> {
        Lane::open(&self.shared, self.next_lane(), wake)
    }

    /// Makes what measures where lanes run. For start-up: this may synchronise the device.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn probe(&self) -> Result<Probe, CudaError> {
        Probe::new(&self.shared, self.info.sm_count)
    }

    /// The driver and the device, as undocumented details of drivers are looked up by.
    pub fn driver_key(&self) -> &DriverKey {
        &self.key
    }

    /// A number that no lane has had.
    pub(crate) fn next_lane(&self) -> u32 {
        let id = self.lanes.get();
        self.lanes.set(id.checked_add(1).expect("a device has a few lanes"));
        id
    }

    pub(crate) fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }

    /// Chooses how to multiply, for lanes of `sm_count` SMs and with a workspace of at most
    /// `workspace_bytes_max`. `bias` has `n` elements and is added to every row of the result;
    /// [`DevicePtr::NULL`] is no bias. For loads: this may take milliseconds.
    ///
    /// # Errors
    /// When the description is wrong, or the BLAS library finds no algorithm.
    pub fn prepare(
        &self,
        product: &Product,
        bias: DevicePtr<f32>,
        sm_count: u32,
        workspace_bytes_max: u64,
    ) -> Result<PreparedProduct, ProductError> {
        PreparedProduct::new(&self.shared, product, bias, sm_count, workspace_bytes_max)
    }
}

pub(crate) fn find(driver: &Driver, ordinal: u32) -> Result<CUdevice, OpenError> {
    let count = driver.device_count()?;
    let missing = OpenError::NoSuchDevice { ordinal, count };
    let Ok(number) = i32::try_from(ordinal) else { return Err(missing) };
    if ordinal >= count {
        return Err(missing);
    }
    let mut device = 0;
    // SAFETY: writes one handle.
    let answer = unsafe { (driver.api().cuDeviceGet)(&raw mut device, number) };
    driver.api().check("cuDeviceGet", answer)?;
    Ok(device)
}

pub(crate) fn name_of(api: &DriverApi, device: CUdevice) -> Result<String, CudaError> {
    const BYTES: u8 = 128;
    let mut name = [0_u8; BYTES as usize];
    let pointer = name.as_mut_ptr().cast::<c_char>();
    // SAFETY: writes at most that many bytes, the last of them zero.
    let answer = unsafe { (api.cuDeviceGetName)(pointer, BYTES.into(), device) };
    api.check("cuDeviceGetName", answer)?;
    let name = CStr::from_bytes_until_nul(&name).unwrap_or_default();
    Ok(name.to_string_lossy().into_owned())
}

/// Takes stream writes when the driver has them and one works: no attribute says so.
fn choose_marks(context: &Rc<Context>, asked: Option<MarkPath>) -> Result<MarkPath, CudaError> {
    if asked == Some(MarkPath::Kernel) {
        return Ok(MarkPath::Kernel);
    }
    let number = try_stream_write(context)?;
    match (number, asked) {
        (0, _) => Ok(MarkPath::StreamWrite),
        (NOT_SUPPORTED, None) => Ok(MarkPath::Kernel),
        (number, _) => {
            Err(CudaError::from_driver(context.api().failed("cuStreamWriteValue32_v2", number)))
        }
    }
}

/// Writes a value on a stream of its own and returns what the driver answered.
fn try_stream_write(context: &Rc<Context>) -> Result<u32, CudaError> {
    let api = context.api();
    let Some(write) = api.cuStreamWriteValue32_v2 else { return Ok(NOT_SUPPORTED) };
    let word = Pinned::alloc(context, size_of::<u32>())?;
    let address = word.device_address()?;
    let mut stream: CUstream = ptr::null_mut();
    // SAFETY: writes one handle.
    let answer = unsafe { (api.cuStreamCreate)(&raw mut stream, STREAM_NON_BLOCKING) };
    api.check("cuStreamCreate", answer)?;
    // SAFETY: the address is of four bytes of pinned memory, which outlives the stream.
    let written = unsafe { write(stream, address, 1, 0) };
    // SAFETY: the stream was made just now.
    let drained = unsafe { (api.cuStreamSynchronize)(stream) };
    // SAFETY: as above; nothing uses it any more.
    let destroyed = unsafe { (api.cuStreamDestroy_v2)(stream) };
    api.check("cuStreamSynchronize", drained)?;
    api.check("cuStreamDestroy_v2", destroyed)?;
    Ok(written)
}

/// Opens cublasLt unless our own kernel was asked for; without a library, our own kernel it is.
fn choose_products(
    context: &Rc<Context>,
    asked: Option<ProductPath>,
) -> Result<Option<Lt>, OpenError> {
    if asked == Some(ProductPath::Kernel) {
        return Ok(None);
    }
    match Lt::open(context) {
        Ok(lt) => Ok(Some(lt)),
        Err(OpenError::NoBlas { .. }) if asked.is_none() => Ok(None),
        Err(error) => Err(error),
    }
}
