//! From a stranger's record to a request that the worker may act on.

use crate::geometry::TENSOR_ALIGNMENT;
use crate::outcome::{Reason, Refusal};
use crate::record::{BadEntry, InputRecord, OutputRecord, RANK_MAX, RequestRecord, TENSORS_MAX};
use crate::ring::Overrun;
use crate::signature::{Dim, Signature, TensorSpec};
use thiserror::Error;

/// Bytes inside the arena: only a check makes one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    offset: u64,
    bytes: u64,
}

impl Span {
    /// Bytes from the arena's start.
    pub fn offset(self) -> u64 {
        self.offset
    }

    /// Its length in bytes.
    pub fn bytes(self) -> u64 {
        self.bytes
    }

    /// The `bytes` bytes that begin `start` bytes into it, if it has them.
    pub fn part(self, start: u64, bytes: u64) -> Option<Self> {
        let end = start.checked_add(bytes)?;
        (end <= self.bytes).then_some(Self { offset: self.offset + start, bytes })
    }

    fn check(offset: u64, bytes: u64, arena_bytes: u64) -> Result<Self, Violation> {
        let end = offset.checked_add(bytes).filter(|end| *end <= arena_bytes);
        match end {
            Some(_) if offset.is_multiple_of(TENSOR_ALIGNMENT) => Ok(Self { offset, bytes }),
            _ => Err(Violation::OutsideArena { offset, bytes }),
        }
    }
}

/// A request that passed every check that needs no tensor value. Has no public constructor: holding
/// one is the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    length: u32,
    budget_us: Option<u64>,
    input_count: usize,
    output_count: usize,
    inputs: [Span; TENSORS_MAX],
    outputs: [Span; TENSORS_MAX],
}

impl Request {
    /// Its size along the model's variable dimension; 1 where none varies.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// Its time limit, from the moment the slot was read.
    pub fn budget_us(&self) -> Option<u64> {
        self.budget_us
    }

    /// Where each input lies, in the signature's order.
    pub fn inputs(&self) -> &[Span] {
        &self.inputs[..self.input_count]
    }

    /// Where each output goes, exactly as long as its result.
    pub fn outputs(&self) -> &[Span] {
        &self.outputs[..self.output_count]
    }
}

/// The peer broke the protocol. Ends its session, never the daemon.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Violation {
    /// An impossible ring counter.
    #[error("the submission ring's count is impossible: {0}")]
    Overrun(#[from] Overrun),
    /// A ring entry of no meaning.
    #[error(transparent)]
    BadEntry(#[from] BadEntry),
    /// A slot submitted again before its completion.
    #[error("slot {slot} was submitted again before its completion")]
    SlotBusy {
        /// The slot.
        slot: u32,
    },
    /// The entry and the record name different uses of the slot.
    #[error("slot {slot} holds generation {held}, its entry says {claimed}")]
    WrongGeneration {
        /// The slot.
        slot: u32,
        /// What the record says.
        held: u32,
        /// What the ring entry says.
        claimed: u32,
    },
    /// A tensor that is not wholly in the arena, or not aligned.
    #[error(
        "{bytes} bytes at {offset} are not in the arena, or do not start at a multiple of {TENSOR_ALIGNMENT}"
    )]
    OutsideArena {
        /// Claimed offset.
        offset: u64,
        /// Claimed length.
        bytes: u64,
    },
    /// A page of the channel could not be had when it was touched: the peer had given it back.
    #[error("a page of the channel's memory is gone: it was given back, and no new one can be had")]
    MemoryLost,
    /// The completion ring has no room, because its head was forged.
    #[error("the completion ring's head is impossible")]
    CompletionRing,
}

/// Why a record is not a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The shim never writes this: the peer is broken or hostile.
    Violation(Violation),
    /// A mistake in the request; the peer gets the refusal and goes on.
    Refused(Refusal),
}

/// A private copy of a slot's record: stable, but not believed.
#[derive(Clone, Copy, Debug)]
pub struct RawRequest(RequestRecord);

impl RawRequest {
    /// Wraps a copy that was read from a slot.
    pub fn new(copy: RequestRecord) -> Self {
        Self(copy)
    }

    /// The generation that the record claims.
    pub fn generation(&self) -> u32 {
        self.0.generation
    }

