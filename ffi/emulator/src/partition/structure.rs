//! The structure behind a stream's handle: real memory, as in a real driver, because programs that
//! mask SMs store into it. The handle points to a pointer to the structure.
//!
//! The structure is what such programs know it to be: the mask at the offset of the claimed driver,
//! and around it words that are the driver's own. Most of those mean nothing here, so that a store at
//! a wrong offset does nothing. About a fifth are live: pointers that the driver follows, and
//! words that reach the device. Which is which follows from the offset and the driver's version. A
//! live word that no longer holds what the driver put there does harm at the next launch, as
//! measured with wrong offsets on a real one (driver 13.3: of 188 offsets 1 was right, 141 did
//! nothing, 43 ended the process, 1 made the device fault).
//!
//! Addresses are never given out twice and a destroyed stream's page is inaccessible, so a store that
//! comes late ends the process. The driver itself never takes anything from this memory but the
//! mask.

use super::mask::{Field, WORDS_MAX};
use crate::code::{Code, Outcome};
use std::ops::Range;
use std::ptr::with_exposed_provenance_mut;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// A stream has one page, and an inaccessible one behind it.
const PAGE_BYTES: usize = 4096;
const STRIDE: usize = 2 * PAGE_BYTES;
/// Address space is reserved for this many streams at a time.
const CHUNK_STREAMS: usize = 8192;
/// The structure begins here in the page; the page's first word is the pointer to it.
const START: usize = 64;
const WORDS: usize = (PAGE_BYTES - START) / 4;

/// Live words come in tables, one in each piece of this many words:
const PIECE_WORDS: usize = 128;
/// so many words of pointers,
const POINTER_WORDS: usize = 24;
/// and one word that reaches the device. A mask of five words stored at any offset of a piece meets
/// a table at 28 offsets and the word at 5: about a quarter.
const PLACES: usize = (PIECE_WORDS - POINTER_WORDS) / 2;
/// Words between a table and the lone word, going round the piece.
const LONE_GAP: usize = 40;
/// Words around the mask that are never live, so that what a store does there is the mask's doing.
const CLEARANCE: usize = WORDS_MAX + 1;

/// What a program's stores have made of a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No TPC is disabled.
    Unmasked,
    /// These TPCs are disabled.
    Disabled(u128),
    /// A word that reaches the device was altered.
    Fault,
}

/// What the words of every structure are, for one driver version.
struct Plan {
    field: Option<Field>,
    /// Pointers, by the first of their two words.
    pointers: Vec<usize>,
    /// Words that reach the device.
    device: Vec<usize>,
}

impl Plan {
    fn new(driver: (u32, u32)) -> Self {
        let field = Field::of(driver);
        let mask = field.map_or(0..0, |field| {
            let first = field.offset / 4;
            first.saturating_sub(CLEARANCE)..first + field.words() + CLEARANCE
        });
        let is_clear = |words: &Range<usize>| words.end <= mask.start || mask.end <= words.start;
        let mut plan = Self { field, pointers: Vec::new(), device: Vec::new() };
        for piece in 0..WORDS / PIECE_WORDS {
            let start = piece * PIECE_WORDS;
            let chance = mix(u64::from(driver.0 * 100 + driver.1) << 32 | piece as u64);
            let place = usize::try_from(chance % PLACES as u64).expect("a small number");
            // Even, as pointers are aligned.
            let table = start + place * 2;
            let words = table..table + POINTER_WORDS;
            let lone = start + (place * 2 + POINTER_WORDS + LONE_GAP) % PIECE_WORDS;
            if is_clear(&words) {
                plan.pointers.extend(words.step_by(2));
            }
            plan.device.extend(is_clear(&(lone..lone + 1)).then_some(lone));
        }
        plan
    }
}

/// One step of SplitMix64: well-spread numbers that depend on nothing but their argument.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The plan of this process: a driver has one version.
fn plan(driver: (u32, u32)) -> &'static Plan {
    static PLAN: OnceLock<Plan> = OnceLock::new();
    PLAN.get_or_init(|| Plan::new(driver))
}

