//! `gpumux functions`: what an operator does to one function.

use crate::admin::AdminSocket;
use crate::failure::Failure;
use clap::{Args, Subcommand};
use std::io::Write;

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Functions {
    /// Serves a function again that is quarantined for killing its device's worker
    Clear(Clear),
}

/// Which function.
#[derive(Clone, Debug, Args)]
pub(crate) struct Clear {
    /// Its name
    function: String,
    #[command(flatten)]
    socket: AdminSocket,
}

/// Does it.
///
/// # Errors
/// [`Failure`]: no daemon, or no such function.
pub(crate) fn run(what: &Functions) -> Result<(), Failure> {
    let Functions::Clear(Clear { function, socket }) = what;
    socket.clear(function)?;
    writeln!(std::io::stdout(), "{function} is served; its convictions are forgotten")?;
    Ok(())
}
