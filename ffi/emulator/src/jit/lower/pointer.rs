//! Addresses, and the checks that stand before every access. A pointer that comes from here may be
//! dereferenced: it lies in allocated device memory, in allowed host memory, or in the block's own.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, Value, types};

use super::Lowered;
use super::function::{Lowering, constant_flags, field, memory_flags};
use super::names::{NamedPlace, Place};
use crate::block::GRANULE_BYTES;
use crate::jit::frame::{
    BlockFrame, LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW, ThreadFrame, WINDOW_BYTES,
};
use crate::jit::helpers::Helper;
use crate::ptx::{Operand, Space, Type};

/// The words for memories. `shared::cta` is the block's own, which is all there is without clusters.
pub(super) const SPACES: &[(&str, Space)] = &[
    ("global", Space::Global),
    ("const", Space::Const),
    ("shared", Space::Shared),
    ("shared::cta", Space::Shared),
    ("local", Space::Local),
    ("param", Space::Param),
    ("param::entry", Space::Param),
    ("param::func", Space::Param),
];

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    Read,
    /// Atomics write too.
    Write,
}

/// An address operand, as far as it is known.
pub(super) struct Address {
    /// The variable that it names, and the offset from it.
    named: Option<(NamedPlace, i64)>,
    /// The address in its memory.
    value: Value,
}

impl<'t> Lowering<'_, '_, 't> {
    /// The address of a variable plus an offset, in the variable's memory.
    pub(super) fn address_of(&mut self, name: &str, offset: i64) -> Lowered<Value> {
        let named = self.place(name).ok_or_else(|| format!("{name} is not declared"))?;
        let base = match named.place {
            Place::Global { index } => {
                let table = self.block_field(types::I64, offset_of!(BlockFrame, symbols));
                let at = i32::try_from(index).ok().and_then(|index| index.checked_mul(8));
                let at = at.ok_or("there are too many variables")?;
                self.builder.ins().load(types::I64, constant_flags(), table, at)
            }
            Place::Shared { offset } => self.constant(types::I64, offset),
            Place::DynamicShared => {
                self.block_field(types::I64, offset_of!(BlockFrame, dynamic_shared_offset))
            }
            Place::Local { offset } => {
                self.builder.ins().iadd_imm_s(self.local_base, offset.cast_signed())
            }
            Place::KernelParam { offset } => self.constant(types::I64, u64::from(offset)),
            Place::FunctionParam { .. } | Place::CallParam { .. } => {
                return Err("the address of a function's parameter is not supported".into());
            }
        };
        Ok(if offset == 0 { base } else { self.builder.ins().iadd_imm_s(base, offset) })
    }

    pub(super) fn address(&mut self, operand: &Operand<'t>) -> Lowered<Address> {
        let Operand::Address { base, offset } = operand else {
            return Err("expected an address in brackets".into());
        };
        let Some(name) = base else {
            let value = self.builder.ins().iconst(types::I64, *offset);
            return Ok(Address { named: None, value });
        };
        let Some(register) = self.register(name) else {
            let value = self.address_of(name, *offset)?;
            let named = self.place(name).map(|place| (place, *offset));
            return Ok(Address { named, value });
        };
        let value = match register.ty {
            Type::B64 | Type::U64 | Type::S64 => self.use_register(register.variable),
            Type::B32 | Type::U32 | Type::S32 => {
                let value = self.use_register(register.variable);
                self.builder.ins().uextend(types::I64, value)
            }
            _ => return Err(format!("register {name} cannot hold an address")),
        };
        let value =
            if *offset == 0 { value } else { self.builder.ins().iadd_imm_s(value, *offset) };
        Ok(Address { named: None, value })
    }

    /// A pointer of the host for an access of `bytes` bytes, after all checks.
    pub(super) fn access(
        &mut self,
        space: Space,
        operand: &Operand<'t>,
        bytes: u32,
        intent: Intent,
    ) -> Lowered<Value> {
        if space == Space::Param {
            return self.param_pointer(operand, bytes, intent);
        }
        let address = self.address(operand)?;
        if let Some((place, _)) = address.named {
            let global = matches!(place.space, Space::Global | Space::Const);
            if place.space != space && !(space == Space::Generic && global) {
                return Err("the variable lies in another memory".into());
            }
        }
        Ok(match space {
            Space::Global | Space::Const => {
                self.check_global(address.value, bytes);
                address.value
            }
            Space::Generic => self.generic_pointer(address.value, bytes, intent),
            Space::Shared => {
                if !surely_inside(&address, bytes) {
                    let end = self.block_field(types::I64, offset_of!(BlockFrame, shared_bytes));
                    self.check_own(address.value, bytes, end, Helper::OutsideShared);
                }
                let base = self.block_field(types::I64, offset_of!(BlockFrame, shared));
                self.builder.ins().iadd(base, address.value)
            }
            Space::Local => {
                if !surely_inside(&address, bytes) {
                    let end = self.thread_field(types::I64, offset_of!(ThreadFrame, local_bytes));
                    self.check_own(address.value, bytes, end, Helper::OutsideLocal);
                }
                let base = self.thread_field(types::I64, offset_of!(ThreadFrame, local));
                self.builder.ins().iadd(base, address.value)
            }
            Space::Param => unreachable!("parameters were handled above"),
        })
    }

