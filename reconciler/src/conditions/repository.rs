//! How the repository is.

use almanac_schemas::Instant;
use chrono::{DateTime, TimeDelta, Utc};

use super::{Condition, ConditionKind, Reason};
use crate::{
    intent::{Hold, Intent},
    store::{ConditionRow, LookRow, SyncOutcome, SyncRow},
};

/// What is known about the repository.
#[derive(Debug, Clone)]
pub struct Standing<'a> {
    /// What people want.
    pub intent: &'a Intent,
    /// The latest sync that followed the repository.
    pub latest: Option<&'a SyncRow>,
    /// How the last look went.
    pub look: &'a LookRow,
    /// How long looks may fail before what is known is stale.
    pub stale_after: TimeDelta,
}

/// The conditions of the repository at an instant. What did not change keeps the time of `before`.
pub fn repository(standing: &Standing<'_>, before: &[ConditionRow], now: DateTime<Utc>) -> [Condition; 3] {
    let since = |kind: ConditionKind, status: bool, reason: Reason| {
        let same = |row: &&ConditionRow| {
            row.name == kind.as_str() && row.status == status && row.reason == reason.as_str()
        };
        before.iter().find(same).map_or(now, |row| row.since)
    };
    let condition = |kind, (status, reason, message): (bool, Reason, String)| Condition {
        kind,
        status,
        reason,
        message,
        since: since(kind, status, reason),
    };
    [
        condition(ConditionKind::Ready, ready(standing)),
        condition(ConditionKind::Stalled, stalled(standing)),
        condition(ConditionKind::Stale, stale(standing, now)),
    ]
}

/// The conditions that are not as they were recorded.
pub fn changed<'a>(now: &'a [Condition], before: &[ConditionRow]) -> Vec<&'a Condition> {
    let same = |condition: &Condition, row: &ConditionRow| {
        row.name == condition.kind.as_str()
            && row.status == condition.status
            && row.reason == condition.reason.as_str()
    };
    now.iter().filter(|condition| !before.iter().any(|row| same(condition, row))).collect()
}

fn ready(standing: &Standing<'_>) -> (bool, Reason, String) {
    if let Some(hold) = &standing.intent.suspended {
        return (false, Reason::Suspended, suspended(hold));
    }
    if let Some(error) = &standing.look.error {
        return (false, Reason::LookFailed, error.clone());
    }
    let Some(latest) = standing.latest else {
        return (false, Reason::NotYet, "no commit was looked at yet".to_owned());
    };
    match latest.outcome {
        SyncOutcome::Rejected => (false, Reason::Rejected, latest.message.clone()),
        SyncOutcome::Waiting => (false, Reason::Waiting, latest.message.clone()),
        SyncOutcome::Applied => match &standing.intent.pinned {
            Some(hold) => (true, Reason::Pinned, format!("pinned {hold}")),
            None => (true, Reason::AsDeclared, "the head of the branch is in force".to_owned()),
        },
    }
}

fn stalled(standing: &Standing<'_>) -> (bool, Reason, String) {
    match standing.latest.map(|sync| sync.outcome) {
        _ if standing.intent.suspended.is_some() => {
            (true, Reason::Suspended, "`almanac sync resume` goes on".to_owned())
        }
        Some(SyncOutcome::Rejected) if standing.intent.pinned.is_some() => {
            (true, Reason::Rejected, "`almanac sync unpin` follows the branch again".to_owned())
        }
        Some(SyncOutcome::Rejected) => (
            true,
            Reason::Rejected,
            "push a commit that mends it; `almanac sync show` says what is wrong".to_owned(),
        ),
        Some(SyncOutcome::Waiting) => {
            (true, Reason::Waiting, "`almanac sync approve` lets it pass".to_owned())
        }
        Some(SyncOutcome::Applied) | None => (false, Reason::Progressing, String::new()),
    }
}

fn stale(standing: &Standing<'_>, now: DateTime<Utc>) -> (bool, Reason, String) {
    if standing.intent.suspended.is_some() {
        return (false, Reason::Suspended, "looks rest as long as the syncs do".to_owned());
    }
    match standing.look.succeeded_at {
        None if standing.look.at.is_none() => (false, Reason::NotYet, String::new()),
        Some(at) if now - at <= standing.stale_after => (false, Reason::Looked, String::new()),
        at => {
            let at = at.map_or_else(|| "ever".to_owned(), |at| format!("since {}", Instant::from(at)));
            (true, Reason::NotLooked, format!("no look at the repository went well {at}"))
        }
    }
}

