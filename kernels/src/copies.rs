//! Grids of the kernels that move bytes or say where they ran.

use crate::catalog::{Echo, Handshake, Retire, SmidProbe};
use crate::grid::Grid;
use crate::launch::Launch;

impl Echo {
    /// Bytes that a thread copies at once.
    const BYTES_A_THREAD: u64 = 16;

    /// Blocks beyond which more of them no longer help a copy; threads stride over the rest.
    const BLOCKS_MAX: u32 = 1024;

    /// The launch of this copy.
    pub fn launch(self) -> Launch {
        let words = self.bytes.div_ceil(Self::BYTES_A_THREAD);
        Launch::new(Grid::cover(words, 256, Self::BLOCKS_MAX), self)
    }
}

impl Retire {
    /// The launch of this store, on one thread.
    pub fn launch(self) -> Launch {
        Launch::new(Grid::cover(1, 1, 1), self)
    }
}

impl SmidProbe {
    /// The launch of this probe on `blocks` blocks of `threads` threads; both are brought into what
    /// a device takes.
    pub fn launch(self, blocks: u32, threads: u32) -> Launch {
        Launch::new(
            Grid::cover(u64::from(blocks) * u64::from(threads.max(1)), threads, blocks),
            self,
        )
    }

    /// The launch of this probe on `blocks` blocks that take as much shared memory as a block gets
    /// without asking, so that an SM holds a few of them and the rest must go to other SMs.
    pub fn spread(self, blocks: u32) -> Launch {
        const THREADS: u32 = 32;
        let grid = Grid::cover(u64::from(blocks) * u64::from(THREADS), THREADS, blocks);
        let grid = grid.with_shared_bytes(Grid::SHARED_BYTES_MAX);
        Launch::new(grid.expect("the most that a block gets"), self)
    }
}

impl Handshake {
    /// The launch of this side, on one thread.
    pub fn launch(self) -> Launch {
        Launch::new(Grid::cover(1, 1, 1), self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceAddress;

    #[test]
    fn arguments_lie_where_the_signature_says() {
        let launch = Echo {
            input: DeviceAddress::new(0x1122_3344_5566_7788).of(),
            output: DeviceAddress::new(2).of(),
            bytes: 3,
        }
        .launch();
        let bytes = launch.params().bytes();
        assert_eq!(bytes[..8], 0x1122_3344_5566_7788_u64.to_ne_bytes());
        assert_eq!(bytes[8..16], 2_u64.to_ne_bytes());
        assert_eq!(bytes[16..24], 3_u64.to_ne_bytes());
        assert_eq!(bytes[24..], [0; crate::PARAM_BYTES_MAX - 24]);
    }

    #[test]
    fn a_probe_has_the_blocks_that_were_asked_for() {
        let probe = SmidProbe { sm: DeviceAddress::new(16).of(), hold_cycles: 0 };
        assert_eq!(probe.launch(64, 32).grid().blocks(), [64, 1, 1]);
        assert_eq!(probe.launch(64, 0).grid().threads(), [1, 1, 1]);
        let spread = probe.spread(64).grid();
        assert_eq!((spread.blocks(), spread.threads()), ([64, 1, 1], [32, 1, 1]));
        assert_eq!(spread.shared_bytes(), Grid::SHARED_BYTES_MAX);
    }
}
