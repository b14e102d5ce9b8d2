//! PTX as a tree of statements. Names are not resolved and opcodes are not judged here: that is the
//! work of whoever gives the tree a meaning.

/// What a text says about itself before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header<'t> {
    /// The PTX ISA that it is written in: major, minor.
    pub(crate) version: (u32, u32),
    /// The architecture that it is made for.
    pub(crate) target: Target<'t>,
}

/// A whole PTX text.
#[derive(Debug)]
pub(crate) struct Module<'t> {
    /// Variables outside any function.
    pub(crate) variables: Vec<Variable<'t>>,
    /// Kernels and functions, in the order of the text.
    pub(crate) functions: Vec<Function<'t>>,
}

/// `.target sm_90a`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target<'t> {
    /// As it is written.
    pub(crate) name: &'t str,
    /// Compute capability: major, minor.
    pub(crate) compute: (u32, u32),
    /// `sm_90a` and `sm_100f` run on their own kind alone.
    pub(crate) specific: bool,
}

/// A memory that has a name of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Space {
    /// Any memory: the address says which.
    Generic,
    /// The device's memory.
    Global,
    /// The device's memory, read only.
    Const,
    /// The block's memory.
    Shared,
    /// The thread's memory.
    Local,
    /// Parameters of a kernel or of a call.
    Param,
}

/// The types of registers, variables and instructions, by PTX's own names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Type {
    Pred,
    B8,
    B16,
    B32,
    B64,
    B128,
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
    U16x2,
    S16x2,
    F16,
    F16x2,
    Bf16,
    Bf16x2,
    F32,
    F64,
}

impl Type {
    /// The type that a modifier names.
    pub(crate) fn parse(word: &str) -> Option<Type> {
        Some(match word {
            "pred" => Type::Pred,
            "b8" => Type::B8,
            "b16" => Type::B16,
            "b32" => Type::B32,
            "b64" => Type::B64,
            "b128" => Type::B128,
            "u8" => Type::U8,
            "u16" => Type::U16,
            "u32" => Type::U32,
            "u64" => Type::U64,
            "s8" => Type::S8,
            "s16" => Type::S16,
            "s32" => Type::S32,
            "s64" => Type::S64,
            "u16x2" => Type::U16x2,
            "s16x2" => Type::S16x2,
            "f16" => Type::F16,
            "f16x2" => Type::F16x2,
            "bf16" => Type::Bf16,
            "bf16x2" => Type::Bf16x2,
            "f32" => Type::F32,
            "f64" => Type::F64,
            _ => return None,
        })
    }

    /// Bytes in memory. A predicate has none in PTX; a register of it takes one here.
    pub(crate) fn bytes(self) -> u32 {
        match self {
            Type::Pred | Type::B8 | Type::U8 | Type::S8 => 1,
            Type::B16 | Type::U16 | Type::S16 | Type::F16 | Type::Bf16 => 2,
            Type::B32
            | Type::U32
            | Type::S32
            | Type::U16x2
            | Type::S16x2
            | Type::F32
            | Type::F16x2
            | Type::Bf16x2 => 4,
            Type::B64 | Type::U64 | Type::S64 | Type::F64 => 8,
            Type::B128 => 16,
        }
    }

    /// Bits of a value.
    pub(crate) fn bits(self) -> u32 {
        self.bytes() * 8
    }

    /// Whether it is a signed integer.
    pub(crate) fn is_signed(self) -> bool {
        matches!(self, Type::S8 | Type::S16 | Type::S32 | Type::S64 | Type::S16x2)
    }

    /// Whether it is bits without a meaning.
    pub(crate) fn is_bits(self) -> bool {
        matches!(self, Type::B8 | Type::B16 | Type::B32 | Type::B64 | Type::B128)
    }
}

/// A variable: a name for bytes of a memory.
#[derive(Debug)]
pub(crate) struct Variable<'t> {
    /// Where it is declared.
    pub(crate) line: u32,
    /// Its memory.
    pub(crate) space: Space,
    /// Its name.
    pub(crate) name: &'t str,
    /// Alignment in bytes.
    pub(crate) align: u32,
    /// The type of an element.
    pub(crate) element: Type,
    /// Bytes; `None` when the array is as long as the launch says (`.extern .shared x[]`).
    pub(crate) bytes: Option<u64>,
    /// Initial values of the first elements; the rest is zero.
    pub(crate) initial: Vec<Initial<'t>>,
    /// Declared `.extern`.
    pub(crate) external: bool,
    /// Declared `.visible`.
    pub(crate) visible: bool,
    /// Declared `.attribute(.managed)`: the host uses it by the same address.
    pub(crate) managed: bool,
}

