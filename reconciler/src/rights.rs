//! Who may do what: one table.

use almanac_schemas::{JobName, NodeName, RunRole, TeamName, UserName, UserRole};
use thiserror::Error;

use crate::intent::Deed;

/// Somebody whose token was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub principal: Principal,
    /// The fingerprint of the key that signed the token.
    pub key: String,
}

/// A user or a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A person.
    User {
        /// Their name.
        name: UserName,
        /// What they may do.
        role: UserRole,
        /// Their team.
        team: Option<TeamName>,
    },
    /// A node's agent.
    Node(NodeName),
}

/// Something that a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action<'a> {
    /// Learn who one is.
    WhoAmI,
    /// List nodes, jobs and the schedule.
    ReadTestbed,
    /// See what syncs found and did.
    ReadSyncs,
    /// See a run, its steps and the names of its files.
    ReadRun {
        /// The owner of its job.
        owner: &'a UserName,
        /// Its node.
        node: &'a NodeName,
    },
    /// See the runs of all of a user's jobs.
    ListRunsOf(&'a UserName),
    /// End a run.
    Cancel {
        /// The owner of its job.
        owner: &'a UserName,
    },
    /// Keep the files of a run for good, or not any more.
    Keep {
        /// The owner of its job.
        owner: &'a UserName,
    },
    /// Keep new runs off a node, or let them start.
    SetMode {
        /// The owner of the node.
        owner: &'a UserName,
        /// The node.
        node: &'a NodeName,
    },
    /// Take a node's link from exclusive runs, or give it back.
    Scavenge {
        /// The owner of the node.
        owner: &'a UserName,
        /// The node.
        node: &'a NodeName,
    },
    /// Read what a run writes, while it goes on and after.
    TailLogs {
        /// The owner of its job.
        owner: &'a UserName,
    },
    /// Fetch the files of a run.
    Download {
        /// The owner of its job.
        owner: &'a UserName,
    },
    /// Watch what a node measures.
    WatchTelemetry {
        /// The node.
        node: &'a NodeName,
        /// Whether the caller may schedule there, or owns it.
        admitted: bool,
    },
    /// Make the reconciler look at the repository.
    SyncNow,
    /// Suspend, resume, pin, unpin or approve.
    Steer(Deed),
    /// Have kernel settings of a node for a run: for oneself, or as the node on behalf of a run.
    ReachKernel {
        /// The owner of the run's job.
        owner: &'a UserName,
        /// The run's node.
        node: &'a NodeName,
    },
    /// Want the server of a run of a job.
    RequestServer {
        /// The job.
        job: &'a JobName,
        /// Where its parts run.
        places: &'a [(NodeName, RunRole)],
    },
    /// Say how the server of a run stands.
    AnswerTask {
        /// The node of the server.
        server: &'a NodeName,
    },
    /// Say that a run needs its server no more.
    ReleaseServer {
        /// The node of the client.
        client: &'a NodeName,
    },
    /// Be a node: heartbeats, desired state, reports, uploads.
    ActAs(&'a NodeName),
}

/// An action that the caller has no right to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{who} may not {what}; {remedy}")]
pub struct Forbidden {
    who: String,
    what: String,
    remedy: &'static str,
}

/// Who does something, seen from what it is done to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Own,
    Other,
}

impl Caller {
    /// The caller's name.
    pub fn name(&self) -> &str {
        match &self.principal {
            Principal::User { name, .. } => name.as_str(),
            Principal::Node(name) => name.as_str(),
        }
    }

    /// The word for the caller's role.
    pub fn role(&self) -> &'static str {
        match &self.principal {
            Principal::User { role, .. } => role.as_str(),
            Principal::Node(_) => "node",
        }
    }

    /// Whether the caller may do something.
    ///
    /// # Errors
    ///
    /// When not, with what one can do about it.
    pub fn may(&self, action: Action<'_>) -> Result<(), Forbidden> {
        if permits(&self.principal, action) {
            return Ok(());
        }
        let who = match &self.principal {
            Principal::User { name, .. } => format!("user `{name}`"),
            Principal::Node(name) => format!("node `{name}`"),
        };
        Err(Forbidden { who, what: action.to_string(), remedy: action.remedy() })
    }
}

