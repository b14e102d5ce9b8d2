//! Functions of a module as values: a pointer to one is a number from which only this table leads to
//! code, so that no program can make the host jump anywhere else.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::frame::FUNCTION_WINDOW;

/// The distance between the addresses of two functions.
const STRIDE: u64 = 16;

/// The next address that is nobody's. A pointer that one module makes means nothing to another.
static NEXT: AtomicU64 = AtomicU64::new(FUNCTION_WINDOW);

/// The functions of one module that a pointer may name.
pub(super) struct FunctionTable {
    first: u64,
    entries: Box<[Entry]>,
}

/// One function.
struct Entry {
    /// Which parameters and results it has: a number that the compiler gives to each combination.
    signature: u32,
    /// Its code, once all code of the module is final.
    code: OnceLock<usize>,
}

impl FunctionTable {
    /// A table of functions with these signatures; their code follows.
    pub(super) fn new(signatures: &[u32]) -> Self {
        let bytes = STRIDE * signatures.len() as u64;
        let entries = signatures
            .iter()
            .map(|&signature| Entry { signature, code: OnceLock::new() })
            .collect();
        Self { first: NEXT.fetch_add(bytes, Ordering::Relaxed), entries }
    }

    /// The address of function `index`.
    pub(super) fn address(&self, index: usize) -> u64 {
        self.first + STRIDE * index as u64
    }

    /// Says where the code of function `index` is.
    pub(super) fn place(&self, index: usize, code: *const u8) {
        self.entries[index].code.get_or_init(|| code.addr());
    }

    /// The code at an address, if a function of that signature is there.
    pub(super) fn code(&self, address: u64, signature: u32) -> Option<usize> {
        let offset = address.checked_sub(self.first)?;
        if !offset.is_multiple_of(STRIDE) {
            return None;
        }
        let entry = self.entries.get(usize::try_from(offset / STRIDE).ok()?)?;
        if entry.signature != signature {
            return None;
        }
        entry.code.get().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_function_of_the_right_kind_is_found() {
        let table = FunctionTable::new(&[1, 2]);
        table.place(0, std::ptr::without_provenance(0x1000));
        let (first, second) = (table.address(0), table.address(1));
        assert_eq!(table.code(first, 1), Some(0x1000));
        assert_eq!(table.code(first, 2), None);
        assert_eq!(table.code(second, 2), None, "its code is not there yet");
        for address in [0, first - 16, first + 8, second + 16, u64::MAX] {
            assert_eq!(table.code(address, 1), None, "{address:#x}");
        }
        assert_ne!(FunctionTable::new(&[1]).address(0), first);
    }
}
