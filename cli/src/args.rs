//! What may be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, builder::PossibleValuesParser, builder::TypedValueParser};

use almanac_proto::log::Stream;
use almanac_schemas::{Duration, JobName, NodeName, Phase, PrincipalName, RunRole, UserName, When};

use crate::{export::Kind, output::Format, settings::Given};

/// Look at an Almanac testbed: its nodes, jobs, schedule, runs and syncs.
///
/// Settings come from options, then from the environment, then from ~/.config/almanac/config.toml, whose
/// fields are named like the options: server, user, key, audience, ca-file, plaintext, output.
#[derive(Debug, Parser)]
#[command(name = "almanac", version, max_term_width = 100, subcommand_required = true)]
pub struct Cli {
    /// Who you are: the name of your User manifest
    // Not global: after a list's command, `--user` is a filter.
    #[arg(long, env = "ALMANAC_USER", value_name = "NAME", help_heading = GLOBAL, hide_env_values = true)]
    user: Option<PrincipalName>,
    #[command(flatten)]
    global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The heading of the options that every command has.
pub const GLOBAL: &str = "Global options";

#[derive(Debug, Args)]
#[command(next_help_heading = GLOBAL)]
struct Global {
    /// The reconciler's address [default: http://127.0.0.1:7600]
    #[arg(long, global = true, env = "ALMANAC_SERVER", value_name = "URL", hide_env_values = true)]
    server: Option<String>,
    /// Your OpenSSH private key, of type ed25519 [default: ~/.ssh/id_ed25519]
    #[arg(long, global = true, env = "ALMANAC_KEY", value_name = "FILE", hide_env_values = true)]
    key: Option<PathBuf>,
    /// The reconciler's name, which tokens are made for [default: almanac]
    #[arg(long, global = true, env = "ALMANAC_AUDIENCE", value_name = "NAME", hide_env_values = true)]
    audience: Option<String>,
    /// Trust the certificates in this PEM file instead of the system's
    #[arg(long, global = true, env = "ALMANAC_CA_FILE", value_name = "FILE", hide_env_values = true)]
    ca_file: Option<PathBuf>,
    /// Allow http:// to another machine: whoever listens in can use your token for five minutes
    #[arg(long, global = true)]
    plaintext: bool,
    /// How data is written [default: table]
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
    /// The settings file
    #[arg(long, global = true, env = "ALMANAC_CONFIG", value_name = "FILE", hide_env_values = true)]
    config: Option<PathBuf>,
}

impl Cli {
    /// Takes the settings apart from the command.
    pub fn split(self) -> (Given, Command) {
        let Global { server, key, audience, ca_file, plaintext, output, config } = self.global;
        (Given { server, user: self.user, key, audience, ca_file, plaintext, output, config }, self.command)
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Hosts that run an agent
    #[command(subcommand)]
    Nodes(Nodes),
    /// Declared experiments
    #[command(subcommand)]
    Jobs(Jobs),
    /// People who may use the testbed
    #[command(subcommand)]
    Users(Users),
    /// What ran, and what it left
    #[command(subcommand)]
    Runs(Runs),
    /// What is to run when
    Schedule(Schedule),
    /// How the testbed follows its repository
    #[command(subcommand)]
    Sync(Sync),
    /// Who the reconciler takes you for
    Whoami,
    /// Write a script that completes commands in a shell
    ///
    /// For example: almanac completions bash > ~/.local/share/bash-completion/completions/almanac
    Completions {
        /// The shell
        #[arg(value_enum, value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
}

/// Hosts that run an agent.
#[derive(Debug, Subcommand)]
pub enum Nodes {
    /// List nodes
    List {
        /// How many.
        #[command(flatten)]
        limit: Limit,
    },
    /// Show a node, and how it is
    Show {
        /// Its name
        name: NodeName,
    },
    /// Keep new runs off a node; what runs goes on
    ///
    /// Runs that come due meanwhile are recorded as skipped. The node's owner and admins may. An agent that is offline
    /// hears of it when it is back. `cordoned: true` in the node's manifest does the same by a commit.
    Cordon {
        /// Its name
        name: NodeName,
        /// Why.
        #[command(flatten)]
        wish: NodeWish,
    },
    /// Keep new runs off a node, and stop what runs at a deadline
    Drain {
        /// Its name
        name: NodeName,
        /// What runs has so much time to end, and is stopped then
        #[arg(long, value_name = "DURATION", default_value = "0s")]
        deadline: Duration,
        /// Why.
        #[command(flatten)]
        wish: NodeWish,
    },
    /// Let new runs start on a node again, if its manifest lets them
    Uncordon {
        /// Its name
        name: NodeName,
    },
    /// Show what a node measures: its satellite link, the weather, its network
    ///
    /// Who may schedule on the node may, its owner, and admins. What costs something to measure is measured while somebody
    /// watches.
    Telemetry {
        /// Its name
        name: NodeName,
        /// Go on until it is interrupted: a table that is drawn anew on a terminal, a line for each reading elsewhere
        #[arg(short, long)]
        follow: bool,
    },
    /// Take a node's link from exclusive runs, or give it back
    ///
    /// Exclusive runs that go on are stopped, and none starts; runs that share the node go on. One-shot runs move to the
    /// nearest time that is free on all of their nodes, others are recorded as aborted or skipped. The node's owner and
    /// admins may. An agent that is offline hears of it when it is back.
    Scavenge {
        /// Its name
        name: NodeName,
        /// Whether its owner wants its link
        switch: Switch,
        /// Why: `nodes show` shows it to whoever wonders, and it is recorded with each run that is stopped or does not start
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        reason: String,
        /// It ends by itself after this time, such as `90s`, `2h` or `1d12h`; absent: it does not
        #[arg(long = "for", value_name = "DURATION", value_parser = length)]
        length: Option<Duration>,
    },
    /// List the commits that changed a node, the latest first
    History {
        /// Its name; also of one that was removed
        name: NodeName,
        /// How many.
        #[command(flatten)]
        limit: Limit,
    },
}

/// Declared experiments.
#[derive(Debug, Subcommand)]
pub enum Jobs {
    /// List jobs
    List {
        /// Only those that run on this node
        #[arg(long)]
        node: Option<NodeName>,
        /// Whose.
        #[command(flatten)]
        owner: Owner,
        /// Also those that were removed from the repository
        #[arg(long)]
        deleted: bool,
        /// How many.
        #[command(flatten)]
        limit: Limit,
    },
    /// Show a job, and how it is
    Show {
        /// Its name
        name: JobName,
    },
    /// List the commits that changed a job, the latest first
    History {
        /// Its name; also of one that was removed
        name: JobName,
        /// How many.
        #[command(flatten)]
        limit: Limit,
    },
}

/// People who may use the testbed.
#[derive(Debug, Subcommand)]
pub enum Users {
    /// List the commits that changed a user, the latest first
    History {
        /// Their name; also of one who was removed
        name: UserName,
        /// How many.
        #[command(flatten)]
        limit: Limit,
    },
}

/// What ran, and what it left.
#[derive(Debug, Subcommand)]
pub enum Runs {
    /// List runs, the latest first
    List {
        /// Which.
        #[command(flatten)]
        filter: RunFilter,
        /// How many.
        #[command(flatten)]
        limit: Limit,
    },
    /// Show a run, its steps and its files
    Show {
        /// Its id, or the beginning of it (4 characters or more)
        id: String,
    },
    /// End a run, and wait until it has ended
    ///
    /// Its container is told to stop (SIGTERM), and is killed after 10 s; what it left is kept. The job's owner and
    /// admins may. An agent that is offline hears of it when it is back: then this does not wait.
    Cancel {
        /// Its id, or the beginning of it (4 characters or more)
        id: String,
        /// Why: it is recorded with the run
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        reason: String,
        /// Do not wait until it has ended
        #[arg(long)]
        no_wait: bool,
    },
    /// Print what a run wrote to its standard output and error
    ///
    /// What it wrote to its standard output goes to standard output, byte by byte, and what it wrote to its standard
    /// error to standard error. While the run goes on it is what its node has so far. What is left out of a long log is
    /// said on standard error. With `-o json`, each line is an object of time, stream and text.
    Logs(Logs),
    /// Keep the files of a run for good, whatever their retention says
    ///
    /// Files are removed when their retention is over, which their job or the testbed's settings declare; records of
    /// runs stay in any case. The job's owner and admins may.
    Keep {
        /// Its id, or the beginning of it (4 characters or more)
        id: String,
        /// Why: `runs show` shows it
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// Take back that the files of a run are kept
    ///
    /// Those whose retention is over are removed within minutes.
    Unkeep {
        /// Its id, or the beginning of it (4 characters or more)
        id: String,
    },
    /// Write records of runs as a table for other tools: CSV, JSON or Parquet
    ///
    /// One row per run and role, the latest first, with the columns of a download's runs.csv. All runs that the
    /// filters let through are written, however many there are.
    Export(Export),
    /// Download what runs left: their logs and artifacts
    ///
    /// Each run's files go to a folder that is named after its id; runs.csv and runs.json list all runs there, also
    /// those of earlier downloads. A file that is already there and whole is not fetched again, and a partial one is
    /// continued. Each is checked against its SHA-256.
    #[command(
        override_usage = "almanac runs download [OPTIONS] <ID>...\n       almanac runs download [OPTIONS] <--node|--job|--user|--phase|--since|--until>..."
    )]
    Download(Download),
}

/// Which log to print, and how much of it.
#[derive(Debug, Args)]
pub struct Logs {
    /// The run's id, or the beginning of it (4 characters or more)
    pub id: String,
    /// Go on as the run does, until it ends; wait for one that has not begun, and for a node that is offline
    #[arg(short, long)]
    pub follow: bool,
    /// Only lines from this time on: RFC 3339, a date, `today`; `10m` or `-10m` for ten minutes ago
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = since)]
    pub since: Option<When>,
    /// Only the last so many lines, and with `-f` what comes after them
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(..=100_000))]
    pub tail: Option<u32>,
    /// Begin each line with when it was written
    #[arg(short, long)]
    pub timestamps: bool,
    /// Only what was written to this one
    #[arg(long, value_name = "STREAM", value_parser = stream())]
    pub stream: Option<Stream>,
    /// Which part of the job
    #[arg(long, value_parser = role(), default_value = "client")]
    pub role: RunRole,
}

