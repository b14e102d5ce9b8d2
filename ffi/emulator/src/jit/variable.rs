//! Variables of a module: what the driver must allocate and fill before a kernel runs.

use std::collections::HashMap;

use super::error::CompileError;
use crate::ptx::{Initial, Module, Space, Variable as Declared};

/// A `.global` or `.const` variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    /// Its name in the module.
    pub(crate) name: String,
    /// Bytes.
    pub(crate) bytes: u64,
    /// Bytes.
    pub(crate) align: u32,
    /// Kernels only read it.
    pub(crate) is_constant: bool,
    /// The host uses it by the same address.
    pub(crate) is_managed: bool,
    /// Other modules and the driver's callers may name it.
    pub(crate) is_visible: bool,
    /// Its first bytes; what follows is zero.
    initial: Vec<u8>,
    /// Where addresses of variables stand in it.
    addresses: Vec<Relocation>,
}

/// An address inside of a variable's initial value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Relocation {
    offset: usize,
    variable: usize,
    addend: i64,
}

impl Variable {
    /// The first bytes of its initial value, given where each variable of the module lies; what
    /// follows them is zero.
    pub(crate) fn initial_bytes(&self, addresses: &[u64]) -> Vec<u8> {
        let mut bytes = self.initial.clone();
        for relocation in &self.addresses {
            let address = addresses[relocation.variable].wrapping_add_signed(relocation.addend);
            let at = relocation.offset;
            bytes[at..at + 8].copy_from_slice(&address.to_le_bytes());
        }
        bytes
    }
}

/// The variables of a module that lie in the device's memory, in the order of the text.
///
/// `function_address` knows the functions whose pointers may stand in initial values.
pub(super) fn variables(
    module: &Module<'_>,
    function_address: impl Fn(&str) -> Option<u64>,
) -> Result<Vec<Variable>, CompileError> {
    let declared: Vec<&Declared<'_>> = module
        .variables
        .iter()
        .filter(|variable| matches!(variable.space, Space::Global | Space::Const))
        .collect();
    let by_name: HashMap<&str, usize> =
        declared.iter().enumerate().map(|(at, variable)| (variable.name, at)).collect();
    declared.iter().map(|variable| described(variable, &by_name, &function_address)).collect()
}

fn described(
    variable: &Declared<'_>,
    by_name: &HashMap<&str, usize>,
    function_address: &impl Fn(&str) -> Option<u64>,
) -> Result<Variable, CompileError> {
    let width = variable.element.bytes() as usize;
    let mut initial = Vec::with_capacity(variable.initial.len() * width);
    let mut addresses = Vec::new();
    for value in &variable.initial {
        match *value {
            Initial::Bits(bits) => initial.extend_from_slice(&bits.to_le_bytes()[..width]),
            Initial::Address { symbol, offset } => {
                if let (0, Some(address)) = (offset, function_address(symbol)) {
                    initial.extend_from_slice(&address.to_le_bytes());
                    continue;
                }
                let Some(&target) = by_name.get(symbol) else {
                    let reason = format!("the address of {symbol} is not supported as a value");
                    return Err(CompileError::invalid(variable.line, reason));
                };
                let at = initial.len();
                addresses.push(Relocation { offset: at, variable: target, addend: offset });
                initial.extend_from_slice(&[0; 8]);
            }
        }
    }
    Ok(Variable {
        name: variable.name.to_owned(),
        bytes: variable.bytes.unwrap_or(0),
        align: variable.align,
        is_constant: variable.space == Space::Const,
        is_managed: variable.managed,
        is_visible: variable.visible,
        initial,
        addresses,
    })
}
