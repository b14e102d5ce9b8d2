//! What requests hold: files as they were given, or random values drawn once and read from another
//! place for each request, so that filling one costs a copy.

use crate::failure::{Failure, InputError};
use crate::given::{self, Input};
use gpumux_shim::{Element, ElementType, Function, Request, Signature, SubmitError, TensorSpec};
use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Elements beyond those of one request, among which requests start.
const SPARE: usize = 1021;
/// How far apart the starts of two requests lie; coprime to [`SPARE`], so that all are taken.
const STRIDE: usize = 127;

/// The values of one input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct NamedRange {
    name: String,
    least: f64,
    end: f64,
}

impl FromStr for NamedRange {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('=').and_then(|(name, bounds)| {
            let (least, end) = bounds.split_once("..")?;
            let (least, end) = (least.parse::<f64>().ok()?, end.parse::<f64>().ok()?);
            let sane = !name.is_empty() && least < end && least.is_finite() && end.is_finite();
            sane.then(|| Self { name: name.to_owned(), least, end })
        });
        parsed.ok_or("write NAME=LEAST..END, LEAST below END, as in ids=0..30522")
    }
}

/// The inputs of all requests of a peer.
#[derive(Clone, Debug)]
pub(super) struct Values {
    given: Vec<Input>,
    drawn: Vec<Drawn>,
    signature: Signature,
    turn: usize,
}

/// An input whose values are drawn.
#[derive(Clone, Debug)]
struct Drawn {
    spec: TensorSpec,
    pool: Pool,
}

#[derive(Clone, Debug)]
enum Pool {
    Bytes(Vec<u8>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    F32(Vec<f32>),
}

/// What is said of an input's values when nothing else is.
const USUAL: (f64, f64) = (0.0, 2.0);

impl Values {
    /// Draws what is not given, for requests up to `longest`.
    ///
    /// # Errors
    /// [`Failure`]: a name that the function does not have, a bad range, or room that is not there.
    pub(super) fn new(
        signature: &Signature,
        given: Vec<Input>,
        ranges: &[NamedRange],
        longest: u32,
        random: &mut StdRng,
    ) -> Result<Self, Failure> {
        let known = |name: &str| signature.inputs.iter().any(|spec| spec.name == name);
        let names = given.iter().map(|input| &input.file.name);
        if let Some(name) =
            names.chain(ranges.iter().map(|range| &range.name)).find(|name| !known(name))
        {
            let known: Vec<&str> = signature.inputs.iter().map(|spec| spec.name.as_str()).collect();
            let known = known.join("`, `");
            return Err(Failure::arguments(format!(
                "there is no input `{name}`: the function takes `{known}`"
            )));
        }
        let mut drawn = Vec::new();
        for spec in &signature.inputs {
            if given.iter().all(|input| input.file.name != spec.name) {
                let range = ranges.iter().find(|range| range.name == spec.name);
                let pool = pool(spec, range, longest, random)?;
                drawn.push(Drawn { spec: spec.clone(), pool });
            }
        }
        Ok(Self { given, drawn, signature: signature.clone(), turn: 0 })
    }

    /// The length that the given inputs have, where there are any.
    pub(super) fn given_length(&self) -> Option<u32> {
        (!self.given.is_empty()).then(|| given::length(&self.signature, &self.given))
    }

    /// Checks that what was given fits the function.
    ///
    /// # Errors
    /// [`InputError`].
    pub(super) fn check(&self, function: &Function, length: u32) -> Result<(), Failure> {
        let mut request = function.request(length).map_err(InputError::Request)?;
        for input in &self.given {
            input.fill(&mut request, &self.signature)?;
        }
        Ok(())
    }

