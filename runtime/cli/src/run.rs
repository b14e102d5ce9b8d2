//! `gpumux run`: one request to a function, its tensors from and to .npy files.

use crate::failure::{Failure, InputError};
use crate::npy::Array;
use crate::socket::PeerSocket;
use clap::Args;
use gpumux_shim::{
    ChannelSize, Dim, Element, ElementType, Function, Outcome, Reply, Request, Session, Signature,
    SubmitError, SubmitOptions,
};
use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Exit codes are part of the command: scripts tell the cases apart by them.
const EXIT_CODES: &str = "\
Exit codes:
  0  the request was done
  1  anything else, such as an output file that cannot be written
  2  the command line is wrong
  3  no daemon answers
  4  the daemon did not open the session or the function
  5  an input or output does not fit the function; nothing was submitted
  6  the request was submitted and ended without a result";

/// Elements of an output that are printed.
const PREVIEW: usize = 8;
/// Enough for most requests; a larger one says how much it needs.
const ARENA_BYTES: u64 = 1 << 20;

/// What to ask for.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Options {
    /// The function's name
    function: String,
    /// An input: one item, without a batch dimension
    #[arg(long = "input", value_name = "NAME=FILE.npy")]
    inputs: Vec<NamedFile>,
    /// Write this output to a file instead of printing it
    #[arg(long = "output", value_name = "NAME=FILE.npy")]
    outputs: Vec<NamedFile>,
    /// How long the request may wait for its batch to begin, as in `50ms`; no limit when absent
    #[arg(long)]
    budget: Option<humantime::Duration>,
    #[command(flatten)]
    socket: PeerSocket,
}

/// A tensor's name and its file.
#[derive(Clone, Debug)]
struct NamedFile {
    name: String,
    path: PathBuf,
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
struct Input<'a> {
    file: &'a NamedFile,
    array: Array,
}

impl Input<'_> {
    fn wrong(&self, source: SubmitError) -> Failure {
        let NamedFile { path, .. } = self.file;
        InputError::Unfit { path: path.clone(), source }.into()
    }
}

/// Submits one request and shows how it ended.
///
/// # Errors
/// [`Failure`], each kind with an exit code of its own.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let inputs = read(&options.inputs)?;
    once_each(&options.outputs)?;
    let session = Session::connect(&options.socket.path)?;
    let (function, mut request) = reserve(&session, &options.function, &inputs)?;
    for output in &options.outputs {
        if !function.outputs().iter().any(|spec| spec.name == output.name) {
            let known = function.outputs().iter().map(|spec| format!("`{}`", spec.name));
            let known = known.collect::<Vec<_>>().join(", ");
            return Err(InputError::UnknownOutput { name: output.name.clone(), known }.into());
        }
    }
    for input in &inputs {
        fill(&mut request, function.signature(), input).map_err(|error| input.wrong(error))?;
    }
    let budget = options.budget.map(Duration::from);
    let pending = request.submit(SubmitOptions { budget }).map_err(refused_or_bad)?;
    let reply = pending.wait()?;
    match reply.outcome() {
        Outcome::Done => show(&function, &reply, &options.outputs),
        Outcome::Refused(refusal) => Err(Failure::NoResult(format!("refused: {refusal}"))),
        Outcome::DeadlineMissed => Err(Failure::NoResult(
            "its budget passed before its batch began: give a larger --budget, or try when the function is less busy"
                .to_owned(),
        )),
        Outcome::Cancelled => Err(Failure::NoResult("it was cancelled".to_owned())),
    }
}

fn read(files: &[NamedFile]) -> Result<Vec<Input<'_>>, Failure> {
    once_each(files)?;
    let read = |file: &'_ NamedFile| {
        Array::read(&file.path)
            .map_err(|source| InputError::BadFile { path: file.path.clone(), source })
    };
    files.iter().map(|file| Ok(Input { file, array: read(file)? })).collect()
}

fn once_each(files: &[NamedFile]) -> Result<(), InputError> {
    for (index, file) in files.iter().enumerate() {
        if files[..index].iter().any(|earlier| earlier.name == file.name) {
            return Err(InputError::Twice { name: file.name.clone() });
        }
    }
    Ok(())
}

/// Opens the function and reserves a request as long as the inputs are. What the channel must hold
/// is known only when the function is open, so a request that does not fit opens it once more.
fn reserve(
    session: &Session,
    name: &str,
    inputs: &[Input<'_>],
) -> Result<(Function, Request), Failure> {
    let open = |arena_bytes| session.open(name, ChannelSize { slots: 1, arena_bytes });
    let function = open(ARENA_BYTES)?;
    let length = length(function.signature(), inputs);
    match function.request(length) {
        Err(SubmitError::ArenaFull { needed }) => {
            drop(function);
            let function = open(needed.next_multiple_of(64))?;
            let request = function.request(length).map_err(refused_or_bad)?;
            Ok((function, request))
        }
        reserved => Ok((function, reserved.map_err(refused_or_bad)?)),
    }
}

/// The request's length: the size of the first input that has one, where its rank is right.
fn length(signature: &Signature, inputs: &[Input<'_>]) -> u32 {
    let lengths = signature.inputs.iter().filter_map(|spec| {
        let axis = spec.dims.iter().position(|dim| *dim == Dim::Length)?;
        let input = inputs.iter().find(|input| input.file.name == spec.name)?;
        (input.array.dims.len() == spec.dims.len()).then(|| input.array.dims[axis])
    });
    lengths.into_iter().next().unwrap_or(1)
}

fn fill(
    request: &mut Request,
    signature: &Signature,
    input: &Input<'_>,
) -> Result<(), SubmitError> {
    let Input { file: NamedFile { name, .. }, array: Array { element, dims, bytes } } = input;
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

fn elements<T: Element>(bytes: &[u8]) -> Vec<T> {
    bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect()
}

/// A channel that is lost is the daemon's doing, anything else the request's.
fn refused_or_bad(error: SubmitError) -> Failure {
    match error {
        SubmitError::Lost(_)
        | SubmitError::Restarted(_)
        | SubmitError::Violation(_)
        | SubmitError::Forked => Failure::NoResult(error.to_string()),
        other => InputError::Request(other).into(),
    }
}

fn show(function: &Function, reply: &Reply, files: &[NamedFile]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    for spec in function.outputs() {
        let array = Array {
            element: spec.element,
            dims: reply.dims(&spec.name)?,
            bytes: reply.output_bytes(&spec.name)?.to_vec(),
        };
        let head = format!("{}: {}{:?}", spec.name, array.element, array.dims);
        match files.iter().find(|file| file.name == spec.name) {
            Some(NamedFile { path, .. }) => {
                std::fs::write(path, array.encode())
                    .map_err(|source| Failure::Unwritable { path: path.clone(), source })?;
                writeln!(out, "{head} written to {}", path.display())?;
            }
            None => writeln!(out, "{head}\n  {}", array.preview(PREVIEW))?,
        }
    }
    let (queued, ran) = (reply.queued(), reply.ran());
    writeln!(out, "done in a batch of {}: queued {queued:?}, ran {ran:?}", reply.batch())?;
    Ok(())
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
            assert_eq!(length(&signature, &[Input { file: &file, array }]), expected, "{dims:?}");
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
