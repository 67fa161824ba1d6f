//! `almanac sync`.

use almanac_proto::{
    convert::{FieldError, timestamp},
    v1,
};
use almanac_schemas::Duration;
use chrono::{DateTime, Utc};
use prost_types::Timestamp;

use crate::{
    args::Sync as Command,
    call::{CallError, Caller, request},
    failure::Failure,
    output::{Format, Output},
    pages,
    view::{Change, Finding, Hold, Outcome, Pinned, Sync, SyncAction, SyncDetail, SyncStatus},
};

pub(super) async fn run(command: Command, caller: &Caller, output: &mut Output<'_>) -> Result<(), Failure> {
    let explain = |status| caller.explain(&status);
    let mut client = caller.client();
    match command {
        Command::Status => {
            let question = v1::GetSyncStatusRequest {};
            let answer = client.get_sync_status(request(question)).await.map_err(explain)?.into_inner();
            output.one(&SyncStatus::try_from(answer).map_err(CallError::from)?)?;
        }
        Command::List { limit } => {
            let listing = pages::collect(limit, async |page_size, page_token| {
                let question = v1::ListSyncsRequest { page_size, page_token };
                let answer = caller.client().list_syncs(request(question)).await?.into_inner();
                Ok((answer.syncs, answer.next_page_token))
            });
            let listing = listing.await.map_err(explain)?;
            output.list(&listing.try_map(Sync::try_from).map_err(CallError::from)?)?;
        }
        Command::Show { id } => {
            show(id, caller, output).await?;
        }
        Command::Now => {
            let answer = client.sync_now(request(v1::SyncNowRequest {})).await.map_err(explain)?;
            outcome(answer.into_inner().sync, output)?;
        }
        Command::Approve { commit } => {
            let question = v1::ApproveSyncRequest { commit };
            let answer = client.approve_sync(request(question)).await.map_err(explain)?;
            outcome(answer.into_inner().sync, output)?;
        }
        Command::Suspend { wish } => {
            let until = until(wish.length, output.look.now);
            let question = v1::SuspendSyncRequest { reason: wish.reason, until };
            let answer = client.suspend_sync(request(question)).await.map_err(explain)?.into_inner();
            let hold = answer.suspended.ok_or_else(|| FieldError::missing("suspended"));
            output.one(&hold.and_then(Hold::try_from).map_err(CallError::from)?)?;
        }
        Command::Resume => {
            let answer = client.resume_sync(request(v1::ResumeSyncRequest {})).await.map_err(explain)?;
            outcome(answer.into_inner().sync, output)?;
        }
        Command::Pin { commit, wish } => {
            let until = until(wish.length, output.look.now);
            let question = v1::PinSyncRequest { commit, reason: wish.reason, until };
            let answer = client.pin_sync(request(question)).await.map_err(explain)?.into_inner();
            let pinned = Pinned::try_from(answer).map_err(CallError::from)?;
            output.one(&pinned)?;
            in_force(pinned.sync.outcome)?;
        }
        Command::Unpin => {
            let answer = client.unpin_sync(request(v1::UnpinSyncRequest {})).await.map_err(explain)?;
            outcome(answer.into_inner().sync, output)?;
        }
        Command::Actions { limit } => {
            let listing = pages::collect(limit, async |page_size, page_token| {
                let question = v1::ListSyncActionsRequest { page_size, page_token };
                let answer = caller.client().list_sync_actions(request(question)).await?.into_inner();
                Ok((answer.actions, answer.next_page_token))
            });
            let listing = listing.await.map_err(explain)?;
            output.list(&listing.try_map(SyncAction::try_from).map_err(CallError::from)?)?;
        }
    }
    Ok(())
}

/// Shows a sync with all that it found and changed. A first sync may have changed more than is good to have in
/// memory, so people see each page as it comes; only the forms for programs are one whole.
async fn show(id: String, caller: &Caller, output: &mut Output<'_>) -> Result<(), Failure> {
    let explain = |status| caller.explain(&status);
    let mut client = caller.client();
    let answer = client.get_sync(request(v1::GetSyncRequest { id })).await.map_err(explain)?.into_inner();
    let sync = answer.sync.ok_or_else(|| FieldError::missing("sync")).and_then(Sync::try_from);
    let sync = sync.map_err(CallError::from)?;
    let sync_id = sync.id;
    let people = output.format == Format::Table;
    if people {
        output.one(&sync)?;
    }
    let mut whole = SyncDetail { sync, findings: Vec::new(), changes: Vec::new() };
    pages::each(async |page_size, page_token| {
        let question = v1::ListSyncFindingsRequest { sync_id, page_size, page_token };
        let answer =
            caller.client().list_sync_findings(request(question)).await.map_err(explain)?.into_inner();
        let findings = answer.findings.into_iter().map(Finding::from);
        if people {
            findings.into_iter().try_for_each(|finding| write!(output.out, "\n{}", finding.text()))?;
        } else {
            whole.findings.extend(findings);
        }
        Ok::<_, Failure>(answer.next_page_token)
    })
    .await?;
    let mut heading = Some(whole.sync.heading());
    pages::each(async |page_size, page_token| {
        let question = v1::ListSyncChangesRequest { sync_id, page_size, page_token };
        let answer =
            caller.client().list_sync_changes(request(question)).await.map_err(explain)?.into_inner();
        for change in answer.changes {
            let change = Change::try_from(change).map_err(CallError::from)?;
            if people {
                let heading = heading.take().map(|heading| format!("\n{heading}:\n")).unwrap_or_default();
                write!(output.out, "{heading}{}", change.text(output.look.style.width))?;
            } else {
                whole.changes.push(change);
            }
        }
        Ok::<_, Failure>(answer.next_page_token)
    })
    .await?;
    if people { Ok(()) } else { Ok(output.structured(&whole)?) }
}

/// Shows what came of a look at the repository.
fn outcome(sync: Option<v1::Sync>, output: &mut Output<'_>) -> Result<(), Failure> {
    let sync = sync.ok_or_else(|| FieldError::missing("sync")).and_then(Sync::try_from);
    let sync = sync.map_err(CallError::from)?;
    output.one(&sync)?;
    in_force(sync.outcome)
}

/// The answer is no unless the commit is in force.
fn in_force(outcome: Outcome) -> Result<(), Failure> {
    if outcome == Outcome::Applied { Ok(()) } else { Err(Failure::NotApplied(outcome)) }
}

fn until(length: Option<Duration>, now: DateTime<Utc>) -> Option<Timestamp> {
    length.map(|length| timestamp(now + length.to_delta()))
}
