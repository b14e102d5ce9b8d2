//! `gpumux reload`: has the daemon read its configuration anew.

use crate::admin::AdminSocket;
use crate::failure::Failure;
use clap::Args;
use std::io::Write;

/// How.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Write what became of it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    socket: AdminSocket,
}

/// Does it.
///
/// # Errors
/// [`Failure`]: no daemon, or a configuration that it does not take.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let reload = options.socket.reload()?;
    let mut out = std::io::stdout();
    if options.json {
        serde_json::to_writer(&out, &reload).map_err(std::io::Error::from)?;
        writeln!(out)?;
    }
    if !reload.errors.is_empty() {
        return Err(Failure::NotReloaded(reload.errors.join("\n  ")));
    }
    if options.json {
        return Ok(());
    }
    let mut same = true;
    for (what, how, names) in [
        ("function", "added", reload.functions_added),
        ("function", "changed", reload.functions_changed),
        ("function", "removed", reload.functions_removed),
        ("tenant", "added", reload.tenants_added),
        ("tenant", "changed", reload.tenants_changed),
        ("tenant", "removed", reload.tenants_removed),
    ] {
        for name in names {
            same = false;
            writeln!(out, "{what} `{name}` was {how}")?;
        }
    }
    for what in reload.needs_restart {
        same = false;
        writeln!(out, "{what}: this needs a restart of gpumuxd")?;
    }
    if same {
        writeln!(out, "nothing has changed")?;
    }
    Ok(())
}
