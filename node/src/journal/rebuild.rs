//! A journal that is lost is set aside and built anew from the notes beside it, and one that knows less than they do
//! learns it from them.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{Sqlite, SqlitePool, Transaction};
use tracing::warn;

use crate::run::{Order, RunKey, State};

use super::{
    Journal, JournalError, UploadFile, from_micros, instructions,
    notes::{Note, NotedFile, Notes},
    runs::encode_state,
    to_micros, uploads,
};

/// When a journal was lost, and why. No occurrence up to then is started that is not known to have been about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// When it was built anew.
    pub at: DateTime<Utc>,
    /// What was wrong with the old one.
    pub why: String,
    /// The file in which the old one is kept, if there was one.
    pub kept: Option<PathBuf>,
}

/// How many lost journals are kept.
const KEPT: usize = 3;

/// What a lost journal is called, before the instant.
const CORRUPT: &str = "corrupt-";

/// Builds a journal out of notes in the place of a lost one, which is set aside.
///
/// # Errors
///
/// When the folder cannot be written. Done again, it ends what it began.
pub(super) async fn rebuild(
    path: &Path,
    notes: &Notes,
    why: &str,
    now: DateTime<Utc>,
) -> Result<(), JournalError> {
    let kept = path.exists().then(|| beside(path, &format!("{CORRUPT}{}", now.format("%Y%m%dT%H%M%S%.6fZ"))));
    // Whole before it takes its place: a journal that is half built would forget what goes on.
    let unfinished = beside(path, "new");
    for part in parts(&unfinished) {
        remove(&part)?;
    }
    let pool = super::connect(&unfinished).await?;
    super::migrate(&pool).await?;
    fill(&pool, notes, why, kept.as_deref(), now).await?;
    pool.close().await;
    let moved = || -> io::Result<()> {
        if let Some(kept) = &kept {
            for (part, kept) in parts(path).into_iter().zip(parts(kept)) {
                match fs::rename(part, kept) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        } else {
            // What a journal leaves that is gone itself would be taken for the new one's.
            for part in &parts(path)[1..] {
                remove_file(part)?;
            }
        }
        fs::rename(&unfinished, path)?;
        File::open(path.parent().unwrap_or(path))?.sync_all()
    };
    moved().map_err(|error| JournalError::Note(path.to_owned(), error))?;
    keep_few(path);
    Ok(())
}

async fn fill(
    pool: &SqlitePool,
    notes: &Notes,
    why: &str,
    kept: Option<&Path>,
    now: DateTime<Utc>,
) -> Result<(), JournalError> {
    let mut transaction = pool.begin().await?;
    sqlx::query("INSERT INTO rebuilt (id, at, why, kept) VALUES (1, $1, $2, $3)")
        .bind(to_micros(now))
        .bind(why)
        .bind(kept.map(|path| path.display().to_string()).unwrap_or_default())
        .execute(&mut *transaction)
        .await?;
    for (job, settled) in notes.accounts()?.unwrap_or_default() {
        sqlx::query("INSERT INTO accounts (job, settled) VALUES ($1, $2)")
            .bind(job.as_str())
            .bind(to_micros(settled))
            .execute(&mut *transaction)
            .await?;
    }
    if let Some((snapshot, at)) = notes.snapshot()? {
        super::snapshots::store(&mut transaction, &snapshot, at).await?;
    }
    for place in instructions::PLACES {
        // What cannot be read was never said: the reconciler says it again, and on the host it is to be said again.
        if let Some(said) = notes.said(place)?.filter(|said| serde_json::from_str::<Value>(said).is_ok()) {
            instructions::write(&mut transaction, place, &said).await?;
        }
    }
    for changed in notes.changed()? {
        super::kernel::write(&mut transaction, &changed).await?;
    }
    for (key, note) in notes.runs()? {
        warn!(run = %key, "a run is taken over from its note, since the journal is lost");
        restore(&mut transaction, notes, &key, &note, 0, Some(now)).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Writes what a note says of a run, and what is to be reported of it after an event.
async fn restore(
    transaction: &mut Transaction<'_, Sqlite>,
    notes: &Notes,
    key: &RunKey,
    note: &Note,
    after: i64,
    rebuilt_at: Option<DateTime<Utc>>,
) -> Result<(), JournalError> {
    let read = || {
        Ok::<_, serde_json::Error>((serde_json::from_str(&note.order)?, serde_json::from_str(&note.state)?))
    };
    let (order, state): (Order, State) = match read() {
        Ok(read) => read,
        Err(error) => {
            warn!(run = %key, %error, "the note of a run cannot be read, and says nothing");
            return Ok(());
        }
    };
    let (stage, encoded) = encode_state(key, &state)?;
    sqlx::query(
        "INSERT INTO runs (run, role, job, scheduled_at, commit_hash, ordered, stage, state, image_digest, sequence,
                           updated_at, rebuilt_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $4, $11)
         ON CONFLICT (run, role) DO UPDATE SET ordered = excluded.ordered, stage = excluded.stage,
             state = excluded.state, image_digest = excluded.image_digest, sequence = excluded.sequence",
    )
    .bind(key.id.to_string())
    .bind(key.role.as_str())
    .bind(order.job.as_str())
    .bind(to_micros(order.scheduled_at.0))
    .bind(&order.commit)
    .bind((!state.is_finished()).then_some(&note.order))
    .bind(stage)
    .bind(encoded)
    .bind(&note.image_digest)
    .bind(note.sequence())
    .bind(rebuilt_at.map(to_micros))
    .execute(&mut **transaction)
    .await?;
    for event in note.events.iter().filter(|event| event.sequence.cast_signed() > after) {
        super::runs::queue(transaction, key, event).await?;
    }
    if matches!(state, State::Delivering { .. }) {
        // A file is removed when the reconciler has it.
        let outbox = notes.outbox(key);
        for file in note.files.iter().filter(|file| outbox.join(&file.name).exists()) {
            if let Some(file) = read_file(file) {
                uploads::add(transaction, key, &file).await?;
            }
        }
    }
    Ok(())
}

fn read_file(NotedFile { name, size, sha256 }: &NotedFile) -> Option<UploadFile> {
    Some(UploadFile { name: name.clone(), size: *size, sha256: sha256.as_slice().try_into().ok()? })
}

impl Journal {
    /// When the journal was built anew, if it ever was.
    pub const fn rebuilt(&self) -> Option<&Rebuilt> {
        self.rebuilt.as_ref()
    }

    pub(super) async fn read_rebuilt(pool: &SqlitePool) -> Result<Option<Rebuilt>, JournalError> {
        let row: Option<(i64, String, String)> =
            sqlx::query_as("SELECT at, why, kept FROM rebuilt WHERE id = 1").fetch_optional(pool).await?;
        Ok(row.map(|(at, why, kept)| Rebuilt {
            at: from_micros(at),
            why,
            kept: (!kept.is_empty()).then(|| PathBuf::from(kept)),
        }))
    }

    /// Reads everything once, so that damage is found now and not when it is in the way.
    pub(super) async fn verify(&self) -> Result<(), JournalError> {
        let found: Vec<(String,)> = sqlx::query_as("PRAGMA quick_check(1)").fetch_all(&self.pool).await?;
        if let Some((problem,)) = found.iter().find(|(line,)| line != "ok") {
            return Err(JournalError::Damaged(problem.replace('\n', " ")));
        }
        let accounts = self.accounts().await?;
        let snapshot = self.snapshot().await?;
        self.open_runs().await?;
        self.pending_events(u32::MAX).await?;
        self.backlog().await?;
        self.waiting_uploads().await?;
        self.said().await?;
        if accounts.is_empty() && snapshot.is_none() && !self.notes.is_empty() {
            return Err(JournalError::Damaged("it is empty, and the notes beside it are not".to_owned()));
        }
        let noted = self.notes.accounts()?.unwrap_or_default();
        if noted.iter().any(|(job, settled)| accounts.get(job).is_none_or(|known| known < settled)) {
            return Err(JournalError::Damaged("it is older than the notes beside it".to_owned()));
        }
        Ok(())
    }

    /// Takes over what notes know beyond the journal, which is what was being written when the agent ended, and sees to
    /// it that each open run has a note.
    pub(super) async fn compare_notes(&self) -> Result<(), JournalError> {
        for (key, note) in self.notes.runs()? {
            let row: Option<(i64, String)> =
                sqlx::query_as("SELECT sequence, stage FROM runs WHERE run = $1 AND role = $2")
                    .bind(key.id.to_string())
                    .bind(key.role.as_str())
                    .fetch_optional(&self.pool)
                    .await?;
            match row {
                Some((sequence, stage)) if sequence >= note.sequence() => {
                    if stage == "finished" && !self.has_events(&key).await? {
                        self.notes.forget(&key);
                    }
                }
                row => {
                    let mut transaction = self.pool.begin().await?;
                    let after = row.map_or(0, |(sequence, _)| sequence);
                    restore(&mut transaction, &self.notes, &key, &note, after, None).await?;
                    transaction.commit().await?;
                }
            }
        }
        for run in self.open_runs().await? {
            let key = run.order.key();
            if self.notes.run(&key)?.is_none() {
                let mut transaction = self.pool.begin().await?;
                let note = super::runs::note(&mut transaction, &run.order, &run.state).await?;
                self.notes.note(&key, &note)?;
            }
        }
        Ok(())
    }
}

/// A file beside the journal: its name and something after it.
fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(what);
    name.into()
}

/// The files of a database, the first of which is its own.
fn parts(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|ending| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        name.into()
    })
}

/// Removes all but the latest lost journals. Their names are in the order of their instants.
fn keep_few(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return;
    };
    let prefix = format!("{name}.{CORRUPT}");
    let Ok(entries) = fs::read_dir(folder) else { return };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut lost: Vec<String> = names
        .filter(|name| name.starts_with(&prefix) && !name.ends_with("-wal") && !name.ends_with("-shm"))
        .collect();
    lost.sort();
    for old in lost.iter().rev().skip(KEPT) {
        for part in parts(&folder.join(old)) {
            if let Err(error) = remove_file(&part) {
                warn!(file = %part.display(), %error, "an old lost journal cannot be removed");
            }
        }
    }
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn remove(path: &Path) -> Result<(), JournalError> {
    remove_file(path).map_err(|error| JournalError::Note(path.to_owned(), error))
}
