//! What the emulated machine claims to be: parsed from `GPUMUX_EMULATED`, for example
//! `sms=16,cores=1,memory=4GiB,driver=12.8,cc=8.6,devices=2`. It knows no driver call.

use crate::misbehave::{Misbehaviour, Nth, nth};
use crate::sm::Pace;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The environment variable that holds the claim.
pub(crate) const VARIABLE: &str = "GPUMUX_EMULATED";

/// The name that every emulated device carries.
pub(crate) const DEVICE_NAME: &std::ffi::CStr = c"gpumux emulated GPU";

const UNKNOWN_KEY: &str = "unknown key; known are sms, cores, pace, memory, driver, cc, devices, \
                           limit, strict, report, placements, slow, absent, one-group, masks, \
                           fail-allocation, fault, hang, lose, poison";

/// What the machine claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Virtual SMs of each device.
    pub(crate) sms: u32,
    /// Host threads that run each device's blocks.
    pub(crate) cores: u32,
    /// Whether each SM is held back to its share of the cores.
    pub(crate) pace: Pace,
    /// Bytes of each device's memory.
    pub(crate) memory_bytes: u64,
    /// CUDA version of the driver as (major, minor).
    pub(crate) driver: (u32, u32),
    /// Compute capability as (major, minor).
    pub(crate) capability: (u32, u32),
    /// Devices; zero is a machine without one.
    pub(crate) devices: u32,
    /// How long a launch may run before it is ended as a fault; no limit unless one is asked for.
    pub(crate) launch_limit: Option<Duration>,
    /// Whether calls that may synchronise a device do.
    pub(crate) strict: bool,
    /// Where such calls are noted.
    pub(crate) report: Option<PathBuf>,
    /// Where it is noted on which SMs launches ran.
    pub(crate) placements: Option<PathBuf>,
    /// Whether a descriptor of several groups of SMs is refused.
    pub(crate) one_group: bool,
    /// The version whose place the masks of streams have, if not the driver's own.
    pub(crate) masks: Option<(u32, u32)>,
    /// Functions that the driver does not have.
    pub(crate) absent: Vec<String>,
    /// An SM that is slower than the others, and how many times.
    pub(crate) slow_sm: Option<(u32, u32)>,
    /// What goes wrong on request.
    pub(crate) misbehaviour: Misbehaviour,
}

/// A claim that was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadClaim {
    part: String,
    why: &'static str,
}

impl fmt::Display for BadClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VARIABLE}: `{}`: {}", self.part, self.why)
    }
}

impl Default for Claim {
    fn default() -> Self {
        let host = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            sms: 32,
            cores: u32::try_from(host / 2).unwrap_or(1).max(1),
            pace: Pace::On,
            memory_bytes: 4 << 30,
            driver: (13, 3),
            capability: (9, 0),
            devices: 1,
            launch_limit: None,
            strict: false,
            report: None,
            placements: None,
            one_group: false,
            masks: None,
            absent: Vec::new(),
            slow_sm: None,
            misbehaviour: Misbehaviour::default(),
        }
    }
}

impl Claim {
    /// The driver's version as `cuDriverGetVersion` counts it: 13.3 is 13030.
    pub(crate) fn driver_number(&self) -> i32 {
        let number = self.driver.0 * 1000 + self.driver.1 * 10;
        i32::try_from(number).expect("the parser bounds both parts by 99")
    }

    /// The version of the driver that keeps the masks of streams where this one does.
    pub(crate) fn mask_driver(&self) -> (u32, u32) {
        self.masks.unwrap_or(self.driver)
    }

    /// The newest PTX version that the claimed driver compiles, after the release notes of the PTX
    /// manual. Releases newer than the list keep the pattern that 13.0 began.
    pub(crate) fn newest_ptx(&self) -> (u32, u32) {
        match self.driver {
            (11, minor) => (7, minor.min(8)),
            (12, minor @ 0..=5) => (8, minor),
            (12, 6) => (8, 5),
            (12, 7) => (8, 6),
            (12, 8) => (8, 7),
            (12, _) => (8, 8),
            (13, minor) => (9, minor),
            (..11, _) => (7, 0),
            (14.., _) => (9, 9),
        }
    }

    /// Reads the text form; what it does not name keeps its default.
    ///
    /// # Errors
    /// An unknown key, a value without its unit, a value out of range: never ignored.
    pub(crate) fn parse(text: &str) -> Result<Self, BadClaim> {
        let mut claim = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            claim.set(part).map_err(|why| BadClaim { part: part.to_owned(), why })?;
        }
        if let Some((sm, _)) = claim.slow_sm
            && (sm >= claim.sms || claim.pace == Pace::Off)
        {
            let why = "the slow SM must be one that there is, and paced";
            return Err(BadClaim { part: text.to_owned(), why });
        }
        Ok(claim)
    }

    fn set(&mut self, part: &str) -> Result<(), &'static str> {
        let (key, value) = part.split_once('=').ok_or("expected key=value")?;
        match key {
            "sms" => self.sms = within(value, 1, 1024)?,
            "cores" => self.cores = within(value, 1, 1024)?,
            "devices" => self.devices = within(value, 0, 16)?,
            "memory" => self.memory_bytes = size(value)?,
            "driver" => self.driver = version(value)?,
            "cc" => self.capability = version(value)?,
            "pace" => self.pace = if switch(value)? { Pace::On } else { Pace::Off },
            "limit" => self.launch_limit = Some(span(value)?),
            "strict" => self.strict = switch(value)?,
            "report" => self.report = Some(PathBuf::from(value)),
            "placements" => self.placements = Some(PathBuf::from(value)),
            "one-group" => self.one_group = switch(value)?,
            "masks" => self.masks = Some(version(value)?),
            "slow" => self.slow_sm = Some(slow(value)?),
            "absent" => self.absent = value.split('+').map(str::to_owned).collect(),
            "fail-allocation" => self.misbehaviour.failing_allocation = Some(nth(value)?),
            "fault" => self.misbehaviour.faulting_launch = Some(Nth::parse(value)?),
            "hang" => self.misbehaviour.hanging_launch = Some(Nth::parse(value)?),
            "lose" => self.misbehaviour.losing_launch = Some(nth(value)?),
            "poison" => self.misbehaviour.poison = switch(value)?,
            _ => return Err(UNKNOWN_KEY),
        }
        Ok(())
    }
}

