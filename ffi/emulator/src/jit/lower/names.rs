//! What names stand for, scope by scope.

use std::collections::HashMap;

use cranelift_codegen::ir::{Block, StackSlot, Value};
use cranelift_frontend::Variable;

use crate::ptx::{Space, Type};

/// Where a variable lies.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// The device's memory; the address is in the module's table.
    Global { index: u32 },
    /// The block's memory, at this offset.
    Shared { offset: u64 },
    /// The block's memory, where the launch's part begins.
    DynamicShared,
    /// The thread's memory, at this offset of the function's frame.
    Local { offset: u64 },
    /// The kernel's parameter buffer, at this offset.
    KernelParam { offset: u32 },
    /// A parameter or result of the function: the caller says where.
    FunctionParam { pointer: Value },
    /// A parameter or result of a call that this function makes.
    CallParam { slot: StackSlot },
}

/// A variable that the text may name.
#[derive(Clone, Copy, Debug)]
pub(super) struct NamedPlace {
    pub(super) place: Place,
    pub(super) space: Space,
    /// Its length; 0 when the launch says how long it is.
    pub(super) bytes: u64,
}

/// A register.
#[derive(Clone, Copy, Debug)]
pub(super) struct Register {
    pub(super) variable: Variable,
    pub(super) ty: Type,
}

/// A place to branch to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label {
    pub(super) block: Block,
    /// Whether the text has passed it: a branch to it is a loop.
    pub(super) passed: bool,
}

/// What functions that are called through a pointer must look like.
#[derive(Clone, Debug)]
pub(super) struct Prototype {
    /// The number of its combination of parameters and results.
    pub(super) signature: u32,
    /// Bytes of each result.
    pub(super) results: Vec<u64>,
    /// Bytes of each parameter.
    pub(super) params: Vec<u64>,
}

/// The names that one pair of braces declares.
#[derive(Default)]
pub(super) struct Scope<'t> {
    pub(super) registers: HashMap<&'t str, Register>,
    /// `%r<100>`: prefix, type, count. The registers are made when they are first named.
    pub(super) ranges: HashMap<&'t str, (Type, u32)>,
    pub(super) places: HashMap<&'t str, NamedPlace>,
    pub(super) labels: HashMap<&'t str, Label>,
    pub(super) prototypes: HashMap<&'t str, Prototype>,
    pub(super) branch_targets: HashMap<&'t str, Vec<&'t str>>,
}

impl<'t> Scope<'t> {
    /// The type of the numbered register `name`, if a range of this scope declares it.
    pub(super) fn in_range(&self, name: &'t str) -> Option<Type> {
        let digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
        // `%rd12` may belong to `%rd<…>`, and in principle to `%rd1<…>`.
        (1..=digits).rev().find_map(|length| {
            let (prefix, number) = name.split_at(name.len() - length);
            let (ty, count) = self.ranges.get(prefix)?;
            let well_formed = length == 1 || !number.starts_with('0');
            (well_formed && number.parse::<u32>().is_ok_and(|number| number < *count))
                .then_some(*ty)
        })
    }
}
