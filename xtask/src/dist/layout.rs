//! What is packed and not built by cargo, or not as it is packed: the manual, the completions, the
//! pkg-config file, the static library.

use super::{Site, files};
use crate::failure::{self, Failure, Step};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The shells and the names under which they look for completions.
const COMPLETIONS: [(&str, &str); 3] =
    [("bash", "gpumux"), ("zsh", "_gpumux"), ("fish", "gpumux.fish")];

/// Writes them to the folder `packaging` beside the programs, where the packages' descriptions expect
/// them.
pub(super) fn prepare(site: &Site) -> Result<(), Failure> {
    let folder = site.binaries.join("packaging");
    if folder.exists() {
        fs::remove_dir_all(&folder).step(|| format!("empty {}", folder.display()))?;
    }
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    for made in [&man, &completions] {
        fs::create_dir_all(made).step(|| format!("create {}", made.display()))?;
    }
    for program in ["gpumux", "gpumuxd"] {
        failure::run(
            Command::new(site.binaries.join(program)).arg("man").arg(&man),
            &format!("write the manual of {program}"),
        )?;
    }
    // As Debian has manuals, without the time of their making.
    let mut gzip = Command::new("gzip");
    failure::run(gzip.args(["--best", "--no-name"]).args(files(&man)?), "compress the manual")?;
    failure::run(
        Command::new("strip")
            .args(["--strip-debug", "--enable-deterministic-archives", "-o"])
            .arg(folder.join("libgpumux.a"))
            .arg(site.binaries.join("libgpumux.a")),
        "strip the static library",
    )?;
    for (shell, name) in COMPLETIONS {
        let mut gpumux = Command::new(site.binaries.join("gpumux"));
        let script = failure::output(
            gpumux.args(["completions", shell]),
            &format!("write the completions of {shell}"),
        )?;
        write(&completions.join(name), &script)?;
    }
    write(&folder.join("gpumux.pc"), &pkg_config())
}

/// How programs are linked to the library, where Debian has it.
fn pkg_config() -> String {
    let (version, machine) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    format!(
        "prefix=/usr\n\
         includedir=${{prefix}}/include\n\
         libdir=${{prefix}}/lib/{machine}-linux-gnu\n\n\
         Name: gpumux\n\
         Description: Submits inference requests to the GPUs that gpumuxd shares\n\
         Version: {version}\n\
         Cflags: -I${{includedir}}\n\
         Libs: -L${{libdir}} -lgpumux\n\
         Libs.private: -lpthread -ldl -lm\n"
    )
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).step(|| format!("write {}", path.display()))
}