    /// Writes all inputs of a request.
    ///
    /// # Errors
    /// [`Failure`]: a given input does not fit.
    pub(super) fn fill(&mut self, request: &mut Request) -> Result<(), Failure> {
        for input in &self.given {
            input.fill(request, &self.signature)?;
        }
        self.turn = (self.turn + STRIDE) % SPARE;
        for Drawn { spec, pool } in &self.drawn {
            let from = self.turn;
            let filled = match pool {
                Pool::Bytes(pool) => copy(request, &spec.name, &pool[from..]),
                Pool::I32(pool) => copy(request, &spec.name, &pool[from..]),
                Pool::I64(pool) => copy(request, &spec.name, &pool[from..]),
                Pool::F32(pool) => copy(request, &spec.name, &pool[from..]),
            };
            filled.map_err(InputError::Request)?;
        }
        Ok(())
    }
}

fn copy<T: Element>(request: &mut Request, name: &str, pool: &[T]) -> Result<(), SubmitError> {
    let input = request.input_mut::<T>(name)?;
    input.copy_from_slice(&pool[..input.len()]);
    Ok(())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounds are checked")]
fn pool(
    spec: &TensorSpec,
    range: Option<&NamedRange>,
    longest: u32,
    random: &mut StdRng,
) -> Result<Pool, Failure> {
    let bytes = spec.bytes(longest).unwrap_or(u64::MAX) / spec.element.bytes();
    let count = usize::try_from(bytes).ok().and_then(|count| count.checked_add(SPARE));
    let count =
        count.ok_or_else(|| Failure::arguments("--length asks for more than memory holds"))?;
    let (least, end) = range.map_or(USUAL, |range| (range.least, range.end));
    if spec.element == ElementType::F32 {
        let (least, end) = range.map_or((0.0, 1.0), |_| (least as f32, end as f32));
        return Ok(Pool::F32((0..count).map(|_| random.random_range(least..end)).collect()));
    }
    let (lowest, highest) = match spec.element {
        ElementType::U8 => (0.0, 256.0),
        ElementType::Bool => (0.0, 2.0),
        ElementType::I32 => (f64::from(i32::MIN), f64::from(i32::MAX) + 1.0),
        // Beyond, not every integer is a number of 53 bits.
        ElementType::I64 | ElementType::F32 => (-(2f64.powi(53)), 2f64.powi(53)),
    };
    if least.fract() != 0.0 || end.fract() != 0.0 || least < lowest || end > highest {
        return Err(Failure::arguments(format!(
            "--range {}={least}..{end}: elements are {}, so both bounds are whole numbers from \
             {lowest} to {highest}",
            spec.name, spec.element
        )));
    }
    let (least, end) = (least as i64, end as i64);
    let mut draw = || random.random_range(least..end);
    Ok(match spec.element {
        ElementType::I32 => Pool::I32((0..count).map(|_| draw() as i32).collect()),
        ElementType::I64 | ElementType::F32 => Pool::I64((0..count).map(|_| draw()).collect()),
        ElementType::U8 | ElementType::Bool => {
            Pool::Bytes((0..count).map(|_| draw() as u8).collect())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use gpumux_shim::Dim;
    use rand::SeedableRng;

    fn spec(element: ElementType) -> TensorSpec {
        TensorSpec { name: "ids".to_owned(), element, dims: vec![Dim::Length, Dim::Fixed(2)] }
    }

    fn drawn(element: ElementType, range: Option<&str>) -> Result<Pool, Failure> {
        let range = range.map(|range| range.parse().unwrap());
        pool(&spec(element), range.as_ref(), 50, &mut StdRng::seed_from_u64(3))
    }

    #[test]
    fn values_lie_in_their_range_and_reach_its_bounds() {
        let Pool::I64(ids) = drawn(ElementType::I64, Some("ids=-2..3")).unwrap() else {
            panic!("another type")
        };
        assert_eq!(ids.len(), 100 + SPARE);
        assert_eq!((ids.iter().min(), ids.iter().max()), (Some(&-2), Some(&2)));
        let Pool::F32(values) = drawn(ElementType::F32, None).unwrap() else {
            panic!("another type")
        };
        assert!(values.iter().all(|value| (0.0..1.0).contains(value)));
        let Pool::Bytes(flags) = drawn(ElementType::Bool, None).unwrap() else {
            panic!("another type")
        };
        assert_eq!((flags.iter().min(), flags.iter().max()), (Some(&0), Some(&1)));
    }

    #[test]
    fn ranges_that_the_type_has_not_are_refused() {
        for range in ["ids=0..257", "ids=-1..5", "ids=0.5..5"] {
            let why = drawn(ElementType::U8, Some(range)).unwrap_err().to_string();
            assert!(why.contains("u8"), "{why}");
        }
        for text in ["ids", "ids=5..5", "ids=6..5", "=0..5", "ids=a..5", "ids=0..inf"] {
            assert!(text.parse::<NamedRange>().is_err(), "{text}");
        }
    }
}
