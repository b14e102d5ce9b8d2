//! What `cublasLtMatmulDesc_t` and `cublasLtMatmulPreference_t` stand for, and their attributes by
//! number. An attribute that would change the result and is not known is refused.

use super::epilogue::Epilogue;
use super::layout::{Layout, Matrix};
use super::numeric::Numeric;
use super::product::{Bias, Product, Scalar};
use super::status::Status;

/// `CUBLAS_COMPUTE_32F` and its variants, all of which are computed in full single precision.
const COMPUTE_F32: [u32; 5] = [68, 69, 74, 75, 77];
/// `CUDA_R_32F`.
const SCALE_F32: u32 = 0;
/// The default of `CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE`: the type of D.
const BIAS_LIKE_D: u32 = u32::MAX;

/// Where the factors of a product lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PointerMode {
    /// Behind pointers of the host, read during the call.
    Host,
    /// In device memory, read when the product runs.
    Device,
}

/// What is to be multiplied how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descriptor {
    /// Where alpha and beta lie.
    pub(crate) pointer_mode: PointerMode,
    transpose: [bool; 2],
    epilogue: u32,
    bias_start: u64,
    bias_stride: i64,
    bias_type: u32,
    sm_count: i32,
}

/// The four matrices of a product.
pub(crate) struct Layouts {
    /// A.
    pub(crate) a: Layout,
    /// B.
    pub(crate) b: Layout,
    /// C.
    pub(crate) c: Layout,
    /// D.
    pub(crate) d: Layout,
}

/// Addresses of the four matrices.
#[derive(Clone, Copy, Default)]
pub(crate) struct Addresses {
    /// A.
    pub(crate) a: u64,
    /// B.
    pub(crate) b: u64,
    /// C.
    pub(crate) c: u64,
    /// D.
    pub(crate) d: u64,
}

impl Descriptor {
    /// No transposition, no epilogue.
    pub(crate) fn new(compute: u32, scale: u32) -> Result<Self, Status> {
        if !COMPUTE_F32.contains(&compute) || scale != SCALE_F32 {
            return Err(Status::NOT_SUPPORTED);
        }
        Ok(Self {
            pointer_mode: PointerMode::Host,
            transpose: [false; 2],
            epilogue: 1,
            bias_start: 0,
            bias_stride: 0,
            bias_type: BIAS_LIKE_D,
            sm_count: 0,
        })
    }

    /// Sets an attribute from its bytes.
    pub(crate) fn set(&mut self, attribute: u32, bytes: &[u8]) -> Result<(), Status> {
        match attribute {
            0 if COMPUTE_F32.contains(&word(bytes)?) => {}
            1 if word(bytes)? == SCALE_F32 => {}
            2 => {
                self.pointer_mode = match word(bytes)? {
                    0 => PointerMode::Host,
                    1 => PointerMode::Device,
                    _ => return Err(Status::NOT_SUPPORTED),
                }
            }
            3 => self.transpose[0] = is_transposed(bytes)?,
            4 => self.transpose[1] = is_transposed(bytes)?,
            5 if !is_transposed(bytes)? => {}
            7 => {
                Epilogue::from_number(word(bytes)?)?;
                self.epilogue = word(bytes)?;
            }
            8 => self.bias_start = u64::from_ne_bytes(exactly(bytes)?),
            10 => self.bias_stride = i64::from_ne_bytes(exactly(bytes)?),
            15 => self.sm_count = i32::from_ne_bytes(exactly(bytes)?),
            // Fast accumulation is a matter of 8-bit types.
            25 => {}
            26 => {
                if word(bytes)? != BIAS_LIKE_D {
                    Numeric::from_number(word(bytes)?)?;
                }
                self.bias_type = word(bytes)?;
            }
            _ => return Err(Status::NOT_SUPPORTED),
        }
        Ok(())
    }

    /// An attribute's bytes.
    pub(crate) fn get(&self, attribute: u32) -> Result<Vec<u8>, Status> {
        let word = |value: u32| Ok(value.to_ne_bytes().to_vec());
        match attribute {
            0 => word(COMPUTE_F32[0]),
            1 => word(SCALE_F32),
            2 => word(u32::from(self.pointer_mode == PointerMode::Device)),
            3 => word(u32::from(self.transpose[0])),
            4 => word(u32::from(self.transpose[1])),
            5 => word(0),
            7 => word(self.epilogue),
            8 => Ok(self.bias_start.to_ne_bytes().to_vec()),
            10 => Ok(self.bias_stride.to_ne_bytes().to_vec()),
            15 => Ok(self.sm_count.to_ne_bytes().to_vec()),
            26 => word(self.bias_type),
            _ => Err(Status::NOT_SUPPORTED),
        }
    }