/// The reserved addresses that no stream has had.
static FRESH: Mutex<Range<usize>> = Mutex::new(0..0);

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Structure {
    page: usize,
    driver: (u32, u32),
    /// Whether the page is accessible. Held while it is read, so that it is not closed meanwhile.
    open: Mutex<bool>,
}

impl Structure {
    /// Makes the structure of a new stream.
    pub(crate) fn create(driver: (u32, u32)) -> Outcome<Self> {
        let page = fresh_page()?;
        protect(page, libc::PROT_READ | libc::PROT_WRITE)?;
        let structure = Self { page, driver, open: Mutex::new(true) };
        structure.pointer(0).store((page + START) as u64, Ordering::Relaxed);
        for pointer in &plan(driver).pointers {
            structure.pointer(START + pointer * 4).store(page as u64, Ordering::Relaxed);
        }
        for word in &plan(driver).device {
            structure.word(*word).store(device_word(*word), Ordering::Relaxed);
        }
        Ok(structure)
    }

    /// Its address, which is the stream's handle.
    pub(crate) fn number(&self) -> usize {
        self.page
    }

    /// Does what a driver does with the structure at a launch. Where a pointer in it was altered,
    /// that is the end of the process.
    ///
    /// # Errors
    /// The stream was destroyed meanwhile.
    pub(crate) fn consult(&self) -> Outcome<Found> {
        let open = self.open();
        if !*open {
            return Err(Code::INVALID_HANDLE);
        }
        if self.pointer(0).load(Ordering::Relaxed) != (self.page + START) as u64 {
            follow_wild();
        }
        let plan = plan(self.driver);
        let own = self.page as u64;
        let is_wild = |word: &usize| self.pointer(START + word * 4).load(Ordering::Relaxed) != own;
        if plan.pointers.iter().any(is_wild) {
            follow_wild();
        }
        let is_altered =
            |word: &usize| self.word(*word).load(Ordering::Relaxed) != device_word(*word);
        if plan.device.iter().any(is_altered) {
            return Ok(Found::Fault);
        }
        let Some(field) = plan.field else { return Ok(Found::Unmasked) };
        let mut words = [0; WORDS_MAX];
        for (index, word) in words.iter_mut().enumerate().take(field.words()) {
            *word = self.word(field.offset / 4 + index).load(Ordering::Relaxed);
        }
        match field.disabled(words) {
            0 => Ok(Found::Unmasked),
            disabled => Ok(Found::Disabled(disabled)),
        }
    }

    /// Takes the memory away. Whoever still stores into it faults, now and for ever.
    pub(crate) fn close(&self) {
        let mut open = self.open();
        if !std::mem::replace(&mut *open, false) {
            return;
        }
        let memory = with_exposed_provenance_mut(self.page);
        // SAFETY: the page is this structure's alone and, with `open` held and false, nobody of ours
        // reads it any more; what a program kept pointers to is the program's fault to bear.
        unsafe { libc::madvise(memory, PAGE_BYTES, libc::MADV_DONTNEED) };
        // It can fail where the system has no room to split a mapping. Then a late store does
        // nothing, which is the lesser harm.
        let _ = protect(self.page, libc::PROT_NONE);
    }

    fn word(&self, index: usize) -> &AtomicU32 {
        let address = self.page + START + index * 4;
        assert!(index < WORDS, "a word of the structure");
        // SAFETY: an aligned word of the page, which was mapped when the structure was made and
        // stays so while `open`, which our caller holds or, as its maker, need not. Programs store
        // into it at any time, hence the atomic.
        unsafe { AtomicU32::from_ptr(with_exposed_provenance_mut(address)) }
    }

    fn pointer(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= PAGE_BYTES, "a pointer of the structure");
        // SAFETY: as for `word`; aligned and within the page, as just checked.
        unsafe { AtomicU64::from_ptr(with_exposed_provenance_mut(self.page + offset)) }
    }

    fn open(&self) -> MutexGuard<'_, bool> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Structure {
    fn drop(&mut self) {
        self.close();
    }
}

/// What the driver keeps in a word that reaches the device.
fn device_word(index: usize) -> u32 {
    0xd000_0000 | u32::try_from(index).expect("an index within a page")
}

