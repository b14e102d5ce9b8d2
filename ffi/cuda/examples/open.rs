//! Says what the driver that the loader finds is, or why it cannot be used.

fn main() {
    match gpumux_cuda::Driver::load() {
        Ok(driver) => println!("{}: {}", driver.library_path().display(), driver.version()),
        Err(error) => println!("{error}"),
    }
}
