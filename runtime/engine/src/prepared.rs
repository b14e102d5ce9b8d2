//! A plan at one shape, with all choices made that do not depend on where its block lies.

use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;

use gpumux_cuda::{
    Device, DeviceBlock, DeviceMemory, OutOfDeviceMemory, PreparedProduct, ProductError,
};
use gpumux_kernels::{DeviceAddress, MapTable};
use gpumux_plan::{ALIGNMENT, BindError, Bound, Op, Shape};
use thiserror::Error;

use crate::address::Addresses;
use crate::maps::{self, TableAt};
use crate::placed::Placed;
use crate::products::{self, Description};
use crate::resident::Resident;
use crate::segments;
use crate::upload::Upload;

/// What a plan is prepared for.
#[derive(Clone, Copy, Debug)]
pub struct PrepareOptions {
    /// SMs of the lanes that it will run on.
    pub sm_count: u32,
    /// The most memory that its products may use besides their operands.
    pub workspace_bytes_max: u64,
    /// About how many floating-point operations a segment has. Moving a byte counts as 16.
    pub segment_work: u64,
}

/// Why a plan cannot be prepared.
#[derive(Debug, Error)]
pub enum PrepareError {
    /// The model has no plan for this batch size.
    #[error("the model has no plan for a batch of {0}")]
    Batch(u64),
    /// The plan does not fit the shape, or breaks a rule at it.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// An elementwise operation has more elements than a kernel counts.
    #[error("operation {0} is too large")]
    TooLarge(usize),
    /// A matrix product that the BLAS library does not take.
    #[error("operation {op}: {error}")]
    Product {
        /// Which operation.
        op: usize,
        /// Why.
        error: ProductError,
    },
    /// The device is full.
    #[error("the plan's tables do not fit: {0}")]
    Memory(#[from] OutOfDeviceMemory),
}

/// What an operation needs besides itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extra {
    None,
    Table(TableAt),
    Product(usize),
}

/// A plan at one shape.
pub struct Prepared {
    resident: Rc<Resident>,
    bound: Bound,
    /// One for each operation.
    extras: Vec<Extra>,
    products: Vec<PreparedProduct>,
    tables: DeviceBlock,
    segments: Vec<Range<usize>>,
    workspace_bytes: u64,
}

/// Where a block might lie: alignment is all that is asked of it.
const SOMEWHERE: DeviceAddress = DeviceAddress::new(ALIGNMENT);

impl Resident {
    /// Binds the model's plan to a shape and makes every choice that takes time. What it returns
    /// besides must be sent before the plan runs. For loads: this may take milliseconds.
    ///
    /// # Errors
    /// When the plan is not for this shape, or the device refuses a product or is full.
    pub fn prepare(
        self: &Rc<Self>,
        device: &Device,
        memory: &DeviceMemory,
        shape: Shape,
        options: PrepareOptions,
    ) -> Result<(Rc<Prepared>, Upload<'static>), PrepareError> {
        let plan = self.model().plan(shape.batch).ok_or(PrepareError::Batch(shape.batch))?;
        let bound = plan.bind(self.model(), shape)?;
        let at = Addresses {
            bound: &bound,
            block: SOMEWHERE,
            weights: self.weights(),
            tables: SOMEWHERE,
            workspace: SOMEWHERE,
        };
        let mut tables = Vec::new();
        let mut products = Products { device, options, known: Vec::new(), prepared: Vec::new() };
        let mut extras = Vec::with_capacity(bound.ops().len());
        for (index, op) in bound.ops().iter().enumerate() {
            extras.push(match op {
                Op::Map(map) => {
                    let table = maps::table(map, &bound).ok_or(PrepareError::TooLarge(index))?;
                    Extra::Table(append(&mut tables, &table))
                }
                Op::Product(it) => {
                    let description = products::describe(it, &at);
                    let product = products.prepare(description);
                    let fail = |error| PrepareError::Product { op: index, error };
                    Extra::Product(product.map_err(fail)?)
                }
                Op::Reduce(_) | Op::Norm(_) | Op::Softmax(_) | Op::Gather(_) => Extra::None,
            });
        }
        let products = products.prepared;
        let workspace = products.iter().map(PreparedProduct::workspace_bytes).max();
        let block = memory.alloc(u64::try_from(tables.len()).unwrap_or(u64::MAX))?;
        let upload = Upload::new(Cow::Owned(tables), block.address());
        let segments = segments::cut(&bound, options.segment_work);
        let prepared = Prepared {
            resident: Rc::clone(self),
            bound,
            extras,
            products,
            tables: block,
            segments,
            workspace_bytes: workspace.unwrap_or_default(),
        };
        Ok((Rc::new(prepared), upload))
    }
}

/// The different products of a plan, each prepared once.
struct Products<'a> {
    device: &'a Device,
    options: PrepareOptions,
    known: Vec<Description>,
    prepared: Vec<PreparedProduct>,
}

impl Products<'_> {
    /// The place of a product among the prepared ones.
    fn prepare(&mut self, wanted: Description) -> Result<usize, ProductError> {
        if let Some(index) = self.known.iter().position(|it| *it == wanted) {
            return Ok(index);
        }
        let PrepareOptions { sm_count, workspace_bytes_max, .. } = self.options;
        let product = &wanted.product;
        let prepared = self.device.prepare(product, wanted.bias, sm_count, workspace_bytes_max)?;
        self.prepared.push(prepared);
        self.known.push(wanted);
        Ok(self.known.len() - 1)
    }
}

fn append(tables: &mut Vec<u8>, table: &MapTable) -> TableAt {
    let offset = u64::try_from(tables.len()).expect("tables are small");
    tables.extend(table.words().iter().flat_map(|word| word.to_ne_bytes()));
    TableAt { offset, groups: table.groups() }
}

impl Prepared {
    /// The plan with all its numbers: where inputs go and outputs come from.
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// The memory that a batch needs while it runs.
    pub fn block_bytes(&self) -> u64 {
        self.bound.bytes() + self.workspace_bytes
    }

    /// How many segments there are.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// The operations of a segment; none beyond the last.
    pub(crate) fn segment(&self, index: usize) -> Range<usize> {
        self.segments.get(index).cloned().unwrap_or_default()
    }

    pub(crate) fn product(&self, index: usize) -> &PreparedProduct {
        &self.products[index]
    }

    /// Gives the plan a block of [`Self::block_bytes`], aligned to 256 bytes and used by nothing
    /// else while it runs. Any number of blocks can be given.
    pub fn place(self: &Rc<Self>, block: DeviceAddress) -> Placed {
        let at = Addresses {
            bound: &self.bound,
            block,
            weights: self.resident.weights(),
            tables: self.tables.address(),
            workspace: crate::address::add(block, self.bound.bytes()),
        };
        let ops = self.bound.ops().iter().zip(&self.extras);
        Placed::new(Rc::clone(self), ops.map(|(op, extra)| crate::placed::step(op, *extra, &at)))
    }
}
