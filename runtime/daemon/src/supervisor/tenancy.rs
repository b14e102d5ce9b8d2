//! Which tenant a peer is of.

use super::identity::{Identity, kernel_tells_cgroups};
use crate::config::tenant::DEFAULT;
use crate::config::{ConfigError, Host, Settings, Tenant, settings};
use crate::link::REQUESTS_MAX;
use crate::options::SupervisorOptions;
use std::collections::BTreeMap;

/// By which socket a peer came: the daemon's own, or that of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Door {
    /// The daemon's own.
    Shared,
    /// The tenant's of this name.
    Of(String),
}

/// The tenants there are, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tenancy(BTreeMap<String, Tenant>);

impl Tenancy {
    /// Reads the tenants of a daemon with these options, and what else is in its file.
    pub(super) fn read(options: &SupervisorOptions) -> Result<(Self, Settings), Vec<ConfigError>> {
        let settings = settings(options.config.as_deref(), host(options))?;
        Ok((Self::new(settings.tenant.clone()), settings))
    }

    /// Where none is configured, whoever reaches the daemon's socket is of one tenant, which may have
    /// everything.
    fn new(tenants: BTreeMap<String, Tenant>) -> Self {
        if !tenants.is_empty() {
            return Self(tenants);
        }
        let all = Tenant {
            sessions_max: 512,
            channels_max: 1024,
            queue_max: REQUESTS_MAX,
            ..Tenant::default()
        };
        Self(BTreeMap::from([(DEFAULT.to_owned(), all)]))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Tenant)> {
        self.0.iter().map(|(name, tenant)| (name.as_str(), tenant))
    }

    pub(super) fn get(&self, name: &str) -> Option<&Tenant> {
        self.0.get(name)
    }

    /// Whether a peer's cgroup decides anything.
    pub(super) fn asks_for_cgroups(&self) -> bool {
        self.0.values().any(|tenant| tenant.cgroup.is_some())
    }

    /// The tenant of a peer. At the daemon's own socket the innermost cgroup that holds the peer says
    /// most, then its user, then its group; who is nobody else's is of `default`, if that is there.
    pub(super) fn of(&self, door: &Door, peer: &Identity) -> Option<&str> {
        if let Door::Of(name) = door {
            return self.0.get_key_value(name).map(|(name, _)| name.as_str());
        }
        let depth = |tenant: &Tenant| {
            let above = tenant.cgroup.as_deref()?.trim_end_matches('/');
            let rest = peer.cgroup.strip_prefix(above)?;
            (rest.is_empty() || rest.starts_with('/')).then_some(above.len())
        };
        let named = || self.iter().filter(|(_, tenant)| tenant.socket.is_none());
        let by_cgroup = named()
            .filter_map(|(name, tenant)| depth(tenant).map(|depth| (depth, name)))
            .max()
            .map(|(_, name)| name);
        let by_uid = || named().find(|(_, tenant)| tenant.uid.contains(&peer.uid));
        let by_gid = || named().find(|(_, tenant)| tenant.gid.contains(&peer.gid));
        let rest = || named().find(|(name, _)| *name == DEFAULT);
        by_cgroup.or_else(|| by_uid().or_else(by_gid).or_else(rest).map(|(name, _)| name))
    }
}

/// What a file must go together with.
pub(super) fn host(options: &SupervisorOptions) -> Host<'_> {
    Host { socket: &options.socket, tells_cgroups: kernel_tells_cgroups() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenancy(text: &str) -> Tenancy {
        Tenancy::new(toml::from_str(text).unwrap())
    }

    fn peer(uid: u32, gid: u32, cgroup: &str) -> Identity {
        Identity { pid: 1, uid, gid, cgroup: cgroup.to_owned() }
    }

    #[test]
    fn what_says_more_of_a_peer_wins() {
        let tenancy = tenancy(
            "[shop]\nsocket = \"/s\"\n[a]\nuid = [1]\n[b]\ngid = [2]\n[c]\ncgroup = \"/x\"\n\
             [d]\ncgroup = \"/x/y/\"\n",
        );
        assert!(tenancy.asks_for_cgroups());
        let of = |peer: &Identity| tenancy.of(&Door::Shared, peer);
        assert_eq!(of(&peer(1, 2, "/z")), Some("a"));
        assert_eq!(of(&peer(3, 2, "/xy")), Some("b"));
        assert_eq!(of(&peer(1, 2, "/x/z")), Some("c"));
        assert_eq!(of(&peer(1, 2, "/x/y/z")), Some("d"));
        assert_eq!(of(&peer(3, 3, "/")), None, "nobody's is nobody");
        let shop = Door::Of("shop".to_owned());
        assert_eq!(tenancy.of(&shop, &peer(1, 2, "/x")), Some("shop"));
        assert_eq!(tenancy.of(&Door::Of("gone".to_owned()), &peer(1, 2, "/x")), None);
    }

    #[test]
    fn without_tenants_all_are_of_one() {
        let tenancy = tenancy("");
        assert_eq!(tenancy.of(&Door::Shared, &peer(7, 7, "")), Some("default"));
        assert!(tenancy.get("default").unwrap().may_open("anything"));
    }
}
