//! `[tenant.NAME]`: who a peer belongs to, what it may open, and how much it may have.

use super::Bytes;
use super::name::{has_good_letters, is_name};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The tenant of a configuration that names none: whoever reaches the daemon's own socket.
pub(crate) const DEFAULT: &str = "default";
/// Half of what there is, so that nobody takes every place from everybody else.
const SESSIONS_MAX: u32 = 256;
const CHANNELS_MAX: u32 = 512;
const QUEUE_MAX: u32 = 4096;

/// One tenant. A peer is its when it came by the tenant's `socket`, or by the daemon's own and is of
/// its `cgroup`, `uid` or `gid`; of several tenants the one that says more (in this order) has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tenant {
    /// A socket of its own, to be mounted into its containers.
    #[cfg_attr(test, schemars(extend("kind" = "path")))]
    pub(crate) socket: Option<PathBuf>,
    /// Who may connect to that socket, as the file system's octal mode.
    pub(crate) socket_mode: Mode,
    /// Users whose peers are its.
    #[cfg_attr(test, schemars(extend("unit" = "user ids")))]
    pub(crate) uid: Vec<u32>,
    /// Groups whose peers are its: the peer's primary group.
    #[cfg_attr(test, schemars(extend("unit" = "group ids")))]
    pub(crate) gid: Vec<u32>,
    /// The cgroup (version 2) under which its peers run, as `/system.slice/embed.service`.
    pub(crate) cgroup: Option<String>,
    /// Functions that it may open: names, or beginnings of names as `ocr-*`.
    pub(crate) functions: Vec<Pattern>,
    /// Most shared memory that its peers together may have mapped; `--mapped-bytes-max` when absent.
    pub(crate) mapped_bytes_max: Option<Bytes>,
    /// Most sessions of its peers at once.
    #[cfg_attr(test, schemars(extend("unit" = "sessions")))]
    pub(crate) sessions_max: u32,
    /// Most channels of its peers at once.
    #[cfg_attr(test, schemars(extend("unit" = "channels")))]
    pub(crate) channels_max: u32,
    /// Most requests of it that wait or run on one device at once; more are refused.
    #[cfg_attr(test, schemars(extend("unit" = "requests")))]
    pub(crate) queue_max: u32,
    /// Most requests a second that one device takes of it, in bursts of at most one second's; 0 is no
    /// limit.
    #[cfg_attr(test, schemars(extend("unit" = "requests/s")))]
    pub(crate) requests_per_s: u32,
}

impl Default for Tenant {
    fn default() -> Self {
        Self {
            socket: None,
            socket_mode: Mode(0o666),
            uid: Vec::new(),
            gid: Vec::new(),
            cgroup: None,
            functions: vec![Pattern("*".to_owned())],
            mapped_bytes_max: None,
            sessions_max: SESSIONS_MAX,
            channels_max: CHANNELS_MAX,
            queue_max: QUEUE_MAX,
            requests_per_s: 0,
        }
    }
}

/// A file's mode, written in octal: `"0660"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Mode(pub(crate) u32);

impl TryFrom<String> for Mode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match u32::from_str_radix(&text, 8) {
            Ok(mode) if mode <= 0o777 => Ok(Self(mode)),
            Ok(_) | Err(_) => Err(format!("`{text}` is no mode: write it in octal, as `0660`")),
        }
    }
}

impl From<Mode> for String {
    fn from(mode: Mode) -> Self {
        format!("{:04o}", mode.0)
    }
}

/// A function's name, or the beginning of names and a `*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Pattern(String);

