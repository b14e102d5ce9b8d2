// Elementwise programs: a few loads, arithmetic on a stack of registers, one store.
//
// A table in device memory holds the shape and the program; `map.rs` makes it and has the same
// layout and the same numbers. A thread computes LANES neighbouring elements at once, so that each
// instruction is decoded once for all of them.
#include "warp.cuh"

constexpr u32 LANES = 4;
constexpr u32 RANK = 6;
constexpr u32 OPERANDS = 6;

// Words of the table.
constexpr u32 RANK_AT = 0;
constexpr u32 INSTRUCTIONS_AT = 1;
constexpr u32 EXTENTS_AT = 2;
// The output first, then the operands: the type of the elements, then a stride for each dimension.
constexpr u32 VIEWS_AT = EXTENTS_AT + RANK;
constexpr u32 VIEW_WORDS = 1 + RANK;
constexpr u32 PROGRAM_AT = VIEWS_AT + (1 + OPERANDS) * VIEW_WORDS;
constexpr u32 INSTRUCTIONS = 32;
constexpr u32 TABLE_WORDS = PROGRAM_AT + 2 * INSTRUCTIONS;

// The numbers of `Stored` in `map.rs`.
enum Stored : u32 { F32, I64, I32, BOOL };

// The numbers of `Code` in `map.rs`, in its order.
enum Code : u32 {
    LOAD,
    CONSTANT,
    NEGATE,
    ABSOLUTE,
    SQUARE,
    SQUARE_ROOT,
    RECIPROCAL_SQUARE_ROOT,
    RECIPROCAL,
    EXPONENTIAL,
    LOGARITHM,
    TANH,
    SIGMOID,
    SILU,
    ERROR_FUNCTION,
    GELU,
    FLOOR,
    CEIL,
    NOT,
    ADD,
    SUBTRACT,
    MULTIPLY,
    DIVIDE,
    MAXIMUM,
    MINIMUM,
    POWER,
    EQUAL,
    NOT_EQUAL,
    LESS,
    LESS_OR_EQUAL,
    GREATER,
    GREATER_OR_EQUAL,
    AND,
    OR,
    SELECT,
};

template <typename T>
__device__ __forceinline__ T load(const u8* from, u32 stored, u32 at) {
    switch (stored) {
        case F32:
            return static_cast<T>(reinterpret_cast<const f32*>(from)[at]);
        case I64:
            return static_cast<T>(reinterpret_cast<const i64*>(from)[at]);
        case I32:
            return static_cast<T>(reinterpret_cast<const i32*>(from)[at]);
        default:
            return static_cast<T>(from[at]);
    }
}

template <typename T>
__device__ __forceinline__ void store(u8* to, u32 stored, u32 at, T value) {
    switch (stored) {
        case F32:
            reinterpret_cast<f32*>(to)[at] = static_cast<f32>(value);
            break;
        case I64:
            reinterpret_cast<i64*>(to)[at] = static_cast<i64>(value);
            break;
        case I32:
            // By way of 64 bits: an integer wraps as it does on the host.
            reinterpret_cast<i32*>(to)[at] = static_cast<i32>(static_cast<i64>(value));
            break;
        default:
            to[at] = value != T(0) ? 1 : 0;
    }
}

__device__ __forceinline__ f32 constant(f32, u32 bits) {
    return __uint_as_float(bits);
}

__device__ __forceinline__ i64 constant(i64, u32 bits) {
    return static_cast<i32>(bits);
}

// Four numbers for each lane, the upper one first. All indices are constants, so that the stack
// stays in registers.
template <typename T>
struct Stack {
    T first[LANES];
    T second[LANES];
    T third[LANES];
    T fourth[LANES];

    __device__ __forceinline__ void make_room() {
#pragma unroll
        for (u32 lane = 0; lane < LANES; ++lane) {
            fourth[lane] = third[lane];
            third[lane] = second[lane];
            second[lane] = first[lane];
        }
    }

    // Replaces the upper number of each lane.
    template <typename Function>
    __device__ __forceinline__ void one(Function function) {
#pragma unroll
        for (u32 lane = 0; lane < LANES; ++lane) {
            first[lane] = function(first[lane]);
        }
    }

    // Replaces the two upper numbers of each lane.
    template <typename Function>
    __device__ __forceinline__ void two(Function function) {
#pragma unroll
        for (u32 lane = 0; lane < LANES; ++lane) {
            first[lane] = function(second[lane], first[lane]);
            second[lane] = third[lane];
            third[lane] = fourth[lane];
        }
    }

