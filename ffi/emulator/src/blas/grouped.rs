//! Groups of products whose matrices lie anywhere: their addresses are in arrays, which are read
//! when the products run where they lie on the device, and in the call where on the host.

use super::gemm::{Operand, Sides, is_wide, product};
use super::library::Library;
use super::numeric::Numeric;
use super::product::{Tiles, check};
use super::status::{Status, edge};
use crate::block::{Fault, Turn};
use crate::context::Context;
use crate::driver::abi::In;
use crate::handle::Handle;
use crate::machine::Machine;
use crate::memory::HOST;
use crate::scratch::Scratch;
use crate::sm::Grid;
use std::ffi::{c_int, c_void};
use std::sync::Arc;

/// An array of addresses.
enum Addresses {
    /// Read in the call.
    Host(Vec<u64>),
    /// On the device.
    Device(u64),
}

impl Addresses {
    fn new(array: *const c_void, count: usize) -> Result<Self, Status> {
        let address = array.expose_provenance() as u64;
        let on_device = Machine::get()?.owner(address).is_some() || HOST.find(address).is_some();
        if on_device {
            return Ok(Addresses::Device(address));
        }
        Ok(Addresses::Host(In::from(array.cast::<u64>()).take(count)?))
    }

    fn get(&self, context: &Context, index: usize) -> Result<u64, Fault> {
        match self {
            Addresses::Host(addresses) => Ok(addresses[index]),
            Addresses::Device(start) => {
                let at = start + 8 * index as u64;
                check(context, at, 8)?;
                // An address is as wide as an `f64`, which is how a checked word is read here.
                Ok(Numeric::F64.load::<f64>(at).to_bits())
            }
        }
    }
}

/// One product of a group.
struct Part {
    first_block: u64,
    /// Its place in the arrays.
    index: usize,
    tiles: Tiles,
}

/// The products of all groups.
#[derive(Default)]
struct Parts {
    parts: Vec<Part>,
    blocks: u64,
    /// Entries of each array.
    entries: usize,
}

/// Products that run as one launch, block after block.
struct Grouped {
    context: Arc<Context>,
    products: Parts,
    arrays: [Addresses; 3],
    sms_max: usize,
}

impl Grid for Grouped {
    fn name(&self) -> &str {
        "grouped product"
    }

    fn blocks(&self) -> u64 {
        self.products.blocks
    }

    fn sms_max(&self) -> usize {
        self.sms_max
    }

    fn run(
        &self,
        block: u64,
        sm: u32,
        turn: &dyn Turn,
        scratch: &mut Scratch,
    ) -> Result<(), Fault> {
        let parts = &self.products.parts;
        let after = parts.partition_point(|part| part.first_block <= block);
        let Part { first_block, index, tiles } = &parts[after - 1];
        let [a, b, c] = &self.arrays;
        let at = |array: &Addresses| array.get(&self.context, *index);
        tiles.moved(at(a)?, at(b)?, at(c)?).run(block - first_block, sm, turn, scratch)
    }
}

/// The arrays with one entry for each group.
struct Groups {
    operations: [In<u32>; 2],
    mnk: [In<c_int>; 3],
    leading: [In<c_int>; 3],
    sizes: In<c_int>,
    factors: [*const c_void; 2],
}

fn collect(
    library: &Library,
    groups: &Groups,
    count: usize,
    kinds: [u32; 3],
    compute: u32,
) -> Result<Parts, Status> {
    let wide = is_wide(compute, kinds)?;
    let context = library.stream()?.context;
    let mut products = Parts::default();
    for group in 0..count {
        let sides = Sides {
            mnk: [groups.mnk[0].at(group)?, groups.mnk[1].at(group)?, groups.mnk[2].at(group)?],
            batch: 1,
            operations: [groups.operations[0].at(group)?, groups.operations[1].at(group)?],
        };
        let mut operands = kinds.map(|kind| Operand { start: 0, kind, leading: 0, stride: 0 });
        for (operand, leading) in operands.iter_mut().zip(&groups.leading) {
            operand.leading = leading.at(group)?;
        }
        let [alpha, beta] = groups.factors;
        let factors = (library.scalar(alpha, wide, group)?, library.scalar(beta, wide, group)?);
        let product = product(sides, operands, factors, library.sms_max())?;
        let size = usize::try_from(groups.sizes.at(group)?).map_err(|_| Status::INVALID_VALUE)?;
        for index in products.entries..products.entries + size {
            if let Some(product) = product {
                let tiles = Tiles::cut(product, &context);
                let first_block = products.blocks;
                products.blocks += tiles.blocks();
                products.parts.push(Part { first_block, index, tiles });
            }
        }
        products.entries += size;
    }
    Ok(products)
}

#[unsafe(no_mangle)]
extern "C" fn cublasGemmGroupedBatchedEx(
    handle: Handle,
    of_a: In<u32>,
    of_b: In<u32>,
    m: In<c_int>,
    n: In<c_int>,
    k: In<c_int>,
    alpha: *const c_void,
    a: *const c_void,
    a_kind: u32,
    lda: In<c_int>,
    b: *const c_void,
    b_kind: u32,
    ldb: In<c_int>,
    beta: *const c_void,
    c: *const c_void,
    c_kind: u32,
    ldc: In<c_int>,
    count: c_int,
    sizes: In<c_int>,
    compute: u32,
) -> Status {
    edge(|| {
        let library = Library::of(handle)?;
        let count = usize::try_from(count).map_err(|_| Status::INVALID_VALUE)?;
        let groups = Groups {
            operations: [of_a, of_b],
            mnk: [m, n, k],
            leading: [lda, ldb, ldc],
            sizes,
            factors: [alpha, beta],
        };
        let products = collect(&library, &groups, count, [a_kind, b_kind, c_kind], compute)?;
        if products.parts.is_empty() {
            return Ok(());
        }
        let stream = library.stream()?;
        let array = |array| Addresses::new(array, products.entries);
        let arrays = [array(a)?, array(b)?, array(c)?];
        let context = Arc::clone(&stream.context);
        let sms_max = library.sms_max();
        library.launch(&stream, Arc::new(Grouped { context, products, arrays, sms_max }))
    })
}
