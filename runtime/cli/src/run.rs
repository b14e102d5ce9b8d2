//! `gpumux run`: one request to a function, its tensors from and to .npy files.

use crate::failure::{Failure, InputError};
use crate::given::{self, Input, NamedFile};
use crate::npy::Array;
use crate::socket::PeerSocket;
use clap::Args;
use gpumux_shim::{
    ChannelSize, Function, Outcome, Reply, Request, Session, SubmitError, SubmitOptions,
};
use std::io::Write;
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

/// Submits one request and shows how it ended.
///
/// # Errors
/// [`Failure`], each kind with an exit code of its own.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let inputs = given::read(&options.inputs)?;
    given::once_each(&options.outputs)?;
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
        input.fill(&mut request, function.signature())?;
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

/// Opens the function and reserves a request as long as the inputs are. What the channel must hold
/// is known only when the function is open, so a request that does not fit opens it once more.
fn reserve(
    session: &Session,
    name: &str,
    inputs: &[Input],
) -> Result<(Function, Request), Failure> {
    let open = |arena_bytes| session.open(name, ChannelSize { slots: 1, arena_bytes });
    let function = open(ARENA_BYTES)?;
    let length = given::length(function.signature(), inputs);
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