    // Replaces a condition and two choices by one of these.
    __device__ __forceinline__ void select() {
#pragma unroll
        for (u32 lane = 0; lane < LANES; ++lane) {
            first[lane] = third[lane] != T(0) ? second[lane] : first[lane];
            second[lane] = fourth[lane];
        }
    }
};

// What both domains do alike.
template <typename T>
__device__ __forceinline__ void common(Stack<T>& stack, u32 code) {
    switch (code) {
        case NOT:
            return stack.one([](T x) -> T { return x == T(0); });
        case EQUAL:
            return stack.two([](T x, T y) -> T { return x == y; });
        case NOT_EQUAL:
            return stack.two([](T x, T y) -> T { return x != y; });
        case LESS:
            return stack.two([](T x, T y) -> T { return x < y; });
        case LESS_OR_EQUAL:
            return stack.two([](T x, T y) -> T { return x <= y; });
        case GREATER:
            return stack.two([](T x, T y) -> T { return x > y; });
        case GREATER_OR_EQUAL:
            return stack.two([](T x, T y) -> T { return x >= y; });
        case AND:
            return stack.two([](T x, T y) -> T { return x != T(0) && y != T(0); });
        case OR:
            return stack.two([](T x, T y) -> T { return x != T(0) || y != T(0); });
        default:
            return stack.select();
    }
}

__device__ __forceinline__ void step(Stack<f32>& stack, u32 code) {
    switch (code) {
        case NEGATE:
            return stack.one([](f32 x) { return -x; });
        case ABSOLUTE:
            return stack.one([](f32 x) { return fabsf(x); });
        case SQUARE:
            return stack.one([](f32 x) { return x * x; });
        case SQUARE_ROOT:
            return stack.one([](f32 x) { return sqrtf(x); });
        case RECIPROCAL_SQUARE_ROOT:
            return stack.one([](f32 x) { return 1.0f / sqrtf(x); });
        case RECIPROCAL:
            return stack.one([](f32 x) { return 1.0f / x; });
        case EXPONENTIAL:
            return stack.one([](f32 x) { return expf(x); });
        case LOGARITHM:
            return stack.one([](f32 x) { return logf(x); });
        case TANH:
            return stack.one([](f32 x) { return tanhf(x); });
        case SIGMOID:
            return stack.one([](f32 x) { return 1.0f / (1.0f + expf(-x)); });
        case SILU:
            return stack.one([](f32 x) { return x / (1.0f + expf(-x)); });
        case ERROR_FUNCTION:
            return stack.one([](f32 x) { return erff(x); });
        case GELU:
            return stack.one([](f32 x) {
                return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
            });
        case FLOOR:
            return stack.one([](f32 x) { return floorf(x); });
        case CEIL:
            return stack.one([](f32 x) { return ceilf(x); });
        case ADD:
            return stack.two([](f32 x, f32 y) { return x + y; });
        case SUBTRACT:
            return stack.two([](f32 x, f32 y) { return x - y; });
        case MULTIPLY:
            return stack.two([](f32 x, f32 y) { return x * y; });
        case DIVIDE:
            return stack.two([](f32 x, f32 y) { return x / y; });
        case MAXIMUM:
            return stack.two([](f32 x, f32 y) { return maximum(x, y); });
        case MINIMUM:
            return stack.two([](f32 x, f32 y) { return minimum(x, y); });
        case POWER:
            return stack.two([](f32 x, f32 y) { return powf(x, y); });
        default:
            return common(stack, code);
    }
}

// Integers wrap, so their arithmetic is done without signs.
__device__ __forceinline__ void step(Stack<i64>& stack, u32 code) {
    switch (code) {
        case NEGATE:
            return stack.one([](i64 x) -> i64 { return 0 - static_cast<u64>(x); });
        case ABSOLUTE:
            return stack.one([](i64 x) -> i64 { return x < 0 ? 0 - static_cast<u64>(x) : x; });
        case SQUARE:
            return stack.one([](i64 x) -> i64 { return static_cast<u64>(x) * static_cast<u64>(x); });
        case ADD:
            return stack.two(
                [](i64 x, i64 y) -> i64 { return static_cast<u64>(x) + static_cast<u64>(y); });
        case SUBTRACT:
            return stack.two(
                [](i64 x, i64 y) -> i64 { return static_cast<u64>(x) - static_cast<u64>(y); });
        case MULTIPLY:
            return stack.two(
                [](i64 x, i64 y) -> i64 { return static_cast<u64>(x) * static_cast<u64>(y); });
        case MAXIMUM:
            return stack.two([](i64 x, i64 y) { return x > y ? x : y; });
        case MINIMUM:
            return stack.two([](i64 x, i64 y) { return x < y ? x : y; });
        default:
            return common(stack, code);
    }
}

