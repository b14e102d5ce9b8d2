//! What the command line says, each with its variable in the environment and its key in `gpumuxd.toml`: an
//! option that is added here is a key too, and in the reference (`config/keys.rs`).

use crate::config::{Bytes, Served, size, span};
use crate::log::LogOptions;
use crate::probe::ProbeOptions;
use crate::supervisor::Loopback;
use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Shared memory: from less than any channel takes to more than any host has.
const MAPPED_BYTES: RangeInclusive<u64> = 1 << 12..=1 << 50;
/// A thread that spins for longer than a core's time slice only takes it from others.
const SPIN: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(1);
/// Less than this a busy host alone takes now and then.
const HANG_LIMIT: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(86_400);
const ORPHAN_GRACE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3600);
const FAULT_WINDOW: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);
/// As many cores as the kernel's own set of them has.
const CORES: RangeInclusive<u64> = 0..=1023;

/// Shares a node's GPUs among inference functions.
#[derive(Clone, Debug, Parser)]
#[command(name = "gpumuxd", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
    #[command(flatten)]
    pub(crate) supervisor: SupervisorOptions,
    #[command(flatten)]
    pub(crate) log: LogOptions,
    /// Read gpumuxd.toml and every function.toml, say what is wrong with them or that nothing is, and
    /// end. No device is needed
    #[arg(long)]
    pub(crate) check_config: bool,
}

/// What else this binary is.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Role {
    /// The process that owns one device. Started by gpumuxd, not by hand.
    #[command(hide = true)]
    Worker {
        /// What it opens
        #[arg(value_enum)]
        device: DeviceChoice,
        /// Which of the driver's devices
        #[arg(long, default_value_t = 0)]
        ordinal: u32,
        /// The file that whoever owns the device holds locked
        #[arg(long)]
        lock: PathBuf,
        #[command(flatten)]
        options: WorkerOptions,
    },
    /// Looks at the devices and writes what it saw as JSON. Started by gpumuxd and `gpumux doctor`.
    #[command(hide = true)]
    Probe(ProbeOptions),
    /// Writes gpumuxd(8) to a folder.
    #[command(hide = true)]
    Man {
        /// Where to
        folder: PathBuf,
    },
}

