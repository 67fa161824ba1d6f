//! What people want of the syncs.

use tonic::Status;

use almanac_proto::v1;

use super::{
    NOW, Reconciler, at,
    known::{APPLIED, PINNED},
};

pub(super) fn now(
    reconciler: &Reconciler,
    _question: &v1::SyncNowRequest,
) -> Result<v1::SyncNowResponse, Status> {
    let sync = Some(reconciler.state.lock().unwrap().look());
    Ok(v1::SyncNowResponse { sync })
}

pub(super) fn suspend(
    _reconciler: &Reconciler,
    question: &v1::SuspendSyncRequest,
) -> Result<v1::SuspendSyncResponse, Status> {
    let v1::SuspendSyncRequest { reason, until } = question.clone();
    let suspended = Some(v1::SyncHold { reason, until, since: at(NOW), ..suspension() });
    Ok(v1::SuspendSyncResponse { suspended })
}

pub(super) fn resume(
    reconciler: &Reconciler,
    _question: &v1::ResumeSyncRequest,
) -> Result<v1::ResumeSyncResponse, Status> {
    let sync = Some(reconciler.state.lock().unwrap().look());
    Ok(v1::ResumeSyncResponse { sync })
}

pub(super) fn pin_at(
    reconciler: &Reconciler,
    question: &v1::PinSyncRequest,
) -> Result<v1::PinSyncResponse, Status> {
    let v1::PinSyncRequest { reason, until, .. } = question.clone();
    let pinned = Some(v1::SyncHold { reason, until, since: at(NOW), ..pin() });
    let sync = Some(reconciler.state.lock().unwrap().look());
    Ok(v1::PinSyncResponse { pinned, sync })
}

pub(super) fn unpin(
    reconciler: &Reconciler,
    _question: &v1::UnpinSyncRequest,
) -> Result<v1::UnpinSyncResponse, Status> {
    let sync = Some(reconciler.state.lock().unwrap().look());
    Ok(v1::UnpinSyncResponse { sync })
}

pub(super) fn approve(
    reconciler: &Reconciler,
    _question: &v1::ApproveSyncRequest,
) -> Result<v1::ApproveSyncResponse, Status> {
    let sync = Some(reconciler.state.lock().unwrap().look());
    Ok(v1::ApproveSyncResponse { sync })
}

pub(super) fn list_actions(
    reconciler: &Reconciler,
    question: &v1::ListSyncActionsRequest,
) -> Result<v1::ListSyncActionsResponse, Status> {
    let (actions, next_page_token) = reconciler.page(actions(), question.page_size, &question.page_token);
    Ok(v1::ListSyncActionsResponse { actions, next_page_token })
}

pub(super) fn suspension() -> v1::SyncHold {
    v1::SyncHold {
        actor: "alice".to_owned(),
        reason: "the dish in London is being moved to the other roof".to_owned(),
        since: at("2027-01-10T11:30:00Z"),
        until: at("2027-01-10T14:00:00Z"),
        commit: String::new(),
    }
}

pub(super) fn pin() -> v1::SyncHold {
    v1::SyncHold {
        actor: "carol".to_owned(),
        reason: "compare with last week".to_owned(),
        since: at("2027-01-10T11:20:00Z"),
        until: None,
        commit: PINNED.to_owned(),
    }
}

fn actions() -> Vec<v1::SyncAction> {
    let action = |when: &str, actor: &str, action: &str| v1::SyncAction {
        at: at(when),
        actor: actor.to_owned(),
        action: action.to_owned(),
        ..v1::SyncAction::default()
    };
    vec![
        v1::SyncAction {
            reason: suspension().reason + ", and nobody is to start anything there until it is back",
            until: suspension().until,
            ..action("2027-01-10T11:30:00Z", "alice", "suspend")
        },
        v1::SyncAction {
            commit: PINNED.to_owned(),
            reason: pin().reason,
            ..action("2027-01-10T11:20:00Z", "carol", "pin")
        },
        v1::SyncAction { commit: APPLIED.to_owned(), ..action("2027-01-09T12:00:00Z", "carol", "approve") },
    ]
}
