//! Failures: a code for the program, and a sentence for whoever reads its log.

use crate::codes::gpumux_code;
use gpumux_shim::{
    ConnectError, OpenError, OpenRefusal, OutputError, Reason, ReopenError, SubmitError, WaitError,
};
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::sync::LazyLock;

/// Why a function of this library did not do what it was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: gpumux_code,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: gpumux_code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn null(name: &str) -> Self {
        Self::new(gpumux_code::GPUMUX_ERROR_NULL, format!("`{name}` is NULL"))
    }

    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::new(gpumux_code::GPUMUX_ERROR_ARGUMENT, message)
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let code = match error {
            ConnectError::DaemonAbsent { .. } => gpumux_code::GPUMUX_ERROR_DAEMON_ABSENT,
            ConnectError::BadPath { .. } => gpumux_code::GPUMUX_ERROR_ARGUMENT,
            ConnectError::Version { .. } => gpumux_code::GPUMUX_ERROR_VERSION,
            ConnectError::Greeting(_) | ConnectError::Refused(_) => {
                gpumux_code::GPUMUX_ERROR_SESSION_REFUSED
            }
            ConnectError::Os(_) => gpumux_code::GPUMUX_ERROR_OS,
        };
        Self::new(code, error.to_string())
    }
}

fn of_refusal(refusal: &OpenRefusal) -> gpumux_code {
    if let OpenRefusal::UnknownFunction { .. } = refusal {
        return gpumux_code::GPUMUX_ERROR_UNKNOWN_FUNCTION;
    }
    gpumux_code::GPUMUX_ERROR_OPEN_REFUSED
}

fn of_reopening(error: &ReopenError) -> gpumux_code {
    match error {
        ReopenError::Version { .. } => gpumux_code::GPUMUX_ERROR_VERSION,
        ReopenError::Refused(_) | ReopenError::SignatureChanged => {
            gpumux_code::GPUMUX_ERROR_RESTARTED
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let code = match &error {
            OpenError::Refused(refusal) => of_refusal(refusal),
            OpenError::Size(_) => gpumux_code::GPUMUX_ERROR_ARGUMENT,
            OpenError::SessionOver(_) | OpenError::Violation(_) => {
                gpumux_code::GPUMUX_ERROR_SESSION_OVER
            }
            OpenError::Restarted(why) => of_reopening(why),
            OpenError::Os(_) => gpumux_code::GPUMUX_ERROR_OS,
            OpenError::Forked => gpumux_code::GPUMUX_ERROR_FORKED,
        };
        Self::new(code, error.to_string())
    }
}

impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Self {
        let code = match &error {
            SubmitError::TooLong { .. } | SubmitError::BadLength { .. } => {
                gpumux_code::GPUMUX_ERROR_LENGTH
            }
            SubmitError::ArenaFull { .. } | SubmitError::SlotsFull { .. } => {
                gpumux_code::GPUMUX_ERROR_FULL
            }
            SubmitError::UnknownInput { .. } | SubmitError::NoInput { .. } => {
                gpumux_code::GPUMUX_ERROR_NO_TENSOR
            }
            SubmitError::WrongType { .. } | SubmitError::WrongShape { .. } => {
                gpumux_code::GPUMUX_ERROR_SHAPE
            }
            SubmitError::MissingInput { .. } => gpumux_code::GPUMUX_ERROR_MISSING_INPUT,
            SubmitError::Lost(_) => gpumux_code::GPUMUX_ERROR_LOST,
            SubmitError::Restarted(why) => of_reopening(why),
            SubmitError::Violation(_) => gpumux_code::GPUMUX_ERROR_SESSION_OVER,
            SubmitError::Forked => gpumux_code::GPUMUX_ERROR_FORKED,
        };
        Self::new(code, error.to_string())
    }
}

impl From<WaitError> for Failure {
    fn from(error: WaitError) -> Self {
        let code = match error {
            WaitError::Forked => gpumux_code::GPUMUX_ERROR_FORKED,
            WaitError::Os(_) => gpumux_code::GPUMUX_ERROR_OS,
            WaitError::Taken => gpumux_code::GPUMUX_ERROR_SPENT,
            WaitError::UnknownOutcome(_) => gpumux_code::GPUMUX_ERROR_VERSION,
        };
        Self::new(code, error.to_string())
    }
}

