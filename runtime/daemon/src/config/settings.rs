//! `gpumuxd.toml`: the daemon's options, and its tenants.

use super::keys::{self, Key};
use super::place::Place;
use super::{ConfigError, Tenant, nearest, tenant};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, ValueDeserializer};

/// Where the file is looked for when none is named. It need not be there.
const USUAL_PATH: &str = "/etc/gpumux/gpumuxd.toml";
/// The key that is no option.
const TENANT: &str = "tenant";

/// The file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Whether it is there.
    pub(crate) is_there: bool,
    /// `[tenant.NAME]`.
    pub(crate) tenant: BTreeMap<String, Tenant>,
    /// Where each begins.
    tenant_places: BTreeMap<String, Place>,
    /// The keys that stand for options.
    pub(super) values: Vec<Value>,
}

/// A key of the file that stands for an option.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) key: String,
    /// What it says, as an argument.
    pub(super) argument: String,
    pub(super) place: Place,
}

/// What the file says must go together with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host<'a> {
    /// The daemon's own socket.
    pub(crate) socket: &'a Path,
    /// Whether the kernel says in which cgroup a peer is.
    pub(crate) tells_cgroups: bool,
}

/// Reads the file that is named, or the usual one if it is there, and checks it against its host.
///
/// # Errors
/// Everything that is wrong with it, or that it cannot be read.
pub(crate) fn settings(named: Option<&Path>, host: Host<'_>) -> Result<Settings, Vec<ConfigError>> {
    let (settings, mut wrong) = Settings::read(named);
    wrong.extend(settings.check(host));
    if wrong.is_empty() { Ok(settings) } else { Err(wrong) }
}

impl Settings {
    /// Reads the file that is named, or the usual one if it is there: what it says, and what is wrong
    /// with the rest.
    pub(crate) fn read(named: Option<&Path>) -> (Self, Vec<ConfigError>) {
        let path = named.unwrap_or(Path::new(USUAL_PATH));
        match std::fs::read_to_string(path) {
            Ok(text) => Self::of(path, &text),
            Err(error) if named.is_none() && error.kind() == ErrorKind::NotFound => {
                (Self { path: path.to_owned(), ..Self::default() }, Vec::new())
            }
            Err(source) => {
                let wrong = ConfigError::Unreadable { path: path.to_owned(), source };
                (Self { path: path.to_owned(), ..Self::default() }, vec![wrong])
            }
        }
    }

    /// Reads a text.
    pub(super) fn of(path: &Path, text: &str) -> (Self, Vec<ConfigError>) {
        let mut reader = Reader {
            text,
            keys: keys::all(),
            settings: Self { path: path.to_owned(), is_there: true, ..Self::default() },
            wrong: Vec::new(),
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            reader.take(table.into_inner());
        }
        let errors = errors.iter().map(|error| ConfigError::from_toml(path, text, error));
        reader.wrong.extend(errors);
        (reader.settings, reader.wrong)
    }

    /// What is wrong with it on this host.
    pub(crate) fn check(&self, host: Host<'_>) -> Vec<ConfigError> {
        let place = |tenant: &str| self.tenant_places.get(tenant).copied().unwrap_or(Place::START);
        let together = tenant::check(&self.tenant, host.socket).into_iter();
        let together = together.map(|(tenant, what)| ConfigError::Wrong {
            path: self.path.clone(),
            place: place(&tenant),
            what,
        });
        let by_cgroup = self.tenant.iter().filter(|(_, tenant)| tenant.cgroup.is_some());
        let untold = by_cgroup.filter(|_| !host.tells_cgroups).map(|(name, _)| {
            let (path, tenant) = (self.path.clone(), name.clone());
            ConfigError::NoCgroups { path, place: place(name), tenant }
        });
        together.chain(untold).collect()
    }

    /// What the file has, for people.
    pub(crate) fn summary(&self) -> String {
        let path = self.path.display();
        if !self.is_there {
            return format!("{path}: not there, which is fine");
        }
        let names: Vec<_> = self.tenant.keys().map(String::as_str).collect();
        let tenants =
            if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
        format!("{path}: {} options, {} tenants{tenants}", self.values.len(), names.len())
    }
}

/// A file that is being read.
struct Reader<'a> {
    text: &'a str,
    keys: Vec<Key>,
    settings: Settings,
    wrong: Vec<ConfigError>,
}

