//! The CUDA boundary: the only crate that names a CUDA type.
//!
//! [`Driver`] finds the driver; [`Device`] opens one GPU; [`DeviceMemory`] is its one reservation;
//! [`PinnedPool`] is the host memory that transfers use; a [`Lane`] is the ordered queue that work
//! is issued to, and a [`Partitioner`] confines lanes to SMs. What a launch *means* is not known here: it arrives as [`gpumux_kernels::Launch`].
//!
//! Three things shape the interface.
//!
//! - **One thread.** A CUDA context is current on a thread, so nothing here is `Send`: the thread
//!   that opens a device issues all its work, and no call has to switch contexts or lock.
//! - **No driver call that a type could rule out.** Nothing runs on the NULL stream, because only a
//!   lane has a stream; host memory cannot be touched while a transfer uses it, because the transfer
//!   has it ([`Lent`]).
//! - **Every symbol is resolved before the first call**, and results cross the boundary as numbers:
//!   a missing symbol, or a code newer than this crate, is an error and never a panic or worse.
//!
//! Rust's guarantees end where the device's begin. A launch that is handed wrong addresses writes
//! to wrong places in device memory. Plans are checked before they come here; this crate hands out no
//! device address of host memory that it also lends as a slice.
//!
//! Before [`Driver::load`] the process must have set `CUDA_MODULE_LOADING=EAGER` and
//! `CUDA_DEVICE_MAX_CONNECTIONS=32`; the driver reads both once, when it is initialised.

mod arena;
mod context;
mod device;
mod device_probe;
mod driver;
mod driver_api;
mod driver_key;
mod error;
mod functions;
mod lane;
mod library;
mod lt;
mod lt_api;
mod memory;
mod partition;
mod pinned;
mod product;
mod sequence;
mod sets;
mod shared_memory;
mod stream;
mod wake;

pub use device::{Device, DeviceInfo, DeviceOptions, MarkPath, ProductPath};
pub use device_probe::{DeviceIdentity, Uuid};
pub use driver::Driver;
pub use driver_key::{Build, DriverKey};
pub use error::{Code, CudaError, Failed, OpenError, ProductError};
pub use lane::{Lane, TransferError};
pub use memory::{DeviceBlock, DeviceMemory, OutOfDeviceMemory};
pub use partition::{
    Abilities, AllowList, BackendKind, BackendReport, ChooseError, Flaw, Grant, Grants, Handshake,
    LeaseError, LiveChange, Measured, NotProven, PartitionWish, Partitioner, Probe, ProbeError,
    Proven, Refusal, SelfTestError, Verdict, Wanted, prove, self_test,
};
pub use pinned::{Lent, PinnedPool, Staging};
pub use product::{Matrix, Operands, PreparedProduct, Product};
pub use sequence::Sequence;
pub use sets::{SmSet, TpcSet};
pub use shared_memory::{RegisterError, try_registered_memory};
pub use wake::Wake;
