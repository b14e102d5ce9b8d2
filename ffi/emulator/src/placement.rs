//! Where launches ran, for tests of programs that confine them: on request, each SM on which a block
//! of a launch or a product begins is noted in a file, once a launch. A kernel can store its `%smid`;
//! a product of the BLAS cannot, and this is how one knows.

use crate::block::{Fault, Turn};
use crate::device::Device;
use crate::schedule::Work;
use crate::scratch::Scratch;
use crate::sm::Grid;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Launches that were issued to devices of this process.
static LAUNCHES: AtomicU64 = AtomicU64::new(0);

/// A launch as it is to be run: where placements are asked for, one that notes its own. Launches are
/// numbered from 0 in the order in which they come here, which is that of the program's calls.
pub(crate) fn noted(device: &Device, work: Work) -> Work {
    match (work, &device.claim().placements) {
        (Work::Launch(grid), Some(path)) => {
            let launch = LAUNCHES.fetch_add(1, Ordering::Relaxed);
            let Some(file) = file(path) else { return Work::Launch(grid) };
            let device = device.ordinal();
            Work::Launch(Arc::new(Noted { grid, file, device, launch, seen: Mutex::default() }))
        }
        (work, _) => work,
    }
}

/// The file, opened once; what is wrong with it is said once.
fn file(path: &Path) -> Option<&'static File> {
    static FILE: OnceLock<Option<File>> = OnceLock::new();
    let open = || {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let say = |why| eprintln!("gpumux emulator: no placements in {}: {why}", path.display());
        file.map_err(say).ok()
    };
    FILE.get_or_init(open).as_ref()
}

/// A grid that notes the SMs on which its blocks begin.
struct Noted {
    grid: Arc<dyn Grid>,
    file: &'static File,
    device: u32,
    launch: u64,
    seen: Mutex<BTreeSet<u32>>,
}

impl Grid for Noted {
    fn name(&self) -> &str {
        self.grid.name()
    }

    fn blocks(&self) -> u64 {
        self.grid.blocks()
    }

    fn sms_max(&self) -> usize {
        self.grid.sms_max()
    }

    fn run(
        &self,
        block: u64,
        sm: u32,
        turn: &dyn Turn,
        scratch: &mut Scratch,
    ) -> Result<(), Fault> {
        let is_new = self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(sm);
        if is_new {
            let (process, device, launch) = (std::process::id(), self.device, self.launch);
            // One write a line, and before the block runs: whoever waited for the launch finds it.
            let line = format!("{process} {device} {launch} {sm} {}\n", self.name());
            let mut file = self.file;
            if let Err(why) = file.write_all(line.as_bytes()) {
                eprintln!("gpumux emulator: cannot write the placements: {why}");
            }
        }
        self.grid.run(block, sm, turn, scratch)
    }
}
