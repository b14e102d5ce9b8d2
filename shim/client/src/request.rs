//! A request while the peer fills it: tensors are written where the worker will read them.

use crate::channel::{Channel, Held};
use crate::element::Element;
use crate::error::SubmitError;
use crate::pending::Pending;
use crate::slots::Presented;
use gpumux_wire::geometry::TENSOR_ALIGNMENT;
use gpumux_wire::record::{InputRecord, OutputRecord, RequestRecord, TENSORS_MAX};
use gpumux_wire::signature::{Signature, TensorSpec};
use std::sync::Arc;
use std::time::Duration;

/// How a request is to be treated.
#[derive(Clone, Copy, Debug, Default)]
pub struct SubmitOptions {
    /// How long it may wait for its batch to begin, from when the worker reads it. `None` is no
    /// limit. What is presented again after the daemon's death has what is left of it since the
    /// submission.
    pub budget: Option<Duration>,
}

/// A request that is being filled. Dropping it gives its room back.
#[derive(Debug)]
pub struct Request {
    held: Held,
    written: [bool; TENSORS_MAX],
}

/// Where each tensor of a request of `length` lies, from its block's start: inputs, then outputs.
pub(crate) fn layout(signature: &Signature, length: u32) -> impl Iterator<Item = (u64, u64)> + '_ {
    let mut end = 0u64;
    signature.inputs.iter().chain(&signature.outputs).map(move |tensor| {
        // The daemon checked the signature at the longest length, so nothing here overflows.
        let bytes = tensor.bytes(length).expect("a checked signature");
        let offset = end;
        end += bytes.next_multiple_of(TENSOR_ALIGNMENT);
        (offset, bytes)
    })
}

/// What the worker is told of a request.
pub(crate) fn record(signature: &Signature, request: &Presented) -> RequestRecord {
    let small = |count: usize| u32::try_from(count).expect("a checked signature");
    let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX).max(1);
    let mut record = RequestRecord {
        generation: request.generation,
        input_count: small(signature.inputs.len()),
        output_count: small(signature.outputs.len()),
        budget_us: request.budget.map_or(0, micros),
        ..RequestRecord::default()
    };
    let mut places = layout(signature, request.length);
    for (entry, (spec, (offset, _))) in
        record.inputs.iter_mut().zip(signature.inputs.iter().zip(&mut places))
    {
        *entry = InputRecord {
            offset: request.offset + offset,
            element: spec.element.code(),
            rank: small(spec.dims.len()),
            dims: spec.dims_at(request.length),
        };
    }
    for (entry, (offset, bytes)) in record.outputs.iter_mut().zip(places) {
        *entry = OutputRecord { offset: request.offset + offset, capacity: bytes };
    }
    record
}

impl Request {
    pub(crate) fn reserve(channel: &Arc<Channel>, length: u32) -> Result<Self, SubmitError> {
        let end = layout(&channel.signature, length).last();
        let bytes = end.map_or(0, |(offset, bytes)| offset + bytes);
        let held = channel.reserve(length, bytes)?;
        Ok(Self { held, written: [false; TENSORS_MAX] })
    }

    /// The request's length.
    pub fn length(&self) -> u32 {
        self.held.length
    }

    /// An input, to be written in place. What it holds before is left over from earlier requests of
    /// this process.
    ///
    /// # Errors
    /// [`SubmitError::UnknownInput`] or [`SubmitError::WrongType`].
    pub fn input_mut<T: Element>(&mut self, name: &str) -> Result<&mut [T], SubmitError> {
        let (index, spec) = self.find(name)?;
        if !T::stands_for(spec.element) {
            return Err(SubmitError::WrongType {
                name: name.to_owned(),
                expected: spec.element,
                given: T::NAME.to_owned(),
            });
        }
        self.written[index] = true;
        let bytes = self.bytes_of(index);
        Ok(bytemuck::cast_slice_mut(bytes))
    }

