//! Pairs of a client and a server on two nodes.
//!
//! The client's agent wants the server with a call that it holds open, its [`lease`]. The server's agent hears of that as
//! a task in its stream of desired states: [`pairs`] is what it heard, and [`plan`] decides what becomes of it. Its
//! part is a run like any other, with the role of a server; [`ready`] looks whether it is ready, and [`answer`] tells.

pub mod answer;
pub mod lease;
pub mod loss;
pub mod pairs;
pub mod plan;
pub mod ready;

use std::time::Duration;

use almanac_schemas::RunId;
use tokio::time;
use tonic::Code;

use almanac_proto::v1;

use crate::{backoff::Backoff, clock, link::Link, run::Order};

pub use answer::{Answer, News};
pub use lease::{Lease, Standing};
pub use loss::Loss;
pub use pairs::Pairs;

/// Speaks for both sides of pairs to the reconciler. Clones share its link.
#[derive(Debug, Clone)]
pub struct Servers(Link);

impl Servers {
    /// Over a link.
    pub const fn new(link: Link) -> Self {
        Self(link)
    }

    /// Wants the server of a client's run for as long as the lease is held.
    pub fn lease(&self, order: &Order) -> Lease {
        Lease::take(self.0.clone(), order)
    }

    /// Speaks for the server of a run.
    pub fn answer(&self, order: &Order) -> Answer {
        Answer::begin(self.0.clone(), order.key().id, order.end())
    }

    /// Says that there is no server for a run.
    pub fn refuse(&self, run: RunId, until: chrono::DateTime<chrono::Utc>, loss: Loss) {
        Answer::begin(self.0.clone(), run, until).say(News::Failed(loss));
    }

    /// Says that a client needs its server no more. Who cannot be told finds that the lease is over.
    pub fn release(&self, order: &Order) {
        let (link, run, until) = (self.0.clone(), order.key().id, order.end());
        tokio::spawn(async move {
            let mut backoff = soon();
            while let Err(code) = update(&link, run, v1::TaskNews::Released, Loss::default()).await {
                if is_final(code) || clock::now() > until {
                    return;
                }
                time::sleep(backoff.next_wait()).await;
            }
        });
    }
}

/// Between tries of what somebody waits for: a client has its node for itself meanwhile.
const fn soon() -> Backoff {
    Backoff::new(Duration::from_millis(50), Duration::from_secs(2))
}

/// Whether a call is refused for good.
const fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::NotFound
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::InvalidArgument
            | Code::Unimplemented
    )
}

/// Tells the reconciler news of a task. Answers how long they last, and whether the task is over.
async fn update(
    link: &Link,
    run: RunId,
    news: v1::TaskNews,
    Loss { why, made_room }: Loss,
) -> Result<(Duration, bool), Code> {
    let request = v1::UpdateTaskRequest {
        node: link.node.to_string(),
        run_id: run.to_string(),
        news: news.into(),
        message: why,
        reason: if made_room { v1::Reason::Scavenger } else { v1::Reason::Unspecified }.into(),
    };
    let answer = link.client().update_task(Link::request(request)).await.map_err(|status| {
        link.complain("news of a server", &status);
        status.code()
    })?;
    let v1::UpdateTaskResponse { task, ttl } = answer.into_inner();
    let ttl = ttl.and_then(|ttl| Duration::try_from(ttl).ok()).unwrap_or(DEFAULT_TTL);
    let is_over = task.is_some_and(|task| {
        use v1::TaskState::{Abandoned, Failed, Released};
        matches!(task.state(), Released | Failed | Abandoned)
    });
    Ok((ttl, is_over))
}

/// How long news last where the reconciler does not say.
const DEFAULT_TTL: Duration = Duration::from_secs(10);
