//! `almanac nodes history`, `almanac jobs history` and `almanac users history`.

use almanac_proto::v1;
use almanac_schemas::Kind;

use crate::{
    args::Limit,
    call::{CallError, Caller, request},
    failure::Failure,
    output::Output,
    pages,
    view::RecordedChange,
};

/// Lists what something of a kind went through.
pub(super) async fn list(
    kind: Kind,
    name: &str,
    limit: Limit,
    caller: &Caller,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let listing = pages::collect(limit, async |page_size, page_token| {
        let (kind, name) = (kind.as_str().to_owned(), name.to_owned());
        let question = v1::ListChangesRequest { kind, name, page_size, page_token };
        let answer = caller.client().list_changes(request(question)).await?.into_inner();
        Ok((answer.changes, answer.next_page_token))
    });
    let listing = listing.await.map_err(|status| caller.explain(&status))?;
    Ok(output.list(&listing.try_map(RecordedChange::try_from).map_err(CallError::from)?)?)
}