impl Pattern {
    pub(crate) fn takes(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => self.0 == name,
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let beginning = text.strip_suffix('*').unwrap_or(&text);
        if text.is_empty() || !has_good_letters(beginning) {
            let what =
                format!("`{text}` names no function: write a name, or its beginning as `ocr-*`");
            return Err(what);
        }
        Ok(Self(text))
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl Tenant {
    /// Whether it may open the function.
    pub(crate) fn may_open(&self, function: &str) -> bool {
        self.functions.iter().any(|pattern| pattern.takes(function))
    }

    /// With a relative path of its socket seen from a folder.
    pub(super) fn in_folder(mut self, folder: &Path) -> Self {
        self.socket = self.socket.map(|socket| folder.join(socket));
        self
    }

    /// Whether some peer of the daemon's own socket can be its.
    fn names_peers(&self) -> bool {
        !self.uid.is_empty() || !self.gid.is_empty() || self.cgroup.is_some()
    }
}

/// What is wrong with the tenants, each alone and together: a tenant's name, and what to do.
pub(super) fn check(tenants: &BTreeMap<String, Tenant>, shared: &Path) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    for (name, tenant) in tenants {
        wrong.extend(alone(name, tenant, shared).map(|what| (name.clone(), what)));
        let socket = tenant.socket.iter().map(|path| format!("socket {}", path.display()));
        let uids = tenant.uid.iter().map(|uid| format!("uid {uid}"));
        let gids = tenant.gid.iter().map(|gid| format!("gid {gid}"));
        let cgroup =
            tenant.cgroup.iter().map(|path| format!("cgroup {}", path.trim_end_matches('/')));
        for claim in socket.chain(uids).chain(gids).chain(cgroup) {
            if let Some(other) = taken.insert(claim.clone(), name) {
                let what =
                    format!("tenants `{other}` and `{name}` both have {claim}: one must not");
                wrong.push((name.clone(), what));
            }
        }
    }
    wrong
}

/// What is wrong with one tenant, whoever else there is.
fn alone(name: &str, tenant: &Tenant, shared: &Path) -> Option<String> {
    if !is_name(name) {
        return Some(format!(
            "`{name}` is no tenant's name: it is 1 to 64 of a-z, 0-9, `-` and `_`"
        ));
    }
    if tenant.socket.is_none() && !tenant.names_peers() && name != DEFAULT {
        return Some(format!(
            "tenant `{name}` names no peers: give it a `socket`, `uid`, `gid` or `cgroup`; only \
             `{DEFAULT}` takes who is nobody else's"
        ));
    }
    if tenant.socket.is_some() && tenant.names_peers() {
        return Some(format!(
            "tenant `{name}` has a `socket` and `uid`, `gid` or `cgroup`: who reaches its socket is \
             its, so give one or the other"
        ));
    }
    if tenant.socket.as_deref() == Some(shared) {
        return Some(format!("tenant `{name}` has the daemon's own socket: give it another path"));
    }
    if tenant.cgroup.as_deref().is_some_and(|path| !path.starts_with('/')) {
        return Some(format!(
            "tenant `{name}`: a cgroup is a path from the root, as `/user.slice`"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BTreeMap<String, Tenant>, String> {
        let tenants: BTreeMap<String, Tenant> =
            toml::from_str(text).map_err(|error| error.message().to_owned())?;
        match check(&tenants, Path::new("/run/gpumux/gpumuxd.sock")).into_iter().next() {
            None => Ok(tenants),
            Some((_, what)) => Err(what),
        }
    }

    #[test]
    fn a_tenant_is_read_whole() {
        let tenants = read(
            "[shop]\nsocket = \"/run/gpumux/shop.sock\"\nsocket_mode = \"0660\"\n\
             functions = [\"embed\", \"ocr-*\"]\nmapped_bytes_max = \"64MiB\"\nsessions_max = 4\n\
             channels_max = 8\nqueue_max = 100\nrequests_per_s = 50\n\
             [batch]\nuid = [1000, 1001]\n[default]\n",
        );
        let tenants = tenants.unwrap();
        let shop = &tenants["shop"];
        assert_eq!((shop.socket_mode, shop.mapped_bytes_max), (Mode(0o660), Some(Bytes(64 << 20))));
        assert!(shop.may_open("embed") && shop.may_open("ocr-de"));
        assert!(!shop.may_open("embedded") && !shop.may_open("ocr"));
        assert!(tenants["batch"].may_open("anything"));
        assert_eq!(tenants["batch"].sessions_max, SESSIONS_MAX);
    }

    #[test]
    fn mistakes_are_refused_with_advice() {
        for (text, said) in [
            ("[a]\n", "names no peers"),
            ("[A]\nuid = [1]\n", "no tenant's name"),
            ("[a]\nuid = [1]\nsocket = \"/s\"\n", "one or the other"),
            ("[a]\nsocket = \"/run/gpumux/gpumuxd.sock\"\n", "another path"),
            ("[a]\nuid = [1]\n[b]\nuid = [2, 1]\n", "tenants `a` and `b` both have uid 1"),
            ("[a]\ncgroup = \"/x\"\n[b]\ncgroup = \"/x/\"\n", "both have cgroup /x"),
            ("[a]\ncgroup = \"x\"\n", "path from the root"),
            ("[a]\nuid = [1]\nsocket_mode = \"rw\"\n", "write it in octal"),
            ("[a]\nuid = [1]\nfunctions = [\"*x\"]\n", "names no function"),
            ("[a]\nuid = [1]\nmapped_bytes_max = \"64\"\n", "write it like `64MiB`"),
            ("[a]\nuid = [1]\nquota = 4\n", "unknown field `quota`"),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.contains(said), "{text:?}: {refused}");
        }
    }
}