    /// Most parameters are named, and their offsets are constants.
    fn param_pointer(
        &mut self,
        operand: &Operand<'t>,
        bytes: u32,
        intent: Intent,
    ) -> Lowered<Value> {
        let Operand::Address { base: Some(name), offset } = operand else {
            return Err("expected a parameter".into());
        };
        if self.register(name).is_some() {
            return self.computed_param(operand, bytes, intent);
        }
        let named = self.place(name).ok_or_else(|| format!("{name} is not declared"))?;
        let offset = u64::try_from(*offset).map_err(|_| "the offset is before the parameter")?;
        if offset.checked_add(u64::from(bytes)).is_none_or(|end| end > named.bytes) {
            return Err("the access is past the parameter".into());
        }
        if !offset.is_multiple_of(u64::from(bytes)) {
            return Err("the access is misaligned".into());
        }
        let at = i32::try_from(offset).map_err(|_| "the parameter is too large")?;
        Ok(match named.place {
            Place::KernelParam { .. } if intent == Intent::Write => {
                return Err("a kernel's parameters are not written".into());
            }
            Place::KernelParam { offset } => {
                let base = self.block_field(types::I64, offset_of!(BlockFrame, params));
                self.builder.ins().iadd_imm_s(base, i64::from(offset) + i64::from(at))
            }
            Place::FunctionParam { pointer } => {
                self.builder.ins().iadd_imm_s(pointer, i64::from(at))
            }
            Place::CallParam { slot } => self.builder.ins().stack_addr(types::I64, slot, at),
            Place::Global { .. }
            | Place::Shared { .. }
            | Place::DynamicShared
            | Place::Local { .. } => {
                return Err(format!("{name} is no parameter"));
            }
        })
    }

    /// Whether an operand names a variable that lies in the function's frame on the stack.
    pub(super) fn lies_in_frame(&self, operand: &Operand<'t>) -> bool {
        let Operand::Address { base: Some(name), .. } = operand else { return false };
        matches!(self.place(name), Some(NamedPlace { place: Place::CallParam { .. }, .. }))
    }

    /// Whether an operand names a parameter of the kernel, which nothing writes while it runs.
    pub(super) fn is_kernel_param(&self, operand: &Operand<'t>) -> bool {
        let Operand::Address { base: Some(name), .. } = operand else { return false };
        matches!(self.place(name), Some(NamedPlace { place: Place::KernelParam { .. }, .. }))
    }

    /// A kernel's parameters by an address that the kernel computes.
    fn computed_param(
        &mut self,
        operand: &Operand<'t>,
        bytes: u32,
        intent: Intent,
    ) -> Lowered<Value> {
        if !self.is_kernel {
            return Err("addresses of a function's parameters are not supported".into());
        }
        if intent == Intent::Write {
            return Err("a kernel's parameters are not written".into());
        }
        let address = self.address(operand)?.value;
        let end = self.block_field(types::I64, offset_of!(BlockFrame, param_bytes));
        self.check_own(address, bytes, end, Helper::OutsideParams);
        let base = self.block_field(types::I64, offset_of!(BlockFrame, params));
        Ok(self.builder.ins().iadd(base, address))
    }

    /// `address`, turned so that misaligned bits become the highest: one comparison then refuses what
    /// is misaligned and what is past `end`.
    fn below(&mut self, address: Value, bytes: u32, end: Value) -> Value {
        if bytes == 1 {
            return self.builder.ins().icmp(IntCC::UnsignedLessThan, address, end);
        }
        let shift = i64::from(bytes.trailing_zeros());
        let turned = self.builder.ins().rotr_imm_u(address, shift);
        let end = self.builder.ins().ushr_imm_u(end, shift);
        self.builder.ins().icmp(IntCC::UnsignedLessThan, turned, end)
    }

