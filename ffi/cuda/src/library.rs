//! Finding and opening a CUDA library, and resolving its symbols before anything is called.
//!
//! A library stays loaded until the process ends: the driver has threads of its own, and the names
//! of its errors are borrowed for good.

use crate::error::OpenError;
use libloading::Library;
use std::ffi::{CStr, OsStr, c_void};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A library that was opened, and where it lies.
pub(crate) struct Opened {
    library: &'static Library,
    path: PathBuf,
}

impl Opened {
    /// Opens the first library that loads, of the names that `stem` has in all versions; the names
    /// that were tried when none does.
    pub(crate) fn first_of(stem: &str) -> Result<Self, Vec<String>> {
        let tried = cudarc::get_lib_name_candidates(stem);
        for name in &tried {
            // SAFETY: a library's initialisers run here; a CUDA library's may be run from any
            // thread and ask nothing of the caller.
            let opened = unsafe { Library::new(name) };
            if let Ok(library) = opened {
                let library = Box::leak(Box::new(library));
                return Ok(Self { library, path: PathBuf::from(name) });
            }
        }
        Err(tried)
    }

    /// Where it was found.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Learns the file that the loader took, from the address of one of its functions.
    pub(crate) fn locate(&mut self, function: *const c_void) {
        if let Some(path) = file_of(function) {
            self.path = path;
        }
    }

    /// The function `symbol`, if there is one.
    ///
    /// # Safety
    /// `F` must be a function pointer of the type that the symbol has in the library's ABI.
    pub(crate) unsafe fn find<F: Copy>(&self, symbol: &'static str) -> Option<F> {
        // SAFETY: the caller gives the right type, and the library is never closed.
        let found = unsafe { self.library.get::<F>(symbol) };
        found.ok().map(|function| *function)
    }

    /// The function `symbol`, which has to be there.
    ///
    /// # Safety
    /// As [`Self::find`].
    pub(crate) unsafe fn need<F: Copy>(&self, symbol: &'static str) -> Result<F, OpenError> {
        // SAFETY: the caller gives the right type.
        let found = unsafe { self.find(symbol) };
        found.ok_or_else(|| OpenError::MissingSymbol { library: self.path.clone(), symbol })
    }
}

/// The file that the code at `address` was loaded from, links followed.
fn file_of(address: *const c_void) -> Option<PathBuf> {
    let mut info = MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: dladdr only compares the address, and writes to `info`, which is large enough.
    let found = unsafe { libc::dladdr(address, info.as_mut_ptr()) };
    if found == 0 {
        return None;
    }
    // SAFETY: dladdr answered that it filled `info` in.
    let info = unsafe { info.assume_init() };
    if info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: not null, so it is the loader's own name of a library, which is never unloaded.
    let name = unsafe { CStr::from_ptr(info.dli_fname) };
    let path = Path::new(OsStr::from_bytes(name.to_bytes()));
    // A path that cannot be resolved is still the best name there is.
    Some(path.canonicalize().unwrap_or_else(|_| path.to_owned()))
}

/// Declares the functions of a library that we call, as a struct of pointers.
///
/// Results are `u32`, not cudarc's enums: a newer library may answer a code that an enum lacks, and
/// an enum without it would be undefined behaviour. `optional` ones are probed by name.
macro_rules! library_functions {
    (
        $(#[$doc:meta])*
        struct $api:ident {
            $(fn $name:ident($($argument:ty),* $(,)?);)+
            $(optional fn $maybe:ident($($maybe_argument:ty),* $(,)?);)*
        }
    ) => {
        $(#[$doc])*
        #[expect(non_snake_case, reason = "the fields are the library's own symbols")]
        pub(crate) struct $api {
            $(pub(crate) $name: unsafe extern "C" fn($($argument),*) -> u32,)+
            $(pub(crate) $maybe: Option<unsafe extern "C" fn($($maybe_argument),*) -> u32>,)*
        }

        impl $api {
            /// Resolves every function.
            pub(crate) fn resolve(
                library: &$crate::library::Opened,
            ) -> Result<Self, $crate::error::OpenError> {
                Ok(Self {
                    $($name: {
                        // SAFETY: the field has the type that CUDA documents for this symbol.
                        unsafe { library.need(stringify!($name)) }?
                    },)+
                    $($maybe: {
                        // SAFETY: the field has the type that CUDA documents for this symbol.
                        unsafe { library.find(stringify!($maybe)) }
                    },)*
                })
            }
        }
    };
}
pub(crate) use library_functions;
