//! What the tests of partitions share: machines, proofs made by a child, random layouts, work whose
//! place and result can be checked.

use crate::machine::{Machine, open};
use gpumux_cuda::{
    AllowList, BackendKind, Device, DeviceBlock, DeviceMemory, DeviceOptions, Driver, Grants, Lane,
    Matrix, NotProven, Operands, PartitionWish, Partitioner, PreparedProduct, Product, Proven,
    SmSet, TpcSet, Wake, prove, self_test,
};
use gpumux_kernels::{DevicePtr, SmidProbe};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use std::env;
use std::io::stdout;
use std::process::Command;
use std::time::Duration;

/// Set in a child that runs the self-test.
const SELF_TEST: &str = "GPUMUX_TEST_SELF_TEST";
/// Replays a random test.
const SEED: &str = "GPUMUX_SEED";

/// The newest driver: green contexts down to a TPC.
pub(super) const NEW: Machine = Machine {
    claim: "driver=13.3,cc=9.0,sms=24,memory=256MiB,pace=off",
    placements: true,
    ..Machine::WHOLE
};
/// An older driver and device.
pub(super) const OLD: Machine = Machine {
    claim: "driver=12.8,cc=8.6,sms=20,memory=256MiB,pace=off",
    placements: true,
    ..Machine::WHOLE
};
/// More than 64 TPCs.
pub(super) const LARGE: Machine = Machine {
    claim: "driver=13.3,cc=9.0,sms=132,memory=256MiB,pace=off",
    placements: true,
    ..Machine::WHOLE
};

/// Runs the self-test in a child of this test and hands on what it came to. In that child, which
/// starts this test again, it is the self-test.
pub(super) fn tested(list: AllowList, body: impl FnOnce(Result<Proven, NotProven>)) {
    if env::var_os(SELF_TEST).is_some() {
        let device = open(DeviceOptions::default());
        self_test(&device, &list, &mut stdout()).expect("the mask does what it should");
        return;
    }
    let driver = Driver::load().expect("the emulated driver loads");
    let mut command = Command::new(env::current_exe().expect("this test"));
    command.args(env::args_os().skip(1)).env(SELF_TEST, "1");
    body(prove(&driver, 0, &list, &mut command, Duration::from_secs(120)));
}

/// Runs `body` with this backend, with a proof where it needs one.
pub(super) fn with(backend: BackendKind, body: impl FnOnce(&mut Rig)) {
    let rig = |proven| Rig::new(PartitionWish { backend: Some(backend), proven, ..wish() });
    match backend {
        BackendKind::StreamMasks => tested(AllowList::PUBLISHED, |proof| {
            body(&mut rig(Some(proof.unwrap_or_else(|why| panic!("no proof: {why}")))));
        }),
        BackendKind::GreenContexts | BackendKind::None => body(&mut rig(None)),
    }
}

/// What is wished for, but for the backend.
pub(super) fn wish() -> PartitionWish {
    PartitionWish { lanes: 8, ..PartitionWish::default() }
}

/// A random number generator that says its seed; the variable replays one.
pub(super) fn random() -> StdRng {
    let seed = env::var(SEED).ok().map(|text| text.parse().expect("a number"));
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("{SEED}={seed}");
    StdRng::seed_from_u64(seed)
}

/// Up to `lanes` grants of which no two meet, in random order.
pub(super) fn layout(grants: &Grants, lanes: usize, random: &mut StdRng) -> Vec<TpcSet> {
    let mut apart = Vec::new();
    match grants {
        Grants::These(all) => {
            let mut all = all.clone();
            all.shuffle(random);
            for grant in all {
                if apart.len() < lanes && apart.iter().all(|it| grant.is_disjoint(it)) {
                    apart.push(grant);
                }
            }
        }
        Grants::AnyOf(tpcs) => {
            apart = vec![TpcSet::EMPTY; random.random_range(1..=lanes)];
            for tpc in tpcs.iter() {
                // Some stay free.
                if let Some(lane) = apart.get_mut(random.random_range(0..=lanes)) {
                    assert!(lane.insert(tpc));
                }
            }
            apart.retain(|grant| !grant.is_empty());
        }
    }
    apart
}

/// A partitioner and what work needs.
pub(super) struct Rig {
    pub(super) partitioner: Partitioner,
    pub(super) device: Device,
    pub(super) memory: DeviceMemory,
    pub(super) wake: Wake,
}

/// A product of small whole numbers: `c = a · b + c`, exact in every order.
pub(super) struct Sum {
    prepared: PreparedProduct,
    blocks: [DeviceBlock; 3],
    operands: Operands,
}

/// Rows and columns of the result, which make several tiles, and the length of its sums.
const ROWS: u32 = 96;
const LENGTH: u32 = 8;

impl Rig {
    pub(super) fn new(wish: PartitionWish) -> Self {
        let device = open(DeviceOptions::default());
        let wake = Wake::new().expect("a descriptor");
        let partitioner = Partitioner::choose(&device, &wake, &wish);
        let partitioner = partitioner.unwrap_or_else(|why| panic!("{why}"));
        let memory = device.reserve(64 << 20).expect("memory");
        Self { partitioner, device, memory, wake }
    }

