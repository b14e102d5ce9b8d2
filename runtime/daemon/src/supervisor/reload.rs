//! A new configuration for a daemon that runs. Tenants change without a restart; what does not is
//! named.

use super::devices::Devices;
use super::doors::Doors;
use super::notify;
use super::registry::Registry;
use super::tenancy::Tenancy;
use crate::config::{self, ConfigError, Function};
use crate::options::SupervisorOptions;
use gpumux_wire::reload::Reload;
use sd_notify::NotifyState;
use std::sync::Arc;
use tokio::sync::Mutex;
use tracing::{error, info};

/// See the file's head.
#[derive(Debug)]
pub(super) struct Reloader {
    options: SupervisorOptions,
    /// The functions that are served.
    functions: Vec<Function>,
    registry: Arc<Registry>,
    devices: Devices,
    /// One reload at a time has them.
    doors: Mutex<Doors>,
}

impl Reloader {
    pub(super) fn new(
        (options, functions): (SupervisorOptions, Vec<Function>),
        registry: Arc<Registry>,
        devices: Devices,
        mut doors: Doors,
    ) -> Self {
        doors.serve(&registry, &devices);
        Self { options, functions, registry, devices, doors: Mutex::new(doors) }
    }

    /// Lets nobody in any more.
    pub(super) async fn close(&self) {
        self.doors.lock().await.close();
    }

    /// Reads the configuration anew and applies it, or changes nothing.
    pub(super) async fn reload(&self) -> Reload {
        let mut doors = self.doors.lock().await;
        if self.registry.is_draining() {
            // It has told the service manager that it stops; that it is ready would unsay it.
            let errors =
                vec!["the daemon is stopping: the next one reads what there is".to_owned()];
            return Reload { errors, ..Reload::default() };
        }
        let since = NotifyState::monotonic_usec_now();
        let reloading = since.map(|since| [NotifyState::Reloading, since]);
        reloading.iter().for_each(|states| notify(states));
        let done = self.apply(&mut doors);
        notify(&[NotifyState::Ready]);
        match &done {
            Ok(Reload {
                tenants_added, tenants_changed, tenants_removed, needs_restart, ..
            }) => {
                info!(
                    ?tenants_added,
                    ?tenants_changed,
                    ?tenants_removed,
                    ?needs_restart,
                    "reloaded"
                );
            }
            Err(errors) => error!(?errors, "not reloaded: the configuration before stays"),
        }
        done.unwrap_or_else(|errors| Reload { errors, ..Reload::default() })
    }

    fn apply(&self, doors: &mut Doors) -> Result<Reload, Vec<String>> {
        let wrong = |errors: Vec<ConfigError>| {
            errors.iter().map(ConfigError::to_string).collect::<Vec<_>>()
        };
        let (tenancy, settings) = Tenancy::read(&self.options).map_err(wrong)?;
        let functions = config::load(&self.options.models).map_err(wrong)?;
        doors.apply(&tenancy).map_err(|error| vec![error.to_string()])?;
        let (reload, limits) = self.registry.set_tenants(tenancy);
        doors.serve(&self.registry, &self.devices);
        limits.iter().for_each(|limits| self.devices.limit(limits));
        let mut needs_restart = settings.differs(&self.options.served);
        needs_restart.extend(changed(&self.functions, &functions));
        Ok(Reload { needs_restart, ..reload })
    }
}

/// Functions that the model repository has otherwise than they are served.
fn changed(served: &[Function], found: &[Function]) -> Vec<String> {
    let missing = |one: &[Function], other: &[Function], how: &str| -> Vec<String> {
        let is_there = |function: &&Function| other.iter().any(|it| it.name == function.name);
        let those = one.iter().filter(|function| !is_there(function));
        those.map(|function| format!("function `{}` was {how}", function.name)).collect()
    };
    let differs = |function: &&Function| {
        served.iter().any(|it| it.name == function.name && it.config != function.config)
    };
    let others = found.iter().filter(differs);
    let others = others.map(|function| format!("function `{}` was changed", function.name));
    let mut all = missing(found, served, "added");
    all.extend(missing(served, found, "removed"));
    all.extend(others);
    all
}
