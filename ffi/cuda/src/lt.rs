//! cublasLt: one handle a device, and descriptions of products made when a plan is bound.
//!
//! cublasLt stores matrices by columns. A row-major matrix is the transpose of the column-major one
//! that has the same bytes, so C = A·B by rows is Cᵀ = Bᵀ·Aᵀ by columns: the operands change places,
//! and a bias for the columns of C is one for the rows of Cᵀ, which is what its epilogue adds.

use crate::context::Context;
use crate::error::{CudaError, Failed, OpenError, ProductError};
use crate::library::Opened;
use crate::lt_api::{
    Algorithm, COMPUTE_32F, DescAttribute, EPILOGUE_BIAS, Heuristic, LayoutAttribute, LtApi,
    NOT_SUPPORTED, PreferenceAttribute, TRANSPOSED, TYPE_32F, check, failed,
};
use crate::product::{Matrix, Operands, Product};
use cudarc::cublaslt::sys::{
    cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatmulPreference_t, cublasLtMatrixLayout_t,
};
use cudarc::driver::sys::CUstream;
use gpumux_kernels::{DeviceAddress, DevicePtr};
use std::ffi::c_void;
use std::path::Path;
use std::ptr;
use std::rc::Rc;

/// cublasLt, started.
pub(crate) struct Lt {
    handle: Rc<Handle>,
    library: Opened,
}

struct Handle {
    api: LtApi,
    raw: cublasLtHandle_t,
    /// The handle is of this context, which has to outlive it.
    _context: Rc<Context>,
}

impl Lt {
    /// Finds the library as the dynamic loader does and starts it in the context, which is current.
    pub(crate) fn open(context: &Rc<Context>) -> Result<Self, OpenError> {
        let mut library =
            Opened::first_of("cublasLt").map_err(|tried| OpenError::NoBlas { tried })?;
        let api = LtApi::resolve(&library)?;
        library.locate(api.cublasLtCreate as *const c_void);
        let mut raw = ptr::null_mut();
        // SAFETY: writes one handle; a context is current on this thread.
        let answer = unsafe { (api.cublasLtCreate)(&raw mut raw) };
        check("cublasLtCreate", answer)
            .map_err(|failed| OpenError::Blas { library: library.path().to_owned(), failed })?;
        Ok(Self { handle: Rc::new(Handle { api, raw, _context: Rc::clone(context) }), library })
    }

    /// Where the library lies.
    pub(crate) fn library_path(&self) -> &Path {
        self.library.path()
    }

    /// Describes `product` and picks an algorithm for it.
    pub(crate) fn prepare(
        &self,
        product: &Product,
        bias: DevicePtr<f32>,
        sm_count: u32,
        workspace_bytes_max: u64,
    ) -> Result<LtProduct, ProductError> {
        let handle = &self.handle;
        let mut prepared = LtProduct::undescribed(handle)?;
        prepared.describe(product, bias, sm_count)?;
        let preference = Preference::new(handle, product.alignment, workspace_bytes_max)?;
        prepared.choose(&preference)?;
        Ok(prepared)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: made once in `Lt::open`; every product that uses it holds an `Rc` of this.
        let _ = unsafe { (self.api.cublasLtDestroy)(self.raw) };
    }
}

/// A product as cublasLt knows it: its descriptions and the algorithm.
pub(crate) struct LtProduct {
    handle: Rc<Handle>,
    desc: cublasLtMatmulDesc_t,
    /// Of the operands as cublasLt has them: first our `b`, then our `a`, then the result.
    layouts: [cublasLtMatrixLayout_t; 3],
    algorithm: Algorithm,
    workspace_bytes: usize,
}

impl LtProduct {
    fn undescribed(handle: &Rc<Handle>) -> Result<Self, ProductError> {
        let mut desc = ptr::null_mut();
        // SAFETY: writes one handle.
        let answer =
            unsafe { (handle.api.cublasLtMatmulDescCreate)(&raw mut desc, COMPUTE_32F, TYPE_32F) };
        check("cublasLtMatmulDescCreate", answer).map_err(ProductError::Refused)?;
        Ok(Self {
            handle: Rc::clone(handle),
            desc,
            layouts: [ptr::null_mut(); 3],
            algorithm: Heuristic::EMPTY.algorithm,
            workspace_bytes: 0,
        })
    }

