//! Loads, stores, fences and the conversion of addresses.

use cranelift_codegen::ir::{InstBuilder, Value, types};

use super::Lowered;
use super::function::{Lowering, clif, constant_flags, memory_flags};
use super::modifiers::Modifiers;
use super::movement::bits_of;
use super::operands::exactly;
use super::pointer::{Intent, SPACES};
use crate::ptx::{Instruction, Operand, Space, Type};

const LOADABLE: &[Type] = &[
    Type::B8,
    Type::B16,
    Type::B32,
    Type::B64,
    Type::U8,
    Type::U16,
    Type::U32,
    Type::U64,
    Type::S8,
    Type::S16,
    Type::S32,
    Type::S64,
    Type::F32,
    Type::F64,
];

/// How strong the order of an access is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strength {
    Weak,
    /// Volatile, relaxed, acquire and release: each is at most what the host's atomic access is.
    Strong,
}

/// How far the order reaches; on the host it is all the same.
pub(super) const SCOPES: &[(&str, ())] = &[("cta", ()), ("gpu", ()), ("sys", ())];

/// An access whose modifiers are understood.
struct Access {
    strength: Strength,
    space: Space,
    lanes: u32,
    ty: Type,
    /// Nothing writes there while the kernel runs.
    fixed: bool,
}

impl<'t> Lowering<'_, '_, 't> {
    /// `ld`, `ldu`
    pub(super) fn load(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let mut access = access(inst.opcode, &mut modifiers)?;
        modifiers.finish()?;
        let [target, address] = exactly(inst)?;
        access.fixed = access.space == Space::Param && self.is_kernel_param(address);
        self.reads_others |= access.strength == Strength::Strong;
        self.reads_frame |= self.lies_in_frame(address);
        let bytes = access.ty.bytes() * access.lanes;
        let pointer = self.access(access.space, address, bytes, Intent::Read)?;
        let targets = lanes(target, access.lanes)?;
        for (at, target) in (0u32..).zip(targets) {
            let value = self.load_one(&access, pointer, at);
            self.write_wide(target, access.ty, value)?;
        }
        Ok(())
    }

    fn load_one(&mut self, access: &Access, pointer: Value, at: u32) -> Value {
        let offset = access.ty.bytes() * at;
        if access.strength == Strength::Weak {
            let offset = i32::try_from(offset).unwrap_or(0);
            let flags = if access.fixed { constant_flags() } else { memory_flags() };
            return self.builder.ins().load(clif(access.ty), flags, pointer, offset);
        }
        let pointer = self.builder.ins().iadd_imm_s(pointer, i64::from(offset));
        let bits = clif(bits_of(access.ty));
        let value = self.builder.ins().atomic_load(bits, memory_flags(), pointer);
        self.same_bits(value, access.ty)
    }

    /// `st`
    pub(super) fn store(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let access = access(inst.opcode, &mut modifiers)?;
        modifiers.finish()?;
        if access.space == Space::Const {
            return Err("constant memory is not written".into());
        }
        let [address, source] = exactly(inst)?;
        if access.space == Space::Param && self.is_kernel_param(address) {
            return Err("parameters of a kernel are not written".into());
        }
        let sources = lanes(source, access.lanes)?;
        let values = sources
            .into_iter()
            .map(|source| self.read_low(source, access.ty))
            .collect::<Lowered<Vec<Value>>>()?;
        let bytes = access.ty.bytes() * access.lanes;
        let pointer = self.access(access.space, address, bytes, Intent::Write)?;
        for (at, value) in (0u32..).zip(values) {
            self.store_one(&access, pointer, at, value);
        }
        Ok(())
    }

    fn store_one(&mut self, access: &Access, pointer: Value, at: u32, value: Value) {
        let offset = access.ty.bytes() * at;
        if access.strength == Strength::Weak {
            let offset = i32::try_from(offset).unwrap_or(0);
            self.builder.ins().store(memory_flags(), value, pointer, offset);
            return;
        }
        let pointer = self.builder.ins().iadd_imm_s(pointer, i64::from(offset));
        let value = self.same_bits(value, bits_of(access.ty));
        self.builder.ins().atomic_store(memory_flags(), value, pointer);
    }

