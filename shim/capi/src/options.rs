//! Structures that the other side's compiler laid out, perhaps from a header of another release.
//!
//! Each begins with its size. A shorter one than ours lacks what was added since, which then has its
//! default, zero. A longer one is taken if all that we do not know of is zero.

use crate::error::Failure;

/// A structure of which every pattern of bytes, zeros above all, is a value, and which begins with
/// its size.
///
/// # Safety
/// It is `repr(C)`, its first field is a `usize`, and all others are integers or pointers.
pub(crate) unsafe trait Versioned: Copy {
    /// The size in the first release.
    const FIRST: usize;
    const NAME: &'static str;
    /// All fields zero.
    fn zero() -> Self;
}

fn check<T: Versioned>(size: usize) -> Result<(), Failure> {
    if (T::FIRST..=4096).contains(&size) {
        return Ok(());
    }
    Err(Failure::argument(format!(
        "`struct_size` of {} is {size}: set it to sizeof({})",
        T::NAME,
        T::NAME
    )))
}

/// Reads options; NULL is the defaults.
///
/// # Safety
/// `given` is NULL, or points to as many readable bytes as its first field says.
pub(crate) unsafe fn read<T: Versioned>(given: *const T) -> Result<T, Failure> {
    let mut ours = T::zero();
    if given.is_null() {
        return Ok(ours);
    }
    // SAFETY: the first field is a size and, by the caller's promise, is there.
    let size = unsafe { given.cast::<usize>().read() };
    check::<T>(size)?;
    let known = size.min(size_of::<T>());
    // SAFETY: `known` bytes are readable by the caller's promise, and no more than `ours` has.
    unsafe { std::ptr::copy_nonoverlapping(given.cast::<u8>(), (&raw mut ours).cast(), known) };
    for index in known..size {
        let byte = given.cast::<u8>().wrapping_add(index);
        // SAFETY: it is below the size, and so readable by the caller's promise.
        if unsafe { byte.read() } != 0 {
            return Err(Failure::argument(format!(
                "{} sets what this library does not know of: use a library of the header's release",
                T::NAME
            )));
        }
    }
    Ok(ours)
}

/// Fills a structure, as much of it as the caller's header knows of. Its size stays as it is.
///
/// # Safety
/// `out` points to as many writable bytes as its first field says.
pub(crate) unsafe fn fill<T: Versioned>(out: *mut T, value: &T, name: &str) -> Result<(), Failure> {
    if out.is_null() {
        return Err(Failure::null(name));
    }
    // SAFETY: the first field is a size and, by the caller's promise, is there.
    let size = unsafe { out.cast::<usize>().read() };
    check::<T>(size)?;
    let known = size.min(size_of::<T>());
    // SAFETY: `known` bytes are writable by the caller's promise, and `value` has them.
    unsafe { std::ptr::copy_nonoverlapping((&raw const *value).cast(), out.cast::<u8>(), known) };
    // SAFETY: as above: the first field is a size.
    unsafe { out.cast::<usize>().write(size) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Ours {
        size: usize,
        old: u64,
        new: u64,
    }

    // SAFETY: as the trait asks.
    unsafe impl Versioned for Ours {
        const FIRST: usize = 16;
        const NAME: &'static str = "ours";

        fn zero() -> Self {
            Self { size: 0, old: 0, new: 0 }
        }
    }

    fn read_words(words: [usize; 4]) -> Result<Ours, Failure> {
        // SAFETY: no test says that there is more than there is.
        unsafe { read(words.as_ptr().cast::<Ours>()) }
    }

    #[test]
    fn structures_of_other_releases_are_understood() {
        let seen = |words| read_words(words).map(|it| (it.old, it.new)).map_err(|it| it.code);
        let wrong = Err(crate::codes::gpumux_code::GPUMUX_ERROR_ARGUMENT);
        assert_eq!(seen([16, 1, 2, 3]), Ok((1, 0)));
        assert_eq!(seen([24, 1, 2, 3]), Ok((1, 2)));
        assert_eq!(seen([32, 1, 2, 0]), Ok((1, 2)));
        assert_eq!(seen([32, 1, 2, 3]), wrong);
        assert_eq!(seen([0, 1, 2, 3]), wrong);
        assert_eq!(seen([8, 1, 2, 3]), wrong);
        assert_eq!(seen([usize::MAX, 1, 2, 3]), wrong);
    }

    #[test]
    fn only_what_the_caller_knows_of_is_written() {
        let value = Ours { size: 0, old: 1, new: 2 };
        let mut words = [16usize, 9, 9];
        // SAFETY: there are more bytes than it says.
        unsafe { fill(words.as_mut_ptr().cast::<Ours>(), &value, "out") }.unwrap();
        assert_eq!(words, [16, 1, 9]);
    }
}
