//! Arrays as numpy's `save` writes them (the NPY format, versions 1 to 3, as numpy documents it in
//! `numpy.lib.format`). It knows the element types that functions take, and nothing of requests.
//!
//! Read here and not by a crate, because a file's shape is a stranger's number: the crate at hand
//! multiplies it unchecked, and a forged file would panic.

use gpumux_shim::ElementType;
use std::path::Path;
use thiserror::Error;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// The data starts at a multiple of this.
const ALIGNMENT: usize = 64;

/// An array in C order, its bytes little-endian.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    pub(crate) element: ElementType,
    pub(crate) dims: Vec<u32>,
    pub(crate) bytes: Vec<u8>,
}

/// Why a file is no array that a function could take.
#[derive(Debug, Error)]
pub(crate) enum NpyError {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] std::io::Error),
    /// It is something else.
    #[error("it is no .npy file ({0}): write it with numpy.save")]
    NotNpy(&'static str),
    /// No function takes such elements.
    #[error(
        "its elements are {0}, and functions take u8, i32, i64, f32 and bool: convert it with `array.astype`"
    )]
    Elements(String),
    /// Columns first.
    #[error("it is in Fortran order: write numpy.ascontiguousarray(array)")]
    FortranOrder,
    /// The header says more or less than follows.
    #[error("its header asks for {expected} bytes and {found} follow: it was cut short, or forged")]
    Length {
        /// By the header.
        expected: String,
        /// In the file.
        found: usize,
    },
}

impl Array {
    /// Reads a file.
    ///
    /// # Errors
    /// [`NpyError`] says what is wrong and what to do.
    pub(crate) fn read(path: &Path) -> Result<Self, NpyError> {
        Self::parse(&std::fs::read(path)?)
    }

    fn parse(file: &[u8]) -> Result<Self, NpyError> {
        let (header, data) = split(file)?;
        let text = std::str::from_utf8(header).map_err(|_| NpyError::NotNpy("its header"))?;
        let element = element_of(field(text, "descr")?)?;
        if field(text, "fortran_order")? != "False" {
            return Err(NpyError::FortranOrder);
        }
        let dims = dims_of(field(text, "shape")?)?;
        let count =
            dims.iter().try_fold(element.bytes(), |bytes, dim| bytes.checked_mul((*dim).into()));
        if count != Some(data.len() as u64) {
            let expected = count.map_or("more than 2^64".to_owned(), |count| count.to_string());
            return Err(NpyError::Length { expected, found: data.len() });
        }
        Ok(Self { element, dims, bytes: data.to_vec() })
    }

    /// The file that numpy would write.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let descr = match self.element {
            ElementType::U8 => "|u1",
            ElementType::I32 => "<i4",
            ElementType::I64 => "<i8",
            ElementType::F32 => "<f4",
            ElementType::Bool => "|b1",
        };
        let dims: String = self.dims.iter().map(|dim| format!("{dim}, ")).collect();
        // Of one dimension Python needs the comma, of several it wants none at the end.
        let dims = if self.dims.len() == 1 { dims.trim_end() } else { dims.trim_end_matches(", ") };
        let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({dims}), }}");
        let head = MAGIC.len() + 4;
        let padded = (head + text.len() + 1).next_multiple_of(ALIGNMENT) - head;
        let length = u16::try_from(padded).expect("six dimensions at most");
        let mut file = MAGIC.to_vec();
        file.extend([1, 0]);
        file.extend(length.to_le_bytes());
        file.extend(format!("{text:padding$}\n", padding = padded - 1).as_bytes());
        file.extend(&self.bytes);
        file
    }

    /// Its first elements, as a person reads them.
    pub(crate) fn preview(&self, elements_max: usize) -> String {
        let width = usize::try_from(self.element.bytes()).expect("a few bytes");
        let elements = self.bytes.chunks_exact(width);
        let rest = elements.len().saturating_sub(elements_max);
        let mut words: Vec<String> =
            elements.take(elements_max).map(|bytes| element_text(self.element, bytes)).collect();
        if rest > 0 {
            words.push(format!("… and {rest} more"));
        }
        words.join(" ")
    }
}

fn element_text(element: ElementType, bytes: &[u8]) -> String {
    let four = || bytes.try_into().expect("the width of the type");
    match element {
        ElementType::U8 => bytes[0].to_string(),
        ElementType::Bool => (bytes[0] != 0).to_string(),
        ElementType::I32 => i32::from_le_bytes(four()).to_string(),
        ElementType::F32 => f32::from_le_bytes(four()).to_string(),
        ElementType::I64 => {
            i64::from_le_bytes(bytes.try_into().expect("the width of the type")).to_string()
        }
    }
}

/// A file's header and its data.
fn split(file: &[u8]) -> Result<(&[u8], &[u8]), NpyError> {
    let rest = file.strip_prefix(MAGIC).ok_or(NpyError::NotNpy("its first bytes"))?;
    let short = NpyError::NotNpy("its end");
    let (length, rest) = match rest {
        [1, _, low, high, rest @ ..] => (u32::from(u16::from_le_bytes([*low, *high])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]), rest),
        [0 | 4.., ..] => return Err(NpyError::NotNpy("its version")),
        _ => return Err(short),
    };
    let length = usize::try_from(length).map_err(|_| NpyError::NotNpy("its header"))?;
    rest.split_at_checked(length).ok_or(short)
}

