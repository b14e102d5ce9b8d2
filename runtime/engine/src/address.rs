//! From a buffer and an offset of a plan to an address on the device.

use gpumux_kernels::{DeviceAddress, DevicePtr, Element};
use gpumux_plan::{Bound, BufferIndex, Dense, Place};

/// Where the parts of a bound plan lie.
pub(crate) struct Addresses<'a> {
    pub(crate) bound: &'a Bound,
    pub(crate) block: DeviceAddress,
    pub(crate) weights: DeviceAddress,
    /// The tables of its elementwise programs.
    pub(crate) tables: DeviceAddress,
    /// Scratch of its products.
    pub(crate) workspace: DeviceAddress,
}

impl Addresses<'_> {
    /// The element `offset` of a buffer.
    pub(crate) fn element(&self, buffer: BufferIndex, offset: u64) -> DeviceAddress {
        let (place, element) = self.bound.buffer(buffer);
        let (base, begin) = match place {
            Place::Block(begin) => (self.block, begin),
            Place::Weights(begin) => (self.weights, begin),
        };
        add(base, begin + offset * element.bytes())
    }

    pub(crate) fn dense<T: Element>(&self, at: &Dense<u64>) -> DevicePtr<T> {
        self.element(at.buffer, at.offset).of()
    }

    pub(crate) fn optional<T: Element>(&self, at: Option<&Dense<u64>>) -> DevicePtr<T> {
        at.map_or(DevicePtr::NULL, |at| self.dense(at))
    }

    /// The flag of a request, or, behind those of all requests, the batch's.
    pub(crate) fn flag(&self, index: u64) -> DevicePtr<u32> {
        add(self.block, self.bound.flags().start + 4 * index).of()
    }
}

/// An address within a block that the device gave us.
pub(crate) fn add(base: DeviceAddress, bytes: u64) -> DeviceAddress {
    base.checked_add(bytes).expect("a checked place lies within its block")
}

/// A number of a bound plan, which is checked to be below 2^31.
pub(crate) fn narrow(number: u64) -> u32 {
    u32::try_from(number).expect("a bound plan's numbers fit in 32 bits")
}
