//! From what the supervisor names to functions that can be served: signatures, weights on the
//! device, a prepared plan for every shape, and lanes with memory for the largest.
//!
//! It runs on the dispatch thread before that is ready, and may take as long as it must.

use super::function::{Function, FunctionInfo, Quarantined};
use super::gpu::Gpu;
use super::model::{Model, pitch};
use super::onnx::{self, Loaded};
use super::plan_model::{PlanModel, Shape};
use super::runner::Runner;
use crate::config::{FunctionConfig, Model as Source};
use crate::link::PlanFiles;
use gpumux_core::{FunctionSpec, Sharing};
use gpumux_cuda::PinnedPool;
use gpumux_engine::Trial;
use gpumux_wire::signature::{Dim, ElementType, Signature, TensorSpec};

/// Weights go up in pieces of this many bytes.
const CHUNK_BYTES: usize = 1 << 20;

/// A function that the supervisor named.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) config: FunctionConfig,
    pub(super) plan: Option<PlanFiles>,
    /// It has killed workers.
    pub(super) quarantined: bool,
}

/// Everything that a dispatch thread serves with.
pub(super) struct Equipment {
    pub(super) infos: Vec<FunctionInfo>,
    pub(super) functions: Vec<Function>,
    pub(super) runners: Vec<Runner>,
    pub(super) memory: Memory,
}

/// Memory that batches run in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// On the device, all lanes together.
    pub(super) batches_bytes: u64,
    /// Pinned, on the host.
    pub(super) staging_bytes: u64,
}

/// A function whose model is on the device, and has no lane's memory yet.
enum Ready {
    Null,
    Echo,
    Onnx(Loaded),
}

/// Loads all functions and equips `lanes` lanes.
///
/// # Errors
/// Which function cannot be served, why, and what to do.
pub(super) fn equip(
    gpu: &Gpu,
    named: Vec<Named>,
    lanes: u16,
    run_ahead: u32,
) -> Result<Equipment, String> {
    let mut pinned = gpu.device.pinned_pool(CHUNK_BYTES, 1).map_err(|error| error.to_string())?;
    let mut lane = gpu.whole_lane().map_err(|error| error.to_string())?;
    let mut ready = Vec::new();
    for function in &named {
        let mut trial = Trial {
            device: &gpu.device,
            memory: &gpu.memory,
            lane: &mut lane,
            pinned: &mut pinned,
        };
        let loaded = match (&function.config.model, &function.plan) {
            (Source::Null, _) => Ok(Ready::Null),
            (Source::Echo, _) => Ok(Ready::Echo),
            (Source::Onnx(_), Some(files)) => {
                onnx::load(&mut trial, &function.config, (files, gpu.lane_sm_count()))
                    .map(Ready::Onnx)
            }
            (Source::Onnx(_), None) => Err("its plan was not made".to_owned()),
        };
        ready.push(loaded.map_err(|why| format!("function `{}`: {why}", function.name))?);
    }
    let needs = Needs::of(&named, &ready);
    let blocks = usize::from(lanes) * 2 + 1;
    let mut pinned =
        gpu.device.pinned_pool(needs.staging, blocks).map_err(|error| error.to_string())?;
    for (function, ready) in named.iter().zip(&ready) {
        let Ready::Onnx(loaded) = ready else { continue };
        let mut trial = Trial {
            device: &gpu.device,
            memory: &gpu.memory,
            lane: &mut lane,
            pinned: &mut pinned,
        };
        loaded
            .prove(&mut trial, &function.config)
            .map_err(|why| format!("function `{}`: {why}", function.name))?;
    }
    assemble(gpu, named, ready, &needs, (lanes, run_ahead), pinned)
}

/// The most memory that any batch needs.
#[derive(Clone, Copy, Debug)]
struct Needs {
    /// Pinned memory, one way.
    staging: usize,
    /// Device memory.
    block: u64,
}