    /// Copies an input from elsewhere, its shape checked.
    ///
    /// # Errors
    /// [`SubmitError`]: no such input, another type, or another shape.
    pub fn write<T: Element>(
        &mut self,
        name: &str,
        dims: &[u32],
        elements: &[T],
    ) -> Result<(), SubmitError> {
        let length = self.held.length;
        let (_, spec) = self.find(name)?;
        let expected = &spec.dims_at(length)[..spec.dims.len()];
        let count: u64 = dims.iter().map(|dim| u64::from(*dim)).product();
        if dims != expected || count != elements.len() as u64 {
            let (spec, given) = (spec.clone(), dims.to_vec());
            return Err(SubmitError::WrongShape { spec, given, length });
        }
        self.input_mut::<T>(name)?.copy_from_slice(elements);
        Ok(())
    }

    /// What the function takes and gives.
    pub fn signature(&self) -> &Signature {
        &self.held.channel.signature
    }

    /// An input's bytes by its index in the signature, whatever their type, to be written in place.
    /// Unlike [`Request::input_mut`] it does not count as written: see [`Request::mark_written`].
    ///
    /// Where views of other languages look at it, the place is the same until the request is
    /// submitted or dropped, and no place of this process's after that.
    ///
    /// # Errors
    /// [`SubmitError::NoInput`].
    pub fn input_at(&mut self, index: usize) -> Result<&mut [u8], SubmitError> {
        self.check_index(index)?;
        Ok(self.bytes_of(index))
    }

    /// Says that an input has been written by way of [`Request::input_at`].
    ///
    /// # Errors
    /// [`SubmitError::NoInput`].
    pub fn mark_written(&mut self, index: usize) -> Result<(), SubmitError> {
        self.check_index(index)?;
        self.written[index] = true;
        Ok(())
    }

    fn check_index(&self, index: usize) -> Result<(), SubmitError> {
        let count = self.signature().inputs.len();
        if index < count { Ok(()) } else { Err(SubmitError::NoInput { index, count }) }
    }

    /// Hands the request to the worker.
    ///
    /// # Errors
    /// [`SubmitError::MissingInput`], or the channel is lost.
    pub fn submit(self, options: SubmitOptions) -> Result<Pending, SubmitError> {
        let channel = &self.held.channel;
        if channel.control.fork.forked() {
            return Err(SubmitError::Forked);
        }
        let unwritten =
            self.written.iter().zip(&channel.signature.inputs).find(|(done, _)| !**done);
        if let Some((_, spec)) = unwritten {
            return Err(SubmitError::MissingInput { name: spec.name.clone() });
        }
        channel.submit(&self.held, options.budget)?;
        Ok(Pending::new(self.held))
    }

    fn find(&self, name: &str) -> Result<(usize, &TensorSpec), SubmitError> {
        let inputs = &self.held.channel.signature.inputs;
        inputs.iter().enumerate().find(|(_, spec)| spec.name == name).ok_or_else(|| {
            SubmitError::UnknownInput { name: name.to_owned(), known: names(inputs) }
        })
    }

    fn bytes_of(&mut self, index: usize) -> &mut [u8] {
        let signature = &self.held.channel.signature;
        let (offset, bytes) = layout(signature, self.held.length).nth(index).expect("it was found");
        let start = self.held.channel.tensor(self.held.offset + offset, bytes);
        let bytes = usize::try_from(bytes).expect("the arena is mapped");
        // SAFETY: the bytes are in the mapped arena, in the block that the allocator gave to this
        // request alone. The worker does not look at them before `submit`, which consumes `self`;
        // every byte pattern is a `u8`.
        unsafe { std::slice::from_raw_parts_mut(start, bytes) }
    }
}

/// The names of tensors, for an error.
pub(crate) fn names(tensors: &[TensorSpec]) -> String {
    let names: Vec<String> = tensors.iter().map(|tensor| format!("`{}`", tensor.name)).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
