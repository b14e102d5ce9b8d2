//! The grid of our own matrix product.

use crate::catalog::Gemm;
use crate::grid::Grid;
use crate::launch::Launch;

impl Gemm {
    /// Results of a block along each side, and threads of a block; `gemm.cu` has the same numbers.
    const TILE: u32 = 64;
    const THREADS: u32 = 256;

    /// Blocks along y and z: a device takes 65535, and blocks stride over the rest.
    const BLOCKS_MAX: u32 = 65_535;

    /// The launch of this product.
    pub fn launch(self) -> Launch {
        let along_x = self.n.div_ceil(Self::TILE).max(1);
        let along_y = self.m.div_ceil(Self::TILE).clamp(1, Self::BLOCKS_MAX);
        let along_z = self.batches.clamp(1, Self::BLOCKS_MAX);
        let grid = Grid::new([along_x, along_y, along_z], [Self::THREADS, 1, 1]);
        Launch::new(grid.expect("extents are clamped to what a grid takes"), self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceAddress, DevicePtr};

    #[test]
    fn a_product_of_any_size_has_a_grid() {
        let at = DeviceAddress::new(256);
        let gemm = |m, n, batches| Gemm {
            a: at.of(),
            b: at.of(),
            c: at.of(),
            bias: DevicePtr::NULL,
            a_batch_stride: 0,
            b_batch_stride: 0,
            c_batch_stride: 0,
            m,
            n,
            k: 1,
            batches,
            a_row_stride: 1,
            a_column_stride: 1,
            b_row_stride: 1,
            b_column_stride: 1,
            c_row_stride: 1,
            alpha: 1.0,
            beta: 0.0,
        };
        assert_eq!(gemm(65, 64, 3).launch().grid().blocks(), [1, 2, 3]);
        assert_eq!(gemm(0, 0, 0).launch().grid().blocks(), [1, 1, 1]);
        let largest = gemm(u32::MAX, u32::MAX, u32::MAX).launch().grid().blocks();
        assert_eq!(largest, [1 << 26, 65_535, 65_535]);
    }
}
