//! A task: that the server of a run is wanted, and how that goes on.

use almanac_proto::{convert::timestamp, v1};
use almanac_schemas::{Instant, JobName, JobSpec, NodeName, RunId, Schedule};
use almanac_validate::Moved;
use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;

/// That the server of a run is wanted, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The client's run. The server's part has the same id.
    pub run: RunId,
    /// Its job.
    pub job: JobName,
    /// The node of the client.
    pub client: NodeName,
    /// The node of the server.
    pub server: NodeName,
    /// The instant of the run.
    pub scheduled_at: DateTime<Utc>,
    /// When its reservation ends.
    pub ends_at: DateTime<Utc>,
    /// For how long either side may be silent.
    pub ttl: TimeDelta,
    /// How it stands.
    pub state: TaskState,
    /// Why it is over, for people.
    pub message: String,
    /// Whether there is no server since its node makes room for its owner, as the whole run does then.
    pub made_room: bool,
    /// Grows with each change of the state.
    pub version: i64,
}

/// How a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// The client wants its server, which is not ready yet.
    Requested,
    /// The server is ready.
    Ready,
    /// The server was ready and has ended by itself, with exit code 0.
    Served,
    /// The client has ended.
    Released,
    /// There is no server, or none any more.
    Failed,
    /// Nothing was heard of the client for too long.
    Abandoned,
}

/// What a node says of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The server is ready.
    Ready,
    /// The server has ended by itself, with exit code 0.
    Served,
    /// There is no server, or none any more; whether since its node makes room for its owner.
    Failed {
        /// Whether that is why.
        made_room: bool,
    },
    /// The client needs no server any more.
    Released,
}

/// Why a server cannot be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The job has none.
    #[error("job `{0}` declares no server")]
    NoServer(JobName),
    /// The instant is not the job's.
    #[error("job `{0}` does not run at {1}")]
    NoOccurrence(JobName, Instant),
    /// The run's time is over.
    #[error("the time of this run of job `{0}` was over at {1}")]
    Over(JobName, Instant),
    /// It is too early.
    #[error("it is too early to ask for the server of the run at {0}; ask {EARLIEST} s before it")]
    Early(Instant),
}

/// How long before its instant the server of a run may be asked for, in seconds: clocks differ, and no agent asks
/// earlier than it settles a run.
const EARLIEST: i64 = 60;

/// The bounds of a silence: an agent that is updated needs as long to come back, and a link must not be given up for a
/// moment of loss.
const LEAST_TTL: TimeDelta = TimeDelta::seconds(10);
const MOST_TTL: TimeDelta = TimeDelta::seconds(60);

impl Task {
    /// The task of a run whose client asks for its server, given what was moved of the client's runs.
    ///
    /// # Errors
    ///
    /// When the run has none, or not now.
    pub fn request(
        job: &JobName,
        spec: &JobSpec,
        client: &NodeName,
        scheduled_at: DateTime<Utc>,
        moved: &[Moved],
        now: DateTime<Utc>,
    ) -> Result<Self, RequestError> {
        let server = spec.server.as_ref().ok_or_else(|| RequestError::NoServer(job.clone()))?;
        let ends_at = scheduled_at + spec.schedule.length.to_delta();
        let moved = moved.iter().filter(|moved| moved.job == *job).filter_map(|moved| moved.schedule(spec));
        let mut schedules = spec.schedule.resolve().ok().into_iter().chain(moved);
        let starts =
            |schedule: Schedule| schedule.next(scheduled_at).is_some_and(|next| next.start == scheduled_at);
        if !schedules.any(starts) {
            return Err(RequestError::NoOccurrence(job.clone(), Instant(scheduled_at)));
        }
        if now >= ends_at {
            return Err(RequestError::Over(job.clone(), Instant(ends_at)));
        }
        if now < scheduled_at - TimeDelta::seconds(EARLIEST) {
            return Err(RequestError::Early(Instant(scheduled_at)));
        }
        Ok(Self {
            run: RunId::new(job, client, scheduled_at),
            job: job.clone(),
            client: client.clone(),
            server: server.node.clone(),
            scheduled_at,
            ends_at,
            ttl: server.ready.timeout.to_delta().clamp(LEAST_TTL, MOST_TTL),
            state: TaskState::Requested,
            message: String::new(),
            made_room: false,
            version: 1,
        })
    }

    /// What some news make of it, with what is to be said about that; nothing when they change nothing.
    pub fn after(&self, news: News, message: &str) -> Option<(TaskState, String)> {
        use TaskState::{Failed, Ready, Released, Requested, Served};
        let said = || message.to_owned();
        match (self.state, news) {
            (Requested, News::Ready) => Some((Ready, String::new())),
            (Requested, News::Served) => Some((Failed, "it ended before it was ready".to_owned())),
            (Ready, News::Served) => Some((Served, said())),
            (Requested | Ready, News::Failed { .. }) => Some((Failed, said())),
            (Requested | Ready | Served, News::Released) => Some((Released, said())),
            _ => None,
        }
    }

    /// As the protocol says it.
    pub fn message(&self, address: String) -> v1::Task {
        v1::Task {
            run_id: self.run.to_string(),
            job: self.job.to_string(),
            client: self.client.to_string(),
            server: self.server.to_string(),
            scheduled_at: Some(timestamp(self.scheduled_at)),
            state: v1::TaskState::from(self.state).into(),
            message: self.message.clone(),
            address,
            reason: if self.made_room { v1::Reason::Scavenger } else { v1::Reason::Unspecified }.into(),
        }
    }
}