    /// The product that these layouts make at these addresses.
    ///
    /// # Errors
    /// Shapes that do not fit (`INVALID_VALUE`), types that are not offered (`NOT_SUPPORTED`).
    pub(crate) fn product(
        &self,
        layouts: &Layouts,
        at: Addresses,
        (alpha, beta): (Scalar, Scalar),
    ) -> Result<Product, Status> {
        let input = |layout: &Layout, start, transpose: bool| -> Result<Matrix, Status> {
            let matrix = layout.place(start)?;
            Ok(if transpose { matrix.transposed() } else { matrix })
        };
        let a = input(&layouts.a, at.a, self.transpose[0])?;
        let b = input(&layouts.b, at.b, self.transpose[1])?;
        let (c, d) = (layouts.c.place(at.c)?, layouts.d.place(at.d)?);
        let shapes_fit = a.cols == b.rows
            && [c, d].iter().all(|out| (out.rows, out.cols) == (a.rows, b.cols))
            && [a, b, c].iter().all(|matrix| matrix.batch() == d.batch());
        if !shapes_fit {
            return Err(Status::INVALID_VALUE);
        }
        let types_fit = a.numeric == b.numeric
            && c.numeric == d.numeric
            && (d.numeric == a.numeric || d.numeric == Numeric::F32)
            && a.numeric != Numeric::F64;
        if !types_fit {
            return Err(Status::NOT_SUPPORTED);
        }
        let epilogue = Epilogue::from_number(self.epilogue)?;
        let bias = if epilogue.has_bias { Some(self.bias(d.numeric)?) } else { None };
        let sms_max = usize::try_from(self.sm_count).ok().filter(|count| *count > 0);
        let sms_max = sms_max.unwrap_or(usize::MAX);
        let factors = Some((a, b));
        Ok(Product { factors, c, d, alpha, beta, epilogue, bias, sms_max })
    }

    fn bias(&self, like: Numeric) -> Result<Bias, Status> {
        let numeric = match self.bias_type {
            BIAS_LIKE_D => like,
            number => Numeric::from_number(number)?,
        };
        let batch_stride = u64::try_from(self.bias_stride).map_err(|_| Status::INVALID_VALUE)?;
        Ok(Bias { numeric, start: self.bias_start, batch_stride })
    }
}

/// Sets an attribute of a layout from its bytes.
pub(crate) fn set_layout(layout: &mut Layout, attribute: u32, bytes: &[u8]) -> Result<(), Status> {
    match attribute {
        0 => layout.numeric = Numeric::from_number(word(bytes)?)?,
        1 => {
            layout.row_major = match word(bytes)? {
                0 => false,
                1 => true,
                _ => return Err(Status::NOT_SUPPORTED),
            }
        }
        2 => layout.rows = u64::from_ne_bytes(exactly(bytes)?),
        3 => layout.cols = u64::from_ne_bytes(exactly(bytes)?),
        4 => layout.leading = i64::from_ne_bytes(exactly(bytes)?),
        5 => {
            let count = i32::from_ne_bytes(exactly(bytes)?);
            layout.batch = u32::try_from(count).map_err(|_| Status::INVALID_VALUE)?;
        }
        6 => layout.batch_stride = i64::from_ne_bytes(exactly(bytes)?),
        _ => return Err(Status::NOT_SUPPORTED),
    }
    Ok(())
}

fn is_transposed(bytes: &[u8]) -> Result<bool, Status> {
    match word(bytes)? {
        0 => Ok(false),
        // The conjugate of a real matrix is itself.
        1 | 2 => Ok(true),
        _ => Err(Status::INVALID_VALUE),
    }
}

fn word(bytes: &[u8]) -> Result<u32, Status> {
    Ok(u32::from_ne_bytes(exactly(bytes)?))
}

fn exactly<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Status> {
    bytes.try_into().map_err(|_| Status::INVALID_VALUE)
}
