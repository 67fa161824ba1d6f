//! The server's side of a pair: tells how the server stands until its end is known, and again and again while it is
//! ready, so that a node that is gone is noticed.

use chrono::{DateTime, Utc};
use tokio::{sync::watch, time};

use almanac_proto::v1;
use almanac_schemas::RunId;

use crate::{clock, link::Link};

use super::{Loss, is_final, soon, update};

/// How the server of a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// It is ready.
    Ready,
    /// It has ended by itself, and well.
    Served,
    /// There is none, or none any more.
    Failed(Loss),
}

/// Tells what is said last. What was said last before this is dropped is still told.
#[derive(Debug)]
pub struct Answer(watch::Sender<Option<News>>);

/// How often it is said that a server is ready, in the time that this lasts.
const RENEWALS: u32 = 3;

impl Answer {
    /// Speaks for the server of a run until an instant.
    pub(super) fn begin(link: Link, run: RunId, until: DateTime<Utc>) -> Self {
        let (sender, news) = watch::channel(None);
        tokio::spawn(tell(link, run, until, news));
        Self(sender)
    }

    /// Says something in place of what was said before.
    pub fn say(&self, news: News) {
        self.0.send_replace(Some(news));
    }

    /// Whether it was said that the server is ready.
    pub fn is_ready(&self) -> bool {
        *self.0.borrow() == Some(News::Ready)
    }
}

async fn tell(link: Link, run: RunId, until: DateTime<Utc>, mut news: watch::Receiver<Option<News>>) {
    let mut backoff = soon();
    loop {
        let said = news.borrow_and_update().clone();
        let is_end = matches!(said, Some(News::Served | News::Failed(_)));
        let wait = match said.clone() {
            None => None,
            Some(news) => {
                let (news, loss) = match news {
                    News::Ready => (v1::TaskNews::Ready, Loss::default()),
                    News::Served => (v1::TaskNews::Served, Loss::default()),
                    News::Failed(loss) => (v1::TaskNews::Failed, loss),
                };
                match update(&link, run, news, loss).await {
                    Ok((_, true)) => return,
                    Ok(_) if is_end => return,
                    Ok((ttl, false)) => {
                        backoff.reset();
                        Some(ttl / RENEWALS)
                    }
                    Err(code) if is_final(code) => return,
                    Err(_) => Some(backoff.next_wait()),
                }
            }
        };
        // What was said last counts, also of somebody who is gone.
        if *news.borrow() != said {
            continue;
        }
        let is_alone = news.has_changed().is_err();
        if clock::now() > until || (is_alone && !is_end) {
            return;
        }
        // Cancel-safe: what was said is seen again, and a wait takes nothing.
        tokio::select! {
            _ = news.changed(), if !is_alone => {}
            () = time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
        }
    }
}
