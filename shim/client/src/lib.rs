//! What a function container links.
//!
//! ```no_run
//! use gpumux_shim::{ChannelSize, Outcome, Session, SubmitOptions};
//!
//! let session = Session::connect("/run/gpumux/gpumuxd.sock")?;
//! let embed = session.open("embed", ChannelSize { slots: 64, arena_bytes: 8 << 20 })?;
//! let tokens = [101i64, 7592, 102];
//! let mut request = embed.request(3)?;
//! request.input_mut::<i64>("input_ids")?.copy_from_slice(&tokens);
//! request.input_mut::<i64>("attention_mask")?.fill(1);
//! request.input_mut::<i64>("token_type_ids")?.fill(0);
//! let reply = request.submit(SubmitOptions::default())?.wait()?;
//! match reply.outcome() {
//!     Outcome::Done => println!("{:?}", reply.output::<f32>("sentence_embedding")?),
//!     other => println!("no result: {other:?}"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A request and its tensors live in memory that this process shares with the device's worker: they
//! are written once, in place. Any number of requests may be in flight; handles may be used from
//! any thread. A [`Pending`] is waited for by a thread ([`Pending::wait`]), by a task of any executor
//! (it is a future), or by a loop of one's own ([`Function::readiness`]), and they may be mixed.
//! Dropping it cancels the request. After `fork`, a child's handles answer `Forked`.
//!
//! # When the daemon dies
//!
//! Its successor is looked for at the same path, for [`SessionOptions::reconnect_for`]. A thread does
//! this, which lives for as long as something waits. The session's channels are presented to the
//! successor with the memory that they have, so handles stay valid, and so do requests that are being
//! filled and replies that are being read. What was submitted and not answered, before or since, is
//! submitted again, as a new arrival with what is left of its budget; one whose budget runs out while
//! nobody serves it ends as `DeadlineMissed`, and a cancelled one as `Cancelled`. Inference changes
//! nothing but its outputs, so one that ran and was not answered may run again. Either way each
//! request has exactly one outcome.
//!
//! Where the successor does not serve the function, serves it with another signature, or has no room
//! for the channel, what is in flight ends as refused for [`Reason::Restarted`], and later requests
//! are told why ([`SubmitError::Restarted`]). So it is when a daemon that lives takes a function away,
//! or serves another by its name, at a reload. Where none comes in time it is [`Reason::DaemonLost`]. A
//! session that the daemon ended, because this side broke the protocol, is over.

/// The programs of the guide are compiled with those of this documentation.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/rust.md")]
struct Guide;

mod attendant;
mod bell;
mod channel;
mod clock;
mod connection;
mod control;
mod element;
mod error;
mod fork;
mod function;
mod link;
mod pending;
#[cfg(feature = "tokio")]
mod reactor;
mod readiness;
mod reconnect;
mod reply;
mod request;
mod session;
mod slots;
mod state;
mod waiting;

pub use element::Element;
pub use error::{ConnectError, OpenError, OutputError, ReopenError, SubmitError, WaitError};
pub use function::Function;
pub use gpumux_wire::control::OpenRefusal;
pub use gpumux_wire::geometry::ChannelSize;
pub use gpumux_wire::outcome::{Outcome, Reason, Refusal};
pub use gpumux_wire::signature::{Dim, ElementType, Signature, TensorSpec};
pub use pending::{Canceller, Pending};
pub use readiness::Readiness;
pub use reply::Reply;
pub use request::{Request, SubmitOptions};
pub use session::{Session, SessionOptions};

const _: () = {
    const fn moves_between_threads<T: Send + Sync>() {}
    moves_between_threads::<Session>();
    moves_between_threads::<Function>();
    moves_between_threads::<Request>();
    moves_between_threads::<Pending>();
    moves_between_threads::<Reply>();
    moves_between_threads::<Readiness>();
};
