//! The device code of gpumux: CUDA C++ sources (`src/cuda/*.cu`), their PTX (`ptx/*.ptx`,
//! committed), and launches whose arguments are typed.
//!
//! It is a crate of its own so that whoever *describes* a launch (the engine) needs no CUDA, and
//! whoever *issues* one (`ffi/cuda`) needs no knowledge of what it computes. A [`Launch`] is plain
//! data. `README.md` says how to add a kernel.
//!
//! ```
//! use gpumux_kernels::{DeviceAddress, Echo};
//! let input = DeviceAddress::new(0x1000).of::<u8>();
//! let output = DeviceAddress::new(0x2000).of::<u8>();
//! let launch = Echo { input, output, bytes: 100 }.launch();
//! assert_eq!(launch.grid().blocks(), [1, 1, 1]);
//! ```
//!
//! A wrong argument does not compile:
//!
//! ```compile_fail
//! use gpumux_kernels::{DeviceAddress, Echo};
//! let input = DeviceAddress::new(0x1000).of::<f32>();
//! let output = DeviceAddress::new(0x2000).of::<u8>();
//! let launch = Echo { input, output, bytes: 100 }.launch();
//! ```
#![forbid(unsafe_code)]

mod argument;
mod catalog;
mod copies;
mod declare;
mod grid;
mod launch;
mod map;
mod products;
mod rows;

pub use argument::{Argument, DeviceAddress, DevicePtr, Element, Form, Scalar, Shape};
pub use catalog::{
    Echo, GatherI32, GatherI64, Gemm, Handshake, Kernel, KernelId, LayerNorm, MODULES, MapReal,
    MapWhole, MaskedSoftmax, ReduceColumns, ReduceRows, Retire, SmidProbe,
};
pub use grid::Grid;
pub use launch::{Launch, Module, PARAM_BYTES_MAX, PARAM_COUNT_MAX, Param, ParamBuffer, Signature};
pub use map::{Code, MapTable, Stored, View};
pub use rows::Reduction;
