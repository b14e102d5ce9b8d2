//! Which way of confining lanes is wished for, and why there is none.

use super::allow_list::AllowList;
use super::proof::Proven;
use super::report::{BackendKind, BackendReport};
use crate::error::CudaError;

/// What a partitioner is to be.
#[derive(Clone, Debug)]
pub struct PartitionWish {
    /// This backend or an error; without one, the best that the machine has.
    pub backend: Option<BackendKind>,
    /// Lanes that can be leased at a time.
    pub lanes: u32,
    /// SMs of the smallest grant of green contexts, or as few more as the driver allows.
    pub atom_sms: u32,
    /// Which drivers' masks may be used.
    pub allow_list: AllowList,
    /// The proof of this driver's mask, where the self-test was run.
    pub proven: Option<Proven>,
}

impl Default for PartitionWish {
    /// The best backend in its finest grain, with lanes for a busy device.
    fn default() -> Self {
        Self {
            backend: None,
            lanes: 16,
            atom_sms: 2,
            allow_list: AllowList::PUBLISHED,
            proven: None,
        }
    }
}

/// Why there is no partitioner.
#[derive(Debug, thiserror::Error)]
pub enum ChooseError {
    /// The backend that was asked for cannot be used here.
    #[error("{} cannot be used: {}", .wanted, .reports.iter().map(ToString::to_string)
        .collect::<Vec<_>>().join("; "))]
    NotPossible {
        /// The one that was asked for.
        wanted: BackendKind,
        /// What each came to.
        reports: Vec<BackendReport>,
    },
    /// Making the lanes failed.
    #[error(transparent)]
    Call(#[from] CudaError),
}