    /// Checks every number against the function's signature and the arena.
    ///
    /// # Errors
    /// [`Rejection::Violation`] for what only a broken or hostile peer writes, otherwise a refusal
    /// that says what is wrong with the request.
    pub fn check(&self, signature: &Signature, arena_bytes: u64) -> Result<Request, Rejection> {
        let record = &self.0;
        let counts = [record.input_count as usize, record.output_count as usize];
        if counts != [signature.inputs.len(), signature.outputs.len()] {
            return Err(Rejection::Refused(Refusal::because(Reason::WrongCount)));
        }
        let mut length = None;
        for (index, (spec, input)) in signature.inputs.iter().zip(&record.inputs).enumerate() {
            let subject = u32::try_from(index).unwrap_or(u32::MAX);
            check_shape(spec, input, subject, signature.length_max, &mut length)
                .map_err(Rejection::Refused)?;
        }
        let length = length.unwrap_or(1);
        let mut request = Request {
            length,
            budget_us: (record.budget_us != 0).then_some(record.budget_us),
            input_count: counts[0],
            output_count: counts[1],
            inputs: [Span::default(); TENSORS_MAX],
            outputs: [Span::default(); TENSORS_MAX],
        };
        for (index, (spec, input)) in signature.inputs.iter().zip(&record.inputs).enumerate() {
            let bytes = spec.bytes(length).unwrap_or(u64::MAX);
            request.inputs[index] =
                Span::check(input.offset, bytes, arena_bytes).map_err(Rejection::Violation)?;
        }
        for (index, (spec, output)) in signature.outputs.iter().zip(&record.outputs).enumerate() {
            request.outputs[index] = check_output(spec, output, index, length, arena_bytes)?;
        }
        Ok(request)
    }
}

/// Checks one input's type and shape; the first variable dimension met sets the request's length.
fn check_shape(
    spec: &TensorSpec,
    input: &InputRecord,
    subject: u32,
    length_max: u32,
    length: &mut Option<u32>,
) -> Result<(), Refusal> {
    if input.element != spec.element.code() {
        return Err(Refusal::of_input(Reason::WrongType, subject, 0));
    }
    let wrong_shape = Refusal::of_input(Reason::WrongShape, subject, 0);
    let rank = usize::try_from(input.rank).map_err(|_| wrong_shape)?;
    if rank != spec.dims.len() || rank > RANK_MAX {
        return Err(wrong_shape);
    }
    for (dim, claimed) in spec.dims.iter().zip(input.dims) {
        match dim {
            Dim::Fixed(size) if *size == claimed => (),
            Dim::Fixed(_) => return Err(wrong_shape),
            Dim::Length if claimed == 0 => return Err(wrong_shape),
            Dim::Length if claimed > length_max => {
                return Err(Refusal::of_input(Reason::TooLong, subject, u64::from(length_max)));
            }
            Dim::Length if *length.get_or_insert(claimed) == claimed => (),
            Dim::Length => return Err(wrong_shape),
        }
    }
    Ok(())
}