impl From<OutputError> for Failure {
    fn from(error: OutputError) -> Self {
        let code = match error {
            OutputError::NoResult(_) => gpumux_code::GPUMUX_ERROR_NO_RESULT,
            OutputError::UnknownOutput { .. } | OutputError::NoOutput { .. } => {
                gpumux_code::GPUMUX_ERROR_NO_TENSOR
            }
            OutputError::WrongType { .. } => gpumux_code::GPUMUX_ERROR_SHAPE,
        };
        Self::new(code, error.to_string())
    }
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// Remembers what was wrong, for [`gpumux_last_error`].
pub(crate) fn remember(message: String) {
    let mut bytes = message.into_bytes();
    bytes.retain(|byte| *byte != 0);
    let text = CString::new(bytes).unwrap_or_default();
    // A thread that ends has nobody left to ask.
    let _ended = LAST.try_with(|last| last.replace(text));
}

/// What was wrong when a function of this library failed last in this thread, and what to do about
/// it; an empty string before the first failure. The text is valid until the next failure in this
/// thread.
#[unsafe(no_mangle)]
pub extern "C" fn gpumux_last_error() -> *const c_char {
    LAST.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

/// What a code says, in short; valid for ever. gpumux_last_error says more.
#[unsafe(no_mangle)]
pub extern "C" fn gpumux_error_text(code: i32) -> *const c_char {
    let known = gpumux_code::ALL.into_iter().find(|(known, _)| *known as i32 == code);
    known.map_or(c"a code that this library does not have", |(_, text)| text).as_ptr()
}

/// The word for an outcome in metrics and logs, as "done"; valid for ever. "unknown" for a number
/// that this library does not have.
#[unsafe(no_mangle)]
pub extern "C" fn gpumux_outcome_label(outcome: i32) -> *const c_char {
    let label = match outcome {
        1 => c"done",
        2 => c"refused",
        3 => c"deadline_missed",
        4 => c"cancelled",
        _ => c"unknown",
    };
    label.as_ptr()
}

/// The texts of each reason as C reads them, in the order of the codes.
static REASONS: LazyLock<Vec<(u32, CString, CString)>> = LazyLock::new(|| {
    let text = |text: &str| CString::new(text).unwrap_or_default();
    let texts = |it: Reason| (it.code(), text(it.label()), text(it.advice()));
    Reason::ALL.into_iter().map(texts).collect()
});

fn reason(
    code: i32,
    pick: impl Fn(&'static (u32, CString, CString)) -> &'static CStr,
) -> &'static CStr {
    let known = REASONS.iter().find(|(known, ..)| i64::from(*known) == i64::from(code));
    known.map_or(c"", pick)
}

/// The word for a reason in metrics and logs, as "queue_full"; valid for ever. Empty for none, and
/// for a number that this library does not have.
#[unsafe(no_mangle)]
pub extern "C" fn gpumux_reason_label(code: i32) -> *const c_char {
    reason(code, |(_, label, _)| label).as_ptr()
}

/// What can be done about a reason; valid for ever. Empty where the label is.
#[unsafe(no_mangle)]
pub extern "C" fn gpumux_reason_advice(code: i32) -> *const c_char {
    reason(code, |(_, _, advice)| advice).as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gpumux_shim::{Outcome, Refusal};

    fn text(of: *const c_char) -> &'static str {
        // SAFETY: every text of this file is valid for ever and ends in a zero.
        unsafe { CStr::from_ptr(of) }.to_str().unwrap()
    }

    #[test]
    fn texts_are_those_of_the_rust_side() {
        let refused = Outcome::Refused(Refusal::because(Reason::Poison));
        for (number, outcome) in
            (1..).zip([Outcome::Done, refused, Outcome::DeadlineMissed, Outcome::Cancelled])
        {
            assert_eq!(text(gpumux_outcome_label(number)), outcome.label());
            assert_eq!(outcome.codes().0, u32::try_from(number).unwrap());
        }
        for reason in Reason::ALL {
            let code = i32::try_from(reason.code()).unwrap();
            assert_eq!(text(gpumux_reason_label(code)), reason.label());
            assert_eq!(text(gpumux_reason_advice(code)), reason.advice());
        }
        for none in [0, -1, i32::MAX] {
            assert_eq!(text(gpumux_reason_label(none)), "");
        }
        assert_eq!(text(gpumux_error_text(0)), "done");
        assert_eq!(text(gpumux_error_text(1_000)), "a code that this library does not have");
    }
}
