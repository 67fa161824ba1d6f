//! What the reconciler was told, and whether an agent may say so.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use almanac_proto::{
    convert,
    v1::{self, AuthorizeKernelRequest, HeartbeatRequest, RunEvent},
};
use almanac_schemas::{JobName, NodeName, Phase, Reason, RunId};

/// Events of a higher number come after whatever was known of a run.
const AFTER_ALL: u64 = 1_000_000;

/// A run and its role, as the protocol writes them.
pub(crate) type RunKey = (String, i32);

/// Everything that was received.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// The heartbeats, in the order of their arrival: what is known of the node by each.
    pub(crate) heartbeats: Vec<Beat>,
    /// The events of each run, by their sequence.
    pub(crate) events: BTreeMap<RunKey, Vec<RunEvent>>,
    /// All events in the order of their arrival, each once.
    pub(crate) arrivals: Vec<RunEvent>,
    /// The files, by run and name, also unfinished ones.
    pub(crate) files: BTreeMap<(RunKey, String), File>,
    /// What was said of servers, each time.
    pub(crate) news: Vec<v1::UpdateTaskRequest>,
    /// The servers that were wanted.
    pub(crate) wanted: Vec<v1::RequestServerRequest>,
    /// How often each call was made.
    pub(crate) calls: BTreeMap<&'static str, usize>,
    /// How many events came again.
    pub(crate) repeated: usize,
    /// What was measured.
    pub(crate) readings: Vec<v1::Reading>,
    /// How many streams of telemetry were opened, and are open.
    pub(crate) telemetry_streams: usize,
    pub(crate) telemetry_open: usize,
    /// How often a node only said on one that it is there.
    pub(crate) signs_of_life: usize,
    /// What runs asked of their kernel, in the order of its arrival.
    pub(crate) kernel: Vec<AuthorizeKernelRequest>,
    /// What an agent must never do.
    pub(crate) violations: Vec<String>,
}

/// What is known of a node by a heartbeat and those before it on its stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beat {
    pub(crate) agent_version: String,
    pub(crate) boot_id: String,
    pub(crate) address: String,
    pub(crate) engine: String,
    pub(crate) epoch: String,
    pub(crate) generation: u64,
    pub(crate) clock: Option<v1::ClockOffset>,
    pub(crate) host: Option<v1::HostMetrics>,
    /// What this heartbeat itself said.
    pub(crate) said: HeartbeatRequest,
}

/// A file on its way.
#[derive(Debug, Clone, Default)]
pub(crate) struct File {
    /// What arrived.
    pub(crate) data: Vec<u8>,
    /// How long it will be.
    pub(crate) size: u64,
    /// Its announced hash.
    pub(crate) sha256: Vec<u8>,
    /// Whether it is verified and stored.
    pub(crate) stored: bool,
    /// How often it came again after it was stored.
    pub(crate) stored_again: usize,
    /// Where each upload of it began.
    pub(crate) begun_at: Vec<u64>,
}

impl Beat {
    /// Adds what the next heartbeat of the same stream says.
    pub(crate) fn hear(&mut self, said: HeartbeatRequest) {
        let heard = said.clone();
        for (field, said) in [
            (&mut self.agent_version, heard.agent_version),
            (&mut self.boot_id, heard.boot_id),
            (&mut self.address, heard.address),
            (&mut self.engine, heard.engine),
            (&mut self.epoch, heard.epoch),
        ] {
            *field = said.unwrap_or_else(|| field.clone());
        }
        self.generation = heard.generation.unwrap_or(self.generation);
        self.clock = heard.clock.or(self.clock);
        self.host = heard.host.or(self.host);
        self.said = said;
    }
}