    fn describe(
        &mut self,
        product: &Product,
        bias: DevicePtr<f32>,
        sm_count: u32,
    ) -> Result<(), ProductError> {
        if product.b.transposed {
            self.set(DescAttribute::TransposeA, TRANSPOSED)?;
        }
        if product.a.transposed {
            self.set(DescAttribute::TransposeB, TRANSPOSED)?;
        }
        if bias != DevicePtr::NULL {
            self.set(DescAttribute::Epilogue, EPILOGUE_BIAS)?;
            self.set(DescAttribute::BiasPointer, bias.address().get())?;
        }
        // Zero stands for all SMs of the device.
        self.set(DescAttribute::SmCountTarget, sm_count)?;
        let Product { m, n, k, a, b, c, batches, .. } = *product;
        for (index, (rows, columns, matrix)) in
            [(k, n, b), (m, k, a), (m, n, c)].into_iter().enumerate()
        {
            let (rows, columns) = if matrix.transposed { (columns, rows) } else { (rows, columns) };
            self.layouts[index] = self.layout(rows, columns, matrix, batches)?;
        }
        Ok(())
    }

    /// Describes a row-major matrix of `rows` by `columns`, as it is stored.
    fn layout(
        &self,
        rows: u32,
        columns: u32,
        matrix: Matrix,
        batches: u32,
    ) -> Result<cublasLtMatrixLayout_t, ProductError> {
        let api = &self.handle.api;
        let mut layout = ptr::null_mut();
        // By columns, a stored row is a column.
        // SAFETY: writes one handle.
        let answer = unsafe {
            (api.cublasLtMatrixLayoutCreate)(
                &raw mut layout,
                TYPE_32F,
                u64::from(columns),
                u64::from(rows),
                i64::from(matrix.row_stride),
            )
        };
        check("cublasLtMatrixLayoutCreate", answer).map_err(ProductError::Refused)?;
        let batch_stride = matrix.batch_stride.cast_signed();
        let set = |attribute, value: *const c_void, bytes| {
            // SAFETY: the layout was made just now; reads `bytes` bytes at `value`.
            unsafe {
                (api.cublasLtMatrixLayoutSetAttribute)(layout, attribute as u32, value, bytes)
            }
        };
        let call = "cublasLtMatrixLayoutSetAttribute";
        let counted = set(LayoutAttribute::BatchCount, (&raw const batches).cast(), 4);
        let strided = set(LayoutAttribute::BatchStride, (&raw const batch_stride).cast(), 8);
        match check(call, counted).and(check(call, strided)) {
            Ok(()) => Ok(layout),
            Err(failed) => {
                // SAFETY: made above and given to nobody.
                let _ = unsafe { (api.cublasLtMatrixLayoutDestroy)(layout) };
                Err(ProductError::Refused(failed))
            }
        }
    }

    fn set<T: Copy>(&mut self, attribute: DescAttribute, value: T) -> Result<(), ProductError> {
        let api = &self.handle.api;
        let pointer = (&raw const value).cast();
        // SAFETY: reads `size_of::<T>()` bytes of `value`; another size than the attribute has is
        // an error of cublasLt.
        let answer = unsafe {
            (api.cublasLtMatmulDescSetAttribute)(
                self.desc,
                attribute as u32,
                pointer,
                size_of::<T>(),
            )
        };
        check("cublasLtMatmulDescSetAttribute", answer).map_err(ProductError::Refused)
    }

    /// Asks for the algorithm that cublasLt thinks best.
    fn choose(&mut self, preference: &Preference) -> Result<(), ProductError> {
        let call = "cublasLtMatmulAlgoGetHeuristic";
        let [first, second, result] = self.layouts;
        let mut best = Heuristic::EMPTY;
        let mut found = 0;
        // SAFETY: all handles are alive; there is room for the one answer that is asked for.
        let answer = unsafe {
            (self.handle.api.cublasLtMatmulAlgoGetHeuristic)(
                self.handle.raw,
                self.desc,
                first,
                second,
                result,
                result,
                preference.raw,
                1,
                &raw mut best,
                &raw mut found,
            )
        };
        check(call, answer).map_err(ProductError::NoAlgorithm)?;
        if found == 0 {
            return Err(ProductError::NoAlgorithm(failed(call, NOT_SUPPORTED)));
        }
        check(call, best.state).map_err(ProductError::NoAlgorithm)?;
        self.algorithm = best.algorithm;
        self.workspace_bytes = best.workspace_bytes;
        Ok(())
    }