    /// Has blocks of `lane` say where they run.
    pub(super) fn probe(&self, lane: &mut Lane, blocks: u32) -> DeviceBlock {
        let block = self.memory.alloc(u64::from(blocks) * 4).expect("a block");
        let probe = SmidProbe { sm: block.address().of(), hold_cycles: 0 };
        lane.launch(&probe.launch(blocks, 1)).expect("a launch");
        block
    }

    /// What blocks said, once their lane is drained.
    pub(super) fn said(&self, lane: &mut Lane, block: &DeviceBlock, blocks: u32) -> SmSet {
        self.read(lane, block, blocks as usize).into_iter().collect()
    }

    pub(super) fn read(&self, lane: &mut Lane, block: &DeviceBlock, words: usize) -> Vec<u32> {
        let mut pool = self.device.pinned_pool(words * 4, 1).expect("pinned memory");
        let mut lent = lane.lend(pool.take().expect("a block"));
        lane.copy_out(block.address(), &mut lent, 0, words * 4).expect("a copy");
        lane.mark().expect("a mark");
        lane.drain().expect("it drains");
        let Ok(block) = lane.reclaim(lent) else { panic!("the mark has retired") };
        let word = |bytes: &[u8]| u32::from_ne_bytes(bytes.try_into().expect("four bytes"));
        block.bytes().chunks_exact(4).map(word).collect()
    }

    pub(super) fn write(
        &self,
        lane: &mut Lane,
        block: &DeviceBlock,
        values: impl Iterator<Item = f32>,
    ) {
        let values: Vec<u8> = values.flat_map(f32::to_ne_bytes).collect();
        let mut pool = self.device.pinned_pool(values.len(), 1).expect("pinned memory");
        let mut staging = pool.take().expect("a block");
        staging.bytes_mut().copy_from_slice(&values);
        let mut lent = lane.lend(staging);
        lane.copy_in(&mut lent, 0, values.len(), block.address()).expect("a copy");
        lane.mark().expect("a mark");
        lane.drain().expect("it drains");
        assert!(lane.reclaim(lent).is_ok());
    }

    /// Prepares a sum, its operands uploaded through `lane` and its result zero.
    pub(super) fn sum(&self, lane: &mut Lane) -> Sum {
        let bytes = u64::from(ROWS * ROWS * 4);
        let blocks = [0; 3].map(|_| self.memory.alloc(bytes).expect("a block"));
        let plain = |row_stride| Matrix { row_stride, batch_stride: 0, transposed: false };
        let product = Product {
            m: ROWS,
            n: ROWS,
            k: LENGTH,
            batches: 1,
            a: plain(LENGTH),
            b: plain(ROWS),
            c: plain(ROWS),
            alpha: 1.0,
            beta: 1.0,
            alignment: 16,
        };
        let sms = lane.sm_count_target();
        let prepared = self.device.prepare(&product, DevicePtr::NULL, sms, 0).expect("a product");
        let [a, b, c] = [&blocks[0], &blocks[1], &blocks[2]].map(DeviceBlock::address);
        let cells = |rows: u32, columns: u32, value: fn(u32, u32) -> f32| {
            (0..rows).flat_map(move |row| (0..columns).map(move |column| value(row, column)))
        };
        self.write(lane, &blocks[0], cells(ROWS, LENGTH, left));
        self.write(lane, &blocks[1], cells(LENGTH, ROWS, right));
        self.write(lane, &blocks[2], cells(ROWS, ROWS, |_, _| 0.0));
        let operands = Operands { a: a.of(), b: b.of(), c: c.of(), workspace: a };
        Sum { prepared, blocks, operands }
    }

    /// Compares a sum's result with the host's, after it was added so often.
    pub(super) fn check_sum(&self, lane: &mut Lane, sum: &Sum, times: u32) {
        let found = self.read(lane, &sum.blocks[2], (ROWS * ROWS) as usize);
        for row in 0..ROWS {
            for column in 0..ROWS {
                let once: f32 = (0..LENGTH).map(|at| left(row, at) * right(at, column)).sum();
                let expected = (0..times).fold(0.0, |all, _| all + once);
                let found = f32::from_bits(found[(row * ROWS + column) as usize]);
                assert_eq!(found, expected, "at {row},{column} after {times} times");
            }
        }
    }
}

impl Sum {
    /// Adds the product once more.
    pub(super) fn add(&self, lane: &mut Lane) {
        lane.multiply(&self.prepared, &self.operands).expect("a product");
    }
}

fn small(value: u32) -> f32 {
    f32::from(u8::try_from(value % 7).expect("below 7"))
}

fn left(row: u32, column: u32) -> f32 {
    small(row + 3 * column)
}

fn right(row: u32, column: u32) -> f32 {
    small(5 * row + column)
}
