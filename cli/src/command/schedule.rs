//! `almanac schedule`.

use almanac_proto::{convert, v1};

use crate::{
    args::Schedule,
    call::{CallError, Caller, request},
    failure::Failure,
    output::Output,
    pages,
    view::Occurrence,
};

pub(super) async fn run(command: Schedule, caller: &Caller, output: &mut Output<'_>) -> Result<(), Failure> {
    let now = output.look.now;
    let listing = pages::collect(command.limit, async |page_size, page_token| {
        let question = v1::ListOccurrencesRequest {
            node: super::filter(command.node.as_ref()),
            job: super::filter(command.job.as_ref()),
            user: super::filter(command.owner.name.as_ref()),
            from: Some(convert::timestamp(command.from.resolve(now))),
            to: Some(convert::timestamp(command.to.resolve(now))),
            page_size,
            page_token,
        };
        let answer = caller.client().list_occurrences(request(question)).await?.into_inner();
        Ok((answer.occurrences, answer.next_page_token))
    });
    let listing = listing.await.map_err(|status| caller.explain(&status))?;
    Ok(output.list(&listing.try_map(Occurrence::try_from).map_err(CallError::from)?)?)
}