/// The table.
fn permits(principal: &Principal, action: Action<'_>) -> bool {
    use Side::{Other, Own};
    use UserRole::{Admin, Privileged, User};
    match principal {
        Principal::User { name, role, .. } => {
            let side = |owner: &UserName| if owner == name { Own } else { Other };
            match (action, role) {
                (Action::WhoAmI | Action::ReadTestbed | Action::ReadSyncs, _) => true,
                (
                    Action::ReadRun { owner, .. }
                    | Action::ListRunsOf(owner)
                    | Action::Cancel { owner }
                    | Action::Keep { owner }
                    | Action::SetMode { owner, .. }
                    | Action::Scavenge { owner, .. }
                    | Action::TailLogs { owner }
                    | Action::Download { owner },
                    role,
                ) => *role == Admin || side(owner) == Own,
                (Action::WatchTelemetry { admitted, .. }, role) => *role == Admin || admitted,
                (Action::SyncNow | Action::Steer(_), Admin) => true,
                (Action::SyncNow | Action::Steer(_), User | Privileged) => false,
                (Action::ReachKernel { owner, .. }, Privileged | Admin) => side(owner) == Own,
                (Action::ReachKernel { .. }, User)
                | (
                    Action::ActAs(_)
                    | Action::RequestServer { .. }
                    | Action::AnswerTask { .. }
                    | Action::ReleaseServer { .. },
                    _,
                ) => false,
            }
        }
        Principal::Node(name) => match action {
            Action::WhoAmI | Action::ReadTestbed => true,
            Action::ReadRun { node, .. }
            | Action::SetMode { node, .. }
            | Action::WatchTelemetry { node, .. }
            | Action::ReachKernel { node, .. }
            | Action::Scavenge { node, .. }
            | Action::ActAs(node)
            | Action::AnswerTask { server: node }
            | Action::ReleaseServer { client: node } => node == name,
            Action::RequestServer { places, .. } => {
                places.iter().any(|(node, role)| node == name && *role == RunRole::Client)
            }
            Action::ReadSyncs
            | Action::ListRunsOf(_)
            | Action::Cancel { .. }
            | Action::TailLogs { .. }
            | Action::Keep { .. }
            | Action::Download { .. }
            | Action::SyncNow
            | Action::Steer(_) => false,
        },
    }
}

impl Action<'_> {
    fn remedy(self) -> &'static str {
        match self {
            Self::ReadRun { .. }
            | Self::ListRunsOf(_)
            | Self::TailLogs { .. }
            | Self::Download { .. }
            | Self::Cancel { .. }
            | Self::Keep { .. } => "the owner of the job and admins may",
            Self::WatchTelemetry { .. } => {
                "who may schedule there may, by `access` in the node's manifest, its owner, and admins"
            }
            Self::SetMode { .. } | Self::Scavenge { .. } => "the owner of the node and admins may",
            Self::SyncNow => "admins may, and a push is noticed by itself",
            Self::Steer(_) => "admins may",
            Self::ReadSyncs => "users may",
            Self::ReachKernel { .. } => "the owner of the job may, with the role `privileged` or `admin`",
            Self::RequestServer { .. } => "the nodes that the job runs on may",
            Self::AnswerTask { .. } => "the node of the server may",
            Self::ReleaseServer { .. } => "the node of the client may",
            Self::ActAs(_) => "only that node itself may, with its own key",
            Self::WhoAmI | Self::ReadTestbed => "every user and node may",
        }
    }
}

