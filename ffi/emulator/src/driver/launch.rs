//! Launches.
#![expect(non_snake_case, reason = "the fields of the ABI")]

use super::abi::{In, edge};
use crate::code::{Code, Outcome};
use crate::handle::Handle;
use crate::module::{Function, KernelGrid, Shape};
use crate::schedule::Work;
use crate::stream::Stream;
use crate::strict::{self, Call};
use std::ffi::{c_uint, c_void};

/// `CU_LAUNCH_PARAM_END`, `CU_LAUNCH_PARAM_BUFFER_POINTER`, `CU_LAUNCH_PARAM_BUFFER_SIZE`.
const PARAM_END: usize = 0;
const PARAM_BUFFER: usize = 1;
const PARAM_BUFFER_BYTES: usize = 2;

/// `CUlaunchAttribute`: a number, and a value of which only the first words matter here.
#[repr(C)]
#[derive(Clone, Copy)]
struct CUlaunchAttribute {
    id: c_uint,
    pad: [u8; 4],
    value: [u32; 16],
}
const _: () = assert!(size_of::<CUlaunchAttribute>() == 72);

/// `CUlaunchConfig`.
#[repr(C)]
#[derive(Clone, Copy)]
struct CUlaunchConfig {
    gridDim: [c_uint; 3],
    blockDim: [c_uint; 3],
    sharedMemBytes: c_uint,
    hStream: Handle,
    attrs: *const CUlaunchAttribute,
    numAttrs: c_uint,
}
const _: () = assert!(size_of::<CUlaunchConfig>() == 56);

/// Where a launch's parameters are.
#[derive(Clone, Copy)]
struct Params {
    /// One pointer for each parameter.
    each: In<*const c_void>,
    /// Or pairs of a key and a value.
    extra: In<*const c_void>,
}

impl Params {
    /// Lays the parameters out as the kernel reads them.
    fn pack(self, function: &Function) -> Outcome<Box<[u8]>> {
        let kernel = &function.kernel;
        let bytes = kernel.param_bytes as usize;
        if !self.extra.is_null() {
            if !self.each.is_null() {
                return Err(Code::INVALID_VALUE);
            }
            return self.packed_already(bytes);
        }
        let mut buffer = vec![0_u8; bytes];
        for (index, param) in kernel.params.iter().enumerate() {
            let value = In::from(self.each.at(index)?.cast::<u8>()).take(param.size as usize)?;
            let start = param.offset as usize;
            buffer[start..start + value.len()].copy_from_slice(&value);
        }
        Ok(buffer.into())
    }

    fn packed_already(self, bytes: usize) -> Outcome<Box<[u8]>> {
        let (mut buffer, mut length) = (None, None);
        // A pair for each key, and the end.
        for pair in 0..3 {
            let value = || self.extra.at(2 * pair + 1);
            match self.extra.at(2 * pair)?.addr() {
                PARAM_END => break,
                PARAM_BUFFER => buffer = Some(In::from(value()?.cast::<u8>())),
                PARAM_BUFFER_BYTES => length = Some(In::from(value()?.cast::<usize>()).get()?),
                _ => return Err(Code::INVALID_VALUE),
            }
        }
        let (Some(buffer), Some(length)) = (buffer, length) else {
            return Err(Code::INVALID_VALUE);
        };
        if length < bytes {
            return Err(Code::INVALID_VALUE);
        }
        Ok(buffer.take(bytes)?.into())
    }
}

fn launch(function: Handle, shape: Shape, stream: Handle, params: Params) -> Outcome {
    let function = Function::of(function)?;
    let stream = Stream::of(stream)?;
    if !function.context.is(&stream.context) {
        return Err(Code::INVALID_HANDLE);
    }
    shape.check(&function)?;
    if function.load() {
        strict::synchronise_device(Call::LoadFunction, stream.context.device());
    }
    let grid = KernelGrid {
        kernel: function.kernel.clone(),
        params: params.pack(&function)?,
        shape,
        device: stream.context.device().clone(),
        heap: stream.context.heap().clone(),
    };
    stream.enqueue(Work::Launch(Box::new(grid))).map(|_| ())
}

#[unsafe(no_mangle)]
extern "C" fn cuLaunchKernel(
    function: Handle,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    block_x: c_uint,
    block_y: c_uint,
    block_z: c_uint,
    dynamic_shared_bytes: c_uint,
    stream: Handle,
    each: In<*const c_void>,
    extra: In<*const c_void>,
) -> Code {
    let grid = [grid_x, grid_y, grid_z];
    let threads = [block_x, block_y, block_z];
    let shape = Shape { grid, threads, dynamic_shared_bytes };
    edge(|| launch(function, shape, stream, Params { each, extra }))
}

#[unsafe(no_mangle)]
extern "C" fn cuLaunchKernelEx(
    config: In<CUlaunchConfig>,
    function: Handle,
    each: In<*const c_void>,
    extra: In<*const c_void>,
) -> Code {
    edge(|| {
        let config = config.get()?;
        for index in 0..config.numAttrs as usize {
            check_attribute(&In::from(config.attrs).at(index)?)?;
        }
        let shape = Shape {
            grid: config.gridDim,
            threads: config.blockDim,
            dynamic_shared_bytes: config.sharedMemBytes,
        };
        launch(function, shape, config.hStream, Params { each, extra })
    })
}

/// Launch attributes that ask for nothing that is missing here.
fn check_attribute(attribute: &CUlaunchAttribute) -> Outcome {
    match (attribute.id, attribute.value) {
        // Ignored, synchronisation policy, programmatic overlap, priority, memory domains: hints.
        (0 | 3 | 6 | 8 | 9 | 10, _) => Ok(()),
        // Not cooperative.
        (2, [0, ..]) => Ok(()),
        // A cluster of one block.
        (4, [0 | 1, 0 | 1, 0 | 1, ..]) => Ok(()),
        _ => Err(Code::NOT_SUPPORTED),
    }
}

/// Blocks run one after the other here, so they cannot wait for each other.
#[unsafe(no_mangle)]
extern "C" fn cuLaunchCooperativeKernel(
    _function: Handle,
    _grid_x: c_uint,
    _grid_y: c_uint,
    _grid_z: c_uint,
    _block_x: c_uint,
    _block_y: c_uint,
    _block_z: c_uint,
    _dynamic_shared_bytes: c_uint,
    _stream: Handle,
    _params: In<*const c_void>,
) -> Code {
    Code::NOT_SUPPORTED
}
