//! What one thread block sees while it runs: the contract between the compiled code (`jit`) and the
//! device that runs it (`sm`, `memory`). It knows neither the driver's ABI nor PTX.

/// Device addresses are handed out in granules of this many bytes, so that an access of up to 16
/// aligned bytes never straddles two, and one table entry decides it.
pub(crate) const GRANULE_BYTES: u64 = 256;

/// The memory that compiled code may touch, in a form that it can check with a few instructions.
///
/// The device's window is mapped at the same address in the host, so an address that passes the
/// check is dereferenced as it is. `addr` of `size` bytes is allowed when
/// `addr - window_base < window_bytes` and `granules[(addr - window_base) / GRANULE_BYTES] != 0`;
/// otherwise `allows_beyond(self, addr, size)` decides (host memory, and that of other devices).
#[repr(C)]
pub(crate) struct MemoryView {
    /// First address of the reserved window.
    pub(crate) window_base: u64,
    /// Length of the window.
    pub(crate) window_bytes: u64,
    /// One byte a granule of the window; zero means that nothing is allocated there.
    pub(crate) granules: *const u8,
    /// Asked when an address is not in the window. Returns 1 when the whole access is allowed.
    pub(crate) allows_beyond: extern "C" fn(view: *const MemoryView, addr: u64, size: u64) -> u32,
    /// For `allows_beyond` alone; compiled code never looks at it.
    pub(crate) beyond_data: *const std::ffi::c_void,
}

/// Memory that kernels allocate themselves, with `malloc`.
pub(crate) trait Heap: Sync {
    /// An address aligned to 16 bytes, or `None` when there is no room.
    fn allocate(&self, bytes: u64) -> Option<u64>;
    /// Frees what `allocate` returned; false when it did not return that.
    fn free(&self, address: u64) -> bool;
}

/// One block of a launch, as its virtual SM hands it to compiled code.
pub(crate) struct Block<'a> {
    /// The kernel's parameter buffer, laid out as the kernel's `params` say.
    pub(crate) params: &'a [u8],
    /// Blocks in the grid.
    pub(crate) grid: [u32; 3],
    /// Threads in a block.
    pub(crate) threads: [u32; 3],
    /// Which block this is.
    pub(crate) index: [u32; 3],
    /// Bytes of dynamic shared memory asked for at launch.
    pub(crate) dynamic_shared_bytes: u32,
    /// The virtual SM that runs it (`%smid`).
    pub(crate) sm: u32,
    /// Virtual SMs of the device (`%nsmid`).
    pub(crate) sm_count: u32,
    /// What may be touched.
    pub(crate) memory: &'a MemoryView,
    /// Where it may allocate memory.
    pub(crate) heap: &'a dyn Heap,
    /// Attended to at loop back-edges.
    pub(crate) turn: &'a dyn Turn,
}

/// The time that a block has on its SM.
pub(crate) trait Turn {
    /// To be called now and then by whoever computes for long: others may run before it returns.
    ///
    /// # Errors
    /// `Fault::Stopped`: the block is to end now.
    fn attend(&self) -> Result<(), Fault>;
}

/// Why a block did not run to its end. Each maps to one of the driver's sticky errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A load, store or atomic outside what is allocated (700).
    IllegalAddress {
        /// The address.
        address: u64,
        /// Bytes of the access.
        bytes: u32,
    },
    /// An access whose address is not a multiple of its size (716).
    MisalignedAddress {
        /// The address.
        address: u64,
        /// Bytes of the access.
        bytes: u32,
    },
    /// `assert` failed on the device (710).
    Assert,
    /// `trap` (719).
    Trap,
    /// A call through a pointer that leads to no function of the expected kind (718).
    InvalidFunction {
        /// The pointer.
        address: u64,
    },
    /// The device is gone, with all that it had.
    DeviceLost,
    /// The driver asked it to stop.
    Stopped,
}
