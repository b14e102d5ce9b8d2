//! libgpumux: the C ABI of the shim.
//!
//! Thin and total: every function checks its pointers, never unwinds, and says what was wrong twice,
//! as a code and, by `gpumux_last_error`, in words. What is in `include/gpumux.h` is made from these
//! files by `cargo xtask header`, comments included, so these are written for who reads the header.
//!
//! - `codes`: the numbers; append only;
//! - `entry`: what each function goes through;
//! - `options`: structures that the other side's compiler laid out, perhaps from another release;
//! - one file for each kind of handle.

#![allow(non_camel_case_types, reason = "types are named as C names them")]

pub mod codes;
pub mod entry;
pub mod error;
pub mod function;
pub mod options;
pub mod pending;
pub mod readiness;
pub mod reply;
pub mod request;
pub mod session;
