//! Rust types that stand for a tensor's elements.

use bytemuck::Pod;
use gpumux_wire::signature::ElementType;

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that a tensor can be read or written as.
pub trait Element: Pod + sealed::Sealed {
    /// Whether a tensor of this element type may be seen as `Self`.
    fn stands_for(element: ElementType) -> bool;
    /// Its name in errors.
    const NAME: &'static str;
}

macro_rules! elements {
    ($($rust:ty => $($element:ident)|+;)*) => {$(
        impl sealed::Sealed for $rust {}
        impl Element for $rust {
            fn stands_for(element: ElementType) -> bool {
                matches!(element, $(ElementType::$element)|+)
            }
            const NAME: &'static str = stringify!($rust);
        }
    )*};
}

elements! {
    // A stranger's byte is not always a `bool`, so flags are seen as bytes.
    u8 => U8 | Bool;
    i32 => I32;
    i64 => I64;
    f32 => F32;
}
