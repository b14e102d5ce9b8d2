//! The table of weights, and the bytes that go with it: each tensor once, found by its hash.

use std::collections::HashMap;

use gpumux_plan::{ALIGNMENT, Element, Weight};
use tract_onnx::prelude::{DatumType, Tensor};

/// All weights of a model so far; the plans of all its batch sizes share them.
#[derive(Default)]
pub(crate) struct Weights {
    table: Vec<Weight>,
    bytes: Vec<u8>,
    known: HashMap<([u8; 32], Element), u32>,
}

/// How a plan says tract's type, if it can.
pub(crate) fn element(datum: DatumType) -> Option<Element> {
    match datum {
        DatumType::F32 => Some(Element::F32),
        DatumType::I64 => Some(Element::I64),
        DatumType::I32 => Some(Element::I32),
        DatumType::Bool => Some(Element::Bool),
        _ => None,
    }
}

impl Weights {
    /// The number of a tensor in the table, added where it is new.
    pub(crate) fn add(&mut self, tensor: &Tensor) -> Result<u32, String> {
        let element = element(tensor.datum_type())
            .ok_or_else(|| format!("its constant is of type {:?}", tensor.datum_type()))?;
        let plain = tensor.as_bytes();
        let hash = *blake3::hash(plain).as_bytes();
        if let Some(&number) = self.known.get(&(hash, element)) {
            return Ok(number);
        }
        let number = u32::try_from(self.table.len()).map_err(|_| "there are too many constants")?;
        let aligned = self.bytes.len().next_multiple_of(alignment());
        self.bytes.resize(aligned, 0);
        let offset = u64::try_from(aligned).map_err(|_| "the constants are too large")?;
        let elements = u64::try_from(tensor.len()).map_err(|_| "a constant is too large")?;
        self.table.push(Weight { hash, element, elements, offset });
        self.bytes.extend_from_slice(plain);
        self.known.insert((hash, element), number);
        Ok(number)
    }

    /// The table, and the bytes of the weights' file.
    pub(crate) fn finish(self) -> (Vec<Weight>, Vec<u8>) {
        (self.table, self.bytes)
    }
}

fn alignment() -> usize {
    usize::try_from(ALIGNMENT).expect("an alignment is small")
}
