//! Reference results that ONNX Runtime made (`models/golden/make.py`), and the models they are of.

use npyz::{Deserialize, NpyFile};
use std::env;
use std::path::{Path, PathBuf};

/// One case: a folder of arrays, each a batch of rows.
#[derive(Debug)]
pub struct Golden {
    folder: PathBuf,
}

impl Golden {
    /// The case of that name, as `minilm/eight_mixed`.
    pub fn open(case: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tree's root");
        Self { folder: root.join("models/golden").join(case) }
    }

    /// The rows of an array: what belongs to each request, with the batch's padding.
    pub fn rows<T: Deserialize>(&self, tensor: &str) -> Vec<Vec<T>> {
        let path = self.folder.join(format!("{tensor}.npy"));
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let file = NpyFile::new(&bytes[..]).expect("an array that numpy wrote");
        let rows = usize::try_from(file.shape()[0]).expect("a small array");
        let mut elements = file.into_vec::<T>().expect("the type that the test names");
        let width = elements.len() / rows;
        let mut split = Vec::new();
        while !elements.is_empty() {
            let rest = elements.split_off(width);
            split.push(std::mem::replace(&mut elements, rest));
        }
        split
    }
}

/// Holds a result to the oracle's: `max|a − b| ≤ 1e-4 · max|b|`, and the same arg-max wherever the
/// oracle's margin is above 1e-3.
///
/// # Panics
/// When it does not hold.
pub fn assert_close(what: &str, found: &[f32], oracle: &[f32]) {
    assert_eq!(found.len(), oracle.len(), "{what}");
    let largest = oracle.iter().fold(0f32, |all, it| all.max(it.abs()));
    let differences = found.iter().zip(oracle).map(|(a, b)| (a - b).abs());
    let worst = differences.fold(0f32, |all, it| if it <= all { all } else { it });
    assert!(worst <= 1e-4 * largest, "{what}: differs by {worst:e} of {largest:e}");
    let mut sorted = oracle.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    if sorted.len() > 1 && sorted[0] - sorted[1] > 1e-3 {
        assert_eq!(argmax(found), argmax(oracle), "{what}");
    }
}

fn argmax(values: &[f32]) -> Option<usize> {
    (0..values.len()).max_by(|a, b| values[*a].total_cmp(&values[*b]))
}

/// A file that `cargo xtask models` fetched.
///
/// # Panics
/// When it is not there, with the command to run.
pub fn fetched(file: &str) -> PathBuf {
    let folder = |variable| env::var_os(variable).filter(|it| !it.is_empty()).map(PathBuf::from);
    let cache = folder("GPUMUX_CACHE")
        .or_else(|| folder("XDG_CACHE_HOME").map(|path| path.join("gpumux")))
        .or_else(|| folder("HOME").map(|path| path.join(".cache/gpumux")))
        .expect("a cache folder");
    let path = cache.join("models").join(file);
    assert!(path.exists(), "{} is missing: run `cargo xtask models`", path.display());
    path
}
