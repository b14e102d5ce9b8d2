//! Stand-in.
use crate::block::{Block, Fault};
use std::collections::BTreeMap;
use std::sync::Arc;
pub(crate) struct Claim {
    pub(crate) ptx: (u32, u32),
    pub(crate) compute: (u32, u32),
}
#[derive(Debug)]
pub(crate) struct CompileError {
    pub(crate) kind: CompileErrorKind,
}
#[derive(Debug)]
pub(crate) enum CompileErrorKind {
    NoBinary,
    UnsupportedPtxVersion,
    InvalidPtx,
}
impl std::fmt::Display for CompileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) bytes: u64,
}
pub(crate) struct Program {
    pub(crate) kernels: BTreeMap<String, Arc<Kernel>>,
    pub(crate) variables: Vec<Variable>,
}
impl Program {
    pub(crate) fn link(&self, _: &[u64]) {}
}
pub(crate) struct Param {
    pub(crate) offset: u32,
    pub(crate) size: u32,
}
pub(crate) struct Kernel {
    pub(crate) name: String,
    pub(crate) params: Vec<Param>,
    pub(crate) param_bytes: u32,
    pub(crate) static_shared_bytes: u32,
    pub(crate) local_bytes: u32,
    pub(crate) register_count: u32,
    pub(crate) max_threads: u32,
    pub(crate) required_threads: Option<[u32; 3]>,
}
pub(crate) struct Scratch;
impl Scratch {
    pub(crate) fn new() -> Self {
        Self
    }
}
impl Variable {
    pub(crate) fn initial_bytes(&self, _: &[u64]) -> Vec<u8> {
        vec![]
    }
}
impl Kernel {
    pub(crate) fn run_block(&self, _: &Block<'_>, _: &mut Scratch) -> Result<(), Fault> {
        Ok(())
    }
}
pub(crate) fn compile(_: &str, _: &Claim) -> Result<Program, CompileError> {
    Err(CompileError { kind: CompileErrorKind::NoBinary })
}
