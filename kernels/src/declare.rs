//! The macro that turns the catalogue into types, and the layout of parameter buffers.
//!
//! A parameter lies at the next multiple of its alignment, as the members of a C struct do; this is
//! the layout of `.param` space that PTX defines, and a test compares it with the committed PTX.

use crate::argument::Shape;
use crate::launch::{PARAM_BYTES_MAX, PARAM_COUNT_MAX, Param};

/// Gives each parameter its offset. Evaluated at compile time, so that a kernel whose parameters do
/// not fit is a compile error.
pub(crate) const fn layout<const N: usize>(params: [(&'static str, Shape); N]) -> [Param; N] {
    assert!(N <= PARAM_COUNT_MAX, "the kernel takes more parameters than a launch can have");
    let nothing = Shape { scalar: crate::Scalar::U8, form: crate::Form::Value };
    let mut laid = [Param { name: "", shape: nothing, offset: 0 }; N];
    let mut end = 0;
    let mut index = 0;
    while index < N {
        let (name, shape) = params[index];
        let offset = usize::next_multiple_of(end, shape.alignment());
        end = offset + shape.bytes();
        assert!(end <= PARAM_BYTES_MAX, "the kernel takes more bytes than a launch holds");
        laid[index] = Param { name, shape, offset };
        index += 1;
    }
    laid
}

/// Declares modules and their kernels; `catalog.rs` holds its one use and shows the form.
macro_rules! catalog {
    ($(
        module $module:ident {$(
            $(#[$kernel_doc:meta])*
            $kernel:ident as $entry:literal {$(
                $(#[$param_doc:meta])*
                $param:ident: $type:ty,
            )+}
        )+}
    )+) => {
        /// Names a kernel.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum KernelId {$($(
            #[doc = concat!("[`struct@", stringify!($kernel), "`].")]
            $kernel,
        )+)+}

        impl KernelId {
            /// Every kernel, in the order of [`KernelId::index`].
            pub const ALL: &'static [KernelId] = &[$($(KernelId::$kernel,)+)+];

            /// Its place in a table of all kernels.
            pub const fn index(self) -> usize {
                self as usize
            }

            /// Its entry and parameters.
            pub const fn signature(self) -> Signature {
                match self {$($(
                    Self::$kernel => Signature { entry: $entry, params: $kernel::PARAMS },
                )+)+}
            }
        }

        /// Every module; all of them are loaded before the first launch.
        pub const MODULES: &[Module] = &[$(Module {
            name: stringify!($module),
            ptx: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"), "/ptx/", stringify!($module), ".ptx"
            )),
            kernels: &[$(KernelId::$kernel,)+],
        },)+];

        $($(
            $(#[$kernel_doc])*
            #[derive(Clone, Copy, Debug)]
            pub struct $kernel {$(
                $(#[$param_doc])*
                pub $param: $type,
            )+}

            impl $kernel {
                const PARAMS: &'static [Param] =
                    &layout([$((stringify!($param), <$type as Argument>::SHAPE),)+]);
            }

            impl Kernel for $kernel {
                const ID: KernelId = KernelId::$kernel;

                fn pack(self, params: &mut ParamBuffer) {
                    let mut laid = Self::PARAMS.iter();
                    $(
                        let param = laid.next().expect("PARAMS has one entry a field");
                        let end = param.offset + param.shape.bytes();
                        self.$param.write(&mut params.0[param.offset..end]);
                    )+
                }
            }
        )+)+
    };
}
pub(crate) use catalog;