impl TaskState {
    const ALL: [Self; 6] =
        [Self::Requested, Self::Ready, Self::Served, Self::Released, Self::Failed, Self::Abandoned];

    /// Whether nothing comes after it.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Released | Self::Failed | Self::Abandoned)
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Ready => "ready",
            Self::Served => "served",
            Self::Released => "released",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }
}

/// A word that is no state of a task.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no state of a task")]
pub struct TaskStateError(String);

impl std::str::FromStr for TaskState {
    type Err = TaskStateError;

    fn from_str(word: &str) -> Result<Self, TaskStateError> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == word);
        found.ok_or_else(|| TaskStateError(word.to_owned()))
    }
}

impl From<TaskState> for v1::TaskState {
    fn from(state: TaskState) -> Self {
        match state {
            TaskState::Requested => Self::Requested,
            TaskState::Ready => Self::Ready,
            TaskState::Served => Self::Served,
            TaskState::Released => Self::Released,
            TaskState::Failed => Self::Failed,
            TaskState::Abandoned => Self::Abandoned,
        }
    }
}

impl News {
    /// What a message says; nothing where this reconciler does not know the word.
    pub fn read(request: &v1::UpdateTaskRequest) -> Option<Self> {
        Some(match request.news() {
            v1::TaskNews::Unspecified => return None,
            v1::TaskNews::Ready => Self::Ready,
            v1::TaskNews::Served => Self::Served,
            v1::TaskNews::Failed => Self::Failed { made_room: request.reason() == v1::Reason::Scavenger },
            v1::TaskNews::Released => Self::Released,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn spec(rest: &str) -> JobSpec {
        let text = format!(
            r#"{{"owner": "alice", "nodes": ["london-01"], "container": {{"image": "x"}},
                "schedule": {{"at": "{}", "length": "2m"}}{rest}}}"#,
            at(0).to_rfc3339()
        );
        serde_json::from_str(&text).unwrap()
    }

    const SERVER: &str =
        r#", "server": {"node": "paris-01", "container": {"image": "x"}, "ready": {"timeout": "20s"}}"#;

    fn request(spec: &JobSpec, instant: i64, now: i64) -> Result<Task, RequestError> {
        let (job, client) = ("iperf".parse().unwrap(), "london-01".parse().unwrap());
        let moved = Moved {
            job: "iperf".parse().unwrap(),
            node: "london-01".parse().unwrap(),
            at: at(0),
            to: at(500),
        };
        Task::request(&job, spec, &client, at(instant), &[moved], at(now))
    }

    #[test]
    fn a_server_is_asked_for_at_an_instant_of_its_job() {
        let task = request(&spec(SERVER), 0, -1).unwrap();
        assert_eq!((task.server.as_str(), task.ends_at), ("paris-01", at(120)));
        assert_eq!((task.ttl, task.state), (TimeDelta::seconds(20), TaskState::Requested));
        assert_eq!(task.run, RunId::new(&task.job, &task.client, at(0)));
        assert!(matches!(request(&spec(""), 0, 0), Err(RequestError::NoServer(_))));
        assert!(matches!(request(&spec(SERVER), 1, 0), Err(RequestError::NoOccurrence(..))));
        assert!(matches!(request(&spec(SERVER), 0, 120), Err(RequestError::Over(..))));
        assert!(request(&spec(SERVER), 0, 119).is_ok());
        assert!(request(&spec(SERVER), 500, 500).is_ok(), "that is where its run was moved to");
        assert!(matches!(request(&spec(SERVER), 0, -61), Err(RequestError::Early(_))));
    }

    #[test]
    fn a_silence_has_bounds() {
        let ttl = |timeout: &str| request(&spec(&SERVER.replace("20s", timeout)), 0, 0).unwrap().ttl;
        assert_eq!(ttl("1s"), LEAST_TTL);
        assert_eq!(ttl("10m"), MOST_TTL);
    }

    /// Every state and every news.
    #[test]
    fn what_news_make_of_a_task() {
        use News::{Failed, Ready, Released, Served};
        let news = [Ready, Served, Failed { made_room: false }, Released];
        #[rustfmt::skip]
        let table: [(TaskState, [&str; 4]); 6] = [
            //                      ready    served    failed    released
            (TaskState::Requested, ["ready", "failed", "failed", "released"]),
            (TaskState::Ready,     ["",      "served", "failed", "released"]),
            (TaskState::Served,    ["",      "",       "",       "released"]),
            (TaskState::Released,  ["",      "",       "",       ""]),
            (TaskState::Failed,    ["",      "",       "",       ""]),
            (TaskState::Abandoned, ["",      "",       "",       ""]),
        ];
        for (state, row) in table {
            let task = Task { state, ..request(&spec(SERVER), 0, 0).unwrap() };
            for (news, expected) in news.into_iter().zip(row) {
                let after = task.after(news, "why").map_or("", |(state, _)| state.as_str());
                assert_eq!(after, expected, "{state:?} {news:?}");
            }
            assert!(!state.is_over() || row == [""; 4]);
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert!("done".parse::<TaskState>().is_err());
    }
}
