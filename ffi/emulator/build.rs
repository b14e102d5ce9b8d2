//! Link options of the emulator.

fn main() {
    // Its threads live as long as the process, so the library must: a loader that unloads it would
    // pull the code away under them.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo::rerun-if-changed=build.rs");
}