fn within(value: &str, least: u32, most: u32) -> Result<u32, &'static str> {
    let number: u32 = value.parse().map_err(|_| "expected a whole number")?;
    if (least..=most).contains(&number) { Ok(number) } else { Err("number out of range") }
}

fn version(value: &str) -> Result<(u32, u32), &'static str> {
    let (major, minor) = value.split_once('.').ok_or("expected MAJOR.MINOR")?;
    Ok((within(major, 1, 99)?, within(minor, 0, 99)?))
}

/// A size with its unit. At most 1 TiB: the table that guards the memory grows with it.
fn size(value: &str) -> Result<u64, &'static str> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let (number, shift) = units
        .iter()
        .find_map(|(unit, shift)| value.strip_suffix(unit).map(|number| (number, *shift)))
        .ok_or("expected a size with its unit: KiB, MiB, GiB or TiB")?;
    let number: u64 = number.parse().map_err(|_| "expected a whole number before the unit")?;
    let bytes = number.checked_mul(1 << shift).ok_or("size out of range")?;
    // One MiB is the least that holds a module's variables and a test's buffers.
    if (1 << 20..=1 << 40).contains(&bytes) { Ok(bytes) } else { Err("size out of range") }
}

fn switch(value: &str) -> Result<bool, &'static str> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("expected on or off"),
    }
}

/// Which SM is slow, and how many times: `SM:TIMES`.
fn slow(value: &str) -> Result<(u32, u32), &'static str> {
    let (sm, times) = value.split_once(':').ok_or("expected SM:TIMES")?;
    Ok((within(sm, 0, 1023)?, within(times, 2, 1000)?))
}

/// A span of time with its unit, up to a day.
fn span(value: &str) -> Result<Duration, &'static str> {
    let (number, millis) = match value.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (value.strip_suffix('s').ok_or("expected a time with its unit: ms or s")?, 1000),
    };
    Ok(Duration::from_millis(u64::from(within(number, 1, 86_400)?) * millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read() {
        let claim =
            Claim::parse("sms=16,cores=2,pace=off,memory=512MiB,driver=12.8,cc=8.6,devices=2,limit=50ms,\
                          strict=on,report=/tmp/report,placements=/tmp/sms,one-group=on,masks=12.2,fail-allocation=3,fault=saxpy:2,hang=spin:1,lose=9,poison=on")
                .unwrap();
        let expected = Claim {
            sms: 16,
            cores: 2,
            pace: Pace::Off,
            memory_bytes: 512 << 20,
            driver: (12, 8),
            capability: (8, 6),
            devices: 2,
            launch_limit: Some(Duration::from_millis(50)),
            strict: true,
            report: Some("/tmp/report".into()),
            placements: Some("/tmp/sms".into()),
            one_group: true,
            masks: Some((12, 2)),
            absent: Vec::new(),
            slow_sm: None,
            misbehaviour: Misbehaviour {
                failing_allocation: Some(3),
                faulting_launch: Some(Nth::parse("saxpy:2").unwrap()),
                hanging_launch: Some(Nth::parse("spin:1").unwrap()),
                losing_launch: Some(9),
                poison: true,
            },
        };
        assert_eq!(claim, expected);
        assert_eq!(claim.driver_number(), 12080);
        assert_eq!(claim.newest_ptx(), (8, 7));
    }

    #[test]
    fn a_slow_sm_is_paced_and_one_that_there_is() {
        let claim = Claim::parse("slow=3:4,sms=4,absent=cuA+cuB").unwrap();
        assert_eq!((claim.slow_sm, claim.absent.len()), (Some((3, 4)), 2));
        for text in
            ["slow=4:4,sms=4", "slow=3:4,pace=off", "slow=3", "slow=3:1", "fault=k", "hang=:1"]
        {
            assert!(Claim::parse(text).is_err(), "{text} was taken");
        }
    }

    #[test]
    fn nothing_named_is_the_default() {
        assert_eq!(Claim::parse(""), Ok(Claim::default()));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "sm=4",
            "sms",
            "sms=0",
            "sms=x",
            "memory=4",
            "memory=9TiB",
            "driver=12",
            "cc=9",
            "limit=5",
            "pace=1",
        ] {
            assert!(Claim::parse(text).is_err(), "{text} was taken");
        }
    }
}