impl Record {
    /// Records an event, and that it cannot be if so.
    pub(crate) fn event(&mut self, node: &NodeName, event: RunEvent) {
        let key = (event.run_id.clone(), event.role);
        let known = self.events.entry(key.clone()).or_default();
        if event.sequence > AFTER_ALL {
            // What is said after a lost journal counts where nothing final is known, as at the reconciler.
            if known.last().is_none_or(|last| !phase(last).is_terminal()) {
                known.push(event.clone());
                self.arrivals.push(event);
            }
            return;
        }
        let place = usize::try_from(event.sequence).unwrap();
        if let Some(earlier) = place.checked_sub(1).and_then(|index| known.get(index)) {
            if *earlier != event {
                self.violations.push(format!("contradiction:\n  {earlier:?}\n  {event:?}"));
            }
            self.repeated += 1;
            return;
        }
        let mut problem = None;
        if place != known.len() + 1 {
            problem = Some("a gap in the sequence");
        }
        if known.last().is_some_and(|last| phase(last) >= phase(&event)) {
            problem = Some("a phase that cannot follow");
        }
        if (event.reason() == v1::Reason::Unspecified) == phase(&event).is_terminal() {
            problem = Some("a reason exactly when the phase is terminal");
        }
        if event.commit.is_empty() {
            problem = Some("no commit");
        }
        let (job, at) = (event.job.parse::<JobName>().unwrap(), scheduled_at(&event));
        let client: NodeName = match event.client.as_str() {
            "" => node.clone(),
            client => client.parse().unwrap(),
        };
        if RunId::new(&job, &client, at).to_string() != event.run_id {
            problem = Some("not the id of that job, node and instant");
        }
        // The reason comes before the files only for a run that never had any.
        let had_container = known.iter().any(|event| phase(event) == Phase::Uploading);
        let refused = event.reason() == v1::Reason::Artifacts;
        if phase(&event).is_terminal() && had_container && !refused && self.stored(&key, "run.log").is_none()
        {
            problem = Some("finished before its log was delivered");
        }
        if let Some(problem) = problem {
            self.violations.push(format!("{problem}: {event:?}"));
        }
        self.events.entry(key).or_default().push(event.clone());
        self.arrivals.push(event);
    }

    /// The content of a stored file.
    pub(crate) fn stored(&self, run: &RunKey, name: &str) -> Option<&[u8]> {
        let file = self.files.get(&(run.clone(), name.to_owned()))?;
        file.stored.then_some(file.data.as_slice())
    }

    /// The runs of a job, in the order of their instants.
    pub(crate) fn runs(&self, job: &str) -> Vec<Run> {
        let mut runs: Vec<Run> = self
            .events
            .iter()
            .filter(|(_, events)| events[0].job == job)
            .map(|(key, events)| Run { key: key.clone(), events: events.clone() })
            .collect();
        runs.sort_by_key(Run::scheduled_at);
        runs
    }
}

/// A run, as the reconciler knows it.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// Which it is.
    pub(crate) key: RunKey,
    /// What happened, in order; at least one event.
    pub(crate) events: Vec<RunEvent>,
}

impl Run {
    /// The instant that it is scheduled at.
    pub(crate) fn scheduled_at(&self) -> DateTime<Utc> {
        scheduled_at(&self.events[0])
    }

    /// Its phases, in order.
    pub(crate) fn phases(&self) -> Vec<Phase> {
        self.events.iter().map(phase).collect()
    }

    /// Its last event.
    pub(crate) fn last(&self) -> &RunEvent {
        self.events.last().unwrap()
    }

    /// How it ended, if it did.
    pub(crate) fn end(&self) -> Option<(Phase, Reason)> {
        let phase = phase(self.last());
        phase.is_terminal().then(|| (phase, Reason::try_from(self.last().reason()).unwrap()))
    }

    /// The instant of an event.
    pub(crate) fn at(&self, phase: Phase) -> DateTime<Utc> {
        let event = self.events.iter().find(|event| self::phase(event) == phase).unwrap();
        convert::instant("at", event.at.as_ref()).unwrap()
    }
}

fn phase(event: &RunEvent) -> Phase {
    Phase::try_from(event.phase()).unwrap()
}

pub(super) fn scheduled_at(event: &RunEvent) -> DateTime<Utc> {
    convert::instant("scheduled_at", event.scheduled_at.as_ref()).unwrap()
}