// Where a view has the element of this row and column; the row counts all dimensions but the last.
__device__ __forceinline__ u32 place_of(const u32* table, const u32* view, u32 row, u32 column) {
    const u32 rank = table[RANK_AT];
    u32 place = column * view[rank];
    for (u32 axis = rank - 1; axis > 0; --axis) {
        const u32 extent = table[EXTENTS_AT + axis - 1];
        place += row % extent * view[axis];
        row /= extent;
    }
    return place;
}

template <typename T>
__device__ __forceinline__ void run(
    const u32* table, const u8* const* inputs, u8* output, u32 groups) {
    const u32 rank = table[RANK_AT];
    const u32 instructions = table[INSTRUCTIONS_AT];
    const u32 inner = table[EXTENTS_AT + rank - 1];
    const u32 groups_of_row = (inner + LANES - 1) / LANES;

    for (u32 group = static_cast<u32>(grid_index()); group < groups;
         group += static_cast<u32>(grid_stride())) {
        const u32 row = group / groups_of_row;
        const u32 column = group % groups_of_row * LANES;
        const u32 lanes = inner - column;

        Stack<T> stack;
        for (u32 at = 0; at < instructions; ++at) {
            const u32 code = table[PROGRAM_AT + 2 * at];
            const u32 bits = table[PROGRAM_AT + 2 * at + 1];
            if (code == CONSTANT) {
                stack.make_room();
                stack.one([bits](T) { return constant(T(), bits); });
                continue;
            }
            if (code != LOAD) {
                step(stack, code);
                continue;
            }
            const u32* view = table + VIEWS_AT + (1 + bits) * VIEW_WORDS;
            const u32 place = place_of(table, view, row, column);
            stack.make_room();
#pragma unroll
            for (u32 lane = 0; lane < LANES; ++lane) {
                if (lane < lanes) {
                    stack.first[lane] = load<T>(inputs[bits], view[0], place + lane * view[rank]);
                }
            }
        }

        const u32* view = table + VIEWS_AT;
        const u32 place = place_of(table, view, row, column);
#pragma unroll
        for (u32 lane = 0; lane < LANES; ++lane) {
            if (lane < lanes) {
                store(output, view[0], place + lane * view[rank], stack.first[lane]);
            }
        }
    }
}

// Brings the table where all threads of a block read it quickly.
__device__ __forceinline__ void fetch(u32* table, const u32* __restrict__ from) {
    for (u32 at = threadIdx.x; at < TABLE_WORDS; at += blockDim.x) {
        table[at] = from[at];
    }
}

extern "C" __global__ void __launch_bounds__(128) map_real(
    const u32* __restrict__ program,
    const u8* __restrict__ input_0,
    const u8* __restrict__ input_1,
    const u8* __restrict__ input_2,
    const u8* __restrict__ input_3,
    const u8* __restrict__ input_4,
    const u8* __restrict__ input_5,
    u8* output,
    u32 groups) {
    __shared__ u32 table[TABLE_WORDS];
    __shared__ const u8* inputs[OPERANDS];
    fetch(table, program);
    if (threadIdx.x == 0) {
        inputs[0] = input_0;
        inputs[1] = input_1;
        inputs[2] = input_2;
        inputs[3] = input_3;
        inputs[4] = input_4;
        inputs[5] = input_5;
    }
    __syncthreads();
    run<f32>(table, inputs, output, groups);
}

extern "C" __global__ void __launch_bounds__(128) map_whole(
    const u32* __restrict__ program,
    const u8* __restrict__ input_0,
    const u8* __restrict__ input_1,
    const u8* __restrict__ input_2,
    const u8* __restrict__ input_3,
    const u8* __restrict__ input_4,
    const u8* __restrict__ input_5,
    u8* output,
    u32 groups) {
    __shared__ u32 table[TABLE_WORDS];
    __shared__ const u8* inputs[OPERANDS];
    fetch(table, program);
    if (threadIdx.x == 0) {
        inputs[0] = input_0;
        inputs[1] = input_1;
        inputs[2] = input_2;
        inputs[3] = input_3;
        inputs[4] = input_4;
        inputs[5] = input_5;
    }
    __syncthreads();
    run<i64>(table, inputs, output, groups);
}
