//! `almanac sync`.

use almanac_proto::{convert::FieldError, v1};

use crate::{
    args::Sync as Command,
    call::{CallError, Caller, request},
    failure::Failure,
    output::Output,
    pages,
    view::{Outcome, Sync, SyncDetail, SyncStatus},
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
            let question = v1::GetSyncRequest { id };
            let answer = client.get_sync(request(question)).await.map_err(explain)?.into_inner();
            output.one(&SyncDetail::try_from(answer).map_err(CallError::from)?)?;
        }
        Command::Now => {
            let answer = client.sync_now(request(v1::SyncNowRequest {})).await.map_err(explain)?.into_inner();
            let sync = answer.sync.ok_or_else(|| FieldError::missing("sync")).and_then(Sync::try_from);
            let sync = sync.map_err(CallError::from)?;
            output.one(&sync)?;
            if sync.outcome != Outcome::Applied {
                return Err(Failure::NotApplied);
            }
        }
    }
    Ok(())
}
