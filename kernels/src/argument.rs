//! What a kernel may take as an argument, and how each kind lies in its parameter buffer.
//!
//! A type stands here when CUDA C++, PTX and Rust agree on its bytes. This file knows no kernel.

use std::marker::PhantomData;

/// An address in device memory, or of pinned host memory that the device can reach. Never
/// dereferenced on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceAddress(u64);

impl DeviceAddress {
    /// Wraps an address that a driver returned.
    pub const fn new(address: u64) -> Self {
        Self(address)
    }

    /// The bare number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The address `bytes` further on, or `None` when that wraps.
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(address) => Some(Self(address)),
            None => None,
        }
    }

    /// Claims that elements of `T` lie here.
    pub const fn of<T: Element>(self) -> DevicePtr<T> {
        DevicePtr { address: self, element: PhantomData }
    }
}

/// A [`DeviceAddress`] where elements of `T` lie.
#[derive(Debug, PartialEq, Eq)]
pub struct DevicePtr<T: Element> {
    address: DeviceAddress,
    element: PhantomData<fn() -> T>,
}

impl<T: Element> DevicePtr<T> {
    /// The null pointer, which kernels take as "there is none" where their doc says so.
    pub const NULL: Self = DeviceAddress::new(0).of();

    /// Where it points.
    pub const fn address(self) -> DeviceAddress {
        self.address
    }
}

// Derived, these would ask `T: Copy`, which a pointer does not need.
impl<T: Element> Clone for DevicePtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Element> Copy for DevicePtr<T> {}

/// A scalar type, named as in `src/cuda/gpumux.cuh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Scalar {
    U8,
    I32,
    U32,
    I64,
    U64,
    F32,
}

impl Scalar {
    /// Bytes of one, which is also its alignment.
    pub const fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 => 8,
        }
    }
}

/// How often an argument holds its scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The scalar itself.
    Value,
    /// An address of such scalars.
    Pointer,
    /// This many of them, by value: `Array<scalar, count>` in CUDA C++.
    Array(usize),
}

/// The layout of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Of what.
    pub scalar: Scalar,
    /// In which form.
    pub form: Form,
}

impl Shape {
    /// Bytes that the argument takes in a parameter buffer.
    pub const fn bytes(self) -> usize {
        match self.form {
            Form::Value => self.scalar.bytes(),
            Form::Pointer => size_of::<u64>(),
            Form::Array(count) => count * self.scalar.bytes(),
        }
    }

    /// The alignment of its offset there.
    pub const fn alignment(self) -> usize {
        match self.form {
            Form::Value | Form::Array(_) => self.scalar.bytes(),
            Form::Pointer => size_of::<u64>(),
        }
    }
}

/// A type that lies in device memory as a [`Scalar`].
pub trait Element: bytemuck::Pod {
    /// Which one.
    const SCALAR: Scalar;
}

/// A type that a kernel takes as an argument. Only this crate implements it.
pub trait Argument: Copy + sealed::Sealed {
    /// Its layout.
    const SHAPE: Shape;

    /// Writes its bytes to `to`, which is `Self::SHAPE.bytes()` long.
    fn write(self, to: &mut [u8]);
}

impl<T: Element> Argument for DevicePtr<T> {
    const SHAPE: Shape = Shape { scalar: T::SCALAR, form: Form::Pointer };

    fn write(self, to: &mut [u8]) {
        to.copy_from_slice(&self.address.0.to_ne_bytes());
    }
}

impl<T: Element, const N: usize> Argument for [T; N] {
    const SHAPE: Shape = Shape { scalar: T::SCALAR, form: Form::Array(N) };

    fn write(self, to: &mut [u8]) {
        to.copy_from_slice(bytemuck::cast_slice(&self));
    }
}

macro_rules! scalars {
    ($($rust:ty => $scalar:ident),+ $(,)?) => {$(
        impl Element for $rust {
            const SCALAR: Scalar = Scalar::$scalar;
        }

        impl sealed::Sealed for $rust {}

        impl Argument for $rust {
            const SHAPE: Shape = Shape { scalar: Scalar::$scalar, form: Form::Value };

            fn write(self, to: &mut [u8]) {
                to.copy_from_slice(bytemuck::bytes_of(&self));
            }
        }
    )+};
}

scalars! { u8 => U8, i32 => I32, u32 => U32, i64 => I64, u64 => U64, f32 => F32 }

mod sealed {
    //! Keeps [`super::Argument`] closed: a foreign type could claim a layout that it has not.

    pub trait Sealed {}

    impl<T: super::Element> Sealed for super::DevicePtr<T> {}
    impl<T: super::Element, const N: usize> Sealed for [T; N] {}
}
