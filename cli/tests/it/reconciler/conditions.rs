//! How nodes, jobs and syncs are.

use almanac_proto::v1;

use super::at;

/// `Ready`, `Stalled` and `Stale`, each with its status, reason and message.
pub(super) fn conditions(told: [(bool, &str, &str); 3]) -> Vec<v1::Condition> {
    ["Ready", "Stalled", "Stale"]
        .into_iter()
        .zip(told)
        .map(|(name, (status, reason, message))| v1::Condition {
            r#type: name.to_owned(),
            status,
            reason: reason.to_owned(),
            message: message.to_owned(),
            since: at("2027-01-10T11:30:00Z"),
        })
        .collect()
}

/// Those of a node: with `ClockSkewed`.
pub(super) fn with_clock(
    mut conditions: Vec<v1::Condition>,
    status: bool,
    reason: &str,
    message: &str,
) -> Vec<v1::Condition> {
    conditions.push(v1::Condition {
        r#type: "ClockSkewed".to_owned(),
        status,
        reason: reason.to_owned(),
        message: message.to_owned(),
        since: at("2027-01-10T11:30:00Z"),
    });
    conditions
}

pub(super) const WELL: [(bool, &str, &str); 3] =
    [(true, "AsDeclared", ""), (false, "Progressing", ""), (false, "Heard", "")];
