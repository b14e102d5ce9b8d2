//! A new configuration for a daemon that runs. Functions and tenants change without a restart; what
//! does not is named.

use super::devices::Devices;
use super::doors::Doors;
use super::herald::Herald;
use super::plan;
use super::registry::{Orders, Registry};
use super::tenancy::Tenancy;
use crate::config::{self, ConfigError};
use crate::options::SupervisorOptions;
use gpumux_wire::reload::Reload;
use sd_notify::NotifyState;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::{error, info};

/// What is said to whom asks a daemon that stops.
const STOPPING: &str = "the daemon is stopping: the next one reads what there is";

/// See the file's head.
#[derive(Debug)]
pub(super) struct Reloader {
    options: SupervisorOptions,
    herald: Herald,
    registry: Arc<Registry>,
    devices: Devices,
    doors: Mutex<Doors>,
    /// One reload at a time.
    turn: tokio::sync::Mutex<()>,
}

impl Reloader {
    pub(super) fn new(
        (options, herald): (SupervisorOptions, Herald),
        (registry, devices): (Arc<Registry>, Devices),
        mut doors: Doors,
    ) -> Self {
        doors.serve(&registry, &devices);
        Self {
            options,
            herald,
            registry,
            devices,
            doors: Mutex::new(doors),
            turn: Default::default(),
        }
    }

    fn doors(&self) -> MutexGuard<'_, Doors> {
        // No change of the doors can panic half-way, so a poisoned lock guards whole ones.
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets nobody in any more.
    pub(super) fn close(&self) {
        self.doors().close();
    }

    /// Reads the configuration anew and applies it, or changes nothing.
    pub(super) async fn reload(&self) -> Reload {
        let _turn = self.turn.lock().await;
        if self.registry.is_draining() {
            // It has told the service manager that it stops; that it is ready would unsay it.
            return Reload { errors: vec![STOPPING.to_owned()], ..Reload::default() };
        }
        if let Ok(since) = NotifyState::monotonic_usec_now() {
            self.herald.tell([NotifyState::Reloading, since]);
        }
        let done = self.apply().await;
        match &done {
            Ok(reload) => info!(?reload, "reloaded"),
            Err(errors) => error!(?errors, "not reloaded: the configuration before stays"),
        }
        if !self.registry.is_draining() {
            self.herald.tell([NotifyState::Ready]);
        }
        done.unwrap_or_else(|errors| Reload { errors, ..Reload::default() })
    }

    async fn apply(&self) -> Result<Reload, Vec<String>> {
        let wrong = |errors: Vec<ConfigError>| {
            errors.iter().map(ConfigError::to_string).collect::<Vec<_>>()
        };
        let (tenancy, settings) = Tenancy::read(&self.options).map_err(wrong)?;
        let functions = config::load(&self.options.models).map_err(wrong)?;
        let served = plan(functions.clone(), &self.options, &self.herald).await;
        let served = served.map_err(|error| vec![error.to_string()])?;
        let new = self.doors().prepare(&tenancy).map_err(|error| vec![error.to_string()])?;
        let change = self.devices.replace(served).await.map_err(|why| vec![why])?;
        if self.registry.is_draining() {
            return Err(vec![STOPPING.to_owned()]);
        }
        self.registry.set_functions(&functions);
        let mut doors = self.doors();
        doors.apply(&tenancy, new);
        let (reload, Orders { limits, withdrawn }) = self.registry.set_tenants(tenancy);
        doors.serve(&self.registry, &self.devices);
        limits.iter().for_each(|limits| self.devices.limit(limits));
        for (attachment, function) in &withdrawn {
            self.devices.withdraw(function, *attachment);
        }
        let mut needs_restart = settings.differs(&self.options.served);
        needs_restart.extend(change.needs_restart);
        Ok(Reload {
            functions_added: change.added,
            functions_changed: change.changed,
            functions_removed: change.removed,
            needs_restart,
            ..reload
        })
    }
}