/// What the header, a Python dictionary as numpy writes it, says under a key.
fn field<'a>(header: &'a str, key: &str) -> Result<&'a str, NpyError> {
    let missing = NpyError::NotNpy("its header");
    let Some((_, value)) = header.split_once(&format!("'{key}':")) else { return Err(missing) };
    let value = value.trim_start();
    let end = match value.chars().next() {
        Some('(') => value.find(')').map(|end| end + 1),
        Some('[') => value.find(']').map(|end| end + 1),
        _ => value.find([',', '}']),
    };
    end.map(|end| value[..end].trim()).ok_or(missing)
}

fn element_of(descr: &str) -> Result<ElementType, NpyError> {
    match descr.trim_matches('\'') {
        "|u1" => Ok(ElementType::U8),
        "<i4" => Ok(ElementType::I32),
        "<i8" => Ok(ElementType::I64),
        "<f4" => Ok(ElementType::F32),
        "|b1" => Ok(ElementType::Bool),
        other => Err(NpyError::Elements(format!("`{other}`"))),
    }
}

fn dims_of(shape: &str) -> Result<Vec<u32>, NpyError> {
    let inner = shape.strip_prefix('(').and_then(|shape| shape.strip_suffix(')'));
    let inner = inner.ok_or(NpyError::NotNpy("its shape"))?;
    let dims = inner.split(',').map(str::trim).filter(|dim| !dim.is_empty());
    dims.map(|dim| dim.parse().map_err(|_| NpyError::NotNpy("its shape"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with this header, in version 1, and this data.
    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        file.extend([1, 0]);
        file.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
        file.extend(header.as_bytes());
        file.extend(data);
        file
    }

    #[test]
    fn every_element_type_survives_a_round_trip() {
        for element in ElementType::ALL {
            for dims in [vec![], vec![3], vec![2, 3], vec![1, 2, 3, 4, 5, 6], vec![0, 7]] {
                let count: u32 = dims.iter().product();
                let bytes =
                    (0..u64::from(count) * element.bytes()).map(|at| (at % 2) as u8).collect();
                let array = Array { element, dims, bytes };
                let encoded = array.encode();
                assert_eq!((encoded.len() - array.bytes.len()) % ALIGNMENT, 0);
                assert_eq!(Array::parse(&encoded).unwrap(), array);
            }
        }
    }

    #[test]
    fn what_numpy_writes_is_read() {
        // numpy 2: numpy.save(file, numpy.array([101, 7592, 102]))
        let mut numpy =
            b"\x93NUMPY\x01\x00v\x00{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }"
                .to_vec();
        numpy.resize(127, b' ');
        numpy.push(b'\n');
        numpy.extend([101u64, 7592, 102].iter().flat_map(|id| id.to_le_bytes()));
        let array = Array::parse(&numpy).unwrap();
        assert_eq!((array.element, array.dims.as_slice()), (ElementType::I64, &[3][..]));
        assert_eq!(array.preview(8), "101 7592 102");
        assert_eq!(array.preview(2), "101 7592 … and 1 more");
        assert_eq!(array.encode(), numpy, "and written as numpy writes it");
    }

    #[test]
    fn what_is_no_array_for_a_function_is_refused_with_advice() {
        let header = |descr: &str, order: &str, shape: &str| {
            format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n")
        };
        let cases = [
            (b"PK\x03\x04".to_vec(), "no .npy file (its first bytes)"),
            (MAGIC.to_vec(), "(its end)"),
            (b"\x93NUMPY\x09\x00\x00\x00".to_vec(), "(its version)"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}".to_vec(), "(its end)"),
            (file("{}", &[]), "(its header)"),
            (file(&header("'<f8'", "False", "(1,)"), &[0; 8]), "`<f8`"),
            (file(&header("'>i4'", "False", "(1,)"), &[0; 4]), "`>i4`"),
            (file(&header("[('a', '<i4')]", "False", "(1,)"), &[0; 4]), "convert it with"),
            (file(&header("'<f4'", "True", "(2, 2)"), &[0; 16]), "ascontiguousarray"),
            (file(&header("'<f4'", "False", "(2, 2)"), &[0; 15]), "asks for 16 bytes and 15"),
            (file(&header("'<f4'", "False", "(-1,)"), &[]), "(its shape)"),
            (file(&header("'<f4'", "False", "2"), &[0; 8]), "(its shape)"),
            (file(&header("'<f4'", "False", "(4294967295, 4294967295, 9)"), &[]), "2^64"),
        ];
        for (file, expected) in cases {
            let error = Array::parse(&file).unwrap_err().to_string();
            assert!(error.contains(expected), "{error:?} lacks {expected:?}");
        }
    }
}