fn check_output(
    spec: &TensorSpec,
    output: &OutputRecord,
    index: usize,
    length: u32,
    arena_bytes: u64,
) -> Result<Span, Rejection> {
    let needed = spec.bytes(length).unwrap_or(u64::MAX);
    if output.capacity < needed {
        let subject = u32::try_from(index).unwrap_or(u32::MAX);
        return Err(Rejection::Refused(Refusal::of_input(Reason::OutputTooSmall, subject, needed)));
    }
    // The whole claimed room must lie in the arena, though only the result's bytes are written.
    Span::check(output.offset, output.capacity, arena_bytes).map_err(Rejection::Violation)?;
    Span::check(output.offset, needed, arena_bytes).map_err(Rejection::Violation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::ElementType;
    use proptest::prelude::*;

    const ARENA: u64 = 1 << 16;

    fn signature() -> Signature {
        let ids =
            TensorSpec { name: "ids".into(), element: ElementType::I64, dims: vec![Dim::Length] };
        let mask = TensorSpec { name: "mask".into(), ..ids.clone() };
        let embedding = TensorSpec {
            name: "embedding".into(),
            element: ElementType::F32,
            dims: vec![Dim::Length, Dim::Fixed(4)],
        };
        Signature { inputs: vec![ids, mask], outputs: vec![embedding], length_max: 512 }
    }

    fn good() -> RequestRecord {
        let mut record = RequestRecord { input_count: 2, output_count: 1, ..Default::default() };
        for (index, input) in record.inputs.iter_mut().take(2).enumerate() {
            *input = InputRecord {
                offset: index as u64 * 64,
                element: ElementType::I64.code(),
                rank: 1,
                dims: [8, 0, 0, 0, 0, 0],
            };
        }
        record.outputs[0] = OutputRecord { offset: 128, capacity: 128 };
        record
    }

    fn check(change: impl FnOnce(&mut RequestRecord)) -> Result<Request, Rejection> {
        let mut record = good();
        change(&mut record);
        RawRequest::new(record).check(&signature(), ARENA)
    }

    fn refusal(change: impl FnOnce(&mut RequestRecord)) -> Refusal {
        match check(change) {
            Err(Rejection::Refused(refusal)) => refusal,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    fn violation(change: impl FnOnce(&mut RequestRecord)) -> Violation {
        match check(change) {
            Err(Rejection::Violation(violation)) => violation,
            other => panic!("expected a violation, got {other:?}"),
        }
    }

    #[test]
    fn a_good_record_becomes_a_request() {
        let request = check(|_| ()).unwrap();
        assert_eq!(request.length(), 8);
        assert_eq!(request.budget_us(), None);
        assert_eq!(request.inputs().len(), 2);
        assert_eq!(request.outputs(), [Span { offset: 128, bytes: 128 }]);
    }

    #[test]
    fn parts_of_a_span_stay_in_it() {
        let span = Span { offset: 64, bytes: 100 };
        assert_eq!(span.part(40, 60), Some(Span { offset: 104, bytes: 60 }));
        assert_eq!(span.part(41, 60), None);
        assert_eq!(span.part(u64::MAX, 2), None);
    }

    #[test]
    fn mistakes_are_refused_by_reason() {
        assert_eq!(refusal(|r| r.input_count = 1).reason, Reason::WrongCount);
        assert_eq!(refusal(|r| r.output_count = u32::MAX).reason, Reason::WrongCount);
        assert_eq!(refusal(|r| r.inputs[1].element = 4).reason, Reason::WrongType);
        assert_eq!(refusal(|r| r.inputs[1].element = 99).subject, 1);
        assert_eq!(refusal(|r| r.inputs[0].rank = u32::MAX).reason, Reason::WrongShape);
        assert_eq!(refusal(|r| r.inputs[0].dims[0] = 0).reason, Reason::WrongShape);
        assert_eq!(refusal(|r| r.inputs[0].dims[0] = 9).reason, Reason::WrongShape);
        let too_long = refusal(|r| r.inputs[0].dims[0] = 513);
        assert_eq!((too_long.reason, too_long.limit), (Reason::TooLong, 512));
        let small = refusal(|r| r.outputs[0].capacity = 127);
        assert_eq!((small.reason, small.limit), (Reason::OutputTooSmall, 128));
    }

    #[test]
    fn spans_outside_the_arena_are_violations() {
        let outside = |offset, bytes| Violation::OutsideArena { offset, bytes };
        assert_eq!(violation(|r| r.inputs[0].offset = ARENA), outside(ARENA, 64));
        assert_eq!(violation(|r| r.inputs[0].offset = u64::MAX - 63), outside(u64::MAX - 63, 64));
        assert_eq!(violation(|r| r.inputs[0].offset = 8), outside(8, 64));
        assert_eq!(violation(|r| r.outputs[0].capacity = u64::MAX), outside(128, u64::MAX));
    }

    proptest! {
        #[test]
        fn no_record_yields_a_span_outside_the_arena(words in prop::collection::vec(any::<u64>(), 64)) {
            let words: [u64; 64] = words.try_into().unwrap();
            let mut record: RequestRecord = bytemuck::cast(words);
            // Half of the bits stay random; the rest is steered past the cheap checks.
            record.input_count = 2;
            record.output_count = 1;
            for input in &mut record.inputs {
                input.element = ElementType::I64.code();
                input.rank = 1;
                input.dims[0] = 1 + record.reserved % 512;
                input.offset &= !63 & (ARENA * 2 - 1);
            }
            if let Ok(request) = RawRequest::new(record).check(&signature(), ARENA) {
                for span in request.inputs().iter().chain(request.outputs()) {
                    prop_assert!(span.offset().checked_add(span.bytes()).unwrap() <= ARENA);
                    prop_assert_eq!(span.offset() % TENSOR_ALIGNMENT, 0);
                }
            }
        }

        #[test]
        fn any_words_are_judged_without_panic(words in prop::collection::vec(any::<u64>(), 64)) {
            let words: [u64; 64] = words.try_into().unwrap();
            let _ = RawRequest::new(bytemuck::cast(words)).check(&signature(), ARENA);
        }
    }
}
