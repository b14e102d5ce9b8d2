//! Functions that compiled code calls, and the table by which the compiler knows them. What takes a
//! few instructions is emitted in line; what is rare, or better said in Rust, stands here.

mod atomics;
mod bits;
mod clock;
mod exact;
mod function;
mod half;
mod heap;
mod math;
mod memory;
mod print;
mod rounding;
mod simd;
mod sync;

use cranelift_codegen::ir::{Type, types};

pub(super) use half::Eighth;
pub(super) use rounding::Rounding;
pub(super) use simd::PackedOp;

/// Declares the table: a name for the compiler, the function, its parameters and its result.
macro_rules! helpers {
    ($($name:ident = $path:path : ($($param:ident),*) $(-> $result:ident)?;)*) => {
        /// A function that compiled code may call; each is documented where it is defined.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(super) enum Helper { $($name,)* }

        impl Helper {
            /// All of them.
            pub(super) const ALL: &[Helper] = &[$(Helper::$name,)*];

            /// The symbol by which compiled code is linked to it.
            pub(super) fn symbol(self) -> &'static str {
                match self { $(Helper::$name => concat!("helper.", stringify!($name)),)* }
            }

            /// Where it is.
            pub(super) fn address(self) -> *const u8 {
                match self { $(Helper::$name => $path as *const u8,)* }
            }

            /// Its parameters and its result.
            pub(super) fn signature(self) -> (&'static [Type], Option<Type>) {
                match self {
                    $(Helper::$name => (&[$(types::$param),*], helpers!(@result $($result)?)),)*
                }
            }
        }
    };
    (@result) => { None };
    (@result $result:ident) => { Some(types::$result) };
}

helpers! {
    GlobalAccess = memory::global_access: (I64, I64, I32) -> I32;
    GenericAccess = memory::generic_access: (I64, I64, I64, I32, I32) -> I64;
    OutsideShared = memory::outside_shared: (I64, I64, I32) -> I32;
    OutsideLocal = memory::outside_local: (I64, I64, I32) -> I32;
    OutsideParams = memory::outside_params: (I64, I64, I32) -> I32;
    FindFunction = function::find: (I64, I64, I64, I32) -> I64;
    HeapAllocate = heap::allocate: (I64, I64) -> I64;
    HeapFree = heap::free: (I64, I64) -> I32;
    Print = print::print: (I64, I64, I64, I64) -> I64;
    AssertFail = print::assert_fail: (I64, I64, I64, I64, I64, I32, I32, I32, I32) -> I32;
    AtomicAddF32 = atomics::add_f32: (I64, F32) -> F32;
    AtomicAddF64 = atomics::add_f64: (I64, F64) -> F64;
    AtomicIncrement = atomics::increment: (I64, I32) -> I32;
    AtomicDecrement = atomics::decrement: (I64, I32) -> I32;
    AtomicAddF16 = atomics::add_f16: (I64, I32) -> I32;
    AtomicAddBf16 = atomics::add_bf16: (I64, I32) -> I32;
    AtomicAddF16x2 = atomics::add_f16x2: (I64, I32) -> I32;
    AtomicAddBf16x2 = atomics::add_bf16x2: (I64, I32) -> I32;
    AtomicExchange128 = atomics::exchange128: (I64, I64, I64, I64);
    AtomicCompare128 = atomics::compare128: (I64, I64, I64, I64, I64, I64);
    Barrier = sync::barrier: (I64, I32, I32, I32, I32) -> I32;
    Warp = sync::warp: (I64, I32, I32, I64, I32, I32) -> I64;
    Active = sync::active: (I64, I32) -> I32;
    Poll = sync::poll: (I64, I64) -> I32;
    Trap = sync::trap: (I64) -> I32;
    StackOverflow = sync::stack_overflow: (I64, I64) -> I32;
    Clock = clock::clock: () -> I64;
    GlobalTimer = clock::global_timer: () -> I64;
    Exp2 = math::exp2: (F32) -> F32;
    Log2 = math::log2: (F32) -> F32;
    Sine = math::sine: (F32) -> F32;
    Cosine = math::cosine: (F32) -> F32;
    Tanh = math::tanh: (F32) -> F32;
    Reciprocal64 = math::reciprocal64: (F64) -> F64;
    ReciprocalRoot64 = math::reciprocal_root64: (F64) -> F64;
    AddF32 = rounding::add_f32: (F32, F32, I32) -> F32;
    MulF32 = rounding::mul_f32: (F32, F32, I32) -> F32;
    FmaF32 = rounding::fma_f32: (F32, F32, F32, I32) -> F32;
    DivF32 = rounding::div_f32: (F32, F32, I32) -> F32;
    SqrtF32 = rounding::sqrt_f32: (F32, I32) -> F32;
    AddF64 = rounding::add_f64: (F64, F64, I32) -> F64;
    MulF64 = rounding::mul_f64: (F64, F64, I32) -> F64;
    FmaF64 = rounding::fma_f64: (F64, F64, F64, I32) -> F64;
    DivF64 = rounding::div_f64: (F64, F64, I32) -> F64;
    SqrtF64 = rounding::sqrt_f64: (F64, I32) -> F64;
    NarrowF64 = rounding::narrow_f64: (F64, I32) -> F32;
    SignedToF32 = rounding::signed_to_f32: (I64, I32) -> F32;
    UnsignedToF32 = rounding::unsigned_to_f32: (I64, I32) -> F32;
    SignedToF64 = rounding::signed_to_f64: (I64, I32) -> F64;
    UnsignedToF64 = rounding::unsigned_to_f64: (I64, I32) -> F64;
    F32ToF16 = half::f32_to_f16: (F32, I32) -> I32;
    F64ToF16 = half::f64_to_f16: (F64, I32) -> I32;
    F64ToBf16 = half::f64_to_bf16: (F64, I32) -> I32;
    SignedToF16 = half::signed_to_f16: (I64, I32) -> I32;
    UnsignedToF16 = half::unsigned_to_f16: (I64, I32) -> I32;
    SignedToBf16 = half::signed_to_bf16: (I64, I32) -> I32;
    UnsignedToBf16 = half::unsigned_to_bf16: (I64, I32) -> I32;
    F16ToF32 = half::f16_to_f32: (I32) -> F32;
    F32ToBf16 = half::f32_to_bf16: (F32, I32) -> I32;
    F32ToEighth = half::f32_to_eighth: (F32, I32) -> I32;
    EighthToF16 = half::eighth_to_f16: (I32, I32) -> I32;
    F16Fma = half::f16_fma: (I32, I32, I32) -> I32;
    Bf16Fma = half::bf16_fma: (I32, I32, I32) -> I32;
    Packed = simd::packed: (I32, I32, I32, I32, I32) -> I32;
    Permute = bits::permute: (I32, I32, I32, I32) -> I32;
    Extract = bits::extract: (I64, I32, I32, I32, I32) -> I64;
    Insert = bits::insert: (I64, I64, I32, I32, I32) -> I64;
    FindHighest = bits::find_highest: (I64, I32, I32, I32) -> I32;
}
