//! Runs: what reports about one add up to.

use almanac_schemas::{JobName, NodeName, Phase, Reason, RunId, RunRole};
use chrono::{DateTime, Utc};

/// A report about a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEvent {
    /// The run.
    pub run: RunId,
    /// Its job.
    pub job: JobName,
    /// Which of the job's containers.
    pub role: RunRole,
    /// Of the part of a server: the node of its client.
    pub client: Option<NodeName>,
    /// The instant that it was to start at.
    pub scheduled_at: DateTime<Utc>,
    /// What happened.
    pub step: RunStep,
}

/// A step in the life of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunStep {
    /// Counts the steps of the run from 1.
    pub sequence: u64,
    /// Where the run is.
    pub phase: Phase,
    /// Why it ended.
    pub reason: Option<Reason>,
    /// For people.
    pub message: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Once the container has ended by itself.
    pub exit_code: Option<i32>,
    /// Once it is known.
    pub image_digest: String,
    /// The commit whose manifest the run follows.
    pub commit: String,
}

/// What the steps of a run add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunState {
    /// Where it is.
    pub phase: Phase,
    /// Why it ended.
    pub reason: Option<Reason>,
    /// For people.
    pub message: String,
    /// When its container started.
    pub started_at: Option<DateTime<Utc>>,
    /// When its container ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// How its container ended.
    pub exit_code: Option<i32>,
    /// What ran.
    pub image_digest: String,
    /// The commit whose manifest it follows.
    pub commit: String,
}

impl RunEvent {
    /// Whether this run can exist: its id must be the one of its job, its client's node and its instant.
    pub fn is_of(&self, node: &NodeName) -> bool {
        let client = self.client.as_ref().filter(|_| self.role == RunRole::Server).unwrap_or(node);
        self.run == RunId::new(&self.job, client, self.scheduled_at)
    }
}

impl RunState {
    /// Adds up the steps that are known, in the order of their sequence. Steps that are still
    /// missing make no difference to what is known already.
    pub fn of(steps: &[RunStep]) -> Option<Self> {
        // What comes after the end is of an agent that lost its journal, and knows less.
        let end = steps.iter().position(|step| step.phase.is_terminal()).map_or(steps.len(), |end| end + 1);
        let steps = &steps[..end];
        let last = steps.last()?;
        let started = steps.iter().find(|step| step.phase == Phase::Running);
        let ended = started.and_then(|started| {
            steps.iter().find(|step| {
                step.sequence > started.sequence
                    && (step.phase == Phase::Uploading || step.phase.is_terminal())
            })
        });
        let latest = |text: fn(&RunStep) -> &String| {
            steps.iter().rev().map(text).find(|text| !text.is_empty()).cloned().unwrap_or_default()
        };
        Some(Self {
            phase: last.phase,
            reason: last.reason,
            message: last.message.clone(),
            started_at: started.map(|step| step.at),
            ended_at: ended.map(|step| step.at),
            exit_code: steps.iter().rev().find_map(|step| step.exit_code),
            image_digest: latest(|step| &step.image_digest),
            commit: latest(|step| &step.commit),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(sequence: u64, phase: Phase) -> RunStep {
        RunStep {
            sequence,
            phase,
            reason: phase.is_terminal().then_some(Reason::ExitCode),
            message: format!("step {sequence}"),
            at: DateTime::from_timestamp(1_800_000_000 + sequence.cast_signed(), 0).unwrap(),
            exit_code: (phase == Phase::Uploading).then_some(3),
            image_digest: if sequence == 2 { "sha256:1".to_owned() } else { String::new() },
            commit: "c".to_owned(),
        }
    }

    #[test]
    fn a_run_is_what_its_last_step_says_with_what_was_learnt_on_the_way() {
        let phases = [Phase::Deploying, Phase::Running, Phase::Uploading, Phase::Completed];
        let steps: Vec<_> = (1..).zip(phases).map(|(n, phase)| step(n, phase)).collect();
        let state = RunState::of(&steps).unwrap();
        assert_eq!((state.phase, state.reason), (Phase::Completed, Some(Reason::ExitCode)));
        assert_eq!((state.started_at, state.ended_at), (Some(steps[1].at), Some(steps[2].at)));
        assert_eq!((state.exit_code, state.image_digest.as_str()), (Some(3), "sha256:1"));
        assert_eq!(RunState::of(&[]), None);
    }

    #[test]
    fn an_end_is_the_end() {
        let steps = [step(1, Phase::Deploying), step(2, Phase::Completed), step(1_000_001, Phase::Missed)];
        assert_eq!(RunState::of(&steps).unwrap().phase, Phase::Completed);
        assert_eq!(RunState::of(&steps[2..]).unwrap().phase, Phase::Missed);
    }

    #[test]
    fn a_run_without_a_container_has_neither_start_nor_end() {
        let state = RunState::of(&[step(1, Phase::Skipped)]).unwrap();
        assert_eq!((state.started_at, state.ended_at), (None, None));
        // A report that is missing in between does not hide the end.
        let state = RunState::of(&[step(1, Phase::Deploying), step(4, Phase::Failed)]).unwrap();
        assert_eq!(state.phase, Phase::Failed);
    }
}
