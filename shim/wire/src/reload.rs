//! What became of a reload: the document that the admin socket answers with.

use serde::{Deserialize, Serialize};

/// See the file's head.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// What is wrong with the new configuration, with file and line. Then nothing has changed.
    pub errors: Vec<String>,
    /// Functions that are served now and were not.
    pub functions_added: Vec<String>,
    /// Functions that are served in another way, or by another model.
    pub functions_changed: Vec<String>,
    /// Functions that are served no more. Their channels are closed.
    pub functions_removed: Vec<String>,
    /// Tenants that there are now and were not.
    pub tenants_added: Vec<String>,
    /// Tenants that have other sockets, rights or limits now.
    pub tenants_changed: Vec<String>,
    /// Tenants that are no more; their sessions have ended.
    pub tenants_removed: Vec<String>,
    /// What the files say otherwise than the daemon does, until it is restarted.
    pub needs_restart: Vec<String>,
}
