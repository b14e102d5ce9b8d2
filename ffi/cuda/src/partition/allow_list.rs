//! Where the drivers whose builds are listed keep the mask of a stream.
//!
//! NVIDIA documents none of it. The offsets are those that users of the method known as libsmctrl
//! found and published, each for the builds that it was tried with. Being listed is not enough: the
//! mask is used only after a self-test in another process.

use crate::driver_key::{Build, DriverKey};

/// A published offset.
struct Row {
    /// The CUDA version of the driver.
    cuda: u32,
    /// Its builds with which somebody saw the offset work; none where only the version is known.
    builds: &'static [&'static str],
    /// Bytes from the start of the structure.
    offset: usize,
}

/// Drivers of discrete devices on `x86_64`, from 12.0 on: earlier ones lay the mask out in another
/// way. Sources: the public copies of libsmctrl (to 12.8, and 13.3), one measurement on one machine
/// (13.0), and three independent ones (13.3). 12.9, 13.1 and 13.2 are in no copy.
const ROWS: &[Row] = &[
    Row { cuda: 12_000, builds: &["525.147.05"], offset: 0x4cc },
    Row { cuda: 12_010, builds: &[], offset: 0x4cc },
    Row { cuda: 12_020, builds: &["535.129.03"], offset: 0x4e4 },
    Row { cuda: 12_030, builds: &["545.23.08", "545.29.06"], offset: 0x49c },
    Row { cuda: 12_040, builds: &["550.54.14", "550.54.15"], offset: 0x4ac },
    Row { cuda: 12_050, builds: &["555.58.02"], offset: 0x4ec },
    Row { cuda: 12_060, builds: &["560.35.03"], offset: 0x4ec },
    Row { cuda: 12_070, builds: &["565.77"], offset: 0x4fc },
    Row { cuda: 12_080, builds: &["570.124.06"], offset: 0x4fc },
    Row { cuda: 13_000, builds: &["580.65.06"], offset: 0x51c },
    Row { cuda: 13_030, builds: &["610.43.02", "610.57.04"], offset: 0x5fc },
];

/// The build of the one integrated device whose offset is published with its build: compute
/// capability 12.1 on `aarch64`. Another integrated device has another offset with a driver of the
/// same CUDA version, so nothing else is concluded from it.
const INTEGRATED: (&str, (u32, u32), usize) = ("580.95.05", (12, 1), 0x53c);

/// Which drivers' masks may be tried, and where those are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    /// In place of the published offset, for the emulated driver alone.
    emulated: Option<usize>,
}

impl AllowList {
    /// What is published.
    pub const PUBLISHED: Self = Self { emulated: None };

    /// The same, but with this offset for the emulated driver, so that tests see what becomes of a
    /// wrong one. It concerns no driver of a device.
    pub const fn with_emulated_offset(offset: usize) -> Self {
        Self { emulated: Some(offset) }
    }

    /// The offset for this driver and device.
    pub(super) fn offset(&self, key: &DriverKey) -> Option<usize> {
        match &key.build {
            Build::Emulated => self
                .emulated
                .or_else(|| ROWS.iter().find(|row| row.cuda == key.cuda).map(|row| row.offset)),
            Build::Named(build) if key.architecture == "x86_64" && !key.is_integrated => ROWS
                .iter()
                .find(|row| row.cuda == key.cuda && row.builds.contains(&build.as_str()))
                .map(|row| row.offset),
            Build::Named(build) if key.architecture == "aarch64" && key.is_integrated => {
                let (listed, capability, offset) = INTEGRATED;
                (listed == build && capability == key.compute_capability).then_some(offset)
            }
            Build::Named(_) | Build::Unnamed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(build: &str, cuda: u32) -> DriverKey {
        DriverKey {
            build: Build::Named(build.to_owned()),
            cuda,
            architecture: "x86_64",
            is_integrated: false,
            compute_capability: (9, 0),
        }
    }

    #[test]
    fn only_an_exact_build_is_listed() {
        let check = |key: DriverKey, offset: Option<usize>| {
            assert_eq!(AllowList::PUBLISHED.offset(&key), offset, "{key}");
            // What is said of the emulated driver concerns no other.
            assert_eq!(AllowList::with_emulated_offset(4).offset(&key), offset, "{key}");
        };
        check(key("570.124.06", 12_080), Some(0x4fc));
        check(key("570.124.07", 12_080), None);
        // A build that says another version than its file is something else.
        check(key("570.124.06", 12_090), None);
        check(DriverKey { architecture: "aarch64", ..key("570.124.06", 12_080) }, None);
        check(DriverKey { is_integrated: true, ..key("570.124.06", 12_080) }, None);
        check(DriverKey { build: Build::Unnamed, ..key("", 12_080) }, None);
        let integrated = DriverKey {
            architecture: "aarch64",
            is_integrated: true,
            compute_capability: (12, 1),
            ..key("580.95.05", 13_000)
        };
        check(integrated.clone(), Some(0x53c));
        check(DriverKey { compute_capability: (11, 0), ..integrated }, None);
    }

    #[test]
    fn the_emulated_driver_is_known_by_its_version() {
        let emulated = |cuda| DriverKey { build: Build::Emulated, ..key("", cuda) };
        assert_eq!(AllowList::PUBLISHED.offset(&emulated(13_030)), Some(0x5fc));
        assert_eq!(AllowList::PUBLISHED.offset(&emulated(12_010)), Some(0x4cc));
        assert_eq!(AllowList::PUBLISHED.offset(&emulated(13_010)), None);
        assert_eq!(AllowList::with_emulated_offset(4).offset(&emulated(13_030)), Some(4));
    }
}