    /// `prefetch`, `prefetchu`: there are no caches to fill, and no address that it could fault at.
    pub(super) fn prefetch(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        if inst.opcode == "prefetchu" {
            modifiers.require(&[("L1", ())])?;
        } else {
            modifiers.choose(&[("global", ()), ("local", ())]);
            modifiers.require(&[
                ("L1", ()),
                ("L2", ()),
                ("L2::evict_last", ()),
                ("L2::evict_normal", ()),
            ])?;
        }
        modifiers.finish()?;
        let [address] = exactly(inst)?;
        self.address(address).map(|_| ())
    }

    /// `membar`, `fence`
    pub(super) fn fence(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        if inst.opcode == "membar" {
            modifiers.require(&[("cta", ()), ("gl", ()), ("sys", ())])?;
        } else {
            modifiers.choose(&[("sc", ()), ("acq_rel", ())]);
            modifiers.require(SCOPES)?;
        }
        modifiers.finish()?;
        let [] = exactly(inst)?;
        self.builder.ins().fence();
        Ok(())
    }

    /// `cvta`: from an address of a memory to a generic one, or `.to` back.
    pub(super) fn convert_address(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let back = modifiers.accept("to");
        let space = modifiers.require(SPACES)?;
        modifiers.ty(&[Type::U64])?;
        modifiers.finish()?;
        let [target, source] = exactly(inst)?;
        let value = match source {
            Operand::Name(name) if self.register(name).is_none() => self.named(name, 0, space)?,
            Operand::Offset(name, offset) => self.named(name, *offset, space)?,
            _ => self.read(source, Type::U64)?,
        };
        let window = Self::window_of(space)?;
        let window = self.constant(types::I64, window);
        let value = if back {
            self.builder.ins().isub(value, window)
        } else {
            self.builder.ins().iadd(value, window)
        };
        self.write(target, Type::U64, value)
    }

    fn named(&mut self, name: &str, offset: i64, space: Space) -> Lowered<Value> {
        if self.place(name).is_some_and(|place| place.space != space) {
            return Err("the variable lies in another memory".into());
        }
        self.address_of(name, offset)
    }
}

/// Reads the modifiers of a load or store.
fn access(opcode: &str, modifiers: &mut Modifiers<'_, '_>) -> Lowered<Access> {
    let load = opcode != "st";
    let order = if load { "acquire" } else { "release" };
    let mut strength = Strength::Weak;
    if modifiers.accept("volatile") {
        strength = Strength::Strong;
    } else if modifiers.accept("relaxed") || modifiers.accept(order) {
        strength = Strength::Strong;
        modifiers.require(SCOPES)?;
    } else {
        modifiers.accept("weak");
    }
    let space = modifiers.choose(SPACES).unwrap_or(Space::Generic);
    if strength == Strength::Weak {
        cache_hints(load, space, modifiers);
    }
    let lanes = modifiers.choose(&[("v2", 2), ("v4", 4)]).unwrap_or(1);
    let ty = modifiers.ty(LOADABLE)?;
    if ty.bytes() * lanes > 16 {
        return Err("an access is at most 16 bytes".into());
    }
    Ok(Access { strength, space, lanes, ty, fixed: false })
}

/// What the text says about caches changes nothing that a program can see.
fn cache_hints(load: bool, space: Space, modifiers: &mut Modifiers<'_, '_>) {
    if load {
        modifiers.choose(&[("ca", ()), ("cg", ()), ("cs", ()), ("lu", ()), ("cv", ())]);
        if space == Space::Global {
            modifiers.accept("nc");
        }
    } else {
        modifiers.choose(&[("wb", ()), ("cg", ()), ("cs", ()), ("wt", ())]);
    }
    modifiers.choose(&[
        ("L1::evict_normal", ()),
        ("L1::evict_unchanged", ()),
        ("L1::evict_first", ()),
        ("L1::evict_last", ()),
        ("L1::no_allocate", ()),
    ]);
    if load {
        modifiers.choose(&[("L2::64B", ()), ("L2::128B", ()), ("L2::256B", ())]);
    }
}

/// The operands of a vector access, or the single one.
pub(super) fn lanes<'i, 't>(operand: &'i Operand<'t>, count: u32) -> Lowered<Vec<&'i Operand<'t>>> {
    match operand {
        Operand::Vector(lanes) if lanes.len() == count as usize => Ok(lanes.iter().collect()),
        Operand::Vector(_) => Err("the number of elements is wrong".into()),
        _ if count == 1 => Ok(vec![operand]),
        _ => Err("expected a vector of operands".into()),
    }
}
