//! The geometry of a launch, kept to what every supported device can run.

/// Blocks, threads and dynamic shared memory of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    blocks: [u32; 3],
    threads: [u32; 3],
    shared_bytes: u32,
}

impl Grid {
    /// Threads that one block may have (CUDA C++ Programming Guide, compute capabilities 7.5 to 9.0).
    pub const THREADS_MAX: u32 = 1024;

    /// Dynamic shared memory that a block gets without asking for more first.
    pub const SHARED_BYTES_MAX: u32 = 48 * 1024;

    /// A grid of `blocks` blocks of `threads` threads along x, y and z, or `None` when a device
    /// would refuse it: an extent of zero, blocks beyond 2^31 − 1 along x or 65535 along y or z,
    /// threads beyond [`Self::THREADS_MAX`] in all or 64 along z.
    pub const fn new(blocks: [u32; 3], threads: [u32; 3]) -> Option<Self> {
        let [block_x, block_y, block_z] = blocks;
        let [x, y, z] = threads;
        let blocks_fit = block_x >= 1
            && block_x <= i32::MAX.unsigned_abs()
            && block_y >= 1
            && block_y <= 65_535
            && block_z >= 1
            && block_z <= 65_535;
        let each_fits = x >= 1 && x <= 1024 && y >= 1 && y <= 1024 && z >= 1 && z <= 64;
        if !blocks_fit || !each_fits || x * y * z > Self::THREADS_MAX {
            return None;
        }
        Some(Self { blocks, threads, shared_bytes: 0 })
    }

    /// Blocks of `threads` along x, enough to cover `items`, at most `blocks_max`: for a kernel
    /// whose threads stride over the grid. `threads` and `blocks_max` are brought into what a
    /// device takes, and no items make one block, which then finds nothing to do.
    pub const fn cover(items: u64, threads: u32, blocks_max: u32) -> Self {
        let threads = clamp(threads as u64, Self::THREADS_MAX);
        let blocks_max = clamp(blocks_max as u64, i32::MAX.unsigned_abs());
        let blocks = clamp(items.div_ceil(threads as u64), blocks_max);
        Self { blocks: [blocks, 1, 1], threads: [threads, 1, 1], shared_bytes: 0 }
    }

    /// The same with `bytes` of dynamic shared memory a block, or `None` beyond
    /// [`Self::SHARED_BYTES_MAX`].
    pub const fn with_shared_bytes(self, bytes: u32) -> Option<Self> {
        if bytes > Self::SHARED_BYTES_MAX {
            return None;
        }
        Some(Self { shared_bytes: bytes, ..self })
    }

    /// Blocks along x, y, z.
    pub const fn blocks(self) -> [u32; 3] {
        self.blocks
    }

    /// Threads of a block along x, y, z.
    pub const fn threads(self) -> [u32; 3] {
        self.threads
    }

    /// Dynamic shared memory of a block.
    pub const fn shared_bytes(self) -> u32 {
        self.shared_bytes
    }
}

/// `value` brought into `1..=max`.
const fn clamp(value: u64, max: u32) -> u32 {
    if value >= max as u64 {
        return max;
    }
    if value == 0 {
        return 1;
    }
    #[expect(clippy::cast_possible_truncation, reason = "smaller than a u32, checked above")]
    {
        value as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_that_a_device_refuses_are_refused() {
        assert!(Grid::new([1, 1, 1], [1024, 1, 1]).is_some());
        assert!(Grid::new([0, 1, 1], [1, 1, 1]).is_none());
        assert!(Grid::new([1 << 31, 1, 1], [1, 1, 1]).is_none());
        assert!(Grid::new([1, 65_536, 1], [1, 1, 1]).is_none());
        assert!(Grid::new([1, 1, 1], [1025, 1, 1]).is_none());
        assert!(Grid::new([1, 1, 1], [64, 32, 1]).is_none());
        assert!(Grid::new([1, 1, 1], [1, 1, 65]).is_none());
        assert!(Grid::new([1, 1, 1], [1, 1, 0]).is_none());
    }

    #[test]
    fn a_cover_has_enough_blocks_and_at_least_one() {
        assert_eq!(Grid::cover(0, 256, 100).blocks(), [1, 1, 1]);
        assert_eq!(Grid::cover(256, 256, 100).blocks(), [1, 1, 1]);
        assert_eq!(Grid::cover(257, 256, 100).blocks(), [2, 1, 1]);
        assert_eq!(Grid::cover(u64::MAX, 256, 100).blocks(), [100, 1, 1]);
        assert_eq!(Grid::cover(5, 0, 0).threads(), [1, 1, 1]);
    }

    #[test]
    fn shared_memory_beyond_the_common_limit_is_refused() {
        let grid = Grid::cover(1, 32, 1);
        assert_eq!(grid.with_shared_bytes(1024).map(Grid::shared_bytes), Some(1024));
        assert_eq!(grid.with_shared_bytes(Grid::SHARED_BYTES_MAX + 1), None);
    }
}
