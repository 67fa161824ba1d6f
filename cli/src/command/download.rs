//! `almanac runs download`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use futures::{StreamExt, stream};
use globset::GlobMatcher;

use almanac_schemas::{RunId, RunRole};

use super::{run_pages::RunPages, runs};
use crate::{
    args::Download,
    call::{CallError, Caller},
    download::{Arrived, Downloader, File, Index, Place, Progress},
    failure::Failure,
    fetch::FetchError,
    invocation::World,
    output::{Listing, Output},
    record::{FileRecord, Record},
    view::{self, Artifact, Part, Saved, State},
};

/// How many files are listed one by one. Of more, people want to know how many there are.
const LISTED: usize = 100;

/// How many problems are told one by one.
const TOLD: usize = 20;

pub(super) async fn run(
    wanted: &Download,
    caller: &Caller,
    world: &World,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let progress = Progress::new(world.progress);
    let downloader = Downloader::new(caller, wanted.parallel.into(), wanted.extract, progress)?;
    let mut session = Session {
        wanted,
        downloader,
        index: Index::open(&wanted.to)?,
        saved: Vec::new(),
        seen: BTreeSet::new(),
        problems: BTreeMap::new(),
        expired: BTreeMap::new(),
        empty: Vec::new(),
    };
    let ended = match wanted.ids.as_slice() {
        [] => {
            let mut pages = RunPages::new(caller, &wanted.filter, wanted.limit, output.look.now);
            let ended = session.filtered(&mut pages).await;
            if pages.more {
                output.note(&format!(
                    "only the latest {} runs: ask for more with `--limit` (0 for all)",
                    wanted.limit.limit
                ));
            }
            ended
        }
        ids => session.by_id(ids, caller).await,
    };
    session.end(ended, output)
}

/// A download that is under way.
struct Session<'a> {
    wanted: &'a Download,
    downloader: Downloader<'a>,
    index: Index,
    saved: Vec<Saved>,
    seen: BTreeSet<(RunId, RunRole)>,
    /// What kept runs from being downloaded, by what the run is called.
    problems: BTreeMap<String, Failure>,
    /// How many files were not there any more, by run.
    expired: BTreeMap<RunId, usize>,
    /// Named runs that have no files, and why.
    empty: Vec<String>,
}

