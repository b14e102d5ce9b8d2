//! A lane: an ordered queue of work on the device, and the word in which it says how far it is.
//!
//! Its calls return at once, allocate nothing and lock nothing of ours. Which SMs it runs on is
//! decided where its stream is made or masked ([`crate::Partitioner`]), and nowhere else; a lane that
//! the device made itself has them all.

use crate::device::{MarkPath, Shared};
use crate::driver_api::NOT_READY;
use crate::error::CudaError;
use crate::partition::{Grant, Seat};
use crate::pinned::{Lent, Pinned, Staging};
use crate::product::{Operands, PreparedProduct};
use crate::sequence::Sequence;
use crate::stream::Stream;
use crate::wake::{Wake, wake_from_driver};
use cudarc::driver::sys::CUstream;
use gpumux_kernels::{DeviceAddress, Launch, PARAM_COUNT_MAX, Retire};
use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Why a transfer was not issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// The bytes are not all inside the block.
    #[error("the transfer reaches beyond its block")]
    OutOfBlock,
    /// The block was lent to another lane.
    #[error("the block was lent to another lane")]
    OtherLane,
    /// The driver refused it.
    #[error(transparent)]
    Call(#[from] CudaError),
}

/// A lane. Dropping it waits for its work.
pub struct Lane {
    id: u32,
    stream: Rc<Stream>,
    /// The SMs that it was granted, and where they are given back; `None` for the whole device.
    seat: Option<Seat>,
    marked: Sequence,
    /// The word that the device writes marks to, and the device's address of it.
    word: ManuallyDrop<Pinned>,
    word_address: DeviceAddress,
    wake: ManuallyDrop<Wake>,
    shared: Rc<Shared>,
}

impl Lane {
    /// A lane on the whole device.
    pub(crate) fn open(shared: &Rc<Shared>, id: u32, wake: &Wake) -> Result<Self, CudaError> {
        let stream = Rc::new(Stream::open(&shared.context)?);
        Self::on(shared, id, wake, stream)
    }

    /// A lane on a stream, which it may share with lanes that are not in use.
    pub(crate) fn on(
        shared: &Rc<Shared>,
        id: u32,
        wake: &Wake,
        stream: Rc<Stream>,
    ) -> Result<Self, CudaError> {
        let word = Pinned::alloc(&shared.context, size_of::<u32>())?;
        let word_address = DeviceAddress::new(word.device_address()?);
        Ok(Self {
            id,
            stream,
            seat: None,
            marked: Sequence::START,
            word: ManuallyDrop::new(word),
            word_address,
            wake: ManuallyDrop::new(wake.clone()),
            shared: Rc::clone(shared),
        })
    }

    /// Its number: no other lane of its device has it.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What it was granted; `None` when it has the whole device.
    pub fn grant(&self) -> Option<&Grant> {
        self.seat.as_ref().map(Seat::grant)
    }

    /// SMs that products on this lane are to be prepared for; zero is all of the device.
    pub fn sm_count_target(&self) -> u32 {
        self.grant().map_or(0, Grant::sm_count)
    }

    /// Hands a block of pinned memory to this lane, for any number of transfers.
    pub fn lend(&self, block: Staging) -> Lent {
        Lent::new(block, self.id)
    }

    /// Gives a block back, or returns it unchanged while a transfer may still use it: until a mark
    /// made after its last transfer has retired.
    ///
    /// # Errors
    /// The block, when it is not free yet or was lent to another lane.
    pub fn reclaim(&self, lent: Lent) -> Result<Staging, Lent> {
        let is_free = lent.due.is_none_or(|due| self.retired().has_reached(due));
        if lent.lane() != self.id || !is_free {
            return Err(lent);
        }
        Ok(lent.into_staging())
    }

