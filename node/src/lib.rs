//! The agent of a node: keeps its schedule, runs its containers and reports every run.
//!
//! # Where to start
//!
//! - The pure cores: [`scheduler`] decides what becomes of each occurrence, [`run`] holds the state
//!   machine of a run, [`container`] describes its container, [`desired`] judges snapshots,
//!   [`policy`] is the last word of the host's owner, [`instructions`] what people say beside the repository.
//! - [`journal`] is what makes each instant run once: what is to be done is recorded before it is done.
//! - [`telemetry`]: what the node measures about itself, for triggers and records.
//! - [`api`] answers runs, and [`kernel`] is what they may set and what is put back.
//! - [`logs`] keeps what runs write, within a bound.
//! - [`agent`] puts everything together; [`dispatcher`] is its centre.
//!
//! # The tasks
//!
//! | task | started by | in | out | stops |
//! |---|---|---|---|---|
//! | dispatcher ([`dispatcher`]) | [`agent`] | what the reconciler and the host's owner say (mpsc) | held state (watch); workers | on the token, and with `on-stop = "drain"` after its workers; the others after it |
//! | worker, one per run ([`workers`], [`run`]) | dispatcher | that its run is to end (watch) | journal; wakes reporter and uploader (notify) | when its run's files are queued; dropped with the dispatcher |
//! | preparation, one per run that is due soon ([`preparation`]) | dispatcher | | | when its container is held; withdrawn with its run |
//! | watcher ([`connection`]) | [`agent`] | held state, whether heartbeats are answered (watch) | what the reconciler says (mpsc); online, contact, the logs that are watched, whether telemetry is (watch) | on the token |
//! | heartbeat ([`heartbeat`]) | [`agent`] | held state, online (watch) | clock offset, whether it is answered (watch) | on the token |
//! | reporter ([`report`]) | [`agent`] | outbox in the journal (notify); online (watch) | wakes the uploader | on the token |
//! | local service ([`local`]) | [`agent`] | its socket; contact, clock offset (watch) | answers; what the host's owner says (mpsc) | on the token |
//! | sender of logs ([`logs::stream`]), and one task per log that is watched | [`agent`] | the logs that are watched (watch) | | on the token; a log's when nobody watches it |
//! | providers ([`telemetry::providers`]), and one task per provider that is declared ([`telemetry::drive`]) | [`agent`] | what is declared, how many want samples, what is passed on (watch) | samples (broadcast, [`telemetry::hub`]) | on the token; a provider's when it is not declared any more |
//! | keeper of what is passed on ([`telemetry::feed`]) | [`agent`] | the weather and the orbits (watch) | the state folder | on the token |
//! | recording, one per run that goes on where something is measured ([`telemetry::recording`]) | worker | samples (broadcast) | `telemetry.csv` | when its run has ended; dropped with its worker |
//! | sender of telemetry ([`telemetry::stream`]) | [`agent`] | whether it is watched (watch), readings (broadcast) | | on the token |
//! | guard of the disks ([`disk`]) | [`agent`] | the runs that go on | that one has to stop (watch) | on the token |
//! | housekeeper ([`housekeeping`]) | [`agent`] | | | on the token |
//! | lease, one per client with a server ([`servers::lease`]) | its worker | how the server stands (stream) | the same (watch) | when the server is lost; dropped with the worker, which then tells that it is released |
//! | answer, one per server ([`servers::answer`]) | its worker, or the dispatcher for one that it refuses | news of the server (watch) | calls, again and again | when the end of the server is told, or its reservation is over |
//! | signs of life ([`service`]) | [`agent`] | | the service manager | on the token |
//! | uploader ([`upload`]) | [`agent`] | queue in the journal (notify); online, rate and exclusive runs (watch, [`traffic`]) | journal; wakes the reporter | on the token |
//! | socket of a run, one per run, and its connections ([`api`]) | worker | requests of the run; what is measured (broadcast) | answers; what it sets ([`kernel`]) | dropped with its run's container, or with the worker |
//! | sender, one per file on its way ([`upload`]) | uploader | rate and exclusive runs (watch) | | when the file is sent or is not; dropped with the uploader |
//!
//! Each may be cut off at any instant: what it has not journaled is done again at the next start,
//! and everything that is done can be done twice.

pub mod agent;
pub mod api;
pub mod artifacts;
pub mod backoff;
pub mod cli;
pub mod clock;
pub mod connection;
pub mod contact;
pub mod container;
pub mod credentials;
pub mod desired;
pub mod disk;
pub mod dispatcher;
pub mod doctor;
pub mod forecast;
pub mod gate;
pub mod heartbeat;
pub mod housekeeping;
pub mod images;
pub mod instructions;
pub mod journal;
pub mod kernel;
pub mod keygen;
pub mod link;
pub mod local;
pub mod logs;
pub mod moves;
pub mod pace;
pub mod point;
pub mod policy;
pub mod preparation;
pub mod registry;
pub mod report;
pub mod run;
pub mod runtime;
pub mod scheduler;
pub mod servers;
pub mod service;
pub mod settings;
pub mod spool;
pub mod state_dir;
pub mod status;
pub mod telemetry;
pub mod traffic;
pub mod upload;
pub mod workers;
