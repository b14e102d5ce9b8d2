//! Gives the shared library its soname: the number changes when programs that were linked to an
//! earlier one would break.

fn main() {
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libgpumux.so.0");
    println!("cargo::rerun-if-changed=build.rs");
}