impl Needs {
    fn of(named: &[Named], ready: &[Ready]) -> Self {
        let mut needs = Self { staging: CHUNK_BYTES, block: 1 };
        for (function, ready) in named.iter().zip(ready) {
            let (staging, block) = match ready {
                Ready::Null if function.config.outputs.is_none() => (0, 0),
                Ready::Null => (bytes_of(&function.config), 0),
                Ready::Echo => {
                    let bytes = bytes_of(&function.config);
                    (bytes, bytes as u64 * 2)
                }
                Ready::Onnx(loaded) => (loaded.staging_bytes(), loaded.block_bytes()),
            };
            needs.staging = needs.staging.max(staging);
            needs.block = needs.block.max(block);
        }
        needs
    }
}

/// Gives every lane its memory, and every plan its place in it.
fn assemble(
    gpu: &Gpu,
    named: Vec<Named>,
    ready: Vec<Ready>,
    needs: &Needs,
    (lanes, run_ahead): (u16, u32),
    mut pinned: PinnedPool,
) -> Result<Equipment, String> {
    let (mut runners, mut addresses) = (Vec::new(), Vec::new());
    let staging_bytes = (pinned.block_bytes() as u64) * (u64::from(lanes) * 2 + 1);
    let mut memory = Memory { batches_bytes: 0, staging_bytes };
    for index in 0..usize::from(lanes) {
        let block = gpu.memory.alloc(needs.block).map_err(|error| {
            format!("a lane's memory: {error}: serve fewer functions, or smaller batches")
        })?;
        let mut take = || pinned.take().ok_or("pinned memory is out");
        let staging = [take()?, take()?];
        addresses.push(block.address());
        memory.batches_bytes += block.bytes();
        let lane = gpu.lane().map_err(|error| error.to_string())?;
        runners.push(Runner::new(index, lane, block, staging, run_ahead));
    }
    let (mut infos, mut functions) = (Vec::new(), Vec::new());
    for (function, ready) in named.into_iter().zip(ready) {
        let Named { name, config, quarantined, .. } = function;
        let (signature, lengths, max_batch, model) = match ready {
            Ready::Null => {
                let gives = config.outputs.is_some();
                let model = if gives { Model::Return } else { Model::Null };
                (builtin(&config, gives), None, config.max_batch, model)
            }
            Ready::Echo => (builtin(&config, true), None, config.max_batch, Model::Echo),
            Ready::Onnx(loaded) => {
                let (lengths, max_batch) = (loaded.lengths.clone(), loaded.max_batch);
                let signature = loaded.signature.clone();
                let place = |prepared: &onnx::Entry| Shape {
                    batch: prepared.batch,
                    length: prepared.length,
                    placed: addresses.iter().map(|at| prepared.prepared.place(*at)).collect(),
                };
                let shapes = loaded.entries.iter().map(place).collect();
                let model = Model::Plan(PlanModel { shapes, fills: loaded.fills });
                (signature, Some(lengths), max_batch, model)
            }
        };
        signature.check().map_err(|error| format!("function `{name}`: {error}"))?;
        let spec = FunctionSpec {
            buckets: lengths.unwrap_or_else(|| vec![config.length_max()]),
            max_batch,
            max_wait: config.max_wait.0,
            queue: config.queue,
            sharing: Sharing::AnyLength,
            priority: config.service.priority.into(),
        };
        let quarantined = Quarantined::new(quarantined);
        let shared = quarantined.clone();
        functions.push(Function { signature: signature.clone(), spec, model, quarantined });
        infos.push(FunctionInfo { name, config, signature, quarantined: shared });
    }
    Ok(Equipment { infos, functions, runners, memory })
}

/// Bytes of a full batch of a built-in model.
fn bytes_of(config: &FunctionConfig) -> usize {
    pitch(config.length_max()) * config.max_batch as usize
}

/// The signature of a built-in model: bytes, and the same bytes again where it gives them back.
fn builtin(config: &FunctionConfig, gives: bool) -> Signature {
    let data =
        TensorSpec { name: "data".to_owned(), element: ElementType::U8, dims: vec![Dim::Length] };
    let outputs = if gives { vec![data.clone()] } else { vec![] };
    Signature { inputs: vec![data], outputs, length_max: config.length_max() }
}
