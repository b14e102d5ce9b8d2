//! The numbers of the ABI: append only, and none is used twice. Their names are C's.

/// What a function of this library returns.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum gpumux_code {
    /// It was done.
    GPUMUX_OK = 0,
    /// A pointer that must not be NULL is NULL.
    GPUMUX_ERROR_NULL = 1,
    /// An argument has a value that it cannot have.
    GPUMUX_ERROR_ARGUMENT = 2,
    /// No daemon listens at the path.
    GPUMUX_ERROR_DAEMON_ABSENT = 3,
    /// The daemon is of another release than this library.
    GPUMUX_ERROR_VERSION = 4,
    /// The daemon refused the session.
    GPUMUX_ERROR_SESSION_REFUSED = 5,
    /// The kernel refused: out of memory, descriptors or threads.
    GPUMUX_ERROR_OS = 6,
    /// The daemon serves no such function, or not to this peer.
    GPUMUX_ERROR_UNKNOWN_FUNCTION = 7,
    /// The daemon did not open the function, for another reason.
    GPUMUX_ERROR_OPEN_REFUSED = 8,
    /// The session is over; connect again.
    GPUMUX_ERROR_SESSION_OVER = 9,
    /// The daemon was restarted or reloaded and does not take this function's handle again; open it
    /// again.
    GPUMUX_ERROR_RESTARTED = 10,
    /// Nobody serves the function any more; connect again.
    GPUMUX_ERROR_LOST = 11,
    /// The handle was made before a fork, by the parent process.
    GPUMUX_ERROR_FORKED = 12,
    /// The function takes no request of this length.
    GPUMUX_ERROR_LENGTH = 13,
    /// All slots, or all bytes, are in use: free a reply, or open with more.
    GPUMUX_ERROR_FULL = 14,
    /// The function has no tensor of that index.
    GPUMUX_ERROR_NO_TENSOR = 15,
    /// A tensor has another type or shape.
    GPUMUX_ERROR_SHAPE = 16,
    /// An input was not written.
    GPUMUX_ERROR_MISSING_INPUT = 17,
    /// The request did not end with a result, so there are no outputs.
    GPUMUX_ERROR_NO_RESULT = 18,
    /// The request has not ended yet.
    GPUMUX_ERROR_NOT_YET = 19,
    /// The handle is spent: the request was submitted, or its reply was taken.
    GPUMUX_ERROR_SPENT = 20,
    /// A bug in this library; please report it with the message.
    GPUMUX_ERROR_INTERNAL = 99,
}

/// How a request ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum gpumux_outcome {
    /// Its outputs can be read.
    GPUMUX_OUTCOME_DONE = 1,
    /// It did not run, or its result is withheld; the reason says why.
    GPUMUX_OUTCOME_REFUSED = 2,
    /// Its time limit passed before it ran.
    GPUMUX_OUTCOME_DEADLINE_MISSED = 3,
    /// It was cancelled.
    GPUMUX_OUTCOME_CANCELLED = 4,
}

/// Why a request was refused. A daemon of a later release may have others:
/// gpumux_reason_label says what this library knows.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum gpumux_reason {
    /// It was not refused.
    GPUMUX_REASON_NONE = 0,
    /// The function's queue is full.
    GPUMUX_REASON_QUEUE_FULL = 1,
    /// The length is above the function's limit.
    GPUMUX_REASON_TOO_LONG = 2,
    /// An input has another element type than the signature says.
    GPUMUX_REASON_WRONG_TYPE = 3,
    /// An input has another shape than the signature says.
    GPUMUX_REASON_WRONG_SHAPE = 4,
    /// The number of inputs or outputs is not the signature's.
    GPUMUX_REASON_WRONG_COUNT = 5,
    /// An output has less room than its result needs.
    GPUMUX_REASON_OUTPUT_TOO_SMALL = 6,
    /// A value would have been an address outside its table.
    GPUMUX_REASON_BAD_VALUE = 7,
    /// The daemon is stopping.
    GPUMUX_REASON_DRAINING = 8,
    /// The device's worker died before it answered.
    GPUMUX_REASON_WORKER_LOST = 9,
    /// The daemon went away before it answered.
    GPUMUX_REASON_DAEMON_LOST = 10,
    /// The device could not run the batch.
    GPUMUX_REASON_DEVICE_FAILED = 11,
    /// The request has killed the device's worker, running alone.
    GPUMUX_REASON_POISON = 12,
    /// The function is served no more until an operator clears it.
    GPUMUX_REASON_QUARANTINED = 13,
    /// The daemon was restarted or reloaded and does not take the function's handle again.
    GPUMUX_REASON_RESTARTED = 14,
    /// The tenant has as many requests on the device as it may have.
    GPUMUX_REASON_TENANT_QUEUE_FULL = 15,
    /// The tenant submits more requests a second than it may.
    GPUMUX_REASON_RATE_LIMITED = 16,
}

/// The type of a tensor's elements.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum gpumux_element {
    /// Unsigned 8-bit.
    GPUMUX_ELEMENT_U8 = 1,
    /// Signed 32-bit.
    GPUMUX_ELEMENT_I32 = 2,
    /// Signed 64-bit.
    GPUMUX_ELEMENT_I64 = 3,
    /// IEEE binary32.
    GPUMUX_ELEMENT_F32 = 4,
    /// One byte, 0 or 1.
    GPUMUX_ELEMENT_BOOL = 5,
}

