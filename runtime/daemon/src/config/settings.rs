//! `gpumuxd.toml`: what of the daemon's configuration is more than options can say.

use super::{ConfigError, Tenant, tenant};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where the file is looked for when none is named. It need not be there.
const USUAL_PATH: &str = "/etc/gpumux/gpumuxd.toml";

/// The file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// `[tenant.NAME]`.
    pub(crate) tenant: BTreeMap<String, Tenant>,
}

/// What the file says must go together with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host<'a> {
    /// The daemon's own socket.
    pub(crate) socket: &'a Path,
    /// Whether the kernel says in which cgroup a peer is.
    pub(crate) tells_cgroups: bool,
}

/// Reads the file that is named, or the usual one if it is there.
///
/// # Errors
/// It cannot be read, or what is wrong with it.
pub(crate) fn settings(named: Option<&Path>, host: Host<'_>) -> Result<Settings, ConfigError> {
    let path = named.unwrap_or(Path::new(USUAL_PATH));
    let text = match std::fs::read_to_string(path) {
        Err(error) if named.is_none() && error.kind() == ErrorKind::NotFound => String::new(),
        Err(source) => return Err(ConfigError::Unreadable { path: path.to_owned(), source }),
        Ok(text) => text,
    };
    read(path, &text, host)
}

fn read(path: &Path, text: &str, host: Host<'_>) -> Result<Settings, ConfigError> {
    let settings: Settings =
        toml::from_str(text).map_err(|error| ConfigError::from_toml(path, text, &error))?;
    tenant::check(&settings.tenant, host.socket).map_err(|(tenant, what)| ConfigError::Wrong {
        path: PathBuf::from(path),
        line: line_of(text, &tenant),
        what,
    })?;
    let mut tenants = settings.tenant.iter();
    match tenants.find(|(_, tenant)| tenant.cgroup.is_some() && !host.tells_cgroups) {
        None => Ok(settings),
        Some((name, _)) => Err(ConfigError::NoCgroups {
            path: path.to_owned(),
            line: line_of(text, name),
            tenant: name.clone(),
        }),
    }
}

/// The line on which a tenant's section begins; the first when it is written in another way.
fn line_of(text: &str, tenant: &str) -> usize {
    let heads = [format!("[tenant.{tenant}]"), format!("[tenant.\"{tenant}\"]")];
    let found = text.lines().position(|line| heads.iter().any(|head| line.trim() == *head));
    found.map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host<'static> {
        Host { socket: Path::new("/run/s"), tells_cgroups: false }
    }

    #[test]
    fn mistakes_are_refused_with_their_line() {
        let refused =
            |text: &str| read(Path::new("gpumuxd.toml"), text, host()).unwrap_err().to_string();
        let cgroups = refused("[tenant.a]\nuid = [1]\n[tenant.b]\ncgroup = \"/b\"\n");
        assert!(cgroups.starts_with("gpumuxd.toml:3: tenant `b` has a `cgroup`"), "{cgroups}");
        let both = refused("[tenant.a]\nuid = [1]\n\n[tenant.b]\nuid = [1]\n");
        assert!(both.starts_with("gpumuxd.toml:4: tenants `a` and `b` both have uid 1"), "{both}");
        let key = refused("[tenant.a]\nuid = [1]\nqueue = 4\n");
        assert!(key.starts_with("gpumuxd.toml:3: unknown field `queue`"), "{key}");
        assert!(key.ends_with("did you mean `queue_max`?"), "{key}");
    }

    #[test]
    fn a_named_file_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gpumuxd.toml");
        assert!(matches!(settings(Some(&path), host()), Err(ConfigError::Unreadable { .. })));
        std::fs::write(&path, "[tenant.shop]\nsocket = \"/run/shop.sock\"\n").unwrap();
        assert!(settings(Some(&path), host()).unwrap().tenant.contains_key("shop"));
    }
}
