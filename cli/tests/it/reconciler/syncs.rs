//! Syncs, and what came of them.

use tonic::Status;

use almanac_proto::v1;

use super::{
    NOW, Reconciler, State, at,
    conditions::conditions,
    known::{APPLIED, REJECTED, REMOVAL, WAITING},
    nodes::BEHIND,
    steering::{pin, suspension},
};

pub(super) fn status(
    _reconciler: &Reconciler,
    _question: &v1::GetSyncStatusRequest,
) -> Result<v1::GetSyncStatusResponse, Status> {
    let status = v1::GetSyncStatusResponse {
        repository: "/srv/testbed.git".to_owned(),
        branch: "main".to_owned(),
        applied_commit: APPLIED.to_owned(),
        applied_at: at("2027-01-09T12:00:00Z"),
        latest: syncs().into_iter().next(),
        last_look: at("2027-01-10T11:59:45Z"),
        look_error: "cannot reach the repository".to_owned(),
        nodes: 3,
        nodes_current: 1,
        conditions: conditions([
            (
                false,
                "Suspended",
                "suspended by alice until 2027-01-10T14:00:00Z: the dish in London is being moved to the other roof",
            ),
            (true, "Suspended", "`almanac sync resume` goes on"),
            (false, "Suspended", "looks rest as long as the syncs do"),
        ]),
        suspended: Some(suspension()),
        pinned: Some(pin()),
        lagging: vec![v1::LaggingNode {
            name: "paris-01".to_owned(),
            reason: "Lagging".to_owned(),
            message: BEHIND.to_owned(),
            since: at("2027-01-10T11:58:00Z"),
        }],
        role: "leading (term 3)".to_owned(),
    };
    Ok(status)
}

pub(super) fn list(
    reconciler: &Reconciler,
    question: &v1::ListSyncsRequest,
) -> Result<v1::ListSyncsResponse, Status> {
    let (syncs, next_page_token) = reconciler.page(syncs(), question.page_size, &question.page_token);
    Ok(v1::ListSyncsResponse { syncs, next_page_token })
}

pub(super) fn get(
    _reconciler: &Reconciler,
    question: &v1::GetSyncRequest,
) -> Result<v1::GetSyncResponse, Status> {
    let id = &question.id;
    let sync = syncs().into_iter().find(|sync| sync.id.to_string() == *id || id.is_empty());
    let sync = sync.ok_or_else(|| Status::not_found(format!("sync `{id}` not found")))?;
    Ok(v1::GetSyncResponse { sync: Some(sync) })
}

pub(super) fn list_findings(
    reconciler: &Reconciler,
    question: &v1::ListSyncFindingsRequest,
) -> Result<v1::ListSyncFindingsResponse, Status> {
    let all = if question.sync_id == 12 { findings() } else { vec![] };
    let (findings, next_page_token) = reconciler.page(all, question.page_size, &question.page_token);
    Ok(v1::ListSyncFindingsResponse { findings, next_page_token })
}

pub(super) fn syncs() -> Vec<v1::Sync> {
    let sync = |id: u64, commit: &str, subject: &str, ended: &str| v1::Sync {
        id,
        commit: commit.to_owned(),
        author: "Alice Example <alice@example.org>".to_owned(),
        subject: subject.to_owned(),
        committed_at: at("2027-01-10T11:50:00Z"),
        started_at: at(ended).map(|end| prost_types::Timestamp { nanos: 0, seconds: end.seconds - 1 }),
        ended_at: at(ended),
        tree: "9c46159374d0568b8c18f207abd73bee43034eb9".to_owned(),
        cause: "commit".to_owned(),
        ..v1::Sync::default()
    };
    vec![
        v1::Sync {
            outcome: v1::SyncOutcome::Rejected.into(),
            message: "the commit has errors".to_owned(),
            findings: 2,
            ..sync(12, REJECTED, "Measure twice as often", "2027-01-10T11:51:00Z")
        },
        v1::Sync {
            outcome: v1::SyncOutcome::Applied.into(),
            added: 1,
            changed: 1,
            removed: 1,
            findings: 1,
            signer: "alice".to_owned(),
            approved_by: "carol".to_owned(),
            message: "1 added, 1 changed, 1 removed".to_owned(),
            ..sync(11, APPLIED, "Add the comparison of congestion controls", "2027-01-09T12:00:00Z")
        },
        v1::Sync {
            outcome: v1::SyncOutcome::Waiting.into(),
            changed: 1,
            removed: 11,
            message: REMOVAL.to_owned(),
            ..sync(10, WAITING, "Tidy up", "2027-01-09T11:00:00Z")
        },
    ]
}

fn finding(rule: &str, severity: &str, line: u32, message: &str, help: &str) -> v1::Finding {
    v1::Finding {
        rule: rule.to_owned(),
        severity: severity.to_owned(),
        message: message.to_owned(),
        file: "jobs/ping.yaml".to_owned(),
        line,
        column: line.min(5),
        end_line: line,
        end_column: line.min(9),
        help: help.to_owned(),
    }
}

fn findings() -> Vec<v1::Finding> {
    vec![
        finding(
            "schedule-conflict",
            "error",
            12,
            "`ping-london` and `throughput` overlap on `london-01`, first at 2027-01-11T00:00:00Z",
            "`cron: \"7-59/15 * * * *\"` is free",
        ),
        v1::Finding { column: 0, ..finding("empty-file", "warning", 0, "the file is empty", "") },
    ]
}

impl State {
    /// What comes of a look at the repository.
    pub(super) fn look(&self) -> v1::Sync {
        let suspended = "suspended by alice until 2027-01-10T14:00:00Z: the dish is being moved";
        let recorded = |index: usize| syncs().remove(index);
        match self.outcome {
            v1::SyncOutcome::Unspecified | v1::SyncOutcome::Applied => recorded(1),
            v1::SyncOutcome::Rejected => recorded(0),
            v1::SyncOutcome::Waiting => v1::Sync {
                outcome: v1::SyncOutcome::Waiting.into(),
                message: REMOVAL.to_owned(),
                findings: 0,
                removed: 11,
                ..recorded(0)
            },
            v1::SyncOutcome::Failed | v1::SyncOutcome::Suspended => v1::Sync {
                outcome: self.outcome.into(),
                message: if self.outcome == v1::SyncOutcome::Suspended {
                    suspended
                } else {
                    "cannot look at the repository: there is no repository at /srv/testbed.git"
                }
                .to_owned(),
                started_at: at(NOW),
                ended_at: at(NOW),
                ..v1::Sync::default()
            },
        }
    }
}
