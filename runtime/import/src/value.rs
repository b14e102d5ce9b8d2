//! What is known of a value of the graph while it is lowered: a program over views of buffers.
//!
//! Nothing is computed for reshapes, transposes, slices and broadcasts: they only change how a
//! value is seen. Elementwise operators are not computed either, until somebody needs the elements
//! in memory: so a chain of them becomes one operation.

use gpumux_plan::{BufferIndex, Domain, Element, Instruction, OPERANDS_MAX, Program};
use tract_onnx::prelude::TDim;

use crate::dims::{one, product, row_major, zero};

/// How the elements of a buffer are seen along the dimensions of a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct View {
    pub(crate) buffer: BufferIndex,
    /// What the buffer holds, which a program converts when it loads.
    pub(crate) element: Element,
    pub(crate) offset: TDim,
    pub(crate) strides: Vec<TDim>,
}

/// A value: for every index, the result of a program on the elements that its views show there.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) extents: Vec<TDim>,
    pub(crate) element: Element,
    pub(crate) operands: Vec<View>,
    pub(crate) program: Program,
    /// The product that this is the result of, while nothing else can see that result: whoever
    /// adds a bias may then let the product add it.
    pub(crate) product: Option<usize>,
}

/// The numbers in which elements of this type are computed.
pub(crate) fn domain(element: Element) -> Domain {
    match element {
        Element::F32 => Domain::Real,
        Element::I64 | Element::I32 | Element::Bool => Domain::Whole,
    }
}

impl Value {
    /// A buffer's elements, one after the other.
    pub(crate) fn dense(buffer: BufferIndex, element: Element, extents: Vec<TDim>) -> Self {
        let strides = row_major(&extents);
        Self::seen(View { buffer, element, offset: zero(), strides }, extents)
    }

    /// A buffer's elements as a view shows them.
    pub(crate) fn seen(view: View, extents: Vec<TDim>) -> Self {
        let program = Program::copy(domain(view.element));
        Self { extents, element: view.element, operands: vec![view], program, product: None }
    }

    /// A number, everywhere.
    pub(crate) fn number(number: Instruction, element: Element, extents: Vec<TDim>) -> Self {
        let program = Program { domain: domain(element), instructions: vec![number] };
        Self { extents, element, operands: Vec::new(), program, product: None }
    }

    /// The view, where the value is nothing but elements in memory.
    pub(crate) fn plain(&self) -> Option<&View> {
        match self.operands.as_slice() {
            [view] if self.program.is_copy() && view.element == self.element => Some(view),
            _ => None,
        }
    }

    /// The view, where the elements lie in memory one after the other.
    pub(crate) fn row_major(&self) -> Option<&View> {
        let wanted = row_major(&self.extents);
        let same = |view: &&View| {
            let mut dims = view.strides.iter().zip(&wanted).zip(&self.extents);
            dims.all(|((own, wanted), extent)| *extent == one() || own == wanted)
        };
        self.plain().filter(same)
    }

    /// Whether its instructions compute with numbers that `domain` also has.
    pub(crate) fn is_in(&self, domain: Domain) -> bool {
        self.program.domain == domain
    }

    fn with(&self, extents: Vec<TDim>, change: impl Fn(&mut View)) -> Self {
        let mut value = Self { extents, ..self.clone() };
        value.operands.iter_mut().for_each(change);
        value
    }

    /// Sees that it has a dimension; a graph of a stranger may name any.
    pub(crate) fn check_axis(&self, axis: usize) -> Result<(), String> {
        if axis < self.extents.len() {
            return Ok(());
        }
        let rank = self.extents.len();
        Err(format!("it names dimension {axis} of a tensor that has {rank}"))
    }

    pub(crate) fn insert_axis(&self, at: usize) -> Self {
        let mut extents = self.extents.clone();
        extents.insert(at, one());
        self.with(extents, |view| view.strides.insert(at, zero()))
    }

    pub(crate) fn remove_axis(&self, at: usize) -> Self {
        let mut extents = self.extents.clone();
        extents.remove(at);
        self.with(extents, |view| {
            view.strides.remove(at);
        })
    }

    pub(crate) fn move_axis(&self, from: usize, to: usize) -> Self {
        fn moved<T>(list: &mut Vec<T>, from: usize, to: usize) {
            let one = list.remove(from);
            list.insert(to, one);
        }
        let mut extents = self.extents.clone();
        moved(&mut extents, from, to);
        self.with(extents, |view| moved(&mut view.strides, from, to))
    }

    pub(crate) fn slice(&self, axis: usize, start: &TDim, end: &TDim) -> Self {
        let mut extents = self.extents.clone();
        extents[axis] = end.clone() - start;
        let sliced = self.with(extents, |view| {
            view.offset = view.offset.clone() + view.strides[axis].clone() * start;
        });
        Self { product: None, ..sliced }
    }

    /// The same elements for every index of the dimensions that were 1 and are larger in `extents`.
    pub(crate) fn broadcast(&self, extents: &[TDim]) -> Self {
        let grown = self.extents != extents;
        let value = self.with(extents.to_vec(), |view| {
            for (axis, stride) in view.strides.iter_mut().enumerate() {
                if self.extents[axis] == one() && extents[axis] != one() {
                    *stride = zero();
                }
            }
        });
        Self { product: value.product.filter(|_| !grown), ..value }
    }

    /// The dimensions `from`, which begin at `at`, seen as `to`; `None` where the elements would
    /// have to move.
    pub(crate) fn reshape(&self, at: usize, from: &[TDim], to: &[TDim]) -> Option<Self> {
        let range = at..at + from.len();
        let mut value = self.clone();
        for view in &mut value.operands {
            let strides = regroup(from, &view.strides[range.clone()], to)?;
            view.strides.splice(range.clone(), strides);
        }
        value.extents.splice(range, to.iter().cloned());
        Some(value)
    }

