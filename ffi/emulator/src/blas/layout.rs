//! Matrix layouts: how a matrix lies in memory.

use super::numeric::Numeric;
use super::status::Status;

/// What `cublasLtMatrixLayout_t` stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Type of the elements.
    pub(crate) numeric: Numeric,
    /// Row-major (`CUBLASLT_ORDER_ROW`) or column-major.
    pub(crate) row_major: bool,
    /// Rows.
    pub(crate) rows: u64,
    /// Columns.
    pub(crate) cols: u64,
    /// Elements from one column (row-major: row) to the next.
    pub(crate) leading: i64,
    /// Matrices.
    pub(crate) batch: u32,
    /// Elements from one matrix to the next.
    pub(crate) batch_stride: i64,
}

/// A matrix as a product sees it: every element at `start + row·row_step + col·col_step`, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix {
    /// Type of the elements.
    pub(crate) numeric: Numeric,
    /// Address of the first element of the first matrix.
    pub(crate) start: u64,
    /// Rows.
    pub(crate) rows: u64,
    /// Columns.
    pub(crate) cols: u64,
    row_step: u64,
    col_step: u64,
    batch_step: u64,
    batch: u32,
}

impl Layout {
    /// A single column-major matrix.
    pub(crate) fn new(numeric: Numeric, rows: u64, cols: u64, leading: i64) -> Self {
        let (row_major, batch, batch_stride) = (false, 1, 0);
        Self { numeric, row_major, rows, cols, leading, batch, batch_stride }
    }

    /// The matrix that lies at `start` in this layout.
    ///
    /// # Errors
    /// Columns (row-major: rows) that overlap, sizes that no memory has.
    pub(crate) fn place(&self, start: u64) -> Result<Matrix, Status> {
        let run = if self.row_major { self.cols } else { self.rows };
        let leading = u64::try_from(self.leading).map_err(|_| Status::INVALID_VALUE)?;
        let stride = u64::try_from(self.batch_stride).map_err(|_| Status::INVALID_VALUE)?;
        if leading < run || self.rows == 0 || self.cols == 0 || self.batch == 0 {
            return Err(Status::INVALID_VALUE);
        }
        let size = self.numeric.bytes();
        let step = leading.checked_mul(size).ok_or(Status::INVALID_VALUE)?;
        let (row_step, col_step) = if self.row_major { (step, size) } else { (size, step) };
        let matrix = Matrix {
            numeric: self.numeric,
            start,
            rows: self.rows,
            cols: self.cols,
            row_step,
            col_step,
            batch_step: stride.checked_mul(size).ok_or(Status::INVALID_VALUE)?,
            batch: self.batch,
        };
        matrix.checked_bytes().ok_or(Status::INVALID_VALUE)?;
        Ok(matrix)
    }
}

impl Matrix {
    /// The same elements with rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        let Self { rows, cols, row_step, col_step, .. } = self;
        Self { rows: cols, cols: rows, row_step: col_step, col_step: row_step, ..self }
    }

    /// How many matrices lie here.
    pub(crate) fn batch(&self) -> u32 {
        self.batch
    }

    /// Bytes from the first element of the first matrix to the end of the last element of the last.
    pub(crate) fn bytes(&self) -> u64 {
        self.checked_bytes().expect("checked when the matrix was placed")
    }

    fn checked_bytes(&self) -> Option<u64> {
        let rows = (self.rows - 1).checked_mul(self.row_step)?;
        let cols = (self.cols - 1).checked_mul(self.col_step)?;
        let batches = u64::from(self.batch - 1).checked_mul(self.batch_step)?;
        rows.checked_add(cols)?.checked_add(batches)?.checked_add(self.numeric.bytes())
    }

    /// Whether the elements of a row lie one after the other.
    pub(crate) fn rows_are_runs(&self) -> bool {
        self.col_step == self.numeric.bytes()
    }

    /// Address of an element of one of the matrices.
    pub(crate) fn at(&self, batch: u32, row: u64, col: u64) -> u64 {
        let offset = row * self.row_step + col * self.col_step;
        self.start + u64::from(batch) * self.batch_step + offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_major_matrix_is_a_transposed_column_major_one() {
        let col = Layout::new(Numeric::F32, 3, 5, 7);
        let row = Layout { row_major: true, rows: 5, cols: 3, ..col };
        let (col, row) = (col.place(0).unwrap(), row.place(0).unwrap().transposed());
        for (r, c) in [(0, 0), (2, 0), (0, 4), (2, 4)] {
            assert_eq!(col.at(0, r, c), row.at(0, r, c));
        }
        assert_eq!(col.bytes(), (4 * 7 + 3) * 4);
    }

    #[test]
    fn layouts_that_overlap_or_wrap_are_refused() {
        for layout in [
            Layout::new(Numeric::F32, 3, 5, 2),
            Layout::new(Numeric::F32, 3, 5, -3),
            Layout::new(Numeric::F32, 0, 5, 3),
            Layout::new(Numeric::F32, 3, u64::MAX, 3),
            Layout::new(Numeric::F32, 3, 5, i64::MAX),
        ] {
            assert!(layout.place(0).is_err(), "{layout:?} was taken");
        }
    }
}