type Entry<'a> = (Spanned<DeString<'a>>, Spanned<DeValue<'a>>);

impl<'a> Reader<'a> {
    fn place(&self, span: &std::ops::Range<usize>) -> Place {
        Place::of(self.text, span.start)
    }

    fn refuse(&mut self, place: Place, what: String) {
        let path = self.settings.path.clone();
        self.wrong.push(ConfigError::Wrong { path, place, what });
    }

    fn take(&mut self, table: DeTable<'a>) {
        let mut entries: Vec<Entry<'a>> = table.into_iter().collect();
        // As the file has them.
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let (name, place) = (key.get_ref().clone().into_owned(), self.place(&key.span()));
            if name == TENANT {
                self.tenants(place, value.into_inner());
            } else if let Some(known) = self.keys.iter().position(|it| it.name() == name) {
                self.option(known, place, &value);
            } else {
                let known = self.keys.iter().map(Key::name).chain([TENANT]);
                let hint = nearest(&name, known);
                let hint = hint.map_or_else(
                    || "the reference lists the keys there are".to_owned(),
                    |nearest| format!("did you mean `{nearest}`?"),
                );
                self.refuse(place, format!("unknown key `{name}`; {hint}"));
            }
        }
    }

    fn option(&mut self, known: usize, place: Place, value: &Spanned<DeValue<'a>>) {
        let folder = self.settings.path.parent().unwrap_or(Path::new("")).to_owned();
        let key = &self.keys[known];
        match key.argument(value.get_ref(), &folder) {
            Ok(None) => (),
            Ok(Some(argument)) => {
                let key = key.name().to_owned();
                self.settings.values.push(Value { key, argument, place });
            }
            Err(what) => self.refuse(self.place(&value.span()), what),
        }
    }

    fn tenants(&mut self, place: Place, tenants: DeValue<'a>) {
        let DeValue::Table(tenants) = tenants else {
            return self.refuse(place, "`tenant` is a table: write `[tenant.NAME]`".to_owned());
        };
        let mut entries: Vec<Entry<'a>> = tenants.into_iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let place = self.place(&name.span());
            let name = name.into_inner().into_owned();
            match Tenant::deserialize(ValueDeserializer::from(value)) {
                Ok(tenant) => {
                    let folder = self.settings.path.parent().unwrap_or(Path::new(""));
                    let tenant = tenant.in_folder(folder);
                    self.settings.tenant_places.insert(name.clone(), place);
                    self.settings.tenant.insert(name, tenant);
                }
                Err(error) => self.refuse_tenant(&name, &error),
            }
        }
    }

    fn refuse_tenant(&mut self, tenant: &str, error: &toml::de::Error) {
        let unknown = error.message().strip_prefix("unknown field `");
        let unknown = unknown.and_then(|rest| rest.split('`').next());
        match self.keys.iter().find(|key| Some(key.name()) == unknown) {
            Some(key) => {
                let what = format!(
                    "`{}` is a key of the daemon, and tenant `{tenant}` has none: write it above the \
                     first `[`",
                    key.name()
                );
                let place = error.span().map_or(Place::START, |span| self.place(&span));
                self.refuse(place, what);
            }
            None => {
                self.wrong.push(ConfigError::from_toml(&self.settings.path, self.text, error));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn host() -> Host<'static> {
        Host { socket: Path::new("/run/s"), tells_cgroups: false }
    }

    fn refused(text: &str) -> Vec<String> {
        let (settings, mut wrong) = Settings::of(Path::new("gpumuxd.toml"), text);
        wrong.extend(settings.check(host()));
        wrong.iter().map(ConfigError::to_string).collect()
    }

    #[test]
    fn mistakes_are_refused_with_their_place_and_what_to_write() {
        for (text, said) in [
            (
                "[tenant.a]\nuid = [1]\n[tenant.b]\ncgroup = \"/b\"\n",
                "gpumuxd.toml:3:9: tenant `b` has a `cgroup`",
            ),
            (
                "[tenant.a]\nuid = [1]\n\n[tenant.b]\nuid = [1]\n",
                "gpumuxd.toml:4:9: tenants `a` and `b` both have uid 1",
            ),
            ("[tenant.a]\nuid = [1]\nqueue = 4\n", "gpumuxd.toml:3:1: unknown field `queue`"),
            ("[tenant.a]\nuid = [1]\nqueue = 4\n", "did you mean `queue_max`?"),
            (
                "[tenant.a]\nuid = [1]\n lanes = 4\n",
                "gpumuxd.toml:3:2: `lanes` is a key of the daemon, and tenant `a` has none: write it above",
            ),
            ("lane = 4\n", "gpumuxd.toml:1:1: unknown key `lane`; did you mean `lanes`?"),
            ("[tenants.a]\n", "did you mean `tenant`?"),
            ("colour = 1\n", "unknown key `colour`; the reference lists"),
            ("config = \"x\"\n", "unknown key `config`"),
            ("lanes = 65\n", "gpumuxd.toml:1:9: `lanes`: 65 is not in 1..=64"),
            ("lanes = -1\n", "`lanes`: -1 is not in 1..=64"),
            ("lanes = \"4\"\n", "`lanes` is a whole number: write `lanes = 1`"),
            ("spin = 20\n", "`spin` is a span of time: write `spin = \"20us\"`"),
            ("spin = \"20\"\n", "write it like `20us`"),
            ("spin = \"1h\"\n", "`spin`: 1h is not in 0s..=1s"),
            (
                "mapped_bytes_max = 4096\n",
                "`mapped_bytes_max` is an amount of memory: write `mapped_bytes_max = \"4GiB\"`",
            ),
            ("mapped_bytes_max = \"4096\"\n", "it has no unit"),
            (
                "policy = \"fife\"\n",
                "gpumuxd.toml:1:10: `policy`: `fife` is none of `fifo`, `sequoia-priority`; did you mean `fifo`?",
            ),
            ("device = \"gpu\"\n", "`device`: expected cuda, auto, emulated"),
            ("metrics_listen = \"0.0.0.0:9400\"\n", "not a loopback address"),
            (
                "socket = \"\"\n",
                "`socket` is a path: write `socket = \"/run/gpumux/gpumuxd.sock\"`",
            ),
            ("devices = [0, \"1\"]\n", "`devices` is a list of whole numbers"),
            ("tenant = 1\n", "gpumuxd.toml:1:1: `tenant` is a table"),
            ("lanes = \n", "gpumuxd.toml:1:"),
        ] {
            let found = refused(text);
            assert!(found.iter().any(|it| it.contains(said)), "{text:?}: {found:#?}");
        }
    }

    #[test]
    fn everything_that_is_wrong_is_named() {
        let found = refused("lanes = 0\nspin = 1\n[tenant.a]\nx = 1\n[tenant.b]\nuid = [-1]\n");
        let lines: Vec<_> = found.iter().map(|it| it.split(':').nth(1).unwrap()).collect();
        assert_eq!(lines, ["1", "2", "4", "6"], "{found:#?}");
    }

    #[test]
    fn what_is_right_is_taken_although_the_rest_is_wrong() {
        let (settings, wrong) = Settings::of(Path::new("/f/x"), "lanes = 0\nmodels = \"m\"\n");
        assert_eq!(wrong.len(), 1);
        assert_eq!(settings.values[0].argument, "--models=/f/m");
    }

    #[test]
    fn a_named_file_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gpumuxd.toml");
        let wrong = settings(Some(&path), host()).unwrap_err();
        assert!(matches!(wrong[..], [ConfigError::Unreadable { .. }]));
        std::fs::write(&path, "[tenant.shop]\nsocket = \"shop.sock\"\n").unwrap();
        let settings = settings(Some(&path), host()).unwrap();
        // Relative to the file.
        assert_eq!(settings.tenant["shop"].socket, Some(folder.path().join("shop.sock")));
    }

    proptest! {
        #[test]
        fn any_text_is_settings_or_told_where_it_is_wrong(
            text in "(lanes|spin|tenant|\\[tenant\\.a\\]|[a-z =\"\\[\\]{}.0-9\n]|\\PC){0,40}"
        ) {
            for error in refused(&text) {
                let place = error.strip_prefix("gpumuxd.toml:").expect("the file");
                let line: usize = place.split(':').next().unwrap().parse().expect("the line");
                prop_assert!(line <= text.matches('\n').count() + 1, "{text:?}: {error}");
            }
        }
    }
}