/// How the daemon is run.
#[derive(Clone, Debug, Args)]
pub(crate) struct SupervisorOptions {
    /// The file in which each option may stand that has a variable, and the tenants;
    /// /etc/gpumux/gpumuxd.toml if that is there
    #[arg(long, env = "GPUMUX_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The socket that peers connect to
    #[arg(
        long,
        help_heading = "Sockets",
        env = "GPUMUX_SOCKET",
        default_value = "/run/gpumux/gpumuxd.sock"
    )]
    pub(crate) socket: PathBuf,
    /// The socket that `gpumux status` asks
    #[arg(
        long,
        help_heading = "Sockets",
        env = "GPUMUX_ADMIN_SOCKET",
        default_value = "/run/gpumux/admin.sock"
    )]
    pub(crate) admin_socket: PathBuf,
    /// The socket that Prometheus scrapes, at /metrics; metrics.sock beside the admin socket when
    /// absent
    #[arg(long, help_heading = "Sockets", env = "GPUMUX_METRICS_SOCKET")]
    pub(crate) metrics_socket: Option<PathBuf>,
    /// A loopback address and port that Prometheus may scrape too, as 127.0.0.1:9400; none when absent
    #[arg(long, help_heading = "Sockets", env = "GPUMUX_METRICS_LISTEN")]
    pub(crate) metrics_listen: Option<Loopback>,
    /// The model repository: a folder for each function, with function.toml in it
    #[arg(
        long,
        help_heading = "Folders",
        env = "GPUMUX_MODELS",
        default_value = "/etc/gpumux/models"
    )]
    pub(crate) models: PathBuf,
    /// Most shared memory that all peers together may have mapped
    #[arg(long, help_heading = "Memory", env = "GPUMUX_MAPPED_BYTES_MAX", default_value = "4GiB",
          value_parser = size(MAPPED_BYTES))]
    pub(crate) mapped_bytes_max: Bytes,
    /// Most shared memory that one peer may have mapped
    #[arg(long, help_heading = "Memory", env = "GPUMUX_SESSION_MAPPED_BYTES_MAX",
          default_value = "1GiB", value_parser = size(MAPPED_BYTES))]
    pub(crate) session_mapped_bytes_max: Bytes,
    /// The device: `cuda`, `emulated`, or `auto`, which is a GPU where there is one and else the
    /// emulated device. `emulated:sms=16,memory=1GiB` and the like say what that device is
    #[arg(long, help_heading = "Devices", env = "GPUMUX_DEVICE", default_value = "cuda")]
    pub(crate) device: DeviceRequest,
    /// Which of the driver's devices are served, as 0,2; all when absent
    #[arg(
        long,
        help_heading = "Devices",
        env = "GPUMUX_DEVICES",
        value_name = "NUMBERS",
        value_delimiter = ','
    )]
    pub(crate) devices: Vec<u32>,
    /// Where imported models are kept between starts
    #[arg(long, help_heading = "Folders", env = "GPUMUX_STATE", default_value = "/var/lib/gpumux")]
    pub(crate) state: PathBuf,
    /// The emulated driver; gpumuxd's own when absent
    #[arg(long, help_heading = "Devices", env = "GPUMUX_EMULATOR")]
    pub(crate) emulator: Option<PathBuf>,
    /// Two convictions of a function within this span quarantine it
    #[arg(long, help_heading = "Faults", env = "GPUMUX_FAULT_WINDOW", default_value = "10m",
          value_parser = span(FAULT_WINDOW))]
    pub(crate) fault_window: humantime::Duration,
    #[command(flatten)]
    pub(crate) worker: WorkerOptions,
    /// What of this a new file may not change in a daemon that runs.
    #[arg(skip)]
    pub(crate) served: Served,
}

impl SupervisorOptions {
    /// Where metrics are served.
    pub(crate) fn metrics_socket(&self) -> PathBuf {
        let beside = || self.admin_socket.with_file_name("metrics.sock");
        self.metrics_socket.clone().unwrap_or_else(beside)
    }

    /// The file that the owner of a device holds locked. A GPU is the host's, and so is its lock; an
    /// emulated device is its daemon's alone, as the socket is.
    pub(crate) fn device_lock(&self, device: DeviceChoice, ordinal: u32) -> PathBuf {
        match device {
            DeviceChoice::Cuda => self.state.join(format!("device-cuda-{ordinal}.lock")),
            DeviceChoice::Emulated => {
                let mut path = self.socket.clone().into_os_string();
                path.push(format!(".device-emulated-{ordinal}.lock"));
                path.into()
            }
        }
    }
}

/// Which device is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeviceRequest {
    /// A GPU, or nothing.
    Cuda,
    /// The device that a CPU emulates, and what it claims to be where that is said. The emulated
    /// driver reads the claim, and refuses one that it does not understand.
    Emulated(Option<String>),
    /// A GPU where the machine has one, and else the emulated device.
    Auto,
}

impl DeviceRequest {
    /// What is opened, or tried first.
    pub(crate) fn first_choice(&self) -> DeviceChoice {
        match self {
            Self::Emulated(_) => DeviceChoice::Emulated,
            Self::Cuda | Self::Auto => DeviceChoice::Cuda,
        }
    }
}

impl FromStr for DeviceRequest {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "cuda" => Ok(Self::Cuda),
            None if text == "auto" => Ok(Self::Auto),
            None if text == "emulated" => Ok(Self::Emulated(None)),
            Some(("emulated", claim)) => Ok(Self::Emulated(Some(claim.to_owned()))),
            _ => Err("expected cuda, auto, emulated, or emulated:CLAIM such as emulated:sms=16"),
        }
    }
}

/// Which device one worker opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceChoice {
    /// A GPU.
    Cuda,
    /// The emulated device.
    Emulated,
}

impl DeviceChoice {
    /// As an argument.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value().expect("no choice is skipped");
        value.get_name().to_owned()
    }
}

