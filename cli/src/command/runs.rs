//! `almanac runs`.

use std::time;

use chrono::{DateTime, Utc};

use crate::{
    args::{Limit, RunFilter, Runs},
    call::{CallError, Caller, request},
    failure::Failure,
    invocation::World,
    output::{Listing, Output},
    pages,
    view::{Part, Run, RunDetail},
};
use almanac_proto::{convert::FieldError, v1};

use super::run_pages;

pub(super) async fn run(
    command: Runs,
    caller: &Caller,
    world: &World,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    match command {
        Runs::List { filter, limit } => {
            let listing = list(&filter, limit, caller, output.look.now).await?;
            output.list(&listing)?;
        }
        Runs::Show { id } => output.one(&get(&id, caller).await?)?,
        Runs::Cancel { id, reason, no_wait } => cancel(id, reason, no_wait, caller, output).await?,
        Runs::Logs(wanted) => super::logs::run(wanted, caller, output).await?,
        Runs::Keep { id, reason } => {
            let answer = caller.client().keep_run(request(v1::KeepRunRequest { id, reason })).await;
            let run = answer.map_err(|status| caller.explain(&status))?.into_inner().run;
            output.one(&detail(run)?)?;
        }
        Runs::Unkeep { id } => {
            let answer = caller.client().unkeep_run(request(v1::UnkeepRunRequest { id })).await;
            let run = answer.map_err(|status| caller.explain(&status))?.into_inner().run;
            output.one(&detail(run)?)?;
        }
        Runs::Export(wanted) => super::export::run(&wanted, caller, output).await?,
        Runs::Download(wanted) => super::download::run(&wanted, caller, world, output).await?,
    }
    Ok(())
}

/// The runs that a filter lets through.
async fn list(
    filter: &RunFilter,
    limit: Limit,
    caller: &Caller,
    now: DateTime<Utc>,
) -> Result<Listing<Run>, CallError> {
    let question = run_pages::question(filter, now);
    let listing = pages::collect(limit, async |page_size, page_token| {
        let question = v1::ListRunsRequest { page_size, page_token, ..question.clone() };
        let answer = caller.client().list_runs(request(question)).await?.into_inner();
        Ok((answer.runs, answer.next_page_token))
    });
    let listing = listing.await.map_err(|status| caller.explain(&status))?;
    Ok(listing.try_map(Run::try_from)?)
}

/// A run by its id or the beginning of it, in each of its roles.
pub(super) async fn parts(id: &str, caller: &Caller) -> Result<Vec<Part>, CallError> {
    let question = v1::GetRunRequest { id: id.to_owned() };
    let asking = caller.patiently(async |mut client| client.get_run(request(question.clone())).await);
    Ok(asking.await?.parts.into_iter().map(Part::try_from).collect::<Result<_, _>>()?)
}

/// A run by its id or the beginning of it.
pub(super) async fn get(id: &str, caller: &Caller) -> Result<RunDetail, CallError> {
    let question = v1::GetRunRequest { id: id.to_owned() };
    let answer = caller.client().get_run(request(question)).await;
    Ok(answer.map_err(|status| caller.explain(&status))?.into_inner().try_into()?)
}

fn detail(run: Option<v1::GetRunResponse>) -> Result<RunDetail, CallError> {
    Ok(run.ok_or_else(|| FieldError::missing("run"))?.try_into()?)
}

/// How long a run may take to end: its container has 10 s, and is packed then.
const END: time::Duration = time::Duration::from_secs(20);

/// How often it is looked whether a run has ended.
const LOOK: time::Duration = time::Duration::from_millis(200);

async fn cancel(
    id: String,
    reason: String,
    no_wait: bool,
    caller: &Caller,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let answer = caller.client().cancel_run(request(v1::CancelRunRequest { id, reason })).await;
    let answer = answer.map_err(|status| caller.explain(&status))?.into_inner();
    let run = answer.run.ok_or_else(|| FieldError::missing("run")).map_err(CallError::from)?;
    if !answer.connected {
        output.note(&format!(
            "the agent of `{}` is not heard of: the run ends when it hears of this, if it goes on then",
            run.node
        ));
    }
    let begun = time::Instant::now();
    loop {
        let detail = get(&run.id, caller).await?;
        let over =
            detail.side.run.phase.is_terminal() || no_wait || !answer.connected || begun.elapsed() > END;
        if over {
            return Ok(output.one(&detail)?);
        }
        tokio::time::sleep(LOOK).await;
    }
}
