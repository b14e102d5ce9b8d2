//! Whether requests of different lengths may share a batch of a model: only where a padded request
//! gets what it would get alone.
//!
//! Whoever sets a function up declares how its inputs are padded. That is believed no further than
//! a run on random inputs shows it, when the model is loaded: a model that looks at its padding (as
//! a convolution does) is found out here, not by its users.

use std::rc::Rc;

use gpumux_plan::{Element, Shape, Slot};
use thiserror::Error;

use crate::prepared::{PrepareError, PrepareOptions, Prepared};
use crate::resident::Resident;
use crate::staging::{self, Fill};
use crate::trial::{Trial, TrialError};

/// How a function's inputs are padded.
#[derive(Clone, Debug)]
pub struct Padding {
    /// What each input is filled up with; an input that is not named is filled with 0.
    pub fills: Vec<(String, Fill)>,
    /// The input that says which elements are a request's own: 1 there, 0 in the padding.
    pub mask: Option<String>,
}

/// Why requests of different lengths may not share a batch.
#[derive(Debug, Error)]
pub enum PaddingError {
    /// Something is filled or named as the mask that is no input.
    #[error("the model has no input {0:?}")]
    NoInput(String),
    /// The fill is not a value of the input's type.
    #[error("the fill of input {0:?} is not exactly a value of its type")]
    Fill(String),
    /// The length changes more than one dimension of a tensor.
    #[error("the length changes {0:?} in a way that padding cannot undo")]
    Port(String),
    /// A padded request got another result than alone.
    #[error(
        "output {output:?} of a request of length {length}, padded to {padded}, differs from the \
         result alone by {difference:e} of {largest:e}"
    )]
    Differs {
        /// Which output.
        output: String,
        /// Length of the request.
        length: u64,
        /// Length of the batch.
        padded: u64,
        /// The largest difference.
        difference: f32,
        /// The largest value of the result alone.
        largest: f32,
    },
    /// The plan could not be prepared.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The device failed.
    #[error(transparent)]
    Trial(#[from] TrialError),
}

/// The largest difference that is still the same result, as a share of the largest value: what
/// another order of additions may make.
const TOLERANCE: f32 = 1e-4;

/// One request of the trial: its length, and the bytes of each input.
struct Request {
    length: u64,
    inputs: Vec<Vec<u8>>,
}

impl Padding {
    /// Runs random requests of these lengths in one batch, padded to the longest, and each alone,
    /// and compares. Integers are drawn from 0 and 1, which every table of more than one row has.
    ///
    /// # Errors
    /// When the padding shows in a result, is declared wrongly, or cannot be tried.
    pub fn check(
        &self,
        resident: &Rc<Resident>,
        trial: &mut Trial,
        lengths: &[u64],
        options: PrepareOptions,
    ) -> Result<(), PaddingError> {
        let prepare = |trial: &mut Trial, batch: usize, length| {
            let batch = u64::try_from(batch).unwrap_or(u64::MAX);
            let shape = Shape { batch, length };
            let made = resident.prepare(trial.device, trial.memory, shape, options)?;
            trial.send(made.1)?;
            Ok::<_, PaddingError>(made.0)
        };
        let longest = lengths.iter().copied().max().unwrap_or(1);
        let together = prepare(trial, lengths.len(), longest)?;
        let fills = self.fills(&together)?;

        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut requests = Vec::new();
        let mut alone = Vec::new();
        for &length in lengths {
            let prepared = prepare(trial, 1, length)?;
            let slots = prepared.bound().inputs();
            let inputs = slots.iter().map(|slot| self.draw(slot, &mut random)).collect();
            let request = Request { length, inputs };
            let came = trial.run(&prepared, |block| {
                for (slot, tensor) in slots.iter().zip(&request.inputs) {
                    let run = slot.run(length).expect("a plan has its own length");
                    staging::put(slot, 0, run, tensor, block);
                }
            })?;
            alone.push(outputs(&prepared, 0, length, &came)?);
            requests.push(request);
        }

        let slots = together.bound().inputs();
        let mut runs = Vec::new();
        for request in &requests {
            for slot in slots {
                let run = slot.run(request.length);
                runs.push(run.ok_or_else(|| PaddingError::Port(slot.name().to_owned()))?);
            }
        }
        let came = trial.run(&together, |block| {
            let mut runs = runs.iter();
            for (index, request) in requests.iter().enumerate() {
                for ((slot, fill), tensor) in slots.iter().zip(&fills).zip(&request.inputs) {
                    staging::fill(slot, index, fill, block);
                    let run = runs.next().expect("a run for each tensor");
                    staging::put(slot, index, *run, tensor, block);
                }
            }
        })?;
        for (index, (request, alone)) in requests.iter().zip(&alone).enumerate() {
            let padded = outputs(&together, index, request.length, &came)?;
            compare(&together, request.length, &padded, alone)?;
        }
        Ok(())
    }

