//! An imported model on its way to being served: its signature, its weights on the device, and its
//! plan prepared for every shape that a batch can have.

use crate::config::{FunctionConfig, Padding as PaddingConfig};
use crate::link::PlanFiles;
use gpumux_engine::{Fill, Padding, PrepareOptions, Prepared, Resident, Trial};
use gpumux_plan::{Element, Model, Op, Plan, Port, Shape, Size, Slot};
use gpumux_wire::signature::{Dim, ElementType, Signature, TensorSpec};
use std::rc::Rc;

/// The most memory that products may use besides their operands.
const WORKSPACE_BYTES_MAX: u64 = 4 << 20;
/// About how many floating-point operations a segment has.
const SEGMENT_WORK: u64 = 1 << 30;
/// The shortest bucket of a padded model; each next one is twice as long.
const FIRST_BUCKET: u32 = 16;
/// Shapes that one function may have prepared.
const SHAPES_MAX: u32 = 1024;
/// Lengths that are tried padded together when a model is loaded.
const TRIAL_LENGTHS: [u32; 3] = [3, 17, 40];

/// A plan prepared for one shape.
pub(super) struct Entry {
    pub(super) batch: u32,
    pub(super) length: u32,
    pub(super) prepared: Rc<Prepared>,
}

/// See the file's head.
pub(super) struct Loaded {
    pub(super) signature: Signature,
    /// The longest length of each bucket.
    pub(super) lengths: Vec<u32>,
    pub(super) max_batch: u32,
    /// By length, then by batch.
    pub(super) entries: Vec<Entry>,
    /// One element of padding for each input.
    pub(super) fills: Vec<Vec<u8>>,
    resident: Rc<Resident>,
    options: PrepareOptions,
}

