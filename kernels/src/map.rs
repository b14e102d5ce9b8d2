//! The table of an elementwise program, and the grids of the kernels that run it.
//!
//! The layout of the words and the numbers of the codes are those of `map.cu`; a test compares the
//! codes with that source.

use crate::catalog::{MapReal, MapWhole};
use crate::grid::Grid;
use crate::launch::Launch;

/// Dimensions, operands and instructions that a table has room for.
const RANK: usize = 6;
const OPERANDS: usize = 6;
const INSTRUCTIONS: usize = 32;

/// Neighbouring elements that a thread computes at once.
const LANES: u64 = 4;

const INSTRUCTIONS_AT: usize = 1;
const EXTENTS_AT: usize = 2;
const VIEWS_AT: usize = EXTENTS_AT + RANK;
const VIEW_WORDS: usize = 1 + RANK;
const PROGRAM_AT: usize = VIEWS_AT + (1 + OPERANDS) * VIEW_WORDS;
const WORDS: usize = PROGRAM_AT + 2 * INSTRUCTIONS;

/// How an operand's elements lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Stored {
    F32,
    I64,
    I32,
    /// One byte, 0 or 1.
    Bool,
}

/// What an instruction does with the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Code {
    /// Pushes an operand's element; the word beside it says which operand.
    Load,
    /// Pushes a number; the word beside it has its bits.
    Constant,
    Negate,
    Absolute,
    Square,
    SquareRoot,
    ReciprocalSquareRoot,
    Reciprocal,
    Exponential,
    Logarithm,
    Tanh,
    Sigmoid,
    Silu,
    ErrorFunction,
    Gelu,
    Floor,
    Ceil,
    Not,
    Add,
    Subtract,
    Multiply,
    Divide,
    Maximum,
    Minimum,
    Power,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
    /// Replaces a condition and two choices by one of these.
    Select,
}

/// How an operand is seen: a stride for each extent, in elements.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// How its elements lie.
    pub stored: Stored,
    /// The way from one to the next along each dimension.
    pub strides: &'a [u32],
}

/// The words that a kernel reads before it runs a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapTable {
    words: [u32; WORDS],
    groups: u32,
}

impl MapTable {
    /// Words of a table.
    pub const WORDS: usize = WORDS;

    /// The table of a program over `extents`, or `None` when there is no room for it, a view has not
    /// one stride for each extent, or the elements are too many.
    pub fn new(
        extents: &[u32],
        output: View,
        inputs: &[View],
        instructions: &[(Code, u32)],
    ) -> Option<Self> {
        let rank = extents.len();
        if INSTRUCTIONS < instructions.len() || OPERANDS < inputs.len() || RANK < rank {
            return None;
        }
        let (inner, outer) = extents.split_last()?;
        let rows = outer.iter().try_fold(1u64, |all, it| all.checked_mul(u64::from(*it)))?;
        let groups = rows.checked_mul(u64::from(*inner).div_ceil(LANES))?;

        let mut words = [0; WORDS];
        words[0] = u32::try_from(rank).ok()?;
        words[INSTRUCTIONS_AT] = u32::try_from(instructions.len()).ok()?;
        words[EXTENTS_AT..EXTENTS_AT + rank].copy_from_slice(extents);
        let views = words[VIEWS_AT..PROGRAM_AT].chunks_exact_mut(VIEW_WORDS);
        for (view, words) in [output].iter().chain(inputs).zip(views) {
            if view.strides.len() != rank {
                return None;
            }
            words[0] = view.stored as u32;
            words[1..=rank].copy_from_slice(view.strides);
        }
        let program = words[PROGRAM_AT..].chunks_exact_mut(2);
        for ((code, bits), words) in instructions.iter().zip(program) {
            words.copy_from_slice(&[*code as u32, *bits]);
        }
        // A thread's next group must not wrap.
        let groups = u32::try_from(groups).ok().filter(|it| *it <= u32::MAX / 2)?;
        Some(Self { words, groups })
    }

    /// The words.
    pub fn words(&self) -> &[u32; WORDS] {
        &self.words
    }

    /// How many groups of elements there are, each one thread's work.
    pub fn groups(&self) -> u32 {
        self.groups
    }
}

/// Threads of a block, and blocks beyond which threads stride over the rest.
const THREADS: u32 = 128;
const BLOCKS_MAX: u32 = 4096;

impl MapReal {
    /// The launch of this program.
    pub fn launch(self) -> Launch {
        Launch::new(Grid::cover(u64::from(self.groups), THREADS, BLOCKS_MAX), self)
    }
}

impl MapWhole {
    /// The launch of this program.
    pub fn launch(self) -> Launch {
        Launch::new(Grid::cover(u64::from(self.groups), THREADS, BLOCKS_MAX), self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The enumerators of `enum NAME` in the source, in order.
    fn enumerators(name: &str) -> Vec<String> {
        let source = include_str!("cuda/map.cu");
        let (_, rest) = source.split_once(&format!("enum {name} : u32 {{")).unwrap();
        let (list, _) = rest.split_once("};").unwrap();
        list.split(',').map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).collect()
    }

    /// `ReciprocalSquareRoot` as `RECIPROCAL_SQUARE_ROOT`.
    fn shouted(name: &str) -> String {
        let mut shouted = String::new();
        for (index, letter) in name.char_indices() {
            if letter.is_ascii_uppercase() && index != 0 {
                shouted.push('_');
            }
            shouted.push(letter.to_ascii_uppercase());
        }
        shouted
    }

    #[test]
    fn codes_have_the_numbers_of_the_source() {
        use Code::*;
        let codes = [
            Load,
            Constant,
            Negate,
            Absolute,
            Square,
            SquareRoot,
            ReciprocalSquareRoot,
            Reciprocal,
            Exponential,
            Logarithm,
            Tanh,
            Sigmoid,
            Silu,
            ErrorFunction,
            Gelu,
            Floor,
            Ceil,
            Not,
            Add,
            Subtract,
            Multiply,
            Divide,
            Maximum,
            Minimum,
            Power,
            Equal,
            NotEqual,
            Less,
            LessOrEqual,
            Greater,
            GreaterOrEqual,
            And,
            Or,
            Select,
        ];
        let source = enumerators("Code");
        assert_eq!(source.len(), Select as usize + 1);
        for code in codes {
            assert_eq!(source[code as usize], shouted(&format!("{code:?}")));
        }
        let stored = [Stored::F32, Stored::I64, Stored::I32, Stored::Bool];
        let source = enumerators("Stored");
        for stored in stored {
            assert_eq!(source[stored as usize], format!("{stored:?}").to_ascii_uppercase());
        }
    }

    #[test]
    fn a_table_has_room_for_what_it_holds_or_is_none() {
        let view = View { stored: Stored::F32, strides: &[4, 1] };
        let table = |extents: &[u32], count: usize| {
            MapTable::new(extents, view, &[view; 2], &vec![(Code::Load, 0); count])
        };
        assert_eq!(table(&[3, 5], 32).unwrap().groups(), 6);
        assert!(table(&[3, 5], 33).is_none());
        assert!(table(&[3], 1).is_none());
        assert!(table(&[], 1).is_none());
        assert!(table(&[u32::MAX, u32::MAX], 1).is_none());
        assert!(MapTable::new(&[3, 5], view, &[view; 7], &[]).is_none());
    }
}
