//! What one does that does not lead: it takes over what the leader did, and passes questions on to it.

use std::time::Duration;

use super::{
    Answer, Follow, Looked,
    asking::{self, Waiting},
    round::within,
};
use crate::{
    causes::chain,
    clock,
    store::{LookRow, StoreError},
};

/// How often one that does not lead looks for the answer that somebody waits for, should it not hear of it.
pub(super) const ANSWER: Duration = Duration::from_secs(1);

/// How long a caller waits at most for another reconciler to look.
const LEADER: Duration = Duration::from_secs(20);

impl Follow {
    /// Puts the question of those who wait here to the leader.
    pub(super) async fn ask_leader(&self, waiting: &mut Vec<Waiting>) {
        match within(&self.store, self.store.ask()).await {
            Ok(question) => {
                for asking in waiting.iter_mut().filter(|asking| asking.question.is_none()) {
                    asking.question = Some(question);
                }
            }
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(error, "cannot ask the leader to look");
                for asking in waiting.extract_if(.., |asking| asking.question.is_none()) {
                    asking::tell(asking.answer, Err(error.clone()));
                }
            }
        }
    }

    /// Answers those whom the leader's look answers, and those who waited too long.
    pub(super) async fn answer(&self, waiting: &mut Vec<Waiting>) {
        if waiting.is_empty() {
            return;
        }
        let look = self.status.borrow().clone();
        let answered = |asking: &Waiting| asking.question.is_some_and(|question| question <= look.answers);
        let late = |asking: &Waiting| asking.since.elapsed() > LEADER;
        let said = match within(&self.store, self.said(&look)).await {
            Ok(said) => said,
            Err(error) => Some(Err(chain(&error))),
        };
        for asking in std::mem::take(waiting) {
            if let Some(said) = said.as_ref().filter(|_| answered(&asking)) {
                asking::tell(asking.answer, said.clone());
            } else if late(&asking) {
                let none = "no reconciler looked at the repository in time; does one lead?";
                asking::tell(asking.answer, Err(none.to_owned()));
            } else {
                waiting.push(asking);
            }
        }
    }

    /// What came of the leader's look.
    async fn said(&self, look: &LookRow) -> Result<Option<Answer>, StoreError> {
        if let Some(hold) = self.store.intent().await?.at(clock::now()).suspended {
            return Ok(Some(Ok(Looked::Suspended(hold))));
        }
        if let Some(error) = &look.error {
            return Ok(Some(Err(error.clone())));
        }
        Ok(self.store.latest_commit_sync().await?.map(|sync| Ok(Looked::Sync(Box::new(sync)))))
    }

    /// Takes over what another reconciler did.
    pub(super) async fn refresh(&mut self) {
        let look = async {
            self.reconciler.refresh().await?;
            self.store.look().await
        };
        match within(&self.store, look).await {
            Ok(look) => _ = self.status.send_replace(look),
            Err(error) => tracing::warn!(error = chain(&error), "cannot see what the leader did"),
        }
    }
}
