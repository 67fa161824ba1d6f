//! How the testbed follows its repository.

use serde::Serialize;

use almanac_proto::{convert::FieldError, v1};
use almanac_schemas::Instant;

use crate::{
    output::{Look, View},
    table::{Cell, Column, Fit, Tone, details, table},
    view::{self, Condition, Hold, Sync, condition},
};

/// How far the testbed has followed its repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncStatus {
    /// The repository.
    pub repository: String,
    /// The branch that is followed.
    pub branch: String,
    /// The commit in force.
    pub applied_commit: Option<String>,
    /// When it was applied.
    pub applied_at: Option<Instant>,
    /// The latest sync.
    pub latest: Option<Sync>,
    /// When the repository was looked at last.
    pub last_look: Option<Instant>,
    /// Why that failed.
    pub look_error: Option<String>,
    /// How many nodes there are.
    pub nodes: u32,
    /// How many of them hold what they should.
    pub nodes_current: u32,
    /// Those that do not, 100 at most.
    pub lagging: Vec<LaggingNode>,
    /// Set while nothing is put in force.
    pub suspended: Option<Hold>,
    /// Set while a commit stays in force, whatever the branch does.
    pub pinned: Option<Hold>,
    /// Whether the reconciler that answers puts commits in force.
    pub role: Option<String>,
    /// How the repository is.
    pub conditions: Vec<Condition>,
}

/// A node that does not hold what it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LaggingNode {
    /// Its name.
    pub name: String,
    /// Why, in one word.
    pub reason: String,
    /// Why, for people.
    pub message: Option<String>,
    /// Since when.
    pub since: Option<Instant>,
}

impl TryFrom<v1::GetSyncStatusResponse> for SyncStatus {
    type Error = FieldError;

    fn try_from(status: v1::GetSyncStatusResponse) -> Result<Self, FieldError> {
        Ok(Self {
            repository: status.repository,
            branch: status.branch,
            applied_commit: view::text(status.applied_commit),
            applied_at: view::maybe_instant("applied_at", status.applied_at.as_ref())?,
            latest: status.latest.map(Sync::try_from).transpose()?,
            last_look: view::maybe_instant("last_look", status.last_look.as_ref())?,
            look_error: view::text(status.look_error),
            nodes: status.nodes,
            nodes_current: status.nodes_current,
            lagging: status.lagging.into_iter().map(LaggingNode::try_from).collect::<Result<_, _>>()?,
            suspended: status.suspended.map(Hold::try_from).transpose()?,
            pinned: status.pinned.map(Hold::try_from).transpose()?,
            role: view::text(status.role),
            conditions: condition::all(status.conditions)?,
        })
    }
}

impl TryFrom<v1::LaggingNode> for LaggingNode {
    type Error = FieldError;

    fn try_from(node: v1::LaggingNode) -> Result<Self, FieldError> {
        Ok(Self {
            name: node.name,
            reason: node.reason,
            message: view::text(node.message),
            since: view::maybe_instant("since", node.since.as_ref())?,
        })
    }
}

const LAGGING: [Column; 4] = [
    Column { title: "NODE", fit: Fit::Shorten },
    Column { title: "REASON", fit: Fit::Keep },
    Column { title: "SINCE", fit: Fit::Keep },
    Column { title: "MESSAGE", fit: Fit::Wrap },
];

impl SyncStatus {
    /// Green only when all nodes hold what they should: a commit in force is not yet one that is carried out.
    fn nodes(&self) -> Cell {
        let tone = if self.nodes_current == self.nodes { Tone::Good } else { Tone::Odd };
        Cell::toned(format!("{} of {} hold what is in force", self.nodes_current, self.nodes), tone)
    }

    fn lagging(&self, look: Look) -> String {
        if self.lagging.is_empty() {
            return String::new();
        }
        let cells = |node: &LaggingNode| {
            vec![
                node.name.as_str().into(),
                Cell::toned(node.reason.as_str(), Tone::Odd),
                view::ago(node.since, look.now).into(),
                view::dash(node.message.as_deref()).into(),
            ]
        };
        let rows = self.lagging.iter().map(cells).collect();
        let named = u32::try_from(self.lagging.len()).unwrap_or(u32::MAX);
        let more = match self.nodes.saturating_sub(self.nodes_current).saturating_sub(named) {
            0 => String::new(),
            more => format!("and {more} more: `almanac nodes list --limit 0`\n"),
        };
        format!("\nnodes that lag:\n{}{more}", table(&LAGGING, rows, look.style))
    }
}

impl View for SyncStatus {
    fn text(&self, look: Look) -> String {
        let mut pairs = vec![
            ("repository", self.repository.as_str().into()),
            ("branch", self.branch.as_str().into()),
            ("in force", view::dash(self.applied_commit.as_deref()).into()),
            ("applied", view::both(self.applied_at, look.now).into()),
            ("looked", view::both(self.last_look, look.now).into()),
        ];
        if let Some(error) = &self.look_error {
            pairs.push(("problem", Cell::toned(error.as_str(), Tone::Bad)));
        }
        if let Some(hold) = &self.suspended {
            pairs.push(("suspended", Cell::toned(hold.sentence(look.now), Tone::Odd)));
        }
        if let Some(hold) = &self.pinned {
            pairs.push(("pinned", Cell::toned(hold.sentence(look.now), Tone::Odd)));
        }
        if let Some(latest) = &self.latest {
            pairs.push(("latest", Cell::from(format!("sync {} of {}", latest.id, latest.commit()))));
            pairs.push(("outcome", latest.outcome()));
            pairs.extend(latest.results());
        }
        pairs.push(("nodes", self.nodes()));
        if let Some(role) = &self.role {
            pairs.push(("reconciler", role.as_str().into()));
        }
        details(pairs, look.style) + &condition::text(&self.conditions, look) + &self.lagging(look)
    }
}