/// Which runs to download, and where to.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true)
    .args(["ids", "node", "job", "owner", "phases", "since", "until"]))]
pub struct Download {
    /// Ids of runs, or their beginnings (4 characters or more)
    #[arg(value_name = "ID", conflicts_with_all = ["node", "job", "owner", "phases", "since", "until", "limit"])]
    pub ids: Vec<String>,
    /// Which.
    #[command(flatten)]
    pub filter: RunFilter,
    /// How many.
    #[command(flatten)]
    pub limit: Limit,
    /// Only files of this name, or of a pattern such as `*.json`; several times for several
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    pub only: Vec<globset::GlobMatcher>,
    /// The folder that the runs' folders are put into
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub to: PathBuf,
    /// Also unpack `artifacts.tar.zst`, into a folder `artifacts` beside it
    #[arg(long)]
    pub extract: bool,
    /// So many transfers at a time
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub parallel: u8,
}

/// Which runs to export, and as what.
#[derive(Debug, Args)]
pub struct Export {
    /// Which.
    #[command(flatten)]
    pub filter: RunFilter,
    /// What kind of table; `csv` if nothing is said, `json` with `-o json`
    #[arg(long, value_enum, value_name = "KIND")]
    pub format: Option<Kind>,
    /// The file to write; `-` for standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub to: PathBuf,
    /// How many.
    #[command(flatten)]
    pub limit: NoLimit,
}

