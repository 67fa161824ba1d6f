//! The client's side of a pair: a call that is held open for as long as the server is wanted.

use chrono::{DateTime, Utc};
use tokio::{sync::watch, task::JoinHandle, time};
use tonic::{Code, Request, Status};

use almanac_proto::{convert, limits, v1};
use almanac_schemas::JobName;

use crate::{
    clock,
    link::{Link, problem, settled},
    run::Order,
};

use super::{Loss, is_final, soon};

/// How the server of a client stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is wanted, and not ready. What is in the way, if anything is, for people.
    Wanted(Option<String>),
    /// It is ready, and reached there; the address is empty where nobody knows it.
    Ready(String),
    /// It has ended by itself, and well.
    Served,
    /// There is none, or none any more.
    Lost(Loss),
}

/// The lease of a server, which is over when this is dropped and some time has passed.
#[derive(Debug)]
pub struct Lease {
    standing: watch::Receiver<Standing>,
    task: JoinHandle<()>,
}

impl Lease {
    /// Wants the server of a client's run from now on.
    pub(super) fn take(link: Link, order: &Order) -> Self {
        let (sender, standing) = watch::channel(Standing::Wanted(None));
        let (job, scheduled_at) = (order.job.clone(), order.scheduled_at.0);
        Self { standing, task: tokio::spawn(hold(link, job, scheduled_at, sender)) }
    }

    /// Waits until the server is ready, and says where it is reached; or why there is none by an instant.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub async fn ready(&self, by: DateTime<Utc>) -> Result<String, Loss> {
        let mut standing = self.standing.clone();
        let decided = async {
            let decided = standing.wait_for(|standing| !matches!(standing, Standing::Wanted(_))).await;
            decided.map_or(Standing::Wanted(None), |standing| standing.clone())
        };
        // Cancel-safe: what is waited for is looked at again, and a sleep holds nothing.
        let standing = tokio::select! {
            biased;
            standing = decided => standing,
            () = clock::sleep_until(by) => self.standing.borrow().clone(),
        };
        match standing {
            Standing::Ready(address) => Ok(address),
            Standing::Served => Err("it ended before its client could start".into()),
            Standing::Lost(loss) => Err(loss),
            Standing::Wanted(None) => Err("it was not ready in time".into()),
            Standing::Wanted(Some(problem)) => Err(format!("it was not ready in time: {problem}").into()),
        }
    }

    /// Waits until the server is lost, and says why; for ever where it is not.
    pub async fn lost(&self) -> Loss {
        let mut standing = self.standing.clone();
        let lost = standing.wait_for(|standing| matches!(standing, Standing::Lost(_))).await;
        match lost.map(|standing| standing.clone()) {
            Ok(Standing::Lost(loss)) => loss,
            _ => std::future::pending().await,
        }
    }

    /// Why the server is lost, if it is.
    pub fn loss(&self) -> Option<Loss> {
        match &*self.standing.borrow() {
            Standing::Lost(loss) => Some(loss.clone()),
            _ => None,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Holds the call open until it is said that the server is lost.
async fn hold(link: Link, job: JobName, scheduled_at: DateTime<Utc>, standing: watch::Sender<Standing>) {
    let mut backoff = soon();
    loop {
        let status = match follow(&link, &job, scheduled_at, &standing).await {
            Ok(()) => return,
            Err(status) => settled(status),
        };
        if is_final(status.code()) {
            standing.send_replace(Standing::Lost(problem(&status).into()));
            return;
        }
        if status.code() != Code::Aborted {
            link.complain("the request for a server", &status);
        }
        // A pair that is up stays up while the reconciler is away.
        standing.send_if_modified(|known| {
            let waits = matches!(known, Standing::Wanted(_));
            if waits {
                *known = Standing::Wanted(Some(problem(&status)));
            }
            waits
        });
        time::sleep(backoff.next_wait()).await;
    }
}

async fn follow(
    link: &Link,
    job: &JobName,
    scheduled_at: DateTime<Utc>,
    standing: &watch::Sender<Standing>,
) -> Result<(), Status> {
    let request = v1::RequestServerRequest {
        node: link.node.to_string(),
        job: job.to_string(),
        scheduled_at: Some(convert::timestamp(scheduled_at)),
    };
    let mut client = link.client();
    let call = time::timeout(limits::CALL_DEADLINE, client.request_server(Request::new(request)));
    let late = |_| Status::deadline_exceeded("the reconciler does not answer");
    let mut stream = call.await.map_err(late)??.into_inner();
    while let Some(message) = stream.message().await? {
        let Some(task) = message.task else { continue };
        let now = read(task);
        let is_lost = matches!(now, Standing::Lost(_));
        standing.send_replace(now);
        if is_lost {
            return Ok(());
        }
    }
    Err(Status::unavailable("the reconciler ended the call"))
}

fn read(task: v1::Task) -> Standing {
    match task.state() {
        v1::TaskState::Unspecified | v1::TaskState::Requested => Standing::Wanted(None),
        v1::TaskState::Ready => Standing::Ready(task.address),
        v1::TaskState::Served => Standing::Served,
        v1::TaskState::Released => Standing::Lost("it was released".into()),
        v1::TaskState::Failed | v1::TaskState::Abandoned => {
            let made_room = task.reason() == v1::Reason::Scavenger;
            Standing::Lost(Loss { why: task.message, made_room })
        }
    }
}