/// Follows a pointer that a program has overwritten. What the program wrote might point to memory by
/// chance; a real driver's structures lie elsewhere, so that here it always points to none.
fn follow_wild() {
    let nowhere = std::ptr::without_provenance::<u64>(0xdead_0000_0000_0000);
    // SAFETY: there is none to give: this is the access that ends the process with SIGSEGV, on
    // purpose. The address is none that a process can have, so nothing is ever read.
    unsafe { nowhere.read_volatile() };
}

fn fresh_page() -> Outcome<usize> {
    let mut fresh = FRESH.lock().unwrap_or_else(PoisonError::into_inner);
    if fresh.is_empty() {
        let bytes = CHUNK_STREAMS * STRIDE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let anywhere = std::ptr::null_mut();
        // SAFETY: a new mapping without access at an address of the kernel's choice touches nothing.
        let memory = unsafe { libc::mmap(anywhere, bytes, libc::PROT_NONE, kind, -1, 0) };
        if memory == libc::MAP_FAILED {
            return Err(Code::OUT_OF_MEMORY);
        }
        let start = memory.expose_provenance();
        *fresh = start..start + bytes;
    }
    let page = fresh.start;
    fresh.start += STRIDE;
    Ok(page)
}

fn protect(page: usize, access: libc::c_int) -> Outcome {
    let memory = with_exposed_provenance_mut(page);
    // SAFETY: a page that `fresh_page` reserved, for one structure that is just made or just closed.
    let failed = unsafe { libc::mprotect(memory, PAGE_BYTES, access) };
    if failed == 0 { Ok(()) } else { Err(Code::OUT_OF_MEMORY) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRIVER: (u32, u32) = (13, 3);

    #[test]
    fn the_mask_is_read_where_the_version_has_it() {
        let structure = Structure::create(DRIVER).unwrap();
        assert_eq!(structure.consult(), Ok(Found::Unmasked));
        for (index, word) in [1, 0xffff_fffe, 7, 0, 1 << 31].into_iter().enumerate() {
            structure.word(0x5fc / 4 + index).store(word, Ordering::Relaxed);
        }
        let mask = 1 << 127 | 7 << 32 | 0xffff_fffe;
        assert_eq!(structure.consult(), Ok(Found::Disabled(mask)));
        structure.word(0x5fc / 4).store(0, Ordering::Relaxed);
        assert_eq!(structure.consult(), Ok(Found::Unmasked));
    }

    #[test]
    fn an_altered_word_of_the_device_is_a_fault_until_it_is_put_back() {
        let structure = Structure::create(DRIVER).unwrap();
        let word = plan(DRIVER).device[0];
        structure.word(word).store(1, Ordering::Relaxed);
        assert_eq!(structure.consult(), Ok(Found::Fault));
        structure.word(word).store(device_word(word), Ordering::Relaxed);
        assert_eq!(structure.consult(), Ok(Found::Unmasked));
    }

    #[test]
    fn a_page_is_never_given_out_again() {
        let first = Structure::create(DRIVER).unwrap();
        first.close();
        assert_eq!(first.consult(), Err(Code::INVALID_HANDLE));
        let second = Structure::create(DRIVER).unwrap();
        assert_ne!(first.number(), second.number());
        assert!(second.number().is_multiple_of(PAGE_BYTES));
    }

    #[test]
    fn about_a_fifth_of_the_words_is_live_and_none_at_the_mask() {
        for driver in [(8, 0), (11, 8), (12, 2), (12, 8), (12, 9), (13, 3)] {
            let plan = Plan::new(driver);
            let live = 2 * plan.pointers.len() + plan.device.len();
            assert!((WORDS / 7..WORDS / 4).contains(&live), "{live} of {WORDS} for {driver:?}");
            let field = Field::of(driver).map_or(0..0, |f| f.offset / 4..f.offset / 4 + f.words());
            let is_live = |word: usize| {
                plan.device.contains(&word) || plan.pointers.contains(&(word / 2 * 2))
            };
            assert!(!field.clone().any(is_live));
            for word in &plan.pointers {
                assert!(word.is_multiple_of(2) && word + 2 <= WORDS);
            }
        }
    }
}
