//! What a daemon was started with, and what its file adds: a value on the command line wins over one in
//! the environment, that over the file, and the file over the default.

use super::ConfigError;
use super::keys;
use super::settings::Settings;
use crate::options::Options;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use std::collections::BTreeMap;
use std::ffi::OsString;

/// The arguments of a daemon, its own name first.
#[derive(Clone, Debug, Default)]
pub(crate) struct CommandLine(Vec<OsString>);

/// What a daemon starts with.
#[derive(Debug)]
pub(crate) struct Start {
    /// Its options, by all that may say them.
    pub(crate) options: Options,
    /// Its file.
    pub(crate) settings: Settings,
    /// What is wrong with the file. What is not wrong is in the options.
    pub(crate) wrong: Vec<ConfigError>,
}

/// What a running daemon was started with, to be compared with its file when that is read anew.
#[derive(Clone, Debug, Default)]
pub(crate) struct Served {
    command_line: CommandLine,
    /// The value of each key that has one.
    values: BTreeMap<String, String>,
}

impl CommandLine {
    /// That of this process.
    pub(crate) fn of_process() -> Self {
        Self(std::env::args_os().collect())
    }

    /// Reads it, and the file where this process is the supervisor. Where the command line itself is
    /// wrong, or asks for help, the process says so and ends.
    pub(crate) fn start(self) -> Start {
        match self.read() {
            Ok(start) => start,
            Err(error) => error.exit(),
        }
    }

    fn read(self) -> Result<Start, clap::Error> {
        let alone = Options::from_arg_matches(&self.matches(&Settings::default())?)?;
        if alone.role.is_some() {
            return Ok(Start { options: alone, settings: Settings::default(), wrong: Vec::new() });
        }
        let (settings, wrong) = Settings::read(alone.supervisor.config.as_deref());
        let matches = self.matches(&settings)?;
        let mut options = Options::from_arg_matches(&matches)?;
        options.supervisor.served = Served { values: values(&matches), command_line: self };
        Ok(Start { options, settings, wrong })
    }

    /// With what a file says where neither it nor the environment says anything.
    fn matches(&self, settings: &Settings) -> Result<ArgMatches, clap::Error> {
        let alone = Options::command().try_get_matches_from(&self.0)?;
        let is_open =
            |key: &str| matches!(alone.value_source(key), None | Some(ValueSource::DefaultValue));
        let (name, rest) = self.0.split_at(self.0.len().min(1));
        let added = settings.values.iter().filter(|value| is_open(&value.key));
        let added = added.map(|value| OsString::from(&value.argument));
        let all = name.iter().cloned().chain(added).chain(rest.iter().cloned());
        Options::command().try_get_matches_from(all)
    }
}

/// The value of each key that has one.
fn values(options: &ArgMatches) -> BTreeMap<String, String> {
    let values = keys::all().into_iter().filter_map(|key| {
        let value = key.value(options)?;
        Some((key.name().to_owned(), value))
    });
    values.collect()
}

impl Settings {
    /// The keys by which a daemon that started now would not be the one that is served.
    pub(crate) fn differs(&self, served: &Served) -> Vec<String> {
        // Each value was taken by its option, and the rest is what the daemon was started with.
        let found = served.command_line.matches(self).map(|found| values(&found));
        let found = match found {
            Ok(found) => found,
            Err(error) => return vec![error.to_string()],
        };
        let shown = |value: Option<&String>| value.map_or("not set".to_owned(), String::clone);
        let differs = keys::all().into_iter().filter_map(|key| {
            let name = key.name();
            let (now, then) = (found.get(name), served.values.get(name));
            if now == then {
                return None;
            }
            let (now, then) = (shown(now), shown(then));
            let file = self.path.display();
            Some(match self.values.iter().find(|value| value.key == name) {
                Some(value) => {
                    let line = value.place.line();
                    format!("`{name}` is {now} in {file}:{line} and {then} in this daemon")
                }
                None => {
                    format!("`{name}` is not in {file}, hence {now}, and {then} in this daemon")
                }
            })
        });
        differs.collect()
    }
}

#[cfg(test)]
impl CommandLine {
    /// The value of each key of a daemon with a file.
    pub(super) fn values(&self, settings: &Settings) -> BTreeMap<String, String> {
        values(&self.matches(settings).unwrap())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Bytes;
    use std::path::Path;

    fn settings(text: &str) -> Settings {
        let (settings, wrong) = Settings::of(Path::new("/etc/gpumuxd.toml"), text);
        assert!(wrong.is_empty(), "{wrong:?}");
        settings
    }

    fn line(arguments: &[&str]) -> CommandLine {
        let all = std::iter::once(&"gpumuxd").chain(arguments);
        CommandLine(all.map(OsString::from).collect())
    }

    fn served(line: &CommandLine, settings: &Settings) -> (Options, Served) {
        let matches = line.matches(settings).unwrap();
        let served = Served { command_line: line.clone(), values: values(&matches) };
        (Options::from_arg_matches(&matches).unwrap(), served)
    }

    #[test]
    fn the_file_wins_over_defaults_alone() {
        let file = settings(
            "lanes = 4\nspin = \"50us\"\nmapped_bytes_max = \"2GiB\"\ndevices = [0, 2]\nmodels = \"m\"\n\
             log_format = \"json\"\n",
        );
        let (options, _) = served(&line(&["--lanes=2", "--models", "here"]), &file);
        let supervisor = options.supervisor;
        assert_eq!(supervisor.worker.lanes, 2);
        assert_eq!(supervisor.models, Path::new("here"));
        assert_eq!(supervisor.worker.spin.to_string(), "50us");
        assert_eq!(supervisor.mapped_bytes_max, Bytes(2 << 30));
        assert_eq!(supervisor.devices, [0, 2]);
        assert_eq!(supervisor.session_mapped_bytes_max, Bytes(1 << 30));
        assert!(options.log.log_format.is_some());
        let (options, _) = served(&line(&[]), &file);
        assert_eq!(options.supervisor.worker.lanes, 4);
        // Relative to the file, and not to where the daemon was started.
        assert_eq!(options.supervisor.models, Path::new("/etc/m"));
    }

    #[test]
    fn what_needs_a_restart_is_named_with_its_line() {
        let line = line(&["--policy=fifo", "--spin=1ms"]);
        let (_, daemon) =
            served(&line, &settings("lanes = 4\nmapped_bytes_max = \"1GiB\"\nspin = \"2ms\"\n"));
        // The same in other words, and what the command line decides, is no change.
        let same = settings("lanes = 0x4\nmapped_bytes_max = \"1024MiB\"\nspin = \"3ms\"\n");
        assert!(same.differs(&daemon).is_empty(), "{:?}", same.differs(&daemon));
        let other =
            settings("\ndispatch_core = 3\nhang_limit = \"1m\"\nmapped_bytes_max = \"1GiB\"");
        assert_eq!(
            other.differs(&daemon),
            [
                "`lanes` is not in /etc/gpumuxd.toml, hence 1, and 4 in this daemon",
                "`dispatch_core` is 3 in /etc/gpumuxd.toml:2 and not set in this daemon",
                "`hang_limit` is 1m in /etc/gpumuxd.toml:3 and 30s in this daemon",
            ]
        );
    }

    #[test]
    fn other_roles_read_no_file() {
        let start = line(&["man", "somewhere"]).read().unwrap();
        assert!(start.options.role.is_some() && start.wrong.is_empty());
    }
}
