//! How a request ends. Every request ends in exactly one of these, once.

use serde::{Deserialize, Serialize};

/// The one end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its outputs are in the arena.
    Done,
    /// It will not run, or its result is withheld; the refusal says why.
    Refused(Refusal),
    /// Its time limit passed before it ran.
    DeadlineMissed,
    /// The peer cancelled it.
    Cancelled,
}

/// Why a request was refused, and what would help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub reason: Reason,
    /// Which input it speaks of, where it speaks of one.
    pub subject: u32,
    /// The limit it speaks of, where it speaks of one.
    pub limit: u64,
    /// When trying again may help, in microseconds; 0 says nothing.
    pub retry_after_us: u64,
}

impl Refusal {
    /// A refusal that needs no more than its reason.
    pub const fn because(reason: Reason) -> Self {
        Self { reason, subject: 0, limit: 0, retry_after_us: 0 }
    }

    /// A refusal that speaks of one input and a limit.
    pub const fn of_input(reason: Reason, subject: u32, limit: u64) -> Self {
        Self { reason, subject, limit, retry_after_us: 0 }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $label:literal, $advice:literal;)*) => {
        /// Why a request was refused. Codes are part of the layout: append only.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[repr(u32)]
        pub enum Reason { $($(#[$doc])* $name = $code,)* }

        impl Reason {
            /// Every reason, in the order of the codes.
            pub const ALL: [Reason; [$($code),*].len()] = [$(Self::$name),*];

            /// The word for it in metrics, logs and `status`.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }

            /// What the peer can do about it.
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)* }
            }
        }
    };
}

reasons! {
    /// The function's queue is full.
    QueueFull = 1, "queue_full", "try again after `retry_after`, or raise `queue` in function.toml";
    /// The length is above the function's limit.
    TooLong = 2, "too_long", "shorten the input, or raise `length.max` in function.toml";
    /// An input has another element type than the signature says.
    WrongType = 3, "wrong_type", "give the element type that the signature names";
    /// An input has another shape than the signature says.
    WrongShape = 4, "wrong_shape", "give the shape that the signature names";
    /// The number of inputs or outputs is not the signature's.
    WrongCount = 5, "wrong_count", "give every input, and room for every output, exactly once";
    /// An output has less room than its result needs.
    OutputTooSmall = 6, "output_too_small", "reserve the bytes that the signature asks for at this length";
    /// A value would have been an address outside its table.
    BadValue = 7, "bad_value", "check the values of the named input against the model's range";
    /// The daemon is stopping.
    Draining = 8, "draining", "try again when the daemon is back, or another node";
    /// The device's worker died before it answered.
    WorkerLost = 9, "worker_lost", "open the function again and resubmit; nothing of this request remains";
    /// The daemon went away before it answered.
    DaemonLost = 10, "daemon_lost", "connect again and resubmit; nothing of this request remains";
    /// The device could not run the batch.
    DeviceFailed = 11, "device_failed", "try again; if it persists, the operator finds the cause in the daemon's log";
    /// The request has killed the device's worker, running alone.
    Poison = 12, "poison", "do not send this request again: it kills the device's worker whenever it runs";
    /// The function's requests have killed workers, and it is served no more until it is cleared.
    Quarantined = 13, "quarantined", "ask the operator, who clears it with `gpumux functions clear` when its model is mended";
    /// The daemon was restarted or reloaded, and does not take the channel again.
    Restarted = 14, "restarted", "open the function again, which says what is wrong, and resubmit; nothing of this request remains";
    /// The tenant has as many requests on the device as it may have.
    TenantQueueFull = 15, "tenant_queue_full", "wait for replies before submitting more, or raise the tenant's `queue_max` in gpumuxd.toml";
    /// The tenant submits more requests a second than it may.
    RateLimited = 16, "rate_limited", "try again after `retry_after`, or raise the tenant's `requests_per_s` in gpumuxd.toml";
}

impl Reason {
    /// The code on the wire.
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// The reason that a code names.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason.label())?;
        match self.reason {
            Reason::TooLong => write!(f, " (at most {})", self.limit)?,
            Reason::WrongType | Reason::WrongShape | Reason::BadValue => {
                write!(f, " (input {})", self.subject)?;
            }
            Reason::OutputTooSmall => {
                write!(f, " (output {} needs {} bytes)", self.subject, self.limit)?;
            }
            Reason::WrongCount
            | Reason::QueueFull
            | Reason::Draining
            | Reason::WorkerLost
            | Reason::DaemonLost
            | Reason::DeviceFailed
            | Reason::Poison
            | Reason::Quarantined
            | Reason::Restarted => (),
            Reason::TenantQueueFull => write!(f, " (at most {})", self.limit)?,
            Reason::RateLimited => {
                write!(
                    f,
                    " (at most {} a second; again in {} us)",
                    self.limit, self.retry_after_us
                )?;
            }
        }
        write!(f, ": {}", self.reason.advice())
    }
}

impl Outcome {
    /// Its code on the wire, and its reason's.
    pub fn codes(self) -> (u32, u32) {
        match self {
            Self::Done => (1, 0),
            Self::Refused(refusal) => (2, refusal.reason.code()),
            Self::DeadlineMissed => (3, 0),
            Self::Cancelled => (4, 0),
        }
    }

    /// The word for it in metrics, logs and `status`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused(_) => "refused",
            Self::DeadlineMissed => "deadline_missed",
            Self::Cancelled => "cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_distinct_codes_and_labels() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(Reason::from_code(reason.code()), Some(reason));
            let later = &Reason::ALL[index + 1..];
            assert!(later.iter().all(|other| other.label() != reason.label()));
            assert!(!reason.advice().is_empty());
        }
        assert_eq!(Reason::from_code(0), None);
    }
}
