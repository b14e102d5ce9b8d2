//! The manual: gpumux(1), and a page for each of its commands.

use crate::Arguments;
use crate::failure::Failure;
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use std::io::Write;
use std::path::{Path, PathBuf};

/// How it is run.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where the pages go
    folder: PathBuf,
}

/// Writes them.
///
/// # Errors
/// [`Failure`]: a page cannot be written.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    write(&command, &options.folder)
        .map_err(|source| Failure::Unwritable { path: options.folder.clone(), source })
}

fn write(command: &Command, folder: &Path) -> std::io::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        write(below, folder)?;
    }
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let mut page = Vec::new();
    Man::new(command.clone()).title(name).manual("gpumux").render(&mut page)?;
    let variables =
        command.get_arguments().filter_map(|option| Some((option.get_env()?, option.get_long()?)));
    for (index, (variable, long)) in variables.enumerate() {
        if index == 0 {
            writeln!(page, ".SH ENVIRONMENT")?;
        }
        let long = long.replace('-', r"\-");
        writeln!(
            page,
            ".TP\n{}\nStands for \\fB\\-\\-{long}\\fR, which wins.",
            variable.display()
        )?;
    }
    std::fs::write(folder.join(format!("{name}.1")), page)
}
