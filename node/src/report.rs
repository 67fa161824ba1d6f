//! Empties the outbox: reports what happened to runs, in order, until the reconciler has it.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::error;

use almanac_proto::{limits, v1};

use crate::{
    backoff::Backoff,
    journal::{Journal, JournalError, PendingEvent},
    link::Link,
    point::{Point, Points},
    runtime::chain,
};

/// What the reporter works with.
pub struct Reporter {
    /// The link to the reconciler.
    pub link: Link,
    /// Where the outbox is.
    pub journal: Journal,
    /// Says that there is something in it.
    pub work: Arc<Notify>,
    /// Wakes the uploader: files of reported runs may go.
    pub upload: Arc<Notify>,
    /// Watches what is done.
    pub points: Points,
}

/// Why a report failed.
enum ReportError {
    Journal(JournalError),
    Call(Status),
}

/// Reports until the agent stops.
pub async fn report(mut reporter: Reporter, stop: CancellationToken) {
    let mut backoff = Backoff::for_calls();
    loop {
        let round = async {
            match reporter.report_batch().await {
                Ok(true) => backoff.reset(),
                Ok(false) => reporter.work.notified().await,
                Err(failure) => {
                    match failure {
                        ReportError::Call(status) => reporter.link.complain("report", &status),
                        ReportError::Journal(failure) => {
                            error!(error = chain(&failure), "the outbox cannot be read; trying again");
                        }
                    }
                    reporter.link.back_off(&mut backoff).await;
                }
            }
        };
        tokio::select! {
            // Cancel-safe: what is not acknowledged in the journal is reported again.
            () = stop.cancelled() => return,
            () = round => {}
        }
    }
}

impl Reporter {
    /// Reports the oldest events; `false` when there are none.
    async fn report_batch(&self) -> Result<bool, ReportError> {
        let most = u32::try_from(limits::MAX_EVENTS).unwrap_or(u32::MAX);
        let pending = self.journal.pending_events(most).await.map_err(ReportError::Journal)?;
        let (ids, events): (Vec<i64>, Vec<v1::RunEvent>) =
            pending.into_iter().map(|PendingEvent { id, event }| (id, event)).unzip();
        if events.is_empty() {
            return Ok(false);
        }
        let request = v1::ReportRunsRequest { node: self.link.node.to_string(), events };
        let response =
            self.link.client().report_runs(Link::request(request)).await.map_err(ReportError::Call)?;
        let accepted = usize::try_from(response.into_inner().accepted).unwrap_or(usize::MAX).min(ids.len());
        let Some(last) = accepted.checked_sub(1).map(|last| ids[last]) else {
            return Err(ReportError::Call(Status::internal("the reconciler recorded none of the events")));
        };
        self.points.reach(Point::Reported);
        self.journal.acknowledge(last).await.map_err(ReportError::Journal)?;
        self.points.reach(Point::Acknowledged);
        self.upload.notify_one();
        Ok(true)
    }
}