    /// The fill of every input, in the plan's order.
    fn fills(&self, prepared: &Prepared) -> Result<Vec<Vec<u8>>, PaddingError> {
        let slots = prepared.bound().inputs();
        let named = self.fills.iter().map(|(name, _)| name).chain(&self.mask);
        for name in named {
            if !slots.iter().any(|slot| slot.name() == name) {
                return Err(PaddingError::NoInput(name.clone()));
            }
        }
        let fill = |slot: &Slot| {
            let own = self.fills.iter().find(|(name, _)| name == slot.name());
            let fill = own.map_or(Fill::Whole(0), |(_, fill)| *fill);
            fill.bytes(slot.element()).ok_or_else(|| PaddingError::Fill(slot.name().to_owned()))
        };
        slots.iter().map(fill).collect()
    }

    /// A random tensor for an input of one request; all ones for the mask.
    fn draw(&self, slot: &Slot, random: &mut Random) -> Vec<u8> {
        let count = slot.dims().iter().product::<u64>();
        let is_mask = self.mask.as_deref() == Some(slot.name());
        let mut bytes = Vec::new();
        for _ in 0..count {
            let bit = is_mask || random.next() & 1 == 1;
            match slot.element() {
                Element::I64 => bytes.extend(i64::from(bit).to_ne_bytes()),
                Element::I32 => bytes.extend(i32::from(bit).to_ne_bytes()),
                Element::Bool => bytes.push(u8::from(bit)),
                Element::F32 if is_mask => bytes.extend(1f32.to_ne_bytes()),
                Element::F32 => bytes.extend(random.real().to_ne_bytes()),
            }
        }
        bytes
    }
}

/// The outputs of one request, each cut to its length, as floats.
fn outputs(
    prepared: &Prepared,
    request: usize,
    length: u64,
    came: &[u8],
) -> Result<Vec<Vec<f32>>, PaddingError> {
    let skipped = prepared.bound().outgoing().start;
    let output = |slot: &Slot| {
        let run = slot.run(length).ok_or_else(|| PaddingError::Port(slot.name().to_owned()))?;
        let bytes = usize::try_from(run.count * run.bytes).expect("a tensor fits in memory");
        let mut tensor = vec![0; bytes];
        staging::take(slot, request, run, came, skipped, &mut tensor);
        Ok(floats(slot.element(), &tensor))
    };
    prepared.bound().outputs().iter().map(output).collect()
}

/// The elements as floats; integers by whether they are the same, which a bit shows.
fn floats(element: Element, tensor: &[u8]) -> Vec<f32> {
    match element {
        Element::F32 => {
            tensor.as_chunks().0.iter().map(|bytes: &[u8; 4]| f32::from_ne_bytes(*bytes)).collect()
        }
        Element::I64 | Element::I32 | Element::Bool => {
            tensor.iter().map(|byte| f32::from(*byte)).collect()
        }
    }
}

fn compare(
    prepared: &Prepared,
    length: u64,
    padded: &[Vec<f32>],
    alone: &[Vec<f32>],
) -> Result<(), PaddingError> {
    for ((slot, padded), alone) in prepared.bound().outputs().iter().zip(padded).zip(alone) {
        let largest = alone.iter().fold(0f32, |all, it| all.max(it.abs()));
        let differences = padded.iter().zip(alone).map(|(a, b)| (a - b).abs());
        // A NaN is no smaller than anything.
        let difference = differences.fold(0f32, |all, it| if it <= all { all } else { it });
        if difference <= TOLERANCE * largest {
            continue;
        }
        return Err(PaddingError::Differs {
            output: slot.name().to_owned(),
            length,
            padded: prepared.bound().shape().length,
            difference,
            largest,
        });
    }
    Ok(())
}

/// A generator of numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // Xorshift, by G. Marsaglia.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 32
    }

    /// Between -1 and 1.
    fn real(&mut self) -> f32 {
        let sixteen = u16::try_from(self.next() & 0xffff).expect("16 bits");
        f32::from(sixteen) / 32_768. - 1.
    }
}