    /// Adds `other`'s views to ours and returns its program in terms of all of them, or `None`
    /// where there would be too many. Both have the same extents.
    pub(crate) fn join(&mut self, other: &Value) -> Option<Vec<Instruction>> {
        let mut places = Vec::new();
        for view in &other.operands {
            let place = match self.operands.iter().position(|own| own == view) {
                Some(place) => place,
                None => {
                    self.operands.push(view.clone());
                    self.operands.len() - 1
                }
            };
            places.push(u8::try_from(place).ok()?);
        }
        let moved = |instruction: &Instruction| match instruction {
            Instruction::Load(operand) => Instruction::Load(places[usize::from(*operand)]),
            other => *other,
        };
        let fits = self.operands.len() <= OPERANDS_MAX;
        fits.then(|| other.program.instructions.iter().map(moved).collect())
    }
}

/// Strides for `to` that show the same elements as `strides` do for `from`.
fn regroup(from: &[TDim], strides: &[TDim], to: &[TDim]) -> Option<Vec<TDim>> {
    let mut dims: Vec<_> = from.iter().zip(strides).filter(|(dim, _)| **dim != one()).collect();
    let mut wanted: Vec<usize> = (0..to.len()).filter(|&axis| to[axis] != one()).collect();
    let mut regrouped = vec![zero(); to.len()];

    // Dimensions that both begin or end with stay as they are.
    while let (Some((dim, stride)), Some(&axis)) = (dims.first(), wanted.first())
        && **dim == to[axis]
    {
        regrouped[axis] = (*stride).clone();
        dims.remove(0);
        wanted.remove(0);
    }
    while let (Some((dim, stride)), Some(&axis)) = (dims.last(), wanted.last())
        && **dim == to[axis]
    {
        regrouped[axis] = (*stride).clone();
        dims.pop();
        wanted.pop();
    }
    let Some((_, innermost)) = dims.last() else {
        return wanted.is_empty().then_some(regrouped);
    };
    let innermost = (*innermost).clone();
    // What is left must be one run of equal steps, to be cut anew.
    let even = dims.windows(2).all(|pair| *pair[0].1 == pair[1].1.clone() * pair[1].0);
    if !even {
        return None;
    }
    for (place, &axis) in wanted.iter().enumerate() {
        let inner: Vec<TDim> = wanted[place + 1..].iter().map(|&axis| to[axis].clone()).collect();
        regrouped[axis] = product(&inner) * &innermost;
    }
    Some(regrouped)
}

#[cfg(test)]
mod tests {
    use tract_onnx::prelude::{Symbol, SymbolScope};

    use super::*;

    fn symbols() -> (SymbolScope, Symbol, Symbol) {
        let scope = SymbolScope::default();
        let (batch, length) = (scope.sym("batch"), scope.sym("length"));
        (scope, batch, length)
    }

    fn tokens(batch: &Symbol, length: &Symbol) -> Value {
        let extents = vec![batch.into(), length.into(), TDim::Val(384)];
        Value::dense(BufferIndex(0), Element::F32, extents)
    }

    #[test]
    fn a_dimension_that_is_split_and_moved_is_still_the_same_memory() {
        let (_scope, batch, length) = symbols();
        let value = tokens(&batch, &length);
        let split = value.reshape(2, &[TDim::Val(384)], &[TDim::Val(12), TDim::Val(32)]);
        let heads = split.expect("splitting moves nothing").move_axis(1, 2);
        let strides = &heads.operands[0].strides;
        let length: TDim = length.into();
        assert_eq!(strides[..], [length * 384, TDim::Val(32), TDim::Val(384), TDim::Val(1)]);
        assert!(heads.row_major().is_none());
    }

    #[test]
    fn dimensions_that_were_moved_apart_cannot_be_merged() {
        let (_scope, batch, length) = symbols();
        let value = tokens(&batch, &length);
        let (b, l): (TDim, TDim) = (batch.into(), length.into());
        let both = [b.clone(), l.clone()];
        let merged = value.reshape(0, &both, &[b.clone() * &l]);
        assert!(merged.expect("neighbours in memory").row_major().is_some());
        let moved = value.move_axis(0, 1);
        assert!(moved.reshape(0, &[l.clone(), b.clone()], &[l * &b]).is_none());
    }

    #[test]
    fn dimensions_of_one_come_and_go_freely() {
        let (_scope, batch, length) = symbols();
        let value = tokens(&batch, &length).move_axis(0, 1);
        let (b, l): (TDim, TDim) = (batch.into(), length.into());
        let with = value.reshape(0, &[l.clone(), b.clone()], &[one(), l.clone(), one(), b.clone()]);
        let with = with.expect("nothing moves");
        assert_eq!(with.operands[0].strides[1], value.operands[0].strides[0]);
        let without = with.remove_axis(2).remove_axis(0);
        assert_eq!(without.operands[0], value.operands[0]);
    }

    #[test]
    fn a_slice_and_a_broadcast_only_change_the_view() {
        let (_scope, batch, length) = symbols();
        let (b, l): (TDim, TDim) = (batch.into(), length.into());
        let table = Value::dense(BufferIndex(3), Element::F32, vec![one(), 512.into(), 4.into()]);
        let rows = table.slice(1, &TDim::Val(2), &(l.clone() + 2)).broadcast(&[b, l, 4.into()]);
        let view = rows.plain().expect("nothing is computed");
        assert_eq!(view.offset, TDim::Val(8));
        assert_eq!(view.strides[..], [zero(), TDim::Val(4), one()]);
    }
}
