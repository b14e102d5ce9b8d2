//! gpumuxd(8), from what the command line says of itself, and what it does not say.

use crate::options::Options;
use clap::CommandFactory;
use clap_mangen::Man;
use std::io::{self, Write};
use std::path::Path;

/// What follows the options.
const REST: &str = r#"
.SH SIGNALS
.TP
SIGTERM, SIGINT
Drain: nothing new is admitted, and what was admitted is answered. A second one ends at once.
.TP
SIGHUP
Read the configuration anew, as `gpumux reload` does: tenants and functions change, and what needs a restart is named in the log.
.SH CONFIGURATION
Each option with a variable is a key of gpumuxd.toml too: `\-\-hang\-limit` is `hang_limit`. The command line wins over
the environment, that over the file, and the file over the default. Unknown keys and wrong values are refused with file, line and
column. A relative path in the file is seen from the file's folder. `gpumuxd \-\-check\-config` reads the file and every
function.toml, prints all that is wrong with them, and exits with 0 if nothing is, else 1.
.SH EXIT STATUS
0 after a stop that was asked for, 1 for what the log names, 2 for a command line that is wrong.
.SH SERVICE MANAGER
It says over NOTIFY_SOCKET when it is ready, reloads and stops, and over the time of WATCHDOG_USEC that it is
fine: that its event loop turns and the keeper of each device's worker does its part. It asks for more time
before each model that it imports. Of the sockets of LISTEN_FDS it takes those whose names in LISTEN_FDNAMES
it knows: `peers` in place of \-\-socket, `admin` in place of \-\-admin\-socket. It does not remove them.
.SH FILES
.TP
/etc/gpumux/gpumuxd.toml
Options and tenants. Its keys are in the reference, /usr/share/doc/gpumux/docs/reference/gpumuxd\-toml.md.
.TP
/etc/gpumux/models
A folder for each function, with function.toml in it: /usr/share/doc/gpumux/docs/reference/function\-toml.md.
.TP
/var/lib/gpumux
Imported models, and the lock of each GPU.
.TP
/run/gpumux
Sockets, each with the lock of the daemon that serves it. Containers have them mounted.
.SH SEE ALSO
gpumux(1), systemd.socket(5), /usr/share/doc/gpumux
"#;

/// Writes gpumuxd.8 to a folder.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(folder: &Path) -> io::Result<()> {
    let mut page = Vec::new();
    let command = Options::command();
    Man::new(command.clone()).section("8").manual("gpumux").render(&mut page)?;
    writeln!(page, ".SH ENVIRONMENT")?;
    for option in command.get_arguments() {
        if let (Some(variable), Some(long)) = (option.get_env(), option.get_long()) {
            let long = long.replace('-', r"\-");
            writeln!(
                page,
                ".TP\n{}\nStands for \\fB\\-\\-{long}\\fR, which wins.",
                variable.display()
            )?;
        }
    }
    writeln!(
        page,
        ".TP\nGPUMUX_LOG\nWhat is logged: a level, or levels by part. `info` when absent."
    )?;
    page.write_all(REST.trim_start().as_bytes())?;
    std::fs::write(folder.join("gpumuxd.8"), page)
}