    /// Copies `bytes` bytes at `offset` of a block to device memory.
    ///
    /// # Errors
    /// When the block has not these bytes or belongs to another lane, or what the driver answered.
    pub fn copy_in(
        &mut self,
        from: &mut Lent,
        offset: usize,
        bytes: usize,
        to: DeviceAddress,
    ) -> Result<(), TransferError> {
        let source = self.claim(from, offset, bytes)?;
        let api = self.shared.context.api();
        // SAFETY: the bytes are of a block that nobody else touches until a mark after this copy
        // has retired. A bad device address is an error of the driver.
        let answer = unsafe {
            (api.cuMemcpyHtoDAsync_v2)(to.get(), source.cast_const(), bytes, self.stream())
        };
        Ok(api.check("cuMemcpyHtoDAsync_v2", answer)?)
    }

    /// Copies `bytes` bytes of device memory to `offset` of a block.
    ///
    /// # Errors
    /// As [`Self::copy_in`].
    pub fn copy_out(
        &mut self,
        from: DeviceAddress,
        to: &mut Lent,
        offset: usize,
        bytes: usize,
    ) -> Result<(), TransferError> {
        let target = self.claim(to, offset, bytes)?;
        let api = self.shared.context.api();
        // SAFETY: as in `copy_in`.
        let answer =
            unsafe { (api.cuMemcpyDtoHAsync_v2)(target, from.get(), bytes, self.stream()) };
        Ok(api.check("cuMemcpyDtoHAsync_v2", answer)?)
    }