    /// Checks an access to memory that ends at `end`, a multiple of 16.
    fn check_own(&mut self, address: Value, bytes: u32, end: Value, outside: Helper) {
        let inside = self.below(address, bytes, end);
        let (go_on, fail) = (self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(fail);
        self.builder.ins().brif(inside, go_on, &[], fail, &[]);
        self.builder.switch_to_block(fail);
        let size = self.constant(types::I32, u64::from(bytes));
        self.call(outside, &[self.block_frame, address, size]);
        self.jump_left();
        self.builder.switch_to_block(go_on);
    }

    /// Branches to the first block when the device's window has the access allocated, else to the
    /// second.
    fn branch_on_window(
        &mut self,
        address: Value,
        bytes: u32,
    ) -> (cranelift_codegen::ir::Block, cranelift_codegen::ir::Block) {
        let base = self.block_field(types::I64, offset_of!(BlockFrame, window_base));
        let length = self.block_field(types::I64, offset_of!(BlockFrame, window_bytes));
        let granules = self.block_field(types::I64, offset_of!(BlockFrame, granules));
        let offset = self.builder.ins().isub(address, base);
        let inside = self.below(offset, bytes, length);
        let look = self.builder.create_block();
        let (allowed, other) = (self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(other);
        self.builder.ins().brif(inside, look, &[], other, &[]);
        self.builder.switch_to_block(look);
        let shift = i64::from(GRANULE_BYTES.trailing_zeros());
        let granule = self.builder.ins().ushr_imm_u(offset, shift);
        let entry = self.builder.ins().iadd(granules, granule);
        let state = self.builder.ins().load(types::I8, memory_flags(), entry, field(0));
        self.builder.ins().brif(state, allowed, &[], other, &[]);
        (allowed, other)
    }

    /// Checks an access to global memory.
    fn check_global(&mut self, address: Value, bytes: u32) {
        let (allowed, other) = self.branch_on_window(address, bytes);
        self.builder.switch_to_block(other);
        let size = self.constant(types::I32, u64::from(bytes));
        let status = self.call(Helper::GlobalAccess, &[self.block_frame, address, size]);
        self.leave_unless_done(status);
        self.builder.ins().jump(allowed, &[]);
        self.builder.switch_to_block(allowed);
    }

    /// A pointer for a generic address: mostly global memory, else a helper finds where it lies.
    fn generic_pointer(&mut self, address: Value, bytes: u32, intent: Intent) -> Value {
        let (allowed, other) = self.branch_on_window(address, bytes);
        let go_on = self.builder.create_block();
        let pointer = self.builder.append_block_param(go_on, types::I64);
        self.builder.switch_to_block(allowed);
        self.builder.ins().jump(go_on, &[BlockArg::Value(address)]);
        self.builder.switch_to_block(other);
        let size = self.constant(types::I32, u64::from(bytes));
        let thread = self.thread_frame();
        let writes = self.constant(types::I32, u64::from(intent == Intent::Write));
        let arguments = [self.block_frame, thread, address, size, writes];
        let found = self.call(Helper::GenericAccess, &arguments);
        let missing = self.builder.ins().icmp_imm_s(IntCC::Equal, found, 0);
        self.leave_unless_done(missing);
        self.builder.ins().jump(go_on, &[BlockArg::Value(found)]);
        self.builder.switch_to_block(go_on);
        pointer
    }

    /// Whether a generic address lies in one of the two windows of the block's own memory.
    pub(super) fn in_space_window(&mut self, address: Value, window: u64) -> Value {
        let start = self.constant(types::I64, window);
        let length = self.constant(types::I64, WINDOW_BYTES);
        let offset = self.builder.ins().isub(address, start);
        self.builder.ins().icmp(IntCC::UnsignedLessThan, offset, length)
    }

    /// The distance between addresses of a memory and generic ones.
    pub(super) fn window_of(space: Space) -> Lowered<u64> {
        match space {
            Space::Global | Space::Const => Ok(0),
            Space::Shared => Ok(SHARED_WINDOW),
            Space::Local => Ok(LOCAL_WINDOW),
            Space::Param => Ok(PARAM_WINDOW),
            Space::Generic => Err("expected a memory such as .global".into()),
        }
    }
}

/// An access to a named variable at a constant offset needs no check while the kernel runs.
fn surely_inside(address: &Address, bytes: u32) -> bool {
    let Some((named, offset)) = address.named else { return false };
    let (Place::Shared { offset: start } | Place::Local { offset: start }) = named.place else {
        return false;
    };
    let bytes = u64::from(bytes);
    let Ok(offset) = u64::try_from(offset) else { return false };
    offset.checked_add(bytes).is_some_and(|end| end <= named.bytes)
        && (start + offset).is_multiple_of(bytes)
}
