//! The inner process: opens the driver and looks at each device that it finds.

use super::{ProbeOptions, device};
use crate::clock::Clock;
use crate::worker::{NoGpu, load_driver};
use gpumux_cuda::{Driver, OpenError};
use gpumux_wire::doctor::{DeviceReport, DriverReport, Form, ProbeReport, Unusable};
use std::time::Duration;

/// What the parts of a look share.
pub(super) struct Look<'a> {
    pub(super) driver: &'a Driver,
    pub(super) options: &'a ProbeOptions,
    pub(super) form: Form,
    pub(super) clock: Clock,
}

/// Looks at everything. What is wrong is in the report.
pub(super) fn look(options: &ProbeOptions, form: Form) -> ProbeReport {
    let clock = Clock;
    let began = clock.now();
    let mut report = ProbeReport {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        form,
        took_us: 0,
        driver: None,
        unusable: None,
        devices: Vec::new(),
    };
    match load_driver(options.device.first_choice()) {
        Err(error) => report.unusable = Some(unusable(&error)),
        Ok(driver) => {
            report.driver = Some(describe(&driver));
            match devices(&Look { driver: &driver, options, form, clock }) {
                Ok(devices) => report.devices = devices,
                Err(error) => report.unusable = Some(unusable(&NoGpu::Open(error))),
            }
        }
    }
    report.took_us = micros(clock.now().since(began));
    report
}

fn unusable(error: &NoGpu) -> Unusable {
    Unusable { what: error.to_string(), absent: error.is_absence() }
}

fn describe(driver: &Driver) -> DriverReport {
    let number = driver.version();
    DriverReport {
        version: format!("{}.{}", number / 1000, number % 1000 / 10),
        library: driver.library_path().display().to_string(),
        emulated: driver.is_emulated(),
    }
}

fn devices(look: &Look<'_>) -> Result<Vec<DeviceReport>, OpenError> {
    (0..look.driver.device_count()?).map(|ordinal| device::look_at(look, ordinal)).collect()
}

/// A span as the document has it.
pub(super) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
