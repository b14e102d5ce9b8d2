//! Tensors that are given as files, `NAME=FILE.npy`, and how they become a request's inputs.

use crate::failure::{Failure, InputError};
use crate::npy::Array;
use gpumux_shim::{Dim, Element, ElementType, Request, Signature, SubmitError};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::str::FromStr;

/// A tensor's name and its file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NamedFile {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

impl FromStr for NamedFile {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, path)) if !name.is_empty() && !path.is_empty() => {
                Ok(Self { name: name.to_owned(), path: path.into() })
            }
            _ => Err("write NAME=FILE.npy"),
        }
    }
}

/// An input as it was given.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) file: NamedFile,
    array: Array,
}

/// Reads the files.
///
/// # Errors
/// [`InputError`]: a name that is given twice, or a file that is no array.
pub(crate) fn read(files: &[NamedFile]) -> Result<Vec<Input>, Failure> {
    once_each(files)?;
    let read = |file: &NamedFile| {
        Array::read(&file.path)
            .map_err(|source| InputError::BadFile { path: file.path.clone(), source })
    };
    files.iter().map(|file| Ok(Input { file: file.clone(), array: read(file)? })).collect()
}

/// Checks that no name is given twice.
///
/// # Errors
/// [`InputError::Twice`].
pub(crate) fn once_each(files: &[NamedFile]) -> Result<(), InputError> {
    for (index, file) in files.iter().enumerate() {
        if files[..index].iter().any(|earlier| earlier.name == file.name) {
            return Err(InputError::Twice { name: file.name.clone() });
        }
    }
    Ok(())
}

/// The request's length: the size of the first input that has one, where its rank is right.
pub(crate) fn length(signature: &Signature, inputs: &[Input]) -> u32 {
    let lengths = signature.inputs.iter().filter_map(|spec| {
        let axis = spec.dims.iter().position(|dim| *dim == Dim::Length)?;
        let input = inputs.iter().find(|input| input.file.name == spec.name)?;
        (input.array.dims.len() == spec.dims.len()).then(|| input.array.dims[axis])
    });
    lengths.into_iter().next().unwrap_or(1)
}

impl Input {
    /// Writes it into a request.
    ///
    /// # Errors
    /// [`InputError::Unfit`]: it is not what the function takes.
    pub(crate) fn fill(
        &self,
        request: &mut Request,
        signature: &Signature,
    ) -> Result<(), InputError> {
        let wrong = |source| InputError::Unfit { path: self.file.path.clone(), source };
        self.write(request, signature).map_err(wrong)
    }

    fn write(&self, request: &mut Request, signature: &Signature) -> Result<(), SubmitError> {
        let Self { file: NamedFile { name, .. }, array: Array { element, dims, bytes } } = self;
        let spec = signature.inputs.iter().find(|spec| spec.name == *name);
        // The shim takes bytes for flags; a file that says what it holds is held to it.
        if let Some(spec) = spec.filter(|spec| spec.element != *element) {
            return Err(SubmitError::WrongType {
                name: name.clone(),
                expected: spec.element,
                given: element.to_string(),
            });
        }
        match element {
            ElementType::U8 | ElementType::Bool => request.write::<u8>(name, dims, bytes),
            ElementType::I32 => request.write::<i32>(name, dims, &elements(bytes)),
            ElementType::I64 => request.write::<i64>(name, dims, &elements(bytes)),
            ElementType::F32 => request.write::<f32>(name, dims, &elements(bytes)),
        }
    }
}

fn elements<T: Element>(bytes: &[u8]) -> Vec<T> {
    bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gpumux_shim::TensorSpec;

    #[test]
    fn the_length_is_the_size_of_the_first_input_that_varies() {
        let spec = |name: &str, dims: &[Dim]| TensorSpec {
            name: name.to_owned(),
            element: ElementType::U8,
            dims: dims.to_vec(),
        };
        let signature = Signature {
            inputs: vec![spec("scale", &[]), spec("image", &[Dim::Fixed(3), Dim::Length])],
            outputs: vec![],
            length_max: 100,
        };
        let check = |dims: &[u32], expected: u32| {
            let file = NamedFile { name: "image".to_owned(), path: "image.npy".into() };
            let array = Array { element: ElementType::U8, dims: dims.to_vec(), bytes: vec![] };
            assert_eq!(length(&signature, &[Input { file, array }]), expected, "{dims:?}");
        };
        check(&[3, 7], 7);
        check(&[3, 0], 0);
        check(&[7], 1);
        check(&[1, 3, 7], 1);
        assert_eq!(length(&signature, &[]), 1);
    }

    #[test]
    fn a_named_file_has_both_halves() {
        assert!("=x.npy".parse::<NamedFile>().is_err());
        assert!("x".parse::<NamedFile>().is_err());
        let file: NamedFile = "data=a=b.npy".parse().unwrap();
        assert_eq!((file.name.as_str(), file.path.to_str()), ("data", Some("a=b.npy")));
    }
}
