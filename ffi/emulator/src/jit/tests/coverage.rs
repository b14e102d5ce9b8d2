//! Every opcode that has a meaning has a test that runs it: the tests, beside each the opcodes that it
//! is about, and the check that none is missing.

use std::collections::BTreeSet;

use super::harness::take_seen;
use super::{comparisons, conversions, floats, halves, integers, machine};
use crate::jit::lower::OPCODES;

/// A test, and the opcodes that it is about.
struct Test {
    name: &'static str,
    run: fn(),
    opcodes: &'static [&'static str],
}

/// Declares the tests and their table.
macro_rules! tests {
    ($($name:ident = $module:ident::$run:ident: $($opcode:literal)*;)*) => {
        $(#[test]
        fn $name() {
            $module::$run();
        })*

        const TESTS: &[Test] = &[$(Test {
            name: stringify!($name),
            run: $module::$run,
            opcodes: &[$($opcode),*],
        },)*];
    };
}

tests! {
    integers_are_added = integers::sums: "add" "sub";
    integers_are_multiplied = integers::products: "mul" "mad";
    numbers_of_24_bits_are_multiplied = integers::products_of_24_bits: "mul24" "mad24";
    integers_are_divided = integers::quotients: "div" "rem";
    integers_have_signs_and_extremes = integers::signs_and_extremes:
        "abs" "neg" "min" "max" "sad";
    bytes_and_pairs_are_multiplied_and_summed = integers::dot_products: "dp4a" "dp2a";
    packed_integers_have_distances = integers::packed_distances: "vabsdiff2" "vabsdiff4";
    bits_are_combined = integers::logic: "and" "or" "xor" "not" "cnot" "lop3";
    bits_are_shifted = integers::shifts: "shl" "shr" "shf";
    bits_are_counted = integers::counts: "popc" "clz" "brev" "bfind";
    fields_are_moved = integers::fields: "bfe" "bfi";
    bytes_are_permuted = integers::permutations: "prmt";
    carries_go_in_and_out = integers::carries: "addc" "subc" "madc";
    floats_are_added = floats::sums: "add";
    floats_are_subtracted = floats::differences: "sub";
    floats_are_multiplied = floats::products: "mul";
    floats_are_fused = floats::fused_products: "fma" "mad";
    floats_are_divided = floats::quotients: "div";
    floats_are_inverted = floats::reciprocals: "rcp";
    floats_have_roots = floats::roots: "sqrt";
    floats_have_signs = floats::signs: "abs" "neg" "copysign";
    floats_have_extremes = floats::extremes: "min" "max";
    floats_have_properties = floats::properties: "testp";
    approximations_are_near_enough = machine::approximations:
        "ex2" "lg2" "sin" "cos" "rcp" "rsqrt" "sqrt" "tanh" "div";
    halves_are_added = halves::sums: "add" "sub";
    halves_are_multiplied = halves::products: "mul";
    halves_are_fused = halves::fused_products: "fma";
    halves_have_signs_and_extremes = halves::signs_and_extremes: "abs" "neg" "min" "max";
    halves_have_functions = halves::functions: "ex2" "tanh";
    singles_become_pairs_of_halves = halves::pairs_of_singles: "cvt";
    integers_become_integers = conversions::integers_to_integers: "cvt";
    integers_become_floats = conversions::integers_to_floats: "cvt";
    floats_become_integers = conversions::floats_to_integers: "cvt";
    floats_become_floats = conversions::floats_to_floats: "cvt";
    numbers_of_8_bits_are_converted = conversions::eighths: "cvt";
    floats_are_compared = comparisons::floats_are_compared: "setp" "set";
    pairs_of_halves_are_compared = comparisons::pairs_are_compared: "set";
    integers_are_compared = comparisons::integers_are_compared: "setp" "set";
    values_are_selected = comparisons::selections: "selp" "slct";
    values_are_moved = machine::moves: "mov";
    memory_is_read_and_written = machine::loads_and_stores: "ld" "ldu" "st";
    words_change_atomically = machine::atomics: "atom" "red";
    fences_and_prefetches_change_nothing = machine::fences_and_prefetches:
        "membar" "fence" "prefetch" "prefetchu";
    addresses_lead_to_their_memory = machine::addresses: "cvta" "isspacep";
    lanes_exchange_values = machine::shuffles: "shfl";
    lanes_decide_together = machine::votes: "vote" "match" "redux" "activemask";
    barriers_hold_threads_back = machine::barriers: "bar" "barrier";
    threads_go_their_ways = machine::control:
        "bra" "brx" "call" "ret" "exit" "trap" "nanosleep";
    special_registers_tell_where_a_thread_is = machine::special_registers: "mov";
}

/// The opcodes that the tests claim are run by them, and no opcode is missing.
#[test]
fn every_opcode_has_a_test() {
    let mut covered = BTreeSet::new();
    take_seen();
    for test in TESTS {
        (test.run)();
        let seen = take_seen();
        for &opcode in test.opcodes {
            assert!(seen.contains(opcode), "{} does not run {opcode}", test.name);
            covered.insert(opcode);
        }
    }
    let accepted: BTreeSet<&str> = OPCODES.iter().copied().collect();
    assert_eq!(OPCODES.len(), accepted.len(), "an opcode stands twice in the list");
    let missing: Vec<&&str> = accepted.difference(&covered).collect();
    assert!(missing.is_empty(), "opcodes without a test: {missing:?}");
}