impl Session<'_> {
    /// Page after page; while one is fetched, the next one is listed.
    async fn filtered(&mut self, pages: &mut RunPages<'_>) -> Result<(), Failure> {
        let mut page = pages.next().await?;
        while let Some(parts) = page {
            let (fetched, next) = tokio::join!(self.fetch(parts), pages.next());
            fetched?;
            page = next?;
        }
        Ok(())
    }

    /// Runs that were named.
    async fn by_id(&mut self, ids: &[String], caller: &Caller) -> Result<(), Failure> {
        let asked = stream::iter(ids).map(async |id| (id, runs::parts(id, caller).await));
        let mut asked = std::pin::pin!(asked.buffered(self.wanted.parallel.into()));
        let mut all = Vec::new();
        while let Some((id, parts)) = asked.next().await {
            match parts {
                Ok(parts) => all.extend(parts),
                Err(error) if is_of_the_run(&error) => {
                    self.problems.insert(id.clone(), error.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.fetch(all).await
    }

    /// Fetches what is wanted of some runs.
    async fn fetch(&mut self, mut parts: Vec<Part>) -> Result<(), Failure> {
        parts.retain(|part| self.seen.insert((part.run.id, part.run.role)));
        if !parts.is_empty() {
            self.index.claim()?;
        }
        let (mut files, mut owners) = (Vec::new(), Vec::new());
        for (number, part) in parts.iter().enumerate() {
            if part.artifacts.is_empty() && !self.wanted.ids.is_empty() {
                let (run, phase) = (part.run.id, part.run.phase);
                let when = if phase.is_terminal() { "" } else { ": they come when it has ended" };
                self.empty.push(format!("run {run} is {phase} and has no files{when}"));
            }
            for artifact in &part.artifacts {
                if !wants(&self.wanted.only, artifact) {
                    continue;
                }
                let (run, role) = (part.run.id, artifact.role);
                if artifact.expired_at.is_some() {
                    *self.expired.entry(run).or_default() += 1;
                    self.named_and_gone(part, artifact);
                    continue;
                }
                match Place::new(&self.wanted.to, run, role, &artifact.name) {
                    Ok(place) => {
                        files.push(File { run, artifact: artifact.clone(), place });
                        owners.push(number);
                    }
                    Err(error) => _ = self.problems.insert(run.to_string(), error.into()),
                }
            }
        }
        let mut came: Vec<Option<Result<Arrived, FetchError>>> = files.iter().map(|_| None).collect();
        let ended = self.downloader.save(&files, |index, outcome| came[index] = Some(outcome)).await;
        let mut rows: Vec<Record> = parts.iter().map(Record::of).collect();
        for ((file, outcome), owner) in files.into_iter().zip(came).zip(owners) {
            match outcome {
                Some(Ok(arrived)) => {
                    rows[owner].files.push(FileRecord::of(file.run, &file.artifact));
                    self.saved.push(saved(file, arrived));
                }
                Some(Err(error)) => _ = self.problems.insert(file.run.to_string(), error.into()),
                None => {}
            }
        }
        rows.into_iter().for_each(|row| self.index.add(row));
        ended?;
        Ok(self.index.keep_up()?)
    }

    /// Whoever names a run that has nothing left is told so.
    fn named_and_gone(&mut self, part: &Part, artifact: &Artifact) {
        let named = !self.wanted.ids.is_empty();
        let gone = |artifact: &Artifact| artifact.expired_at.is_some();
        if named && part.artifacts.iter().all(gone) {
            let run = part.run.id;
            let at = artifact.expired_at.map_or_else(String::new, |at| format!(" at {at}"));
            let kept =
                artifact.kept_for.map_or_else(String::new, |kept| format!(": they were kept for {kept}"));
            let why = format!("the files of run {run} expired{at}{kept}");
            self.problems.entry(run.to_string()).or_insert(FetchError::Expired(why).into());
        }
    }

    /// Says what came of it, and writes the index.
    fn end(self, ended: Result<(), Failure>, output: &mut Output<'_>) -> Result<(), Failure> {
        let Self { wanted, downloader, mut index, saved, seen, mut problems, expired, empty } = self;
        let unreachable = downloader.unreachable();
        // The bars go before anything is said.
        drop(downloader);
        for host in unreachable {
            output.note(&format!(
                "the store at {host} cannot be reached from here: its files came through the reconciler"
            ));
        }
        let indexed = if seen.is_empty() { Ok(()) } else { index.write() };
        let runs = seen.iter().map(|(run, _)| run).collect::<BTreeSet<_>>().len();
        let summary = summary(&saved, &wanted.to, index.len());
        let many = saved.len() > LISTED && !output.is_structured();
        let is_whole = ended.is_ok() && problems.is_empty();
        if !many && (is_whole || !saved.is_empty()) {
            output.list(&Listing { items: saved, more: false })?;
        }
        if let Some(summary) = summary {
            output.note(&summary);
        }
        empty.iter().for_each(|empty| output.note(empty));
        if wanted.ids.is_empty() && !expired.is_empty() {
            let files = counted(expired.values().sum(), "file");
            let runs = counted(expired.len(), "run");
            output.note(&format!("expired and not there any more: {files} of {runs}"));
        }
        if matches!(ended, Err(Failure::Call(_) | Failure::Fetch(FetchError::Call(_)))) && !seen.is_empty() {
            output.note("what has arrived stays: the same command again goes on where this one stopped");
        }
        ended?;
        indexed?;
        let failed = problems.len();
        let asked = wanted.ids.len().max(runs);
        if asked == 1
            && let Some((_, failure)) = problems.pop_first()
        {
            return Err(failure);
        }
        for (run, failure) in problems.iter().take(TOLD) {
            output.note(&format!("run {run}:"));
            failure.tell(output);
        }
        if failed > TOLD {
            output.note(&format!("and {} more", failed - TOLD));
        }
        if failed > 0 { Err(Failure::Incomplete(failed, asked)) } else { Ok(()) }
    }
}

/// Whether a file is one of those that were asked for, by its name or by its path in the run's folder.
fn wants(only: &[GlobMatcher], artifact: &Artifact) -> bool {
    let path = match artifact.role {
        RunRole::Client => artifact.name.clone(),
        RunRole::Server => format!("server/{}", artifact.name),
    };
    only.is_empty() || only.iter().any(|only| only.is_match(&artifact.name) || only.is_match(&path))
}

fn saved(file: File, arrived: Arrived) -> Saved {
    let Artifact { role, name, size, sha256, .. } = file.artifact;
    Saved {
        run_id: file.run,
        role,
        name,
        path: file.place.path().to_owned(),
        extracted_to: arrived.extracted_to,
        size,
        sha256,
        state: arrived.state,
    }
}

/// What holds for one run and says nothing of others.
fn is_of_the_run(error: &CallError) -> bool {
    use CallError::{Forbidden, Inapplicable, NotFound, Refused};
    matches!(error, NotFound(_) | Forbidden(_) | Refused(_) | Inapplicable(_))
}

/// How many files there are, in one line.
fn summary(saved: &[Saved], to: &std::path::Path, listed: usize) -> Option<String> {
    if saved.is_empty() {
        return None;
    }
    let count = |state: State| saved.iter().filter(|file| file.state == state).count();
    let runs = saved.iter().map(|file| file.run_id).collect::<BTreeSet<_>>().len();
    let bytes = saved.iter().map(|file| file.size).sum();
    let states: Vec<String> = [State::Downloaded, State::Resumed, State::Present]
        .into_iter()
        .map(|state| (count(state), state))
        .filter(|(count, _)| *count > 0)
        .map(|(count, state)| format!("{count} {}", state.as_str()))
        .collect();
    let index: PathBuf = to.join("runs.csv");
    Some(format!(
        "{} of {} ({}): {}; {} lists {}",
        counted(saved.len(), "file"),
        counted(runs, "run"),
        view::size(bytes),
        states.join(", "),
        index.display(),
        counted(listed, "run")
    ))
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