    /// Workspace that the algorithm needs.
    pub(crate) fn workspace_bytes(&self) -> usize {
        self.workspace_bytes
    }

    /// Issues it on a stream of the device that it was prepared on.
    pub(crate) fn issue(
        &self,
        product: &Product,
        operands: &Operands,
        stream: CUstream,
    ) -> Result<(), CudaError> {
        let [first, second, result] = self.layouts;
        let c = pointer(operands.c.address());
        let answer = {
            // SAFETY: all handles are alive; alpha and beta are read before the call returns (host
            // pointer mode is the default); the device addresses are not followed on the host.
            unsafe {
                (self.handle.api.cublasLtMatmul)(
                    self.handle.raw,
                    self.desc,
                    (&raw const product.alpha).cast(),
                    pointer(operands.b.address()),
                    first,
                    pointer(operands.a.address()),
                    second,
                    (&raw const product.beta).cast(),
                    c,
                    result,
                    c,
                    result,
                    &raw const self.algorithm,
                    pointer(operands.workspace),
                    self.workspace_bytes,
                    stream,
                )
            }
        };
        check("cublasLtMatmul", answer).map_err(CudaError::Product)
    }
}

impl Drop for LtProduct {
    fn drop(&mut self) {
        for layout in self.layouts {
            if !layout.is_null() {
                // SAFETY: made once in `layout`; cublasLt copies what launched work needs.
                let _ = unsafe { (self.handle.api.cublasLtMatrixLayoutDestroy)(layout) };
            }
        }
        // SAFETY: made once in `undescribed`.
        let _ = unsafe { (self.handle.api.cublasLtMatmulDescDestroy)(self.desc) };
    }
}

/// What an algorithm has to keep to.
struct Preference {
    handle: Rc<Handle>,
    raw: cublasLtMatmulPreference_t,
}

impl Preference {
    fn new(handle: &Rc<Handle>, alignment: u32, workspace: u64) -> Result<Self, ProductError> {
        let mut raw = ptr::null_mut();
        // SAFETY: writes one handle.
        let answer = unsafe { (handle.api.cublasLtMatmulPreferenceCreate)(&raw mut raw) };
        check("cublasLtMatmulPreferenceCreate", answer).map_err(ProductError::Refused)?;
        let preference = Self { handle: Rc::clone(handle), raw };
        preference.set(PreferenceAttribute::WorkspaceBytesMax, workspace)?;
        for attribute in [
            PreferenceAttribute::AlignmentA,
            PreferenceAttribute::AlignmentB,
            PreferenceAttribute::AlignmentC,
            PreferenceAttribute::AlignmentD,
        ] {
            preference.set(attribute, alignment)?;
        }
        Ok(preference)
    }

    fn set<T: Copy>(&self, attribute: PreferenceAttribute, value: T) -> Result<(), ProductError> {
        let pointer = (&raw const value).cast();
        // SAFETY: reads `size_of::<T>()` bytes of `value`; another size than the attribute has is
        // an error of cublasLt.
        let answer = unsafe {
            (self.handle.api.cublasLtMatmulPreferenceSetAttribute)(
                self.raw,
                attribute as u32,
                pointer,
                size_of::<T>(),
            )
        };
        let result: Result<(), Failed> = check("cublasLtMatmulPreferenceSetAttribute", answer);
        result.map_err(ProductError::Refused)
    }
}

impl Drop for Preference {
    fn drop(&mut self) {
        // SAFETY: made once in `new`.
        let _ = unsafe { (self.handle.api.cublasLtMatmulPreferenceDestroy)(self.raw) };
    }
}

/// A device address as the pointer that cublasLt takes.
fn pointer(address: DeviceAddress) -> *mut c_void {
    let number = usize::try_from(address.get()).expect("addresses have 64 bits, as on the device");
    ptr::without_provenance_mut(number)
}
