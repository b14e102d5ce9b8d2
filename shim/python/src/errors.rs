//! The shim's errors as the exceptions of `gpumux.errors`, their messages the shim's own.

use crate::slot::SlotError;
use gpumux_shim::{
    ConnectError as NotConnected, OpenError as NotOpened, OpenRefusal, Outcome, OutputError,
    Reason, Refusal, Signature, SubmitError, WaitError,
};
use pyo3::PyErr;
use pyo3::exceptions::{PyKeyError, PyOSError};
use std::time::Duration;

mod python {
    //! Exceptions that the Python part defines.
    pyo3::import_exception!(gpumux.errors, Cancelled);
    pyo3::import_exception!(gpumux.errors, ChannelLost);
    pyo3::import_exception!(gpumux.errors, ConnectError);
    pyo3::import_exception!(gpumux.errors, DeadlineMissed);
    pyo3::import_exception!(gpumux.errors, Forked);
    pyo3::import_exception!(gpumux.errors, Full);
    pyo3::import_exception!(gpumux.errors, GpumuxError);
    pyo3::import_exception!(gpumux.errors, InputError);
    pyo3::import_exception!(gpumux.errors, OpenError);
    pyo3::import_exception!(gpumux.errors, Refused);
    pyo3::import_exception!(gpumux.errors, Restarted);
}

pub(crate) fn not_connected(error: &NotConnected) -> PyErr {
    python::ConnectError::new_err(error.to_string())
}

pub(crate) fn not_opened(error: &NotOpened) -> PyErr {
    let message = error.to_string();
    let reason = match error {
        NotOpened::Refused(refusal) => open_refusal(refusal),
        NotOpened::Size(_) => "size",
        NotOpened::SessionOver(_) => "session_over",
        NotOpened::Violation(_) => "violation",
        NotOpened::Restarted(_) => "restarted",
        NotOpened::Os(_) => "os",
        NotOpened::Forked => return python::Forked::new_err(message),
    };
    python::OpenError::new_err((message, reason))
}

fn open_refusal(refusal: &OpenRefusal) -> &'static str {
    match refusal {
        OpenRefusal::UnknownFunction { .. } => "unknown_function",
        OpenRefusal::Unavailable { .. } => "unavailable",
        OpenRefusal::BadMemory { .. } => "bad_memory",
        OpenRefusal::OverLimit { .. } => "over_limit",
        OpenRefusal::Draining => "draining",
    }
}

pub(crate) fn not_submitted(error: &SubmitError) -> PyErr {
    let message = error.to_string();
    match error {
        SubmitError::TooLong { .. }
        | SubmitError::BadLength { .. }
        | SubmitError::UnknownInput { .. }
        | SubmitError::NoInput { .. }
        | SubmitError::WrongType { .. }
        | SubmitError::WrongShape { .. }
        | SubmitError::MissingInput { .. } => python::InputError::new_err(message),
        SubmitError::ArenaFull { .. } | SubmitError::SlotsFull { .. } => {
            python::Full::new_err(message)
        }
        SubmitError::Lost(reason) => python::ChannelLost::new_err((message, reason.label())),
        SubmitError::Violation(_) => python::ChannelLost::new_err((message, "violation")),
        SubmitError::Restarted(_) => python::Restarted::new_err((message, "restarted")),
        SubmitError::Forked => python::Forked::new_err(message),
    }
}

pub(crate) fn not_waited(error: &WaitError) -> PyErr {
    let message = error.to_string();
    match error {
        WaitError::Forked => python::Forked::new_err(message),
        WaitError::Os(errno) => PyOSError::new_err((*errno as i32, message)),
        WaitError::UnknownOutcome(_) | WaitError::Taken => python::GpumuxError::new_err(message),
    }
}

pub(crate) fn no_output(error: &OutputError) -> PyErr {
    match error {
        OutputError::UnknownOutput { .. } | OutputError::NoOutput { .. } => {
            PyKeyError::new_err(error.to_string())
        }
        OutputError::NoResult(_) | OutputError::WrongType { .. } => {
            python::GpumuxError::new_err(error.to_string())
        }
    }
}

pub(crate) fn of_slot(error: &SlotError) -> PyErr {
    let what = match error {
        SlotError::Submit(error) => return not_submitted(error),
        SlotError::Submitted => "the request was submitted already: make another",
        SlotError::NotEnded => "the request has not ended: wait for it",
    };
    python::GpumuxError::new_err(what)
}

/// How a request ended, where not with a result.
pub(crate) fn of_outcome(outcome: Outcome, signature: &Signature) -> Option<PyErr> {
    match outcome {
        Outcome::Done => None,
        Outcome::Refused(refusal) => Some(refused(refusal, signature)),
        Outcome::DeadlineMissed => Some(python::DeadlineMissed::new_err(
            "the request's budget ran out before its batch began",
        )),
        Outcome::Cancelled => Some(python::Cancelled::new_err("the request was cancelled")),
    }
}

fn refused(refusal: Refusal, signature: &Signature) -> PyErr {
    let Refusal { reason, subject, limit, retry_after_us } = refusal;
    let speaks_of_input =
        matches!(reason, Reason::WrongType | Reason::WrongShape | Reason::BadValue);
    let input = usize::try_from(subject).ok().filter(|_| speaks_of_input);
    let input = input.and_then(|index| Some(signature.inputs.get(index)?.name.clone()));
    let retry_after = Duration::from_micros(retry_after_us).as_secs_f64();
    python::Refused::new_err((
        format!("the request was refused: {refusal}"),
        reason.label(),
        (retry_after_us > 0).then_some(retry_after),
        input,
        (limit > 0).then_some(limit),
    ))
}
