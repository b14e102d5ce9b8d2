//! What the command line says, each with its variable in the environment.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// gpumuxd: shares a node's GPUs among inference functions.
#[derive(Clone, Debug, Parser)]
#[command(version, about, args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
    #[command(flatten)]
    pub(crate) supervisor: SupervisorOptions,
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
        #[command(flatten)]
        options: WorkerOptions,
    },
}

/// How the daemon is run.
#[derive(Clone, Debug, Args)]
pub(crate) struct SupervisorOptions {
    /// The socket that peers connect to
    #[arg(long, env = "GPUMUX_SOCKET", default_value = "/run/gpumux/gpumuxd.sock")]
    pub(crate) socket: PathBuf,
    /// The socket that `gpumux status` asks
    #[arg(long, env = "GPUMUX_ADMIN_SOCKET", default_value = "/run/gpumux/admin.sock")]
    pub(crate) admin_socket: PathBuf,
    /// The model repository: a folder for each function, with function.toml in it
    #[arg(long, env = "GPUMUX_MODELS", default_value = "/etc/gpumux/models")]
    pub(crate) models: PathBuf,
    /// Most bytes of shared memory that all peers together may have mapped
    #[arg(long, env = "GPUMUX_MAPPED_BYTES_MAX", default_value_t = 4 << 30)]
    pub(crate) mapped_bytes_max: u64,
    /// Most bytes of shared memory that one peer may have mapped
    #[arg(long, env = "GPUMUX_SESSION_MAPPED_BYTES_MAX", default_value_t = 1 << 30)]
    pub(crate) session_mapped_bytes_max: u64,
    /// The device: a GPU, the emulated one, or a GPU where there is one and else the emulated one
    #[arg(long, env = "GPUMUX_DEVICE", value_enum, default_value_t = DeviceRequest::Cuda)]
    pub(crate) device: DeviceRequest,
    /// Where imported models are kept between starts
    #[arg(long, env = "GPUMUX_STATE", default_value = "/var/lib/gpumux")]
    pub(crate) state: PathBuf,
    /// The emulated driver; beside gpumuxd when absent
    #[arg(long, env = "GPUMUX_EMULATOR")]
    pub(crate) emulator: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) worker: WorkerOptions,
}

/// Which device is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceRequest {
    /// A GPU, or nothing.
    Cuda,
    /// The device that a CPU emulates.
    Emulated,
    /// A GPU where the machine has one, and else the emulated device.
    Auto,
}

/// Which device one worker opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceChoice {
    /// A GPU.
    Cuda,
    /// The emulated device.
    Emulated,
}

/// How a device is run.
#[derive(Clone, Debug, Args)]
pub(crate) struct WorkerOptions {
    /// The scheduling policy
    #[arg(long, env = "GPUMUX_POLICY", default_value = "fifo",
          value_parser = clap::builder::PossibleValuesParser::new(gpumux_core::policy::NAMES))]
    pub(crate) policy: String,
    /// The core that the dispatch thread is kept on; any when absent
    #[arg(long, env = "GPUMUX_DISPATCH_CORE")]
    pub(crate) dispatch_core: Option<usize>,
    /// How long the dispatch thread looks for work before it sleeps, at most
    #[arg(long, env = "GPUMUX_SPIN", default_value = "20us")]
    pub(crate) spin: humantime::Duration,
}

impl WorkerOptions {
    /// As arguments of a worker.
    pub(crate) fn arguments(&self, device: DeviceChoice) -> Vec<String> {
        let device = device.to_possible_value().expect("no choice is skipped");
        let mut arguments = vec![
            "worker".to_owned(),
            device.get_name().to_owned(),
            format!("--policy={}", self.policy),
            format!("--spin={}", self.spin),
        ];
        if let Some(core) = self.dispatch_core {
            arguments.push(format!("--dispatch-core={core}"));
        }
        arguments
    }
}
