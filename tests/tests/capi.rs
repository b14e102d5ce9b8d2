//! The C ABI as who compiles against it has it: the committed header, the libraries, and C programs
//! beside a real daemon, under valgrind too.

use gpumux_tests::programs::{Link, NEEDED, Programs, STRICT, Talking, in_tree, run};
use gpumux_tests::{Daemon, binary};
use std::process::Command;

const ECHO: (&str, &str) = ("echo", "model = \"builtin:echo\"\nlength = { max = 1024 }\n");

#[test]
fn the_committed_header_is_what_the_sources_give() {
    run(Command::new(binary("xtask")).args(["header", "--check"]));
}

#[test]
fn the_header_stands_alone_in_each_language() {
    let folder = tempfile::tempdir().unwrap();
    let languages = [
        ("cc", "c99", "one.c"),
        ("cc", "c11", "two.c"),
        ("cc", "c17", "three.c"),
        ("c++", "c++17", "four.cpp"),
    ];
    for (compiler, standard, file) in languages {
        let source = folder.path().join(file);
        let text = "#include <gpumux.h>\n#include <gpumux.h>\n\
            int main(void) { return gpumux_abi_version() == GPUMUX_ABI_VERSION ? 0 : 1; }\n";
        std::fs::write(&source, text).unwrap();
        let program = source.with_extension("out");
        let mut command = Command::new(compiler);
        command
            .arg(format!("-std={standard}"))
            .args(STRICT)
            .arg("-I")
            .arg(in_tree("shim/capi/include"));
        command.arg(&source).arg(binary("libgpumux.a")).args(NEEDED).arg("-o").arg(&program);
        run(&mut command);
        run(&mut Command::new(program));
    }
}

#[test]
fn the_shared_library_shows_its_own_names_alone() {
    let library = binary("libgpumux.so");
    let names = run(Command::new("nm").args(["-D", "--defined-only"]).arg(&library));
    let names: Vec<&str> = names.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    let header = std::fs::read_to_string(in_tree("shim/capi/include/gpumux.h")).unwrap();
    assert!(names.len() > 20, "{names:?}");
    for name in &names {
        assert!(name.starts_with("gpumux_"), "{name} is shown");
        assert!(header.contains(&format!("{name}(")), "{name} is not in the header");
    }
    let soname = run(Command::new("readelf").arg("-d").arg(&library));
    assert!(soname.contains("Library soname: [libgpumux.so.0]"), "{soname}");
}

#[test]
fn the_example_runs_however_it_is_linked() {
    let daemon = Daemon::start(&[ECHO]);
    let programs = Programs::new();
    for (standard, link) in [("c11", Link::Shared), ("c11", Link::Static), ("c99", Link::Shared)] {
        let program = programs.compile("shim/capi/examples/echo.c", standard, link);
        let mut command = programs.command(&program);
        let text = run(command.arg(daemon.socket()).arg("some text"));
        assert!(text.ends_with("echo: some text\n"), "{text}");
        assert!(text.contains("input data: 1 bytes, dimensions 1*"), "{text}");
    }
    let program = programs.compile("shim/capi/examples/echo.c", "c11", Link::Shared);
    let mut checked = programs.checked(&program);
    let text = run(checked.arg(daemon.socket()).arg("some text"));
    assert!(text.ends_with("echo: some text\n"), "{text}");
    // What it says when something is wrong.
    let mut command = programs.command(&program);
    let output = command.args(["/nowhere/gpumuxd.sock", "text"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("could not connect: no daemon listens at /nowhere"), "{said}");
}

/// The program in which C holds the ABI to its word, over a restart of the daemon.
fn holds_over_a_restart(command: &mut Command) {
    let mut daemon = Daemon::start(&[ECHO]);
    let mut program = Talking::start(command.arg(daemon.socket()));
    program.hear("ready");
    let worker = daemon.stop_worker();
    program.tell();
    program.hear("filled");
    daemon.crash(worker);
    daemon.restart(&[ECHO]);
    program.hear("held");
    assert!(program.succeeded());
}

#[test]
fn c_holds_the_abi_to_its_word() {
    let programs = Programs::new();
    let program = programs.compile("shim/capi/tests/abi.c", "c11", Link::Static);
    holds_over_a_restart(&mut programs.command(program));
}

#[test]
fn nothing_leaks_over_a_restart() {
    let programs = Programs::new();
    let program = programs.compile("shim/capi/tests/abi.c", "c11", Link::Shared);
    holds_over_a_restart(&mut programs.checked(&program));
}
