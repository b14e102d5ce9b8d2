//! A device made of one window of memory: enough to run kernels in tests.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::block::{Block, Fault, GRANULE_BYTES, Heap, MemoryView, Turn};
use crate::jit::region::Region;
use crate::jit::{Claim, Form, Program, Scratch, compile_in_form};

/// What the tests' device claims to be.
pub(super) const CLAIM: Claim = Claim { ptx: (8, 8), compute: (9, 0) };

const WINDOW_BYTES: usize = 16 << 20;

extern "C" fn no_host_memory(_: *const MemoryView, _: u64, _: u64) -> u32 {
    0
}

/// A heap without room.
struct NoHeap;

impl Heap for NoHeap {
    fn allocate(&self, _: u64) -> Option<u64> {
        None
    }

    fn free(&self, _: u64) -> bool {
        false
    }
}

/// A device and a module that is loaded on it.
pub(super) struct Device {
    base: u64,
    used: usize,
    granules: Vec<u8>,
    scratch: Scratch,
    pub(super) stop: Stop,
    pub(super) program: Program,
    pub(super) variables: HashMap<String, u64>,
    /// Owns the window.
    _window: Region,
}

/// Turns that last until the test says otherwise.
pub(super) struct Stop(AtomicBool);

impl Stop {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Turn for Stop {
    fn attend(&self) -> Result<(), Fault> {
        if self.0.load(Ordering::Relaxed) { Err(Fault::Stopped) } else { Ok(()) }
    }
}

/// How a launch is shaped.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) grid: [u32; 3],
    pub(super) threads: [u32; 3],
    pub(super) dynamic_shared_bytes: u32,
}

/// Blocks and threads along one axis.
pub(super) fn line(blocks: u32, threads: u32) -> Shape {
    Shape { grid: [blocks, 1, 1], threads: [threads, 1, 1], dynamic_shared_bytes: 0 }
}

impl Device {
    /// Loads a module, with its variables in place.
    pub(super) fn load(text: &str) -> Self {
        Self::load_in_form(text, Form::Regions)
    }

    /// Two devices, on which threads wait in different ways. Whatever holds for one holds for the other.
    pub(super) fn in_both_forms(text: &str) -> impl Iterator<Item = Self> {
        [Form::Regions, Form::Stacks].into_iter().map(|form| {
            println!("threads wait in the form {form:?}");
            Self::load_in_form(text, form)
        })
    }

    /// As `load`, with this way to wait for kernels that can be compiled either way.
    pub(super) fn load_in_form(text: &str, form: Form) -> Self {
        let program = compile_in_form(text, &CLAIM, form).unwrap_or_else(|error| panic!("{error}"));
        let mut window = Region::new();
        let base = window.at_least(WINDOW_BYTES) as u64;
        let mut device = Self {
            base,
            used: 0,
            granules: vec![0; WINDOW_BYTES / GRANULE_BYTES as usize],
            scratch: Scratch::new(),
            stop: Stop(AtomicBool::new(false)),
            program,
            variables: HashMap::new(),
            _window: window,
        };
        let sizes: Vec<u64> = device.program.variables.iter().map(|known| known.bytes).collect();
        let addresses: Vec<u64> =
            sizes.iter().map(|&bytes| device.allocate(bytes as usize)).collect();
        for (variable, &address) in device.program.variables.iter().zip(&addresses) {
            let bytes = variable.initial_bytes(&addresses);
            // SAFETY: the variable was just allocated in the window, with room for its bytes.
            unsafe {
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), address as *mut u8, bytes.len())
            };
            device.variables.insert(variable.name.clone(), address);
        }
        device.program.link(&addresses);
        device
    }

    /// Zeroed device memory.
    pub(super) fn allocate(&mut self, bytes: usize) -> u64 {
        let granule = GRANULE_BYTES as usize;
        let address = self.base + self.used as u64;
        let count = bytes.div_ceil(granule).max(1);
        self.granules[self.used / granule..][..count].fill(1);
        // One granule stays free between allocations, so that running over an end is seen.
        self.used += (count + 1) * granule;
        assert!(self.used <= WINDOW_BYTES, "the test needs a larger window");
        address
    }

    /// Device memory with these values.
    pub(super) fn upload<T: Copy>(&mut self, values: &[T]) -> u64 {
        let address = self.allocate(size_of_val(values));
        // SAFETY: the memory was just allocated with room for the values, and is aligned to a granule.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), address as *mut T, values.len()) };
        address
    }

    /// The values at an address.
    pub(super) fn download<T: Copy>(&self, address: u64, count: usize) -> Vec<T> {
        let end = address + (count * size_of::<T>()) as u64;
        assert!(self.base <= address && end <= self.base + WINDOW_BYTES as u64);
        // SAFETY: the range lies in the window, which is mapped and initialised; the callers ask for
        // plain numbers.
        unsafe { std::slice::from_raw_parts(address as *const T, count) }.to_vec()
    }

    /// Runs all blocks of a launch, one after the other.
    pub(super) fn launch(
        &mut self,
        kernel: &str,
        shape: Shape,
        params: &Params,
    ) -> Result<(), Fault> {
        let kernel = self.program.kernels.get(kernel).expect("the module has the kernel").clone();
        let memory = MemoryView {
            window_base: self.base,
            window_bytes: WINDOW_BYTES as u64,
            granules: self.granules.as_ptr(),
            allows_beyond: no_host_memory,
            beyond_data: std::ptr::null::<c_void>(),
        };
        let [width, height, depth] = shape.grid;
        for at in 0..width * height * depth {
            let block = Block {
                params: &params.bytes,
                grid: shape.grid,
                threads: shape.threads,
                index: [at % width, at / width % height, at / width / height],
                dynamic_shared_bytes: shape.dynamic_shared_bytes,
                sm: at % 4,
                sm_count: 4,
                memory: &memory,
                heap: &NoHeap,
                turn: &self.stop,
            };
            kernel.run_block(&block, &mut self.scratch)?;
        }
        Ok(())
    }
}

/// A parameter buffer.
#[derive(Clone, Default)]
pub(super) struct Params {
    bytes: Vec<u8>,
}

impl Params {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Appends a value, aligned to its size.
    pub(super) fn with<const N: usize>(mut self, value: [u8; N]) -> Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(N), 0);
        self.bytes.extend_from_slice(&value);
        self
    }

    pub(super) fn u64(self, value: u64) -> Self {
        self.with(value.to_le_bytes())
    }

    pub(super) fn u32(self, value: u32) -> Self {
        self.with(value.to_le_bytes())
    }

    pub(super) fn i32(self, value: i32) -> Self {
        self.with(value.to_le_bytes())
    }
}
