//! `cargo xtask header`: the C header, made from the C ABI's sources.
//!
//! It is committed, because who compiles against the library has no Rust; a test sees that it is what
//! the sources give.

use crate::failure::{Failure, Step};
use crate::tree;
use cbindgen::{
    Braces, Builder, Config, DocumentationStyle, EnumConfig, ExportConfig, Language, Style,
};
use std::fs;

/// The sources, in the header's order.
const SOURCES: [&str; 8] =
    ["codes", "error", "session", "function", "request", "pending", "readiness", "reply"];

const HEAD: &str = "\
/* libgpumux: requests to the functions that gpumuxd serves.
 *
 * Every function that can fail returns a gpumux_code; gpumux_last_error says what was wrong, in this
 * thread, in words. Handles come through the last argument of a call, and each is freed once by the
 * function that is named after it, which ignores NULL. Structures begin with their own size, which
 * the caller sets; what is zero has its default. No function unwinds or exits.
 *
 * Made by `cargo xtask header` from shim/capi/src: change it there. */";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Change nothing; fail when the committed header is not what the sources give
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let folder = tree::root().join("shim/capi");
    let mut builder = Builder::new().with_config(config());
    for source in SOURCES {
        builder = builder.with_src(folder.join("src").join(source).with_extension("rs"));
    }
    let mut made = Vec::new();
    builder.generate().step(|| "make the C header".to_owned())?.write(&mut made);
    // Rust's headings for whoever writes the Rust side are prose in C.
    let made = String::from_utf8(made).step(|| "make the C header".to_owned())?;
    let made = made.replace("// # Safety\n", "");
    let target = folder.join("include/gpumux.h");
    if fs::read_to_string(&target).ok().as_ref() == Some(&made) {
        println!("the committed header is what the sources give");
        return Ok(());
    }
    if arguments.check {
        return Err(Failure::new("reproduce the committed header", "run `cargo xtask header`"));
    }
    fs::write(&target, made).step(|| format!("write {}", target.display()))?;
    println!("changed: {}", target.display());
    Ok(())
}

fn config() -> Config {
    Config {
        language: Language::C,
        cpp_compat: true,
        header: Some(HEAD.to_owned()),
        include_guard: Some("GPUMUX_H".to_owned()),
        no_includes: true,
        sys_includes: vec!["stddef.h".to_owned(), "stdint.h".to_owned()],
        usize_is_size_t: true,
        style: Style::Both,
        braces: Braces::SameLine,
        line_length: 100,
        documentation_style: DocumentationStyle::C99,
        enumeration: EnumConfig::default(),
        export: ExportConfig {
            // The fields that hold them are plain integers: a stranger's number is no enumerator.
            include: ["gpumux_outcome", "gpumux_reason", "gpumux_element"]
                .map(str::to_owned)
                .into(),
            ..ExportConfig::default()
        },
        ..Config::default()
    }
}
