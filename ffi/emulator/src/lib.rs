//! A CUDA driver and a BLAS for a machine without a GPU.
//!
//! `driver` and `blas` are the two ABIs; below them is a safe core that knows neither. From the
//! bottom up: `space`, `window` and `host` make `memory`; `sm` and `engine` run work; `schedule`
//! orders it, `capture` and `graph` note it; `context`, `stream`, `module` and `partition` are what
//! the program holds. `ptx` reads a module's
//! text and `jit` compiles it; what compiled code sees of all this is `block`.

mod blas;
mod block;
mod capture;
mod claim;
mod clock;
mod code;
mod context;
mod device;
mod driver;
mod engine;
mod fault;
mod graph;
mod handle;
mod heap;
mod host;
mod image;
mod jit;
mod library;
mod link;
mod machine;
mod memory;
mod misbehave;
mod module;
mod partition;
mod placement;
mod pool;
mod ptx;
mod reach;
mod schedule;
mod scratch;
mod sm;
mod space;
mod stream;
mod strict;
mod transfer;
mod window;