/// How a device is divided among lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PartitionChoice {
    /// By the best way that was seen to work when the daemon started.
    Best,
    /// By green contexts, or not at all: the daemon does not start without them.
    GreenContexts,
    /// By stream masks, where the driver is known and a self-test passes; or the daemon does not start.
    StreamMasks,
    /// Not: every lane has the whole device.
    None,
}

impl PartitionChoice {
    /// As an argument.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value().expect("no choice is skipped");
        value.get_name().to_owned()
    }
}

/// How a device is run.
#[derive(Clone, Debug, Args)]
pub(crate) struct WorkerOptions {
    /// Lanes of each device. Of several, each has an equal part of the SMs where the device can be
    /// divided
    #[arg(long, help_heading = "Devices", env = "GPUMUX_LANES", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) lanes: u16,
    /// How a device is divided among its lanes
    #[arg(
        long,
        help_heading = "Devices",
        env = "GPUMUX_PARTITIONS",
        value_enum,
        default_value = "best"
    )]
    pub(crate) partitions: PartitionChoice,
    /// The scheduling policy
    #[arg(long, help_heading = "Dispatch", env = "GPUMUX_POLICY", default_value = "fifo",
          value_parser = clap::builder::PossibleValuesParser::new(gpumux_core::policy::NAMES))]
    pub(crate) policy: String,
    /// The core that the dispatch thread is kept on; any when absent
    #[arg(long, help_heading = "Dispatch", env = "GPUMUX_DISPATCH_CORE", value_name = "CORE",
          value_parser = RangedU64ValueParser::<usize>::new().range(CORES))]
    pub(crate) dispatch_core: Option<usize>,
    /// How long the dispatch thread looks for work before it sleeps, at most
    #[arg(long, help_heading = "Dispatch", env = "GPUMUX_SPIN", default_value = "20us",
          value_parser = span(SPIN))]
    pub(crate) spin: humantime::Duration,
    /// How long a busy device may make no progress before its worker is replaced
    #[arg(long, help_heading = "Faults", env = "GPUMUX_HANG_LIMIT", default_value = "30s",
          value_parser = span(HANG_LIMIT))]
    pub(crate) hang_limit: humantime::Duration,
    /// How long a worker whose supervisor is gone may take to finish what is on the device
    #[arg(long, help_heading = "Faults", env = "GPUMUX_ORPHAN_GRACE", default_value = "5s",
          value_parser = span(ORPHAN_GRACE))]
    pub(crate) orphan_grace: humantime::Duration,
}

impl WorkerOptions {
    /// As arguments of a worker, for a device of which the probe has `seen` that it can be divided so.
    pub(crate) fn arguments(
        &self,
        device: DeviceChoice,
        ordinal: u32,
        seen: PartitionChoice,
    ) -> Vec<String> {
        let partitions = match self.partitions {
            PartitionChoice::Best => seen,
            named => named,
        };
        let mut arguments = vec![
            "worker".to_owned(),
            device.name(),
            format!("--ordinal={ordinal}"),
            format!("--lanes={}", self.lanes),
            format!("--partitions={}", partitions.name()),
            format!("--policy={}", self.policy),
            format!("--spin={}", self.spin),
            format!("--hang-limit={}", self.hang_limit),
            format!("--orphan-grace={}", self.orphan_grace),
        ];
        if let Some(core) = self.dispatch_core {
            arguments.push(format!("--dispatch-core={core}"));
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_asked_for_by_name() {
        let claim = Some("sms=4,driver=12.8".to_owned());
        for (text, request) in [
            ("cuda", DeviceRequest::Cuda),
            ("auto", DeviceRequest::Auto),
            ("emulated", DeviceRequest::Emulated(None)),
            ("emulated:sms=4,driver=12.8", DeviceRequest::Emulated(claim)),
        ] {
            assert_eq!(text.parse(), Ok(request));
        }
        for text in ["", "gpu", "cuda:0", "Emulated"] {
            assert!(text.parse::<DeviceRequest>().is_err(), "{text:?} was taken");
        }
    }
}
