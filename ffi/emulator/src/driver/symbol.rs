//! Functions by name, for programs that ask the driver and not the loader.

use super::abi::{Out, Text, early_edge};
use super::since::first_version;
use crate::code::{Code, Outcome};
use crate::machine::claim;
use std::ffi::{CStr, CString, c_int, c_void};

/// `CU_GET_PROC_ADDRESS_SUCCESS`, `..._SYMBOL_NOT_FOUND`, `..._VERSION_NOT_SUFFICIENT`.
const FOUND: u32 = 0;
const NOT_FOUND: u32 = 1;
const VERSION_NOT_SUFFICIENT: u32 = 2;
/// Callers ask for a function by its bare name; the ABI of today has one of these endings, the
/// newest first.
const ENDINGS: [&str; 4] = ["_v4", "_v3", "_v2", ""];
/// Names whose newer forms take other arguments, and what the bare name means to a program of the
/// given CUDA version and later.
const BY_VERSION: &[(&str, c_int, &str)] = &[
    ("cuCtxCreate", 13000, "cuCtxCreate_v4"),
    ("cuCtxCreate", 0, "cuCtxCreate_v2"),
    ("cuEventElapsedTime", 12080, "cuEventElapsedTime_v2"),
    ("cuEventElapsedTime", 0, "cuEventElapsedTime"),
    ("cuDeviceGetUuid", 11040, "cuDeviceGetUuid_v2"),
    ("cuDeviceGetUuid", 0, "cuDeviceGetUuid"),
    ("cuGraphInstantiate", 12000, "cuGraphInstantiateWithFlags"),
    // What an older program means is not offered.
    ("cuGraphInstantiate", 0, ""),
    ("cuMemAdvise", 12020, "cuMemAdvise_v2"),
    ("cuMemAdvise", 0, ""),
    ("cuMemPrefetchAsync", 12020, "cuMemPrefetchAsync_v2"),
    ("cuMemPrefetchAsync", 0, ""),
    ("cuStreamBeginCapture", 10010, "cuStreamBeginCapture_v2"),
    ("cuStreamBeginCapture", 0, ""),
    ("cuStreamGetCaptureInfo", 12030, "cuStreamGetCaptureInfo_v3"),
    ("cuStreamGetCaptureInfo", 11030, "cuStreamGetCaptureInfo_v2"),
    ("cuStreamGetCaptureInfo", 0, ""),
    ("cuStreamGetCtx", 12050, "cuStreamGetCtx_v2"),
    ("cuStreamGetCtx", 0, "cuStreamGetCtx"),
    ("cuGetProcAddress", 12000, "cuGetProcAddress_v2"),
    ("cuGetProcAddress", 0, "cuGetProcAddress"),
];

#[unsafe(no_mangle)]
extern "C" fn cuGetProcAddress_v2(
    name: Text,
    address: Out<*mut c_void>,
    version: c_int,
    flags: u64,
    status: Out<u32>,
) -> Code {
    early_edge(|| {
        check_flags(flags)?;
        if version > claim()?.driver_number() {
            address.put(std::ptr::null_mut())?;
            return not_found(status, VERSION_NOT_SUFFICIENT);
        }
        let name = name.utf8()?;
        // What the program's version does not have yet is found, and not handed out.
        let first = first_version(name).unwrap_or(0);
        let why = if claim()?.driver_number() < first || version >= first {
            NOT_FOUND
        } else {
            VERSION_NOT_SUFFICIENT
        };
        let Some(found) = find(name, version) else {
            address.put(std::ptr::null_mut())?;
            return not_found(status, why);
        };
        address.put(found)?;
        status.put_if_wanted(FOUND)
    })
}

/// With a status the call succeeds and the status tells; without one the call fails.
fn not_found(status: Out<u32>, why: u32) -> Outcome {
    if status.is_null() { Err(Code::NOT_FOUND) } else { status.put(why) }
}

#[unsafe(no_mangle)]
extern "C" fn cuGetProcAddress(
    name: Text,
    address: Out<*mut c_void>,
    version: c_int,
    flags: u64,
) -> Code {
    early_edge(|| {
        check_flags(flags)?;
        address.put(find(name.utf8()?, version).ok_or(Code::NOT_FOUND)?)
    })
}

/// Functions whose null stream is the calling thread's own (`..._PER_THREAD_DEFAULT_STREAM`) are
/// not offered; to hand out the others in their place would be wrong in silence.
fn check_flags(flags: u64) -> Outcome {
    match flags {
        0 | 1 => Ok(()),
        2 => Err(Code::NOT_SUPPORTED),
        _ => Err(Code::INVALID_VALUE),
    }
}

fn find(name: &str, version: c_int) -> Option<*mut c_void> {
    let known = version.min(claim().ok()?.driver_number());
    if first_version(name).is_some_and(|first| known < first) {
        return None;
    }
    let by_version = BY_VERSION.iter().find(|(bare, since, _)| *bare == name && *since <= version);
    if let Some((_, _, exported)) = by_version {
        return exported_by_name(exported);
    }
    ENDINGS.iter().find_map(|ending| exported_by_name(&format!("{name}{ending}")))
}

fn exported_by_name(name: &str) -> Option<*mut c_void> {
    exported(&CString::new(name).ok()?)
}

/// The address of a function that this library exports, and never of another library's.
pub(super) fn exported(name: &CStr) -> Option<*mut c_void> {
    let own = own_library()?;
    let path: &CStr = &own;
    // SAFETY: a path that the loader gave us; NOLOAD only finds what is loaded.
    let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
    if library.is_null() {
        return None;
    }
    // SAFETY: a library handle that we hold, and text that ends with zero.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    // SAFETY: gives back the count that dlopen took; the library stays, as it runs this code.
    unsafe { libc::dlclose(library) };
    (!found.is_null()).then_some(found).filter(|found| library_of(*found).as_ref() == Some(&own))
}

fn own_library() -> Option<CString> {
    library_of(cuGetProcAddress as *const () as *mut c_void)
}

fn library_of(address: *mut c_void) -> Option<CString> {
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: dladdr only compares the address; it writes the struct where it returns nonzero.
    let found = unsafe { libc::dladdr(address, info.as_mut_ptr()) };
    if found == 0 {
        return None;
    }
    // SAFETY: written, as found is nonzero.
    let info = unsafe { info.assume_init() };
    if info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the loader's own text, which stays while the library is loaded.
    Some(unsafe { CStr::from_ptr(info.dli_fname) }.to_owned())
}
