//! `almanac jobs`.

use almanac_proto::{convert::FieldError, v1};
use almanac_schemas::Kind;

use crate::{
    args::Jobs,
    call::{CallError, Caller, request},
    failure::Failure,
    output::Output,
    pages,
    view::Job,
};

pub(super) async fn run(command: Jobs, caller: &Caller, output: &mut Output<'_>) -> Result<(), Failure> {
    let explain = |status| caller.explain(&status);
    match command {
        Jobs::List { node, owner, deleted, limit } => {
            let listing = pages::collect(limit, async |page_size, page_token| {
                let question = v1::ListJobsRequest {
                    page_size,
                    page_token,
                    node: super::filter(node.as_ref()),
                    user: super::filter(owner.name.as_ref()),
                    deleted,
                };
                let answer = caller.client().list_jobs(request(question)).await?.into_inner();
                Ok((answer.jobs, answer.next_page_token))
            });
            let listing = listing.await.map_err(explain)?;
            output.list(&listing.try_map(Job::try_from).map_err(CallError::from)?)?;
        }
        Jobs::Show { name } => {
            let question = v1::GetJobRequest { name: name.to_string() };
            let answer = caller.client().get_job(request(question)).await.map_err(explain)?.into_inner();
            let job = answer.job.ok_or_else(|| FieldError::missing("job")).and_then(Job::try_from);
            output.one(&job.map_err(CallError::from)?)?;
        }
        Jobs::History { name, limit } => {
            super::history::list(Kind::Job, name.as_str(), limit, caller, output).await?;
        }
    }
    Ok(())
}
