//! What the reconciler wants of this node: a snapshot, read and judged.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use thiserror::Error;

use almanac_proto::{
    convert::{self, FieldError},
    v1,
};
use almanac_schemas::{JobName, JobSpec, NodeName, NodeSpec, RunRole, Schedule};

/// The desired state of this node.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// Which state it is.
    pub version: Version,
    /// The commit that it comes from.
    pub commit: String,
    /// Nothing is scheduled at or after this instant without a newer snapshot.
    pub valid_until: DateTime<Utc>,
    /// When the reconciler made it, by its clock.
    pub server_time: DateTime<Utc>,
    /// The node's manifest.
    pub node: NodeSpec,
    /// The engine's network that bridged containers join.
    pub network: String,
    /// What runs here.
    pub assignments: Vec<Assignment>,
}

/// A job that runs on this node, or whose server does.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The job.
    pub job: JobName,
    /// Which part of it.
    pub role: RunRole,
    /// Occurrences before this instant are nobody's.
    pub since: DateTime<Utc>,
    /// The job's manifest.
    pub spec: Arc<JobSpec>,
    /// What its schedule means.
    pub schedule: Schedule,
    /// Of the part of a server: the nodes of its clients.
    pub clients: Vec<NodeName>,
}

/// Which state a snapshot is of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Version {
    /// The reconciler's database.
    pub epoch: String,
    /// Grows with each change in that database.
    pub generation: u64,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.generation, self.epoch)
    }
}

/// Whether a snapshot replaces the one that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It does.
    Accepted,
    /// It does, and it comes from another database: the reconciler was set up anew, or this is
    /// another one.
    OtherEpoch,
    /// It is older than what is held.
    Older,
}

impl Version {
    /// Judges a snapshot of another version against this one. The same generation is accepted: it
    /// renews how long the state is valid.
    pub fn judge(&self, new: &Self) -> Judgement {
        if self.epoch != new.epoch {
            Judgement::OtherEpoch
        } else if new.generation < self.generation {
            Judgement::Older
        } else {
            Judgement::Accepted
        }
    }
}

/// A snapshot that this agent cannot read.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// A field is wrong.
    #[error("the reconciler sent a snapshot that cannot be read")]
    Field(#[from] FieldError),
    /// The node's manifest is not one that this agent knows.
    #[error("the reconciler sent a node manifest that this agent does not understand; is the agent older?")]
    NodeSpec(#[source] serde_json::Error),
}

/// A job of a snapshot that this agent cannot read, perhaps because the reconciler is newer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The job, as it was sent.
    pub job: String,
    /// What is wrong.
    pub problem: String,
}

impl Desired {
    /// Reads a snapshot. A single job that cannot be read is left out and named, so that it does
    /// not hold up the others.
    ///
    /// # Errors
    ///
    /// When what concerns the whole node cannot be read.
    pub fn read(snapshot: &v1::Snapshot) -> Result<(Self, Vec<Unreadable>), SnapshotError> {
        let mut unreadable = Vec::new();
        let mut assignments = Vec::with_capacity(snapshot.assignments.len());
        for assignment in &snapshot.assignments {
            match Assignment::read(assignment) {
                Ok(assignment) => assignments.push(assignment),
                Err(problem) => unreadable.push(Unreadable { job: assignment.job.clone(), problem }),
            }
        }
        if snapshot.epoch.is_empty() {
            return Err(FieldError::missing("epoch").into());
        }
        let desired = Self {
            version: Version { epoch: snapshot.epoch.clone(), generation: snapshot.generation },
            commit: snapshot.commit.clone(),
            valid_until: convert::instant("valid_until", snapshot.valid_until.as_ref())?,
            server_time: convert::instant("server_time", snapshot.server_time.as_ref())?,
            node: serde_json::from_str(&snapshot.node_spec).map_err(SnapshotError::NodeSpec)?,
            network: snapshot.network.clone(),
            assignments,
        };
        Ok((desired, unreadable))
    }
}

impl Desired {
    /// Is valid for longer, or shorter.
    ///
    /// # Errors
    ///
    /// When the renewal cannot be read; then nothing changes.
    pub fn renew(&mut self, renewal: &v1::Renewal) -> Result<(), FieldError> {
        let valid_until = convert::instant("valid_until", renewal.valid_until.as_ref())?;
        self.server_time = convert::instant("server_time", renewal.server_time.as_ref())?;
        self.valid_until = valid_until;
        Ok(())
    }
}

impl Assignment {
    fn read(message: &v1::Assignment) -> Result<Self, String> {
        let field = |error: FieldError| error.to_string();
        let spec: JobSpec = serde_json::from_str(&message.job_spec).map_err(|error| error.to_string())?;
        Ok(Self {
            job: convert::parse("job", &message.job).map_err(field)?,
            role: message.role().try_into().map_err(field)?,
            since: convert::instant("since", message.since.as_ref()).map_err(field)?,
            clients: message
                .clients
                .iter()
                .map(|client| convert::parse("clients", client))
                .collect::<Result<_, _>>()
                .map_err(field)?,
            schedule: spec.schedule.resolve().map_err(|error| error.to_string())?,
            spec: Arc::new(spec),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(epoch: &str, generation: u64) -> Version {
        Version { epoch: epoch.to_owned(), generation }
    }

    #[test]
    fn an_older_generation_of_the_same_epoch_is_refused() {
        let held = version("a", 5);
        assert_eq!(held.judge(&version("a", 4)), Judgement::Older);
        assert_eq!(held.judge(&version("a", 5)), Judgement::Accepted);
        assert_eq!(held.judge(&version("a", 6)), Judgement::Accepted);
        assert_eq!(held.judge(&version("b", 1)), Judgement::OtherEpoch);
    }

    #[test]
    fn a_job_that_cannot_be_read_does_not_hold_up_the_others() {
        let at = |seconds| Some(convert::timestamp(DateTime::from_timestamp(seconds, 0).unwrap()));
        let job = |name: &str, spec: &str| v1::Assignment {
            job: name.to_owned(),
            role: v1::Role::Client.into(),
            job_spec: spec.to_owned(),
            since: at(0),
            clients: Vec::new(),
        };
        let good = r#"{"owner":"alice","nodes":["n"],"schedule":{"at":"2027-01-01T00:00:00Z","length":"10s"},
            "container":{"image":"busybox"}}"#;
        let mut snapshot = v1::Snapshot {
            epoch: "e".to_owned(),
            generation: 1,
            commit: "c".to_owned(),
            valid_until: at(100),
            server_time: at(1),
            node_spec: r#"{"owner":"alice"}"#.to_owned(),
            assignments: vec![job("good", good), job("bad", r#"{"newer": true}"#), job("Bad Name", good)],
            network: "almanac".to_owned(),
        };
        let (desired, unreadable) = Desired::read(&snapshot).unwrap();
        assert_eq!(desired.assignments.len(), 1);
        assert_eq!(unreadable.iter().map(|u| u.job.as_str()).collect::<Vec<_>>(), ["bad", "Bad Name"]);
        snapshot.node_spec = "{}".to_owned();
        assert!(matches!(Desired::read(&snapshot), Err(SnapshotError::NodeSpec(_))));
        snapshot.epoch = String::new();
        assert!(matches!(Desired::read(&snapshot), Err(SnapshotError::Field(_))));
    }
}