fn suspended(hold: &Hold) -> String {
    format!("suspended {hold}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{source::Commit, store::SyncCause};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn sync(outcome: SyncOutcome) -> SyncRow {
        let commit = Commit {
            id: "c".to_owned(),
            tree: "t".to_owned(),
            author: "Alice <a@example.org>".to_owned(),
            subject: "s".to_owned(),
            committed_at: at(0),
        };
        SyncRow {
            id: 1,
            commit,
            started_at: at(0),
            ended_at: at(0),
            cause: SyncCause::Commit,
            signer: None,
            approved_by: None,
            outcome,
            message: "what came of it".to_owned(),
            added: 0,
            changed: 0,
            removed: 0,
            findings: 0,
        }
    }

    /// Ready, Stalled and Stale, with their reasons.
    fn conditions(
        intent: &Intent,
        latest: Option<SyncOutcome>,
        look: &LookRow,
        now: DateTime<Utc>,
    ) -> [(bool, &'static str); 3] {
        let latest = latest.map(sync);
        let standing =
            Standing { intent, latest: latest.as_ref(), look, stale_after: TimeDelta::seconds(180) };
        repository(&standing, &[], now).map(|condition| (condition.status, condition.reason.as_str()))
    }

    #[test]
    fn each_state_has_its_words() {
        let none = Intent::default();
        let hold = || Some(Hold::of("alice", "maintenance", at(0)));
        let suspended = Intent { suspended: hold(), pinned: None };
        let pinned = Intent { suspended: None, pinned: hold() };
        let well = LookRow { at: Some(at(0)), succeeded_at: Some(at(0)), error: None };
        let failed = LookRow { error: Some("no route".to_owned()), ..well.clone() };
        let applied = Some(SyncOutcome::Applied);
        let (progressing, looked) = ((false, "Progressing"), (false, "Looked"));
        for (intent, latest, look, now, expected) in [
            (&none, None, &LookRow::default(), 0, [(false, "NotYet"), progressing, (false, "NotYet")]),
            (&none, applied, &well, 180, [(true, "AsDeclared"), progressing, looked]),
            (&none, applied, &well, 181, [(true, "AsDeclared"), progressing, (true, "NotLooked")]),
            (&none, applied, &failed, 60, [(false, "LookFailed"), progressing, looked]),
            (&pinned, applied, &well, 0, [(true, "Pinned"), progressing, looked]),
            (&none, Some(SyncOutcome::Rejected), &well, 0, [(false, "Rejected"), (true, "Rejected"), looked]),
            (&none, Some(SyncOutcome::Waiting), &well, 0, [(false, "Waiting"), (true, "Waiting"), looked]),
            (
                &suspended,
                applied,
                &failed,
                9_999,
                [(false, "Suspended"), (true, "Suspended"), (false, "Suspended")],
            ),
        ] {
            assert_eq!(conditions(intent, latest, look, at(now)), expected);
        }
    }

    #[test]
    fn what_does_not_change_keeps_its_time() {
        let intent = Intent::default();
        let look = LookRow { at: Some(at(0)), succeeded_at: Some(at(0)), error: None };
        let latest = sync(SyncOutcome::Applied);
        let standing = Standing {
            intent: &intent,
            latest: Some(&latest),
            look: &look,
            stale_after: TimeDelta::seconds(180),
        };
        let first = repository(&standing, &[], at(1));
        let rows: Vec<ConditionRow> = first
            .iter()
            .map(|condition| ConditionRow {
                name: condition.kind.as_str().to_owned(),
                status: condition.status,
                reason: condition.reason.as_str().to_owned(),
                since: condition.since,
            })
            .collect();
        assert_eq!(changed(&first, &rows), Vec::<&Condition>::new());
        let later = repository(&standing, &rows, at(500));
        assert_eq!(later.clone().map(|condition| condition.since), [at(1), at(1), at(500)]);
        let changed: Vec<_> = changed(&later, &rows).into_iter().map(|condition| condition.kind).collect();
        assert_eq!(changed, [ConditionKind::Stale]);
    }
}
