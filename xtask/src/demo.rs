//! `cargo xtask demo`: builds everything, fetches the models and starts `gpumux demo`.

use crate::cache::CacheFolder;
use crate::failure::{self, Failure};
use crate::{models, tree, workspace};
use std::process::Command;

pub(crate) fn run() -> Result<(), Failure> {
    let binaries = workspace::build()?;
    let models = models::fetch()?;
    // Imported models are kept between runs.
    let state = CacheFolder::open("demo")?;
    let mut demo = Command::new(binaries.join("gpumux"));
    demo.arg("demo").arg("--models").arg(models);
    demo.arg("--state").arg(&state.path).arg("--tree").arg(tree::root());
    Err(failure::hand_over(&mut demo, "start the demo"))
}