/// The initial value of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Initial<'t> {
    /// These bits, as many as the element has.
    Bits(u64),
    /// The address of a variable or function, plus an offset.
    Address {
        /// The variable or function.
        symbol: &'t str,
        /// Added to its address.
        offset: i64,
    },
}

/// A kernel or a function.
#[derive(Debug)]
pub(crate) struct Function<'t> {
    /// Where it is declared.
    pub(crate) line: u32,
    /// A kernel can be launched; a function can be called.
    pub(crate) is_kernel: bool,
    /// Its name.
    pub(crate) name: &'t str,
    /// What a function returns.
    pub(crate) results: Vec<Variable<'t>>,
    /// Its parameters.
    pub(crate) params: Vec<Variable<'t>>,
    /// `.maxntid` or `.reqntid`: threads in a block.
    pub(crate) max_threads: Option<[u32; 3]>,
    /// `.reqntid`: the block has exactly those threads.
    pub(crate) exact_threads: bool,
    /// What it does; `None` for a declaration.
    pub(crate) body: Option<Vec<Statement<'t>>>,
}

/// One statement of a body.
#[derive(Debug)]
pub(crate) enum Statement<'t> {
    /// `.reg .b32 %r<10>;`
    Registers {
        /// The type of each.
        ty: Type,
        /// The name, or what comes before the number.
        name: &'t str,
        /// How many are numbered; `None` for one register of just this name.
        count: Option<u32>,
    },
    /// A variable of this scope.
    Variable(Variable<'t>),
    /// A place to branch to.
    Label {
        /// Its name.
        name: &'t str,
        /// Where it stands.
        line: u32,
    },
    /// `name: .branchtargets a, b;`
    BranchTargets {
        /// The name of the list.
        name: &'t str,
        /// The labels.
        labels: Vec<&'t str>,
    },
    /// `name: .callprototype (.param .b32 _) _ (.param .b64 _);`
    Prototype {
        /// Its name.
        name: &'t str,
        /// Bytes of each result of a function that is called by it.
        results: Vec<u64>,
        /// Bytes of each parameter.
        params: Vec<u64>,
    },
    /// `{ … }`: names declared inside end with it.
    Scope(Vec<Statement<'t>>),
    /// An instruction.
    Instruction(Instruction<'t>),
}

/// An instruction as it is written.
#[derive(Debug)]
pub(crate) struct Instruction<'t> {
    /// Where it stands.
    pub(crate) line: u32,
    /// `@%p` or `@!%p`.
    pub(crate) guard: Option<Guard<'t>>,
    /// The first word.
    pub(crate) opcode: &'t str,
    /// The words after dots.
    pub(crate) modifiers: Vec<&'t str>,
    /// What it works on.
    pub(crate) operands: Vec<Operand<'t>>,
}

/// The condition of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Guard<'t> {
    /// Runs when the predicate is false.
    pub(crate) negated: bool,
    /// The predicate.
    pub(crate) predicate: &'t str,
}

/// What an instruction works on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand<'t> {
    /// A register, special register, variable, label or function.
    Name(&'t str),
    /// A component of a special register: `%tid.x`.
    Component(&'t str, &'t str),
    /// A variable plus an offset.
    Offset(&'t str, i64),
    /// `!%p`
    Not(&'t str),
    /// An integer.
    Integer(u64),
    /// The bits of a 32-bit float.
    Float32(u32),
    /// The bits of a 64-bit float.
    Float64(u64),
    /// `{a, b}`
    Vector(Vec<Operand<'t>>),
    /// `[base+offset]`; without a base the offset is the address.
    Address {
        /// A register or a variable.
        base: Option<&'t str>,
        /// Added to it, in bytes.
        offset: i64,
    },
    /// `[texture, {x, y}]`
    Sample(&'t str, Vec<Operand<'t>>),
    /// `a|b`: two destinations.
    Pair(Box<Operand<'t>>, Box<Operand<'t>>),
    /// `(a, b)` of a call.
    List(Vec<Operand<'t>>),
    /// `_`: the value is not wanted.
    Discard,
}