/// Which runs are meant. Filters that are not given match everything.
#[derive(Debug, Args)]
pub struct RunFilter {
    /// Only those on this node
    #[arg(long)]
    pub node: Option<NodeName>,
    /// Only those of this job
    #[arg(long)]
    pub job: Option<JobName>,
    /// Whose.
    #[command(flatten)]
    pub owner: Owner,
    /// Only those in these phases
    #[arg(long = "phase", value_name = "PHASE", value_delimiter = ',', value_parser = phase(), ignore_case = true)]
    pub phases: Vec<Phase>,
    /// Only those scheduled at or after this time: RFC 3339, a date, `today`, `-2h`
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<When>,
    /// Only those scheduled before this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<When>,
}

/// Whose jobs are meant.
#[derive(Debug, Args)]
pub struct Owner {
    /// Only those of this user's jobs
    // Its own id: the option `--user` before the command says who asks.
    #[arg(id = "owner", long = "user", value_name = "NAME")]
    pub name: Option<UserName>,
}

/// How much of a list is wanted.
#[derive(Debug, Clone, Copy, Args)]
pub struct Limit {
    /// At most so many; 0 for all
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub limit: usize,
}

/// How much of a list is wanted, where usually all of it is.
#[derive(Debug, Clone, Copy, Args)]
pub struct NoLimit {
    /// At most so many; 0 for all
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub limit: usize,
}

impl From<NoLimit> for Limit {
    fn from(NoLimit { limit }: NoLimit) -> Self {
        Self { limit }
    }
}

