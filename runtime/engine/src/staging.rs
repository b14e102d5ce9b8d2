//! Requests' tensors in the bytes that travel with a batch: padded in, cut out.
//!
//! These copy between slices of our own. A worker that copies from a peer's memory takes the same
//! [`Run`]s from the plan and moves the bytes itself.

use gpumux_plan::{Element, Run, Slot};

/// What padding is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fill {
    /// An integer.
    Whole(i64),
    /// A float.
    Real(f32),
}

impl Fill {
    /// The bytes of one element, or `None` where the type cannot hold the value exactly.
    pub fn bytes(self, element: Element) -> Option<Vec<u8>> {
        Some(match (self, element) {
            (Fill::Whole(value), Element::I64) => value.to_ne_bytes().to_vec(),
            (Fill::Whole(value), Element::I32) => i32::try_from(value).ok()?.to_ne_bytes().to_vec(),
            (Fill::Whole(value @ 0..=1), Element::Bool) => vec![u8::from(value == 1)],
            (Fill::Whole(value), Element::F32) => {
                f32::from(i16::try_from(value).ok()?).to_ne_bytes().to_vec()
            }
            (Fill::Real(value), Element::F32) => value.to_ne_bytes().to_vec(),
            (Fill::Real(_), _) | (Fill::Whole(_), Element::Bool) => return None,
        })
    }
}

/// Fills the part of a slot that belongs to a request with one element, again and again.
///
/// # Panics
/// When `block` is shorter than the slot, or `element` is not one element.
pub fn fill(slot: &Slot, request: usize, element: &[u8], block: &mut [u8]) {
    let begin = part(slot, request);
    let bytes = index(slot.bytes_per_request());
    for to in block[begin..begin + bytes].chunks_exact_mut(element.len()) {
        to.copy_from_slice(element);
    }
}

/// Copies a request's tensor into its part of a slot, run by run.
///
/// # Panics
/// When `block` is shorter than the slot, or `tensor` than the runs.
pub fn put(slot: &Slot, request: usize, run: Run, tensor: &[u8], block: &mut [u8]) {
    for (to, from) in places(slot, request, run) {
        let bytes = index(run.bytes);
        block[to..to + bytes].copy_from_slice(&tensor[from..from + bytes]);
    }
}

/// Copies a request's tensor out of its part of a slot, run by run. `block` begins `skipped` bytes
/// into the plan's block.
///
/// # Panics
/// When `block` is shorter than the slot, or `tensor` than the runs.
pub fn take(slot: &Slot, request: usize, run: Run, block: &[u8], skipped: u64, tensor: &mut [u8]) {
    for (from, to) in places(slot, request, run) {
        let (from, bytes) = (from - index(skipped), index(run.bytes));
        tensor[to..to + bytes].copy_from_slice(&block[from..from + bytes]);
    }
}

/// For each run, where it begins in the block and in the tensor.
fn places(slot: &Slot, request: usize, run: Run) -> impl Iterator<Item = (usize, usize)> + use<> {
    let begin = part(slot, request);
    let (pitch, bytes) = (index(run.pitch), index(run.bytes));
    (0..index(run.count)).map(move |run| (begin + run * pitch, run * bytes))
}

fn part(slot: &Slot, request: usize) -> usize {
    index(slot.offset()) + request * index(slot.bytes_per_request())
}

fn index(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a block fits in memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fill_is_exact_or_refused() {
        let check = |fill: Fill, element, expected: Option<&[u8]>| {
            assert_eq!(fill.bytes(element).as_deref(), expected);
        };
        check(Fill::Whole(-2), Element::I64, Some(&(-2i64).to_ne_bytes()));
        check(Fill::Whole(7), Element::I32, Some(&7i32.to_ne_bytes()));
        check(Fill::Whole(1 << 40), Element::I32, None);
        check(Fill::Whole(3), Element::F32, Some(&3f32.to_ne_bytes()));
        check(Fill::Whole(1 << 40), Element::F32, None);
        check(Fill::Real(0.5), Element::F32, Some(&0.5f32.to_ne_bytes()));
        check(Fill::Real(0.5), Element::I64, None);
        check(Fill::Whole(1), Element::Bool, Some(&[1]));
        check(Fill::Whole(2), Element::Bool, None);
    }
}
