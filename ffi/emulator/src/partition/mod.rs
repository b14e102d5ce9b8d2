//! Parts of a device: SM sets that a program splits, describes and makes contexts of (green
//! contexts), and the structure behind a stream, in which a program may store a mask that no
//! manual describes. It follows the CUDA version that the driver claims.

mod descriptor;
mod green;
mod mask;
mod resource;
mod split;
mod structure;

pub(crate) use descriptor::{DESCRIPTORS, Descriptor, Part, Workqueues};
pub(crate) use green::{Green, VIEWS};
pub(crate) use mask::allowed;
pub(crate) use resource::{RESOURCES, SmResource, whole_device};
pub(crate) use split::Wish;
pub(crate) use structure::{Found, Structure};
