//! The runs that a filter lets through, page by page: a testbed has millions, and no more than a page or two is in memory.

use almanac_proto::{convert, v1};
use chrono::{DateTime, Utc};

use crate::{
    args::{Limit, RunFilter},
    call::{CallError, Caller, request},
    pages::LARGEST_PAGE,
    view::Part,
};

/// Where one is in a list of runs with their details, the latest first.
pub(super) struct RunPages<'a> {
    caller: &'a Caller,
    question: v1::ListRunsRequest,
    limit: Limit,
    found: usize,
    over: bool,
    /// Whether there are more than the limit lets through.
    pub(super) more: bool,
}

/// What asks for the runs that a filter lets through.
pub(super) fn question(filter: &RunFilter, now: DateTime<Utc>) -> v1::ListRunsRequest {
    v1::ListRunsRequest {
        node: super::filter(filter.node.as_ref()),
        job: super::filter(filter.job.as_ref()),
        user: super::filter(filter.owner.name.as_ref()),
        phases: filter.phases.iter().map(|phase| v1::Phase::from(*phase).into()).collect(),
        since: filter.since.map(|time| convert::timestamp(time.resolve(now))),
        until: filter.until.map(|time| convert::timestamp(time.resolve(now))),
        ..v1::ListRunsRequest::default()
    }
}

impl<'a> RunPages<'a> {
    /// Begins at the latest.
    pub(super) fn new(caller: &'a Caller, filter: &RunFilter, limit: Limit, now: DateTime<Utc>) -> Self {
        let question = v1::ListRunsRequest { details: true, ..question(filter, now) };
        Self { caller, question, limit, found: 0, over: false, more: false }
    }

    /// The next page; nothing at the end.
    ///
    /// # Errors
    ///
    /// What the reconciler answers instead.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Part>>, CallError> {
        // A page may be empty though others follow it.
        while !self.over {
            let page = self.ask().await?;
            if !page.is_empty() {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }

    async fn ask(&mut self) -> Result<Vec<Part>, CallError> {
        let size = self.limit.left(self.found).unwrap_or(LARGEST_PAGE).min(LARGEST_PAGE);
        self.question.page_size = i32::try_from(size).unwrap_or(i32::MAX);
        let question = &self.question;
        let asking =
            self.caller.patiently(async |mut client| client.list_runs(request(question.clone())).await);
        let v1::ListRunsResponse { mut runs, next_page_token: next } = asking.await?;
        // A token that does not move would be followed for ever.
        let end = next.is_empty() || next == self.question.page_token;
        if let Some(left) = self.limit.left(self.found) {
            self.more = runs.len() > left || runs.len() == left && !end;
            self.over = runs.len() >= left;
            runs.truncate(left);
        }
        self.over |= end;
        self.found += runs.len();
        self.question.page_token = next;
        Ok(runs.into_iter().map(Part::try_from).collect::<Result<_, _>>()?)
    }
}
