//! Functions that this driver is told not to have, as an older one has not: the loader is made to
//! forget them before any program can ask.

use super::symbol;
use crate::machine::claim;
use std::ffi::{CString, c_int};

/// `Elf64_Sym`, as the ELF specification lays it out.
#[repr(C)]
struct Symbol {
    name: u32,
    info: u8,
    other: u8,
    section: u16,
    value: u64,
    size: u64,
}

/// `SHN_UNDEF`: the symbol is not defined here.
const UNDEFINED: u16 = 0;
/// `RTLD_DL_SYMENT` of glibc's dlfcn.h: `dladdr1` is to give the symbol's entry.
const SYMBOL_ENTRY: c_int = 1;

/// The loader calls this when it has loaded the library, before `dlopen` returns.
#[used]
// SAFETY: the section holds pointers to functions of this very type.
#[unsafe(link_section = ".init_array")]
static WHEN_LOADED: extern "C" fn() = hide_absent;

extern "C" fn hide_absent() {
    // A claim that cannot be read is reported by `cuInit`.
    let Ok(claim) = claim() else { return };
    for name in &claim.absent {
        if let Err(why) = hide(name) {
            // A test that goes on with the function there would prove nothing.
            eprintln!("gpumux emulator: cannot hide `{name}`: {why}");
            std::process::abort();
        }
    }
}

/// Makes the loader forget a function of this library.
fn hide(name: &str) -> Result<(), &'static str> {
    let text = CString::new(name).map_err(|_| "no name has a zero byte")?;
    let address = symbol::exported(&text).ok_or("this driver has no such function")?;
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::uninit();
    let mut entry = std::ptr::null_mut();
    // SAFETY: both places may be written; the address is only compared.
    let found = unsafe { libc::dladdr1(address, info.as_mut_ptr(), &raw mut entry, SYMBOL_ENTRY) };
    if found == 0 || entry.is_null() {
        return Err("the loader does not know it");
    }
    let entry: *mut Symbol = entry.cast();
    // SAFETY: the loader's table of this library's symbols, which stays while it is loaded.
    if unsafe { (*entry).value } == 0 {
        return Err("the loader found another entry");
    }
    open(entry, libc::PROT_READ | libc::PROT_WRITE)?;
    // SAFETY: writable now. The loader holds its lock while it runs this, so nobody reads.
    unsafe { (*entry).section = UNDEFINED };
    // SAFETY: as above.
    unsafe { (*entry).value = 0 };
    open(entry, libc::PROT_READ)?;
    if symbol::exported(&text).is_some() { Err("it is still found") } else { Ok(()) }
}

/// Sets the protection of the pages that hold an entry.
fn open(entry: *mut Symbol, protection: c_int) -> Result<(), &'static str> {
    const PAGE: usize = 4096;
    let start = entry.addr() & !(PAGE - 1);
    let bytes = entry.addr() + size_of::<Symbol>() - start;
    let start = entry.with_addr(start).cast();
    // SAFETY: pages of this library's symbols, which only the loader reads.
    match unsafe { libc::mprotect(start, bytes, protection) } {
        0 => Ok(()),
        _ => Err("its page cannot be changed"),
    }
}
