//! `sync --once`: one round, told to a person.

use crate::{
    clock,
    config::Settings,
    exit::Exit,
    source::Repository,
    store::{Store, SyncOutcome},
    sync::{News, Reconciler},
};
use anyhow::Context;

/// What a round came to, for a person.
#[derive(Debug)]
pub struct Told {
    /// How to end.
    pub exit: Exit,
    /// What to print.
    pub text: String,
}

/// Does one round.
///
/// # Errors
///
/// When the repository or the database cannot be used.
pub async fn sync_once(settings: &Settings) -> anyhow::Result<Told> {
    let store = Store::open(&settings.database).await?;
    let Settings { location, branch, subdir, trusted_keys, .. } = settings;
    let repository = Repository::new(location.clone(), branch, subdir, store.path());
    let mut reconciler = Reconciler::new(repository, store.clone(), trusted_keys.clone())
        .await
        .context("cannot read the database")?;
    let round = reconciler.round(clock::now()).await?;
    store.close().await;
    let commit = round.sync.commit.id.get(..12).unwrap_or(&round.sync.commit.id);
    let subject = &round.sync.commit.subject;
    let (exit, text) = match (round.news, round.sync.outcome) {
        (Some(News::Applied(plan)), _) => (Exit::Success, format!("{plan}applied {commit} ({subject})\n")),
        (Some(News::Rejected(findings)), _) => {
            (Exit::Rejected, format!("{findings}rejected {commit} ({subject}): {}\n", round.sync.message))
        }
        (None, SyncOutcome::Applied) => {
            (Exit::Success, format!("nothing changes\n{commit} ({subject}) is in force already\n"))
        }
        (None, SyncOutcome::Rejected) => (
            Exit::Rejected,
            format!("{commit} ({subject}) was rejected as sync {}: {}\n", round.sync.id, round.sync.message),
        ),
    };
    Ok(Told { exit, text })
}
