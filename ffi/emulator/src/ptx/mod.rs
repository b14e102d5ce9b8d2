//! PTX text as a tree: lexer, syntax tree, parser. It decides what is well formed; what an opcode
//! means, and whether it exists, is decided by `jit`.

mod ast;
mod lexer;
mod parser;

pub(crate) use ast::{
    Function, Guard, Header, Initial, Instruction, Module, Operand, Space, Statement, Type,
    Variable,
};
pub(crate) use parser::{header, parse};

/// Why a text is not PTX.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    /// The line, counted from 1.
    pub(crate) line: u32,
    /// What is wrong there.
    pub(crate) reason: String,
}