/// What is to run when.
#[derive(Debug, Args)]
pub struct Schedule {
    /// Only on this node
    #[arg(long)]
    pub node: Option<NodeName>,
    /// Only this job
    #[arg(long)]
    pub job: Option<JobName>,
    /// Whose.
    #[command(flatten)]
    pub owner: Owner,
    /// From this time on: RFC 3339, a date, `now`, `today`, `tomorrow`, `-2h`, `+1d`
    #[arg(long, value_name = "TIME", default_value = "now", allow_hyphen_values = true)]
    pub from: When,
    /// Up to this time, at most 92 days later
    #[arg(long, value_name = "TIME", default_value = "+1d", allow_hyphen_values = true)]
    pub to: When,
    /// How many.
    #[command(flatten)]
    pub limit: Limit,
}

/// How the testbed follows its repository.
#[derive(Debug, Subcommand)]
pub enum Sync {
    /// Show which commit is in force, what came of the latest, and which nodes lag
    Status,
    /// List syncs, the latest first
    List {
        /// How many.
        #[command(flatten)]
        limit: Limit,
    },
    /// Show a sync, what it found and what it changed or would change
    Show {
        /// Its number, or a commit's hash or the beginning of it; the latest if absent
        #[arg(value_name = "SYNC", default_value = "", hide_default_value = true)]
        id: String,
    },
    /// Look at the repository now, and wait for what comes of it
    Now,
    /// Let a commit pass that waits because of how much it removes
    Approve {
        /// Its hash, or 7 digits of it at least; the one that waits now if absent
        #[arg(value_name = "COMMIT", default_value = "", hide_default_value = true)]
        commit: String,
    },
    /// Put nothing in force until it is resumed, or for a while
    Suspend {
        /// Why.
        #[command(flatten)]
        wish: Wish,
    },
    /// End a suspension, and look at the repository now
    Resume,
    /// Put a commit in force and stay on it, whatever the branch does
    Pin {
        /// Its hash, or 7 digits of it at least
        #[arg(value_name = "COMMIT")]
        commit: String,
        /// Why.
        #[command(flatten)]
        wish: Wish,
    },
    /// Follow the branch again, and look at it now
    Unpin,
    /// List what people did to the syncs, the latest first
    Actions {
        /// How many.
        #[command(flatten)]
        limit: Limit,
    },
}

/// Why new runs are to be kept off a node, and for how long.
#[derive(Debug, Args)]
pub struct NodeWish {
    /// Why: `nodes show` shows it to whoever wonders, and it is recorded with each run that does not start
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// It ends by itself after this time, such as `90s`, `2h` or `1d12h`; absent: it does not
    #[arg(long = "for", value_name = "DURATION", value_parser = length)]
    pub length: Option<Duration>,
}

/// Whether something is to be so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Switch {
    /// It is
    On,
    /// It is not
    Off,
}

/// Why the syncs are to be held, and for how long.
#[derive(Debug, Args)]
pub struct Wish {
    /// Why: `sync status` shows it to whoever wonders
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// It ends by itself after this time, such as `90s`, `2h` or `1d12h`; absent: it does not
    #[arg(long = "for", value_name = "DURATION", value_parser = length)]
    pub length: Option<Duration>,
}

/// A phase, in either case.
fn phase() -> impl TypedValueParser<Value = Phase> {
    PossibleValuesParser::new(Phase::ALL.iter().map(|phase| phase.as_str()))
        .try_map(|word| word.to_uppercase().parse::<Phase>())
}

fn length(text: &str) -> Result<Duration, String> {
    match text.parse::<Duration>() {
        Ok(length) if length.is_zero() => Err("it would be over at once".to_owned()),
        length => length.map_err(|error| error.to_string()),
    }
}

/// A time; a duration without a sign is ago, as nothing was written ahead.
fn since(text: &str) -> Result<When, String> {
    match text.parse::<Duration>() {
        Ok(ago) => Ok(When::Before(ago)),
        Err(_) => text.parse::<When>().map_err(|error| error.to_string()),
    }
}

fn stream() -> impl TypedValueParser<Value = Stream> {
    PossibleValuesParser::new([Stream::Stdout, Stream::Stderr].map(Stream::as_str))
        .map(|word| if word == Stream::Stderr.as_str() { Stream::Stderr } else { Stream::Stdout })
}

fn glob(text: &str) -> Result<globset::GlobMatcher, String> {
    let glob = globset::GlobBuilder::new(text).literal_separator(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| error.kind().to_string())
}

fn role() -> impl TypedValueParser<Value = RunRole> {
    PossibleValuesParser::new(RunRole::ALL.iter().map(|role| role.as_str()))
        .try_map(|word| word.parse::<RunRole>())
}
