//! What commits changed.

use tonic::Status;

use almanac_proto::v1;

use super::{Reconciler, syncs::syncs};

pub(super) fn of_name(
    reconciler: &Reconciler,
    question: &v1::ListChangesRequest,
) -> Result<v1::ListChangesResponse, Status> {
    let kind = question.kind.to_lowercase();
    if question.name == "nothing" {
        return Err(Status::not_found(format!(
            "no commit that was put in force ever declared a {kind} `nothing`"
        )));
    }
    let sync = syncs().remove(1);
    let change = |change| v1::RecordedChange { sync: Some(sync.clone()), change: Some(change) };
    let all = if kind == "user" { changes_of_a_user() } else { changes() };
    let (changes, next_page_token) = reconciler.page(all, question.page_size, &question.page_token);
    let changes = changes.into_iter().map(change).collect();
    Ok(v1::ListChangesResponse { changes, next_page_token })
}

pub(super) fn of_sync(
    reconciler: &Reconciler,
    question: &v1::ListSyncChangesRequest,
) -> Result<v1::ListSyncChangesResponse, Status> {
    let all = match question.sync_id {
        10 => removal(),
        11 => changes(),
        _ => vec![],
    };
    let (changes, next_page_token) = reconciler.page(all, question.page_size, &question.page_token);
    Ok(v1::ListSyncChangesResponse { changes, next_page_token })
}

fn change(name: &str, action: v1::ChangeAction, before: &str, after: &str) -> v1::Change {
    v1::Change {
        kind: "Job".to_owned(),
        name: name.to_owned(),
        action: action.into(),
        before: before.to_owned(),
        after: after.to_owned(),
    }
}

fn changes_of_a_user() -> Vec<v1::Change> {
    let spec = |role: &str, key: &str| {
        format!(r#"{{"spec":{{"role":"{role}","team":"surrey","keys":["ssh-ed25519 {key} alice@laptop"]}}}}"#)
    };
    let of_a_user = |action, before: &str, after: &str| v1::Change {
        kind: "User".to_owned(),
        ..change("alice", action, before, after)
    };
    vec![
        of_a_user(v1::ChangeAction::Changed, &spec("user", "AAAA"), &spec("privileged", "BBBB")),
        of_a_user(v1::ChangeAction::Added, "", &spec("user", "AAAA")),
    ]
}

/// What a commit that waits would change.
fn removal() -> Vec<v1::Change> {
    let spec = |cron: &str| format!(r#"{{"spec":{{"owner":"alice","schedule":{{"cron":"{cron}"}}}}}}"#);
    let removed =
        |number: u32| change(&format!("job-{number:02}"), v1::ChangeAction::Removed, &spec("0 * * * *"), "");
    let mut changes: Vec<_> = (1..=11).map(removed).collect();
    changes.push(change("job-12", v1::ChangeAction::Changed, &spec("0 * * * *"), &spec("5 * * * *")));
    changes
}

fn changes() -> Vec<v1::Change> {
    let old = r#"{"spec":{"owner":"alice","schedule":{"cron":"0 * * * *"},"container":{"image":"registry.example.org/probes/ping@sha256:0123456789"}}}"#;
    let new = r#"{"spec":{"owner":"alice","schedule":{"cron":"5 * * * *"},"exclusive":false,"container":{"image":"registry.example.org/probes/ping@sha256:abcdef"}}}"#;
    vec![
        change("congestion-control-bbr", v1::ChangeAction::Added, "", new),
        change("ping-london", v1::ChangeAction::Changed, old, new),
        change("once", v1::ChangeAction::Removed, old, ""),
    ]
}
