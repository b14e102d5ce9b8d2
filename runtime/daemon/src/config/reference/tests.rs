//! The pages and the installed file against what the daemon takes.

use super::*;
use crate::config::settings::Settings;
use crate::config::{CommandLine, Host};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Compares a file of the tree with what it should be; with `GPUMUX_WRITE_REFERENCE=1` writes it.
fn hold(path: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    if std::env::var_os("GPUMUX_WRITE_REFERENCE").is_some() {
        std::fs::write(&path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "{} is not what the code says: run this test with GPUMUX_WRITE_REFERENCE=1",
        path.display()
    );
}

#[test]
fn the_pages_and_the_installed_file_are_what_the_code_says() {
    hold("docs/reference/gpumuxd-toml.md", &daemon_page());
    hold("docs/reference/function-toml.md", &function_page());
    hold("deploy/gpumuxd.toml", &installed_file());
}

/// Reads a text as the daemon does, on a kernel that tells cgroups.
fn taken(text: &str) -> Settings {
    let (settings, mut wrong) = Settings::of(Path::new("/etc/gpumux/gpumuxd.toml"), text);
    wrong.extend(settings.check(Host { socket: Path::new("/run/s"), tells_cgroups: true }));
    assert!(wrong.is_empty(), "{wrong:#?}\n{text}");
    settings
}

fn names(settings: &Settings) -> BTreeSet<String> {
    settings.values.iter().map(|value| value.key.clone()).collect()
}

/// The dotted keys of a document.
fn dotted(prefix: &str, value: &toml::Value, found: &mut BTreeSet<String>) {
    if let toml::Value::Table(table) = value {
        for (name, value) in table {
            found.insert(format!("{prefix}{name}"));
            dotted(&format!("{prefix}{name}."), value, found);
        }
    }
}

#[test]
fn every_option_is_a_key_and_every_key_an_option() {
    use crate::log::LogOptions;
    use crate::options::{SupervisorOptions, WorkerOptions};
    use clap::{Args, Command};
    let mut command = SupervisorOptions::augment_args(Command::new("x"));
    command = LogOptions::augment_args(command);
    let named = |command: &Command| -> BTreeSet<String> {
        command.get_arguments().map(|option| option.get_id().to_string()).collect()
    };
    let mut options = named(&command);
    assert!(named(&WorkerOptions::augment_args(Command::new("x"))).is_subset(&options));
    assert!(options.remove("config"), "the file does not name itself");
    let all: BTreeSet<String> = keys::all().iter().map(|key| key.name().to_owned()).collect();
    assert_eq!(all, options);
    for key in keys::all() {
        let option = key.option();
        assert_eq!(option.get_long().unwrap().replace('-', "_"), key.name());
        let variable = format!("GPUMUX_{}", key.name().to_uppercase());
        assert_eq!(option.get_env().unwrap(), &*variable);
    }
}

#[test]
fn the_examples_have_every_key_and_are_taken() {
    let settings = taken(DAEMON_EXAMPLE);
    let all: BTreeSet<String> = keys::all().iter().map(|key| key.name().to_owned()).collect();
    assert_eq!(names(&settings), all);
    let has = |text: &str, under: &str| {
        let mut found = BTreeSet::new();
        let document: toml::Table = toml::from_str(text).unwrap();
        dotted("", &toml::Value::Table(document), &mut found);
        let under = |key: String| Some(key.strip_prefix(under)?.rsplit_once('.')?.1.to_owned());
        found.into_iter().filter_map(under).collect::<BTreeSet<_>>()
    };
    let tenants = has(DAEMON_EXAMPLE, "tenant");
    for row in table_rows(&schema::<Tenant>(), "") {
        assert!(tenants.contains(&row.key), "no {} in the example", row.key);
    }
    let mut found = BTreeSet::new();
    let document: toml::Table = toml::from_str(FUNCTION_EXAMPLE).unwrap();
    dotted("", &toml::Value::Table(document), &mut found);
    for row in table_rows(&schema::<FunctionConfig>(), "") {
        assert!(found.contains(&row.key), "no {} in the example", row.key);
    }
    for text in [FUNCTION_EXAMPLE, BUILTIN_EXAMPLE] {
        let function: FunctionConfig = toml::from_str(text).unwrap();
        assert_eq!(function.check(), []);
    }
}

#[test]
fn the_installed_file_is_of_the_defaults() {
    let text = installed_file();
    let plain = taken(&text);
    assert!(names(&plain).is_empty() && plain.tenant.is_empty(), "it changes nothing");
    let uncommented: String = text
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .map(|line| format!("{line}\n"))
        .collect();
    let settings = taken(&uncommented);
    let all: BTreeSet<String> = keys::all().iter().map(|key| key.name().to_owned()).collect();
    assert_eq!(names(&settings), all);
    let (without, with) = (values(&plain), values(&settings));
    for (key, value) in without {
        assert_eq!(with[&key], value, "{key}");
    }
    let mut found = BTreeSet::new();
    dotted("", &toml::Value::Table(toml::from_str(&uncommented).unwrap()), &mut found);
    for Row { key, .. } in table_rows(&schema::<Tenant>(), "") {
        let named = ["shop", "batch"].map(|tenant| format!("tenant.{tenant}.{key}"));
        assert!(named.iter().any(|it| found.contains(it)), "no {key} in the installed file");
    }
    let shop = &settings.tenant["shop"];
    let default = Tenant {
        socket: shop.socket.clone(),
        mapped_bytes_max: Some(Bytes(4 << 30)),
        ..Tenant::default()
    };
    assert_eq!(*shop, default);
}

/// The values of a daemon with this file and an empty command line.
fn values(settings: &Settings) -> BTreeMap<String, String> {
    CommandLine::default().values(settings)
}

#[test]
fn every_range_of_a_function_and_a_tenant_is_what_is_taken() {
    let beyond = |text: &str, step: i64| text.parse::<i64>().unwrap() + step;
    let put = |base: &str, key: &str, value: i64| {
        let mut document: toml::Table = toml::from_str(base).unwrap();
        let mut table = &mut document;
        let mut parts: Vec<&str> = key.split('.').collect();
        let last = parts.pop().unwrap();
        for part in parts {
            table = table.get_mut(part).unwrap().as_table_mut().unwrap();
        }
        let is_list = matches!(last, "uid" | "gid");
        let value = toml::Value::Integer(value);
        let value = if is_list { toml::Value::Array(vec![value]) } else { value };
        table.insert(last.to_owned(), value);
        document.to_string()
    };
    let function = |key: &str, value: i64| {
        let text = put(BUILTIN_EXAMPLE, key, value);
        toml::from_str::<FunctionConfig>(&text).is_ok_and(|it| it.check().is_empty())
    };
    let tenant = |key: &str, value: i64| toml::from_str::<Tenant>(&put("", key, value)).is_ok();
    let mut ranges = 0;
    let functions = table_rows(&schema::<FunctionConfig>(), "");
    let tenants = table_rows(&schema::<Tenant>(), "");
    let mut judge = |rows: Vec<Row>, is_taken: &dyn Fn(&str, i64) -> bool| {
        for Row { key, range, .. } in rows {
            let Some((least, most)) = range else { continue };
            ranges += 1;
            assert!(is_taken(&key, beyond(&least, 0)) && is_taken(&key, beyond(&most, 0)), "{key}");
            assert!(!is_taken(&key, beyond(&least, -1)), "{key} is less than {least}");
            assert!(!is_taken(&key, beyond(&most, 1)), "{key} is more than {most}");
        }
    };
    judge(functions, &function);
    judge(tenants, &tenant);
    assert!(ranges >= 10, "{ranges}");
    for (wait, is_good) in [("0s", true), ("1h", true), ("1h 1ns", false)] {
        let text = format!("{BUILTIN_EXAMPLE}max_wait = \"{wait}\"\n");
        let function: FunctionConfig = toml::from_str(&text).unwrap();
        assert_eq!(function.check().is_empty(), is_good, "{wait}");
    }
}
