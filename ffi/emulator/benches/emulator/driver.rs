//! As much of the driver's ABI as a benchmark needs, in a process whose loader finds the emulator.

use cudarc::driver::sys::*;
use std::ffi::{CString, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr::null_mut;
use std::time::{Duration, Instant};

const INSIDE: &str = "GPUMUX_BENCH_INSIDE";
const LIBRARY: &str = "GPUMUX_BENCH_LIBRARY";

/// Calls a driver function, which must succeed.
macro_rules! call {
    ($name:ident($($argument:expr),* $(,)?)) => {{
        // SAFETY: arguments of the right kinds, and pointers to what lives during the call.
        let code = unsafe { $name($($argument),*) };
        assert_eq!(code, CUresult::CUDA_SUCCESS, stringify!($name));
    }};
}
pub(crate) use call;

/// The library beside this benchmark's own executable, or the one that was asked for.
fn library() -> PathBuf {
    if let Some(named) = std::env::var_os(LIBRARY) {
        return named.into();
    }
    let exe = std::env::current_exe().unwrap();
    let folder = exe.ancestors().nth(2).expect("target/release/deps/bench");
    let library = folder.join("libgpumux_emulator.so");
    assert!(library.exists(), "build it first: cargo build --release -p gpumux-emulator");
    library
}

/// The part that this process is to measure; none where it is the one that was started by hand.
pub(crate) fn part() -> Option<String> {
    std::env::var(INSIDE).ok()
}

/// Starts this program again for one part, where the loader takes the emulator for the CUDA driver
/// and the machine is as claimed. Returns whether it succeeded.
pub(crate) fn measure(part: &str, claim: &str) -> bool {
    let library = std::fs::canonicalize(library()).unwrap();
    let links = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-links");
    std::fs::create_dir_all(&links).unwrap();
    for name in ["libcuda.so", "libcuda.so.1"] {
        let link = links.join(name);
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(&library, link).unwrap();
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args(std::env::args_os().skip(1))
        .env(INSIDE, part)
        .env("LD_LIBRARY_PATH", &links)
        .env("GPUMUX_EMULATED", claim)
        .status();
    status.unwrap().success()
}

/// A kernel's parameters: each in eight bytes of its own.
#[derive(Clone, Default)]
pub(crate) struct Arguments {
    values: Vec<u64>,
}

impl Arguments {
    pub(crate) fn u64(mut self, value: u64) -> Self {
        self.values.push(value);
        self
    }

    /// The driver reads the lower four bytes.
    pub(crate) fn u32(self, value: u32) -> Self {
        self.u64(u64::from(value))
    }
}

/// A launch.
pub(crate) struct Launch {
    pub(crate) grid: [u32; 2],
    pub(crate) threads: [u32; 2],
    pub(crate) arguments: Arguments,
}

/// How long something took.
pub(crate) struct Span {
    /// On the wall.
    pub(crate) wall: Duration,
    /// On processors, which on a busy machine is steadier.
    pub(crate) busy: Duration,
}

/// The driver, with a module loaded.
pub(crate) struct Driver {
    context: CUcontext,
    module: CUmodule,
}

// SAFETY: both are names that the driver looks up, from whatever thread.
unsafe impl Sync for Driver {}

impl Driver {
    pub(crate) fn open(ptx: &str) -> Self {
        let mut context = null_mut();
        call!(cuInit(0));
        call!(cuDevicePrimaryCtxRetain(&mut context, 0));
        call!(cuCtxSetCurrent(context));
        Self { context, module: load(ptx) }
    }

    /// Makes the driver's context the calling thread's.
    pub(crate) fn adopt(&self) {
        call!(cuCtxSetCurrent(self.context));
    }

    pub(crate) fn allocate(&self, bytes: u32) -> u64 {
        let mut address = 0;
        call!(cuMemAlloc_v2(&mut address, bytes as usize));
        address
    }

    pub(crate) fn upload<T: Copy>(&self, values: &[T]) -> u64 {
        let mut address = 0;
        call!(cuMemAlloc_v2(&mut address, size_of_val(values)));
        call!(cuMemcpyHtoD_v2(address, values.as_ptr().cast(), size_of_val(values)));
        address
    }

    pub(crate) fn download_u32(&self, address: u64) -> u32 {
        let mut value = 0u32;
        call!(cuMemcpyDtoH_v2((&raw mut value).cast(), address, 4));
        value
    }

    pub(crate) fn download_f32(&self, address: u64) -> f32 {
        f32::from_bits(self.download_u32(address))
    }

    /// How long a launch takes until it is done.
    pub(crate) fn time(&self, kernel: &str, launch: &Launch) -> Span {
        self.time_on(null_mut(), kernel, launch)
    }

    /// The same in a given stream.
    pub(crate) fn time_on(&self, stream: CUstream, kernel: &str, launch: &Launch) -> Span {
        let name = CString::new(kernel).unwrap();
        let mut function = null_mut();
        call!(cuModuleGetFunction(&mut function, self.module, name.as_ptr()));
        let values = launch.arguments.values.iter();
        let mut pointers: Vec<*mut c_void> =
            values.map(|value| std::ptr::from_ref(value).cast_mut().cast()).collect();
        let ([width, height], [x, y]) = (launch.grid, launch.threads);
        call!(cuStreamSynchronize(stream));
        timed(|| {
            let parameters = pointers.as_mut_ptr();
            call!(cuLaunchKernel(
                function,
                width,
                height,
                1,
                x,
                y,
                1,
                0,
                stream,
                parameters,
                null_mut()
            ));
            call!(cuStreamSynchronize(stream));
        })
    }

    /// What it takes to load a text: new to the process, and once more.
    pub(crate) fn time_loading(&self, ptx: &str) {
        let other = format!("{ptx}// A text that was not loaded before.\n");
        for what in ["first", "again"] {
            let mut module = null_mut();
            let span = timed(|| module = load(&other));
            println!("{:12} {:9.2} ms", format!("load {what}"), span.wall.as_secs_f64() * 1e3);
            call!(cuModuleUnload(module));
        }
    }
}

fn load(ptx: &str) -> CUmodule {
    let text = CString::new(ptx).unwrap();
    let mut module = null_mut();
    call!(cuModuleLoadData(&mut module, text.as_ptr().cast()));
    module
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn timed(work: impl FnOnce()) -> Span {
    let (wall, busy) = (Instant::now(), processor_time());
    work();
    Span { wall: wall.elapsed(), busy: processor_time() - busy }
}

/// What this process has used of processors so far.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is a live place to write to.
    let code = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(code, 0, "there is a clock of the process");
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

/// Median, lowest and highest.
pub(crate) fn spread(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [values[values.len() / 2], values[0], values[values.len() - 1]]
}
