//! `gpumuxd.toml` and `function.toml` with the real daemon: what wins, what is refused and where, what
//! `--check-config` says, what a reload names.

use gpumux_shim::ChannelSize;
use gpumux_tests::{Daemon, Options, binary};
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

const SIZE: ChannelSize = ChannelSize { slots: 8, arena_bytes: 1 << 20 };
const ECHO: &str = "model = \"builtin:echo\"\nlength = { max = 1024 }\n";

fn with(config: &str) -> Options {
    Options { config: config.to_owned(), ..Options::default() }
}

/// A folder with a gpumuxd.toml and functions.
struct Site(TempDir);

impl Site {
    fn new(config: &str, functions: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("room for a test's files");
        std::fs::write(folder.path().join("gpumuxd.toml"), config).expect("a folder of our own");
        for (name, text) in functions {
            let function = folder.path().join("models").join(name);
            std::fs::create_dir_all(&function).expect("a folder of our own");
            std::fs::write(function.join("function.toml"), text).expect("a folder of our own");
        }
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn check(&self) -> Output {
        let mut command = Command::new(binary("gpumuxd"));
        command.arg("--check-config").arg("--config").arg(self.path().join("gpumuxd.toml"));
        // Whatever it would write it would write here.
        command.current_dir(self.path()).output().expect("gpumuxd starts")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it writes text")
}

fn reload(daemon: &Daemon, config: &str) -> Output {
    std::fs::write(daemon.config(), config).expect("a folder of the test");
    Command::new(binary("gpumux"))
        .args(["reload", "--admin-socket"])
        .arg(daemon.admin_socket())
        .output()
        .expect("gpumux starts")
}

#[test]
fn the_command_line_wins_over_the_file() {
    let file = "lanes = 4\npartitions = \"none\"\nsession_mapped_bytes_max = \"1MiB\"\n\
                mapped_bytes_max = \"96MiB\"\n";
    let daemon = Daemon::start_with(&[("echo", ECHO)], &with(file));
    let status = daemon.status();
    assert_eq!((status.devices[0].lanes.len(), status.connections.mapped_bytes_max), (4, 96 << 20));
    drop(daemon);
    let options = Options {
        arguments: ["--lanes=2", "--mapped-bytes-max=64MiB"].map(str::to_owned).to_vec(),
        ..with(file)
    };
    let daemon = Daemon::start_with(&[("echo", ECHO)], &options);
    let status = daemon.status();
    assert_eq!((status.devices[0].lanes.len(), status.connections.mapped_bytes_max), (2, 64 << 20));
}

#[test]
fn a_daemon_does_not_start_with_a_mistake_and_names_all_of_them() {
    let said = Daemon::refuse(
        &[("echo", ECHO)],
        &with("lanes = 65\n\n  spinn = \"20us\"\nspin = 20\n[tenant.a]\nuid = [1]\nqueue = 3\n"),
    );
    for (place, what) in [
        ("1:9", "`lanes`: 65 is not in 1..=64"),
        ("3:3", "unknown key `spinn`; did you mean `spin`?"),
        ("4:8", "`spin` is a span of time: write `spin = \"20us\"`"),
        ("7:1", "unknown field `queue`"),
    ] {
        let wanted = format!("gpumuxd.toml:{place}: {what}");
        assert!(said.contains(&wanted), "no {wanted}: {said}");
    }
}

#[test]
fn the_configuration_is_checked_without_a_device() {
    let good = "models = \"models\"\nlanes = 4\n[tenant.shop]\nsocket = \"shop.sock\"\n";
    let site = Site::new(good, &[("echo", ECHO), ("ocr", ECHO)]);
    let output = site.check();
    let said = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(said.starts_with("ok\n"), "{said}");
    assert!(said.contains("gpumuxd.toml: 2 options, 1 tenants: shop\n"), "{said}");
    assert!(said.contains("models: 2 functions: echo, ocr\n"), "{said}");
    let left: Vec<_> = std::fs::read_dir(site.path()).unwrap().flatten().collect();
    assert_eq!(left.len(), 2, "it made something: {left:?}");
}

#[test]
fn a_check_names_every_mistake_of_every_file() {
    let bad = "models = \"models\"\nlanes = 0\n[tenant.a]\n[tenant.b]\nuid = [1]\n[tenant.c]\nuid = [1]\n";
    let site = Site::new(
        bad,
        &[
            ("embed", "model = \"model.onnx\"\n"),
            ("ocr", "model = \"builtin:echo\"\nlength = { max = 0 }\nmax_batch = 0\n"),
            ("two", "model = \"builtin:two\"\n"),
        ],
    );
    let output = site.check();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(text(&output.stdout), "");
    for wanted in [
        "gpumuxd.toml:2:9: `lanes`: 0 is not in 1..=64",
        "gpumuxd.toml:3:9: tenant `a` names no peers",
        "gpumuxd.toml:6:9: tenants `b` and `c` both have uid 1",
        "models/ocr/function.toml:2:12: length.max = 0",
        "models/ocr/function.toml:3:1: max_batch = 0: write 1 to 1024",
        "models/two/function.toml:1:9: there is no `builtin:two`",
    ] {
        assert!(said.contains(wanted), "no {wanted}: {said}");
    }
    // A model that is not there is a mistake too, once the files can be read.
    let site = Site::new("models = \"models\"", &[("embed", "model = \"model.onnx\"\n")]);
    let said = text(&site.check().stderr);
    assert!(said.contains("models/embed/model.onnx: No such file"), "{said}");
}

#[test]
fn a_reload_names_the_keys_that_need_a_restart() {
    let options = Options {
        arguments: vec!["--spin=10us".to_owned()],
        ..with("lanes = 2\npartitions = \"none\"\nspin = \"20us\"\n")
    };
    let daemon = Daemon::start_with(&[("echo", ECHO)], &options);
    let config = daemon.config().display().to_string();
    let output = reload(
        &daemon,
        "spin = \"30us\"\npartitions = \"none\"\n\nlanes = 0x3\nhang_limit = \"1m\"\n",
    );
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(said.contains(&format!("`lanes` is 3 in {config}:4 and 2 in this daemon")), "{said}");
    let limit = format!("`hang_limit` is 1m in {config}:5 and 30s in this daemon");
    assert!(said.contains(&limit), "{said}");
    assert!(!said.contains("`spin`"), "the command line has it either way: {said}");
    // A mistake leaves all as it is.
    let output = reload(&daemon, "lanes = 2\n[tenant.a]\nuid = [1]\nlanes = 3\n");
    assert!(!output.status.success());
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(said.contains(&format!("{config}:4:1: `lanes` is a key of the daemon")), "{said}");
    assert_eq!(daemon.status().devices[0].lanes.len(), 2);
    assert!(daemon.connect().open("echo", SIZE).is_ok());
}

/// Each adds a level to what is there: the file, the environment, the command line.
#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let site = Site::new("models = \"models\"\nlog_format = \"json\"\n", &[]);
    let said = |environment: Option<&str>, arguments: &[&str]| {
        let mut command = Command::new(binary("gpumuxd"));
        command.arg("--config").arg(site.path().join("gpumuxd.toml")).args(arguments);
        command.env_remove("JOURNAL_STREAM").env_remove("GPUMUX_LOG_FORMAT");
        command.envs(environment.map(|format| ("GPUMUX_LOG_FORMAT", format)));
        let output = command.output().expect("gpumuxd starts");
        assert!(!output.status.success(), "there are no models");
        let said = text(&output.stderr);
        assert!(said.contains(&*site.path().join("models").to_string_lossy()), "{said}");
        said
    };
    let is_json = |said: &str| {
        let line = serde_json::from_str::<serde_json::Value>(said.trim());
        line.is_ok_and(|line| line["message"].is_string())
    };
    let by_file = said(None, &[]);
    assert!(is_json(&by_file), "{by_file}");
    let by_environment = said(Some("text"), &[]);
    assert!(!is_json(&by_environment), "{by_environment}");
    let by_argument = said(Some("text"), &["--log-format", "json"]);
    assert!(is_json(&by_argument), "{by_argument}");
}