/// Reads a plan, sends its weights and prepares its shapes.
pub(super) fn load(
    trial: &mut Trial<'_>,
    config: &FunctionConfig,
    (files, sm_count): (&PlanFiles, u32),
) -> Result<Loaded, String> {
    let read = |path: &std::path::Path| {
        std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let model = Model::read(&read(&files.plan)?).map_err(|error| error.to_string())?;
    let first = model.plans.first().ok_or("its plan file holds no plan")?;
    let signature = signature_of(first, config)?;
    let max_batch = max_batch_of(&model, config)?;
    let lengths = lengths_of(config, max_batch)?;
    let weights = read(&files.weights)?;
    let (resident, upload) =
        Resident::load(model, &weights, trial.memory).map_err(|error| error.to_string())?;
    let resident = Rc::new(resident);
    trial.send(upload).map_err(|error| error.to_string())?;
    let options = PrepareOptions {
        sm_count,
        workspace_bytes_max: WORKSPACE_BYTES_MAX,
        segment_work: SEGMENT_WORK,
    };
    let mut entries = Vec::new();
    for length in &lengths {
        for batch in 1..=max_batch {
            let shape = Shape { batch: u64::from(batch), length: u64::from(*length) };
            if resident.model().plan(shape.batch).is_none() {
                continue;
            }
            let prepared = resident.prepare(trial.device, trial.memory, shape, options);
            let (prepared, upload) =
                prepared.map_err(|error| format!("{batch} requests of {length}: {error}"))?;
            trial.send(upload).map_err(|error| error.to_string())?;
            entries.push(Entry { batch, length: *length, prepared });
        }
    }
    let slots = entries.first().ok_or("no plan of it has a batch size of max_batch or less")?;
    let fills = fills_of(slots.prepared.bound().inputs(), config)?;
    let loaded = Loaded { signature, lengths, max_batch, entries, fills, resident, options };
    loaded.check_runs()?;
    Ok(loaded)
}

impl Loaded {
    /// The most pinned memory that a batch needs, one way.
    pub(super) fn staging_bytes(&self) -> usize {
        let bytes = |entry: &Entry| {
            let bound = entry.prepared.bound();
            let up = bound.outgoing();
            usize::try_from(bound.incoming().end.max(up.end - up.start)).unwrap_or(usize::MAX)
        };
        self.entries.iter().map(bytes).max().unwrap_or(0)
    }

    /// The most device memory that a batch needs.
    pub(super) fn block_bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.prepared.block_bytes()).max().unwrap_or(0)
    }

    /// Shows on random inputs that requests padded together get what they get alone, where they are
    /// to be; and on a GPU runs every shape once, so that nothing is loaded lazily later.
    pub(super) fn prove(
        &self,
        trial: &mut Trial<'_>,
        config: &FunctionConfig,
    ) -> Result<(), String> {
        if let PaddingConfig::Fill(fill) = &config.pad {
            let named = fill.fill.iter().map(|(name, value)| (name.clone(), fill_value(*value)));
            let padding = Padding { fills: named.collect(), mask: Some(fill.mask.clone()) };
            let served = TRIAL_LENGTHS.into_iter().filter(|length| *length <= config.length_max());
            let lengths: Vec<u64> = served.take(self.max_batch as usize).map(u64::from).collect();
            if lengths.len() > 1 {
                padding
                    .check(&self.resident, trial, &lengths, self.options)
                    .map_err(|error| format!("`pad` cannot be used: {error}"))?;
            }
        }
        if !trial.device.info().is_emulated {
            for entry in &self.entries {
                trial.run(&entry.prepared, |_| ()).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// Every length that is served has a place in its bucket's slots.
    fn check_runs(&self) -> Result<(), String> {
        for entry in &self.entries {
            let bound = entry.prepared.bound();
            for slot in bound.inputs().iter().chain(bound.outputs()) {
                let lengths = 1..=u64::from(entry.length);
                if let Some(length) = lengths.into_iter().find(|it| slot.run(*it).is_none()) {
                    let name = slot.name();
                    return Err(format!(
                        "`{name}` of a request of length {length} cannot be cut out of a batch"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The largest batch that can be run: what is configured, or 1 where a wrong value could not be laid
/// at one request's door.
fn max_batch_of(model: &Model, config: &FunctionConfig) -> Result<u32, String> {
    let unattributed =
        |op: &Op<Size>| matches!(op, Op::Gather(gather) if gather.per_request.is_none());
    if model.plans.iter().any(|plan| plan.ops.iter().any(unattributed)) {
        return Ok(1);
    }
    let fixed = model.plans.iter().filter_map(|plan| plan.batch).max();
    match fixed {
        Some(largest) if model.plans.iter().all(|plan| plan.batch.is_some()) => {
            let largest = u32::try_from(largest).map_err(|error| error.to_string())?;
            Ok(largest.min(config.max_batch))
        }
        _ => Ok(config.max_batch),
    }
}

/// The buckets' lengths: one where none varies, doubling ones where requests are padded, and every
/// length by itself where they are not.
fn lengths_of(config: &FunctionConfig, max_batch: u32) -> Result<Vec<u32>, String> {
    let Some(length) = &config.length else { return Ok(vec![1]) };
    let lengths: Vec<u32> = match &config.pad {
        PaddingConfig::Fill(_) => {
            let doubling =
                std::iter::successors(Some(FIRST_BUCKET), |length| length.checked_mul(2));
            doubling.take_while(|it| *it < length.max).chain([length.max]).collect()
        }
        PaddingConfig::None => (1..=length.max).collect(),
        PaddingConfig::Packed => {
            return Err("`pad = \"packed\"` is not built yet: declare a fill and a mask".to_owned());
        }
    };
    let shapes = u64::try_from(lengths.len()).unwrap_or(u64::MAX) * u64::from(max_batch);
    if shapes > u64::from(SHAPES_MAX) {
        return Err(format!(
            "{shapes} shapes, and at most {SHAPES_MAX} are prepared: lower `max_batch` or \
             `length.max`, or declare `pad`"
        ));
    }
    Ok(lengths)
}

/// What the plan takes and gives, for one item.
fn signature_of(plan: &Plan, config: &FunctionConfig) -> Result<Signature, String> {
    let specs = |ports: &[Port]| {
        ports.iter().map(|port| spec_of(plan, port)).collect::<Result<Vec<_>, String>>()
    };
    let (inputs, outputs) = (specs(&plan.inputs)?, specs(&plan.outputs)?);
    let signature = Signature { inputs, outputs, length_max: config.length_max() };
    match (signature.has_length(), &config.length) {
        (true, None) => {
            Err("a dimension of it varies: write `length = { axis = …, max = … }`".to_owned())
        }
        (false, Some(length)) => {
            Err(format!("no input of it varies along `{}`: leave `length` out", length.axis))
        }
        (true, Some(_)) | (false, None) => Ok(signature),
    }
}

fn spec_of(plan: &Plan, port: &Port) -> Result<TensorSpec, String> {
    let batch = 1;
    let at = |size: &Size, length| {
        size.evaluate(Shape { batch, length }).map_err(|error| error.to_string())
    };
    // Two lengths tell a fixed dimension, the length itself, and anything else apart.
    let dim = |size: &Size| match (at(size, 7)?, at(size, 11)?) {
        (7, 11) => Ok(Dim::Length),
        (one, other) if one == other => {
            u32::try_from(one).map(Dim::Fixed).map_err(|error| error.to_string())
        }
        _ => Err(format!("a dimension of `{}` is neither fixed nor the length itself", port.name)),
    };
    let dims = port.dims.iter().skip(1).map(dim).collect::<Result<Vec<_>, String>>()?;
    let buffer = usize::try_from(port.buffer.0).ok().and_then(|index| plan.buffers.get(index));
    let buffer = buffer.ok_or_else(|| format!("`{}` has no buffer", port.name))?;
    let element = match buffer.element {
        Element::F32 => ElementType::F32,
        Element::I64 => ElementType::I64,
        Element::I32 => ElementType::I32,
        Element::Bool => ElementType::Bool,
    };
    Ok(TensorSpec { name: port.name.clone(), element, dims })
}

/// One element of padding for each input.
fn fills_of(slots: &[Slot], config: &FunctionConfig) -> Result<Vec<Vec<u8>>, String> {
    let declared = |slot: &Slot| match &config.pad {
        PaddingConfig::Fill(fill) => fill.fill.get(slot.name()).copied(),
        PaddingConfig::None | PaddingConfig::Packed => None,
    };
    let fill = |slot: &Slot| {
        let fill = declared(slot).map_or(Fill::Whole(0), fill_value);
        fill.bytes(slot.element()).ok_or_else(|| {
            format!("`pad.fill.{}` is not exactly a value of the input's type", slot.name())
        })
    };
    slots.iter().map(fill).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "whole numbers are told from others first, \
                                                     and the engine refuses what its type cannot hold"
)]
fn fill_value(value: f64) -> Fill {
    let whole = value as i64;
    #[expect(
        clippy::cast_precision_loss,
        clippy::float_cmp,
        reason = "an exact comparison is meant"
    )]
    if whole as f64 == value { Fill::Whole(whole) } else { Fill::Real(value as f32) }
}
