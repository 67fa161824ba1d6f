//! `sync --once`: one round, told to a person.

use crate::{
    clock,
    config::Settings,
    data::Data,
    exit::Exit,
    source::Repository,
    store::{FindingRow, Store, SyncOutcome, SyncRow},
    sync::{News, Reconciler, Round},
};
use anyhow::Context;
use tokio_util::sync::CancellationToken;

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
    let Settings { location, branch, subdir, .. } = settings;
    let data = Data::of(store.engine(), settings.data_dir.as_deref())?;
    let repository = Repository::new(location.clone(), branch, subdir, data.mirror())
        .reached_by(settings.access.clone(), CancellationToken::new());
    let reconciler = Reconciler::new(repository, store.clone()).await.context("cannot read the database")?;
    let mut reconciler = reconciler.with_trusted(settings.trusted_keys.clone());
    let round = reconciler.round(clock::now()).await?;
    let findings = match &round {
        Round::Unchanged(sync) => store.findings(sync.id).await.context("cannot read the database")?,
        Round::Recorded(..) | Round::Suspended(_) => Vec::new(),
    };
    store.close().await;
    let (sync, news) = match round {
        Round::Recorded(sync, news) => (sync, Some(news)),
        Round::Unchanged(sync) => (sync, None),
        Round::Suspended(hold) => {
            return Ok(Told {
                exit: Exit::Rejected,
                text: format!("nothing was looked at: suspended {hold}\n"),
            });
        }
    };
    let commit = sync.commit.id.get(..12).unwrap_or(&sync.commit.id);
    let SyncRow { id, message, .. } = &sync;
    let subject = &sync.commit.subject;
    let (exit, text) = match (news, sync.outcome) {
        (Some(News::Applied(plan)), _) => (Exit::Success, format!("{plan}applied {commit} ({subject})\n")),
        (Some(News::Rejected(findings)), _) => {
            (Exit::Rejected, format!("{findings}rejected {commit} ({subject}): {message}\n"))
        }
        (Some(News::Waiting(plan)), _) => {
            (Exit::Rejected, format!("{plan}waiting {commit} ({subject}): {message}\n"))
        }
        (None, SyncOutcome::Applied) => {
            (Exit::Success, format!("nothing changes\n{commit} ({subject}) is in force already\n"))
        }
        (None, SyncOutcome::Rejected) => {
            let findings = findings.iter().map(FindingRow::to_string).collect::<String>();
            (Exit::Rejected, format!("{findings}{commit} ({subject}) was rejected as sync {id}: {message}\n"))
        }
        (None, SyncOutcome::Waiting) => {
            (Exit::Rejected, format!("{commit} ({subject}) waits since sync {id}: {message}\n"))
        }
    };
    Ok(Told { exit, text })
}