impl gpumux_code {
    /// Every code with what it says of itself, in the order of the numbers.
    pub(crate) const ALL: [(Self, &'static std::ffi::CStr); 22] = [
        (Self::GPUMUX_OK, c"done"),
        (Self::GPUMUX_ERROR_NULL, c"a pointer that must not be NULL is NULL"),
        (Self::GPUMUX_ERROR_ARGUMENT, c"an argument has a value that it cannot have"),
        (Self::GPUMUX_ERROR_DAEMON_ABSENT, c"no daemon listens at the path"),
        (Self::GPUMUX_ERROR_VERSION, c"the daemon is of another release than this library"),
        (Self::GPUMUX_ERROR_SESSION_REFUSED, c"the daemon refused the session"),
        (Self::GPUMUX_ERROR_OS, c"the kernel refused"),
        (Self::GPUMUX_ERROR_UNKNOWN_FUNCTION, c"the daemon serves no such function"),
        (Self::GPUMUX_ERROR_OPEN_REFUSED, c"the daemon did not open the function"),
        (Self::GPUMUX_ERROR_SESSION_OVER, c"the session is over"),
        (Self::GPUMUX_ERROR_RESTARTED, c"the daemon does not take the function again"),
        (Self::GPUMUX_ERROR_LOST, c"nobody serves the function any more"),
        (Self::GPUMUX_ERROR_FORKED, c"the handle belongs to the parent process"),
        (Self::GPUMUX_ERROR_LENGTH, c"the function takes no request of this length"),
        (Self::GPUMUX_ERROR_FULL, c"all slots or all bytes are in use"),
        (Self::GPUMUX_ERROR_NO_TENSOR, c"the function has no such tensor"),
        (Self::GPUMUX_ERROR_SHAPE, c"a tensor has another type or shape"),
        (Self::GPUMUX_ERROR_MISSING_INPUT, c"an input was not written"),
        (Self::GPUMUX_ERROR_NO_RESULT, c"the request did not end with a result"),
        (Self::GPUMUX_ERROR_NOT_YET, c"the request has not ended yet"),
        (Self::GPUMUX_ERROR_SPENT, c"the handle is spent"),
        (Self::GPUMUX_ERROR_INTERNAL, c"a bug in this library"),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use gpumux_shim::{ElementType, Reason};

    #[test]
    fn no_number_ever_changes() {
        let golden = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 99];
        assert_eq!(gpumux_code::ALL.map(|(code, _)| code as i32), golden);
        let names = gpumux_code::ALL.map(|(code, _)| format!("{code:?}"));
        let golden = "OK ERROR_NULL ERROR_ARGUMENT ERROR_DAEMON_ABSENT ERROR_VERSION \
            ERROR_SESSION_REFUSED ERROR_OS ERROR_UNKNOWN_FUNCTION ERROR_OPEN_REFUSED \
            ERROR_SESSION_OVER ERROR_RESTARTED ERROR_LOST ERROR_FORKED ERROR_LENGTH ERROR_FULL \
            ERROR_NO_TENSOR ERROR_SHAPE ERROR_MISSING_INPUT ERROR_NO_RESULT ERROR_NOT_YET \
            ERROR_SPENT ERROR_INTERNAL";
        let golden: Vec<String> = golden.split(' ').map(|name| format!("GPUMUX_{name}")).collect();
        assert_eq!(names[..], golden);
    }

    #[test]
    fn reasons_and_elements_are_the_wire_s() {
        use gpumux_reason as R;
        let reasons = [
            R::GPUMUX_REASON_QUEUE_FULL,
            R::GPUMUX_REASON_TOO_LONG,
            R::GPUMUX_REASON_WRONG_TYPE,
            R::GPUMUX_REASON_WRONG_SHAPE,
            R::GPUMUX_REASON_WRONG_COUNT,
            R::GPUMUX_REASON_OUTPUT_TOO_SMALL,
            R::GPUMUX_REASON_BAD_VALUE,
            R::GPUMUX_REASON_DRAINING,
            R::GPUMUX_REASON_WORKER_LOST,
            R::GPUMUX_REASON_DAEMON_LOST,
            R::GPUMUX_REASON_DEVICE_FAILED,
            R::GPUMUX_REASON_POISON,
            R::GPUMUX_REASON_QUARANTINED,
            R::GPUMUX_REASON_RESTARTED,
            R::GPUMUX_REASON_TENANT_QUEUE_FULL,
            R::GPUMUX_REASON_RATE_LIMITED,
        ];
        assert_eq!(reasons.len(), Reason::ALL.len(), "the header names every reason");
        for (ours, theirs) in reasons.into_iter().zip(Reason::ALL) {
            assert_eq!(ours as u32, theirs.code());
            let name = format!("{ours:?}").replace("GPUMUX_REASON_", "").to_lowercase();
            assert_eq!(name, theirs.label());
        }
        let elements = [
            gpumux_element::GPUMUX_ELEMENT_U8,
            gpumux_element::GPUMUX_ELEMENT_I32,
            gpumux_element::GPUMUX_ELEMENT_I64,
            gpumux_element::GPUMUX_ELEMENT_F32,
            gpumux_element::GPUMUX_ELEMENT_BOOL,
        ];
        assert_eq!(elements.map(|it| it as u32), ElementType::ALL.map(ElementType::code));
    }
}
