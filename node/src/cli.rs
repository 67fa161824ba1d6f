//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Deserialize;

use almanac_schemas::{Duration, NodeName, Size};

use crate::logs::pump::{self, PumpArgs};

/// Almanac's agent: keeps a node's schedule, runs its containers and reports every run.
#[derive(Debug, Parser)]
#[command(name = "almanac-node", version)]
pub struct Cli {
    /// What to log: error, warn, info, debug, trace, or filters such as `almanac_node=debug`
    #[arg(long, global = true, default_value = "info", value_name = "FILTER")]
    pub log: String,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key for a node and print the line for its manifest
    Keygen(KeygenArgs),
    /// Run the agent of a node
    Run(Box<RunArgs>),
    /// Say how the agent on this host is
    Status(StatusArgs),
    /// Keep new runs off this host; what runs goes on
    ///
    /// Whatever the reconciler says, and also while it cannot be reached. Runs that come due meanwhile are recorded as
    /// skipped. It holds until `uncordon`, also after the agent was started again.
    Cordon(CordonArgs),
    /// Keep new runs off this host, and stop what runs at a deadline
    Drain(DrainArgs),
    /// Let new runs start here again, if the reconciler and the node's manifest let them
    Uncordon(Which),
    /// Take this host's link from exclusive runs, or give it back
    ///
    /// Whatever the reconciler says, and also while it cannot be reached. What is exclusive and runs is stopped at once; one-shot
    /// runs are moved to another time, others are recorded as aborted or skipped. Runs that share the node go on. It holds
    /// until `scavenge off`, or as long as it is said to, also after the agent was started again.
    #[command(subcommand)]
    Scavenge(Scavenge),
    /// Keep what a process writes; the process runtime starts it
    #[command(name = pump::SUBCOMMAND, hide = true)]
    PumpLog(PumpArgs),
    /// Look at what an agent needs on this host, and say what to do about what is not as it should be
    ///
    /// Takes the options of `run`. No agent has to run. Ends with 0 when an agent runs here, with 1 when there is a
    /// problem.
    Doctor(Box<DoctorArgs>),
}

/// Which agent is meant.
#[derive(Debug, Args)]
pub struct Which {
    /// The agent's configuration file, for its state folder [default: /etc/almanac/node.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The agent's state folder
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// Which agent is asked.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Which.
    #[command(flatten)]
    pub which: Which,
    /// The form of the answer
    #[arg(long, value_name = "FORM", default_value = "human")]
    pub output: OutputForm,
}

/// Why new runs are kept off, and for how long.
#[derive(Debug, Args)]
pub struct CordonArgs {
    /// Which agent.
    #[command(flatten)]
    pub which: Which,
    /// Why: it is recorded with each run that does not start
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
    /// It ends by itself after this time, such as `90s`, `2h` or `1d12h`; absent: it does not
    #[arg(long = "for", value_name = "DURATION")]
    pub length: Option<Duration>,
}

/// As for a cordon, and when what runs is stopped.
#[derive(Debug, Args)]
pub struct DrainArgs {
    /// As for a cordon.
    #[command(flatten)]
    pub cordon: CordonArgs,
    /// What runs has so much time to end, and is stopped then
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    pub deadline: Duration,
}

/// Whether the host's owner wants its link.
#[derive(Debug, Subcommand)]
pub enum Scavenge {
    /// Stop exclusive runs, and let none start
    On(ScavengeArgs),
    /// Let exclusive runs start here again, if the reconciler lets them
    Off(Which),
}

/// Why the host's owner wants its link, and for how long.
#[derive(Debug, Args)]
pub struct ScavengeArgs {
    /// Which agent.
    #[command(flatten)]
    pub which: Which,
    /// Why: it is recorded with each run that is stopped or does not start
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
    /// It ends by itself after this time, such as `90s`, `2h` or `1d12h`; absent: it does not
    #[arg(long = "for", value_name = "DURATION")]
    pub length: Option<Duration>,
}

/// What would be run, and how findings are written.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// What an agent would be told.
    #[command(flatten)]
    pub run: RunArgs,
    /// The form of the answer
    #[arg(long, value_name = "FORM", default_value = "human")]
    pub output: OutputForm,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputForm {
    /// Text for people
    Human,
    /// JSON for programs
    Json,
}

/// What a key is made from.
#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// The file for the private key; the public one gets `.pub` added. Neither is ever overwritten
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// The node's name, as the key's comment
    #[arg(long, value_name = "NODE")]
    pub name: Option<NodeName>,
}

/// What the agent is told.
#[derive(Debug, Default, Args)]
pub struct RunArgs {
    /// A TOML file with any of the other options, without `--`; an option goes before it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The node that this is, as its manifest names it
    #[arg(long, value_name = "NODE")]
    pub name: Option<NodeName>,
    /// The reconciler, such as https://testbed.example.org:7600
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// The node's private key, an OpenSSH file
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// The folder for the journal and for what runs leave; made if need be
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// What runs containers. `process` isolates nothing: jobs run as this user [default: docker]
    #[arg(long, value_name = "RUNTIME")]
    pub runtime: Option<RuntimeName>,
    /// Trust the certificates in this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The reconciler's name, if it has one of its own
    #[arg(long, value_name = "NAME")]
    pub audience: Option<String>,
    /// The address that other nodes reach this one at
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<String>,
    /// The engine's socket, such as unix:///run/podman/podman.sock
    #[arg(long, value_name = "URL", env = "DOCKER_HOST")]
    pub docker_host: Option<String>,
    /// How much of a run's log is kept, such as 16MiB: the beginning and the end [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    pub log_limit: Option<Size>,
    /// How much of what runs left may wait for the reconciler, such as 2GiB: artifacts of the oldest runs go first
    /// [default: 5GiB, or 80 % of the disk if that is less]
    #[arg(long, value_name = "SIZE")]
    pub spool_limit: Option<Size>,
    /// What becomes of what runs when the agent stops [default: detach]
    #[arg(long, value_name = "WHAT")]
    pub on_stop: Option<OnStopName>,
    /// With `--on-stop drain`: how long what runs has to end before it is stopped [default: 60s]
    #[arg(long, value_name = "DURATION")]
    pub stop_deadline: Option<Duration>,
    /// Speak to a reconciler on another machine without TLS
    #[arg(long)]
    pub plaintext: bool,
    /// The service manager's socket, as it says itself.
    #[arg(long, hide = true, env = "NOTIFY_SOCKET")]
    pub notify_socket: Option<PathBuf>,
    /// How many microseconds the service manager waits for a sign of life, as it says itself.
    #[arg(long, hide = true, env = "WATCHDOG_USEC")]
    pub watchdog_usec: Option<u64>,
}

/// What becomes of what runs when the agent stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnStopName {
    /// It goes on, and the next start takes it up
    Detach,
    /// It has some time to end, and is stopped then
    Drain,
}

/// What runs containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuntimeName {
    /// A Docker-compatible engine
    Docker,
    /// Plain processes of the host, for trying things out
    Process,
}