impl std::fmt::Display for Action<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::WhoAmI => f.write_str("ask who they are"),
            Self::ReadTestbed => f.write_str("read the testbed"),
            Self::ReadSyncs => f.write_str("read syncs"),
            Self::ReadRun { owner, .. } => write!(f, "see this run of a job of `{owner}`"),
            Self::ListRunsOf(owner) => write!(f, "see the runs of `{owner}`"),
            Self::Cancel { owner } => write!(f, "cancel this run of a job of `{owner}`"),
            Self::Keep { owner } => {
                write!(f, "say whether the files of this run of a job of `{owner}` are kept")
            }
            Self::SetMode { node, .. } => write!(f, "say whether runs start on `{node}`"),
            Self::WatchTelemetry { node, .. } => write!(f, "watch what `{node}` measures"),
            Self::Scavenge { node, .. } => write!(f, "say whether `{node}` is in scavenger mode"),
            Self::TailLogs { owner } => write!(f, "read logs of a job of `{owner}`"),
            Self::Download { owner } => write!(f, "download files of a job of `{owner}`"),
            Self::SyncNow => f.write_str("start a sync"),
            Self::Steer(deed @ (Deed::Suspend | Deed::Resume)) => write!(f, "{deed} the syncs"),
            Self::Steer(deed) => write!(f, "{deed} a commit"),
            Self::ReachKernel { owner, node } => {
                write!(f, "have kernel settings of `{node}` for a job of `{owner}`")
            }
            Self::RequestServer { job, .. } => write!(f, "ask for a server of job `{job}`"),
            Self::AnswerTask { server } => write!(f, "speak for the server on `{server}`"),
            Self::ReleaseServer { client } => write!(f, "speak for the client on `{client}`"),
            Self::ActAs(node) => write!(f, "act as node `{node}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, role: UserRole) -> Principal {
        Principal::User { name: name.parse().unwrap(), role, team: None }
    }

    /// Every cell: each action by a user, a privileged user and an admin on what is theirs and on what
    /// is somebody else's, and by the node in question and by another node.
    #[test]
    fn the_table_cell_by_cell() {
        let alice: UserName = "alice".parse().unwrap();
        let london: NodeName = "london-01".parse().unwrap();
        // The server of a job does not ask for itself.
        let places = [(london.clone(), RunRole::Client), ("paris-01".parse().unwrap(), RunRole::Server)];
        let job: JobName = "iperf".parse().unwrap();
        let who = [
            user("alice", UserRole::User),
            user("bob", UserRole::User),
            user("alice", UserRole::Privileged),
            user("bob", UserRole::Privileged),
            user("alice", UserRole::Admin),
            user("bob", UserRole::Admin),
            Principal::Node(london.clone()),
            Principal::Node("paris-01".parse().unwrap()),
        ];
        #[rustfmt::skip]
        let table: [(Action<'_>, [u8; 8]); 21] = [
            //                                        user   privileged  admin   node
            //                                      own other own other own other self other
            (Action::WhoAmI,                         [1, 1,    1, 1,    1, 1,    1, 1]),
            (Action::ReadTestbed,                    [1, 1,    1, 1,    1, 1,    1, 1]),
            (Action::ReadSyncs,                      [1, 1,    1, 1,    1, 1,    0, 0]),
            (Action::ReadRun { owner: &alice, node: &london },
                                                     [1, 0,    1, 0,    1, 1,    1, 0]),
            (Action::ListRunsOf(&alice),             [1, 0,    1, 0,    1, 1,    0, 0]),
            (Action::Download { owner: &alice },     [1, 0,    1, 0,    1, 1,    0, 0]),
            (Action::TailLogs { owner: &alice },     [1, 0,    1, 0,    1, 1,    0, 0]),
            (Action::Cancel { owner: &alice },       [1, 0,    1, 0,    1, 1,    0, 0]),
            (Action::Keep { owner: &alice },         [1, 0,    1, 0,    1, 1,    0, 0]),
            (Action::SetMode { owner: &alice, node: &london },
                                                     [1, 0,    1, 0,    1, 1,    1, 0]),
            (Action::WatchTelemetry { node: &london, admitted: true },
                                                     [1, 1,    1, 1,    1, 1,    1, 0]),
            (Action::WatchTelemetry { node: &london, admitted: false },
                                                     [0, 0,    0, 0,    1, 1,    1, 0]),
            (Action::Scavenge { owner: &alice, node: &london },
                                                     [1, 0,    1, 0,    1, 1,    1, 0]),
            (Action::SyncNow,                        [0, 0,    0, 0,    1, 1,    0, 0]),
            (Action::Steer(Deed::Approve),           [0, 0,    0, 0,    1, 1,    0, 0]),
            (Action::ReachKernel { owner: &alice, node: &london },
                                                     [0, 0,    1, 0,    1, 0,    1, 0]),
            (Action::ActAs(&london),                 [0, 0,    0, 0,    0, 0,    1, 0]),
            (Action::RequestServer { job: &job, places: &places },
                                                     [0, 0,    0, 0,    0, 0,    1, 0]),
            (Action::RequestServer { job: &job, places: &[] },
                                                     [0, 0,    0, 0,    0, 0,    0, 0]),
            (Action::AnswerTask { server: &london }, [0, 0,    0, 0,    0, 0,    1, 0]),
            (Action::ReleaseServer { client: &london },
                                                     [0, 0,    0, 0,    0, 0,    1, 0]),
        ];
        for (action, row) in table {
            for (principal, expected) in who.iter().zip(row) {
                assert_eq!(permits(principal, action), expected == 1, "{principal:?} {action:?}");
            }
        }
    }

    #[test]
    fn a_refusal_says_who_may() {
        let caller = Caller { principal: user("bob", UserRole::User), key: String::new() };
        assert_eq!(
            caller.may(Action::SyncNow).unwrap_err().to_string(),
            "user `bob` may not start a sync; admins may, and a push is noticed by itself"
        );
    }
}