    /// Sets `bytes` bytes of device memory to zero.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn clear(&mut self, at: DeviceAddress, bytes: usize) -> Result<(), CudaError> {
        let api = self.shared.context.api();
        // SAFETY: writes device memory alone; a bad address is an error of the driver.
        let answer = unsafe { (api.cuMemsetD8Async)(at.get(), 0, bytes, self.stream()) };
        api.check("cuMemsetD8Async", answer)
    }

    /// Runs a kernel.
    ///
    /// # Errors
    /// What the driver answered. A fault of the kernel comes later, from whatever is called then.
    pub fn launch(&mut self, launch: &Launch) -> Result<(), CudaError> {
        let kernel = launch.kernel();
        let bytes = launch.params().bytes();
        let mut addresses: [*mut c_void; PARAM_COUNT_MAX] = [ptr::null_mut(); PARAM_COUNT_MAX];
        for (address, param) in addresses.iter_mut().zip(kernel.signature().params) {
            *address = (&raw const bytes[param.offset]).cast_mut().cast();
        }
        let [blocks_x, blocks_y, blocks_z] = launch.grid().blocks();
        let [threads_x, threads_y, threads_z] = launch.grid().threads();
        let api = self.shared.context.api();
        // SAFETY: the function is of a module that is loaded as long as `shared` lives. The driver
        // reads each parameter, at its address and in its size, before it returns: a test holds the
        // catalogue's sizes to those of the PTX.
        let answer = unsafe {
            (api.cuLaunchKernel)(
                self.shared.functions.of(kernel),
                blocks_x,
                blocks_y,
                blocks_z,
                threads_x,
                threads_y,
                threads_z,
                launch.grid().shared_bytes(),
                self.stream(),
                addresses.as_mut_ptr(),
                ptr::null_mut(),
            )
        };
        api.check("cuLaunchKernel", answer)
    }

    /// Multiplies matrices.
    ///
    /// # Errors
    /// When an operand is not aligned as promised, or what CUDA answered.
    pub fn multiply(
        &mut self,
        product: &PreparedProduct,
        operands: &Operands,
    ) -> Result<(), CudaError> {
        product.issue(self, operands)
    }

    /// Marks this place: when all that was issued before has retired, [`Self::retired`] reaches the
    /// sequence number that this returns.
    ///
    /// # Errors
    /// What the driver answered; the number is then used for the next mark.
    pub fn mark(&mut self) -> Result<Sequence, CudaError> {
        let sequence = self.marked.next();
        // SYNC(retire): both ways fence, for the whole system, before they write.
        match (self.shared.marks, self.shared.context.api().cuStreamWriteValue32_v2) {
            (MarkPath::StreamWrite, Some(write)) => {
                // SAFETY: the address is of four bytes of pinned memory, which are freed only after
                // the stream has drained. Flags 0 put a system-wide fence before the write.
                let answer =
                    unsafe { write(self.stream(), self.word_address.get(), sequence.get(), 0) };
                self.shared.context.api().check("cuStreamWriteValue32_v2", answer)?;
            }
            _ => {
                let word = self.word_address.of();
                self.launch(&Retire { word, sequence: sequence.get() }.launch())?;
            }
        }
        self.marked = sequence;
        Ok(sequence)
    }

    /// Wakes whoever waits on the lane's [`Wake`] when all that was issued before has retired. Not
    /// when it fails: lack of progress says that.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn wake(&mut self) -> Result<(), CudaError> {
        let api = self.shared.context.api();
        let argument = self.wake.as_argument();
        // SAFETY: the function takes what it is given here, calls no CUDA and does not unwind; the
        // descriptor stays open until the stream has drained.
        let answer = unsafe { (api.cuLaunchHostFunc)(self.stream(), wake_from_driver, argument) };
        api.check("cuLaunchHostFunc", answer)
    }

    /// The last mark that has retired: one load, no call. What the device wrote before it is then
    /// visible to this thread.
    pub fn retired(&self) -> Sequence {
        let word = self.word.base().cast::<AtomicU32>();
        // SAFETY: aligned, initialised and alive as long as the lane; the device writes it whole.
        let word = unsafe { word.as_ref() };
        // SYNC(retire): pairs with the fence that the device puts before it writes a mark.
        Sequence::new(word.load(Ordering::Acquire))
    }

    /// The last mark that was issued.
    pub fn marked(&self) -> Sequence {
        self.marked
    }

    /// Asks the driver whether all work has retired. This is how a fault is seen: it is an error here.
    /// Whoever has just been woken may find the lane still busy, with the wake-up itself.
    ///
    /// # Errors
    /// [`CudaError::DeviceLost`] after a fault, or what else the driver answered.
    pub fn is_idle(&self) -> Result<bool, CudaError> {
        let api = self.shared.context.api();
        // SAFETY: the stream is alive as long as the lane.
        match unsafe { (api.cuStreamQuery)(self.stream()) } {
            NOT_READY => Ok(false),
            number => api.check("cuStreamQuery", number).map(|()| true),
        }
    }

    /// Blocks until all work has retired. For loads and tests, not for requests.
    ///
    /// # Errors
    /// As [`Self::is_idle`].
    pub fn drain(&self) -> Result<(), CudaError> {
        let api = self.shared.context.api();
        // SAFETY: the stream is alive as long as the lane.
        let answer = unsafe { (api.cuStreamSynchronize)(self.stream()) };
        api.check("cuStreamSynchronize", answer)
    }

    pub(crate) fn stream(&self) -> CUstream {
        self.stream.raw()
    }

    /// The stream that it issues to now.
    pub(crate) fn queue(&self) -> &Rc<Stream> {
        &self.stream
    }

    /// Issues to another stream from now on. The caller has ordered that one behind this one.
    pub(crate) fn move_to(&mut self, stream: Rc<Stream>) {
        self.stream = stream;
    }

    /// The place that confines it.
    pub(crate) fn seat(&self) -> Option<&Seat> {
        self.seat.as_ref()
    }

    /// The same, to be taken or changed.
    pub(crate) fn seat_mut(&mut self) -> &mut Option<Seat> {
        &mut self.seat
    }

    /// What its device's lanes share.
    pub(crate) fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }

    /// Notes that a transfer is about to use the block, whether or not the driver then takes it.
    fn claim(
        &self,
        lent: &mut Lent,
        offset: usize,
        bytes: usize,
    ) -> Result<*mut c_void, TransferError> {
        if lent.lane() != self.id {
            return Err(TransferError::OtherLane);
        }
        let at = lent.at(offset, bytes).ok_or(TransferError::OutOfBlock)?;
        lent.due = Some(self.marked.next());
        Ok(at.as_ptr().cast())
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let is_drained = self.drain().is_ok();
        if let Some(seat) = self.seat.take() {
            seat.leave(self.id);
        }
        if !is_drained {
            // Who knows what still runs: the word and the descriptor are left to the process's end.
            return;
        }
        // SAFETY: not used after this, and not dropped before.
        unsafe { ManuallyDrop::drop(&mut self.word) };
        // SAFETY: as above.
        unsafe { ManuallyDrop::drop(&mut self.wake) };
    }
}
