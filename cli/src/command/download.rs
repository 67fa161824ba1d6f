//! `almanac runs download`.

use std::{collections::BTreeSet, path::Path};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use almanac_schemas::{RunId, RunRole};

use super::runs;
use crate::{
    args::Download,
    call::Caller,
    extract::{ARCHIVE, extract},
    failure::Failure,
    fetch::{FetchError, Stored},
    invocation::World,
    output::{Listing, Output},
    view::{RunDetail, Saved, State},
};

pub(super) async fn run(
    wanted: &Download,
    caller: &Caller,
    world: &World,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let ids = match wanted.ids.as_slice() {
        [] => {
            let listing = runs::list(&wanted.filter, wanted.limit, caller, output.look.now).await?;
            if listing.more {
                output.note(&format!(
                    "only the latest {} runs: ask for more with `--limit` (0 for all)",
                    wanted.limit.limit
                ));
            }
            listing.items.iter().map(|run| run.id.to_string()).collect()
        }
        ids => ids.to_vec(),
    };
    let mut saved = Vec::new();
    let mut seen = BTreeSet::new();
    let mut failed = 0;
    for id in &ids {
        match one(id, wanted, caller, world, &mut seen, &mut saved).await {
            Ok(()) => {}
            // What holds for one run holds for all: none of the others would fare better.
            Err(failure) if ids.len() == 1 || !is_of_the_run(&failure) => {
                return arrived(saved, output).and(Err(failure));
            }
            Err(failure) => {
                output.note(&format!("run {id}:"));
                failure.tell(output);
                failed += 1;
            }
        }
    }
    if failed > 0 {
        return arrived(saved, output).and(Err(Failure::Incomplete(failed, ids.len())));
    }
    Ok(output.list(&Listing { items: saved, more: false })?)
}

/// What arrived is said even when something else did not.
fn arrived(saved: Vec<Saved>, output: &mut Output<'_>) -> Result<(), Failure> {
    if saved.is_empty() {
        return Ok(());
    }
    Ok(output.list(&Listing { items: saved, more: false })?)
}

fn is_of_the_run(failure: &Failure) -> bool {
    use crate::call::CallError::{Forbidden, NotFound, Refused};
    matches!(
        failure,
        Failure::Call(NotFound(_) | Forbidden(_) | Refused(_))
            | Failure::Fetch(
                FetchError::Call(NotFound(_) | Forbidden(_) | Refused(_))
                    | FetchError::Checksum { .. }
                    | FetchError::Size { .. }
                    | FetchError::Name(_)
                    | FetchError::Unpack(..)
            )
    )
}

/// Downloads the files of one run, unless another id meant the same run.
async fn one(
    id: &str,
    wanted: &Download,
    caller: &Caller,
    world: &World,
    seen: &mut BTreeSet<RunId>,
    saved: &mut Vec<Saved>,
) -> Result<(), Failure> {
    let RunDetail { run, artifacts, .. } = runs::get(id, caller).await?;
    if !seen.insert(run.id) {
        return Ok(());
    }
    for artifact in &artifacts {
        let mut folder = wanted.to.join(run.id.to_string());
        if artifact.role == RunRole::Server {
            folder.push("server");
        }
        let bar = bar(world.progress, &artifact.name);
        let state = Stored { run: run.id, artifact }.save(caller, &folder, &bar).await;
        bar.finish_and_clear();
        let path = folder.join(&artifact.name);
        saved.push(Saved {
            run_id: run.id,
            role: artifact.role,
            name: artifact.name.clone(),
            extracted_to: None,
            size: artifact.size,
            sha256: artifact.sha256.clone(),
            state: state?,
            path,
        });
        if wanted.extract
            && artifact.name == ARCHIVE
            && let Some(last) = saved.last_mut()
        {
            last.extracted_to = Some(unpacked(&last.path, last.state)?);
        }
    }
    Ok(())
}

/// Unpacks an archive, unless that was done when it was downloaded.
fn unpacked(archive: &Path, state: State) -> Result<std::path::PathBuf, FetchError> {
    let folder = archive.with_file_name("artifacts");
    if state == State::Present && folder.is_dir() { Ok(folder) } else { extract(archive) }
}

fn bar(visible: bool, name: &str) -> ProgressBar {
    if !visible {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} [{wide_bar}] {bytes}/{total_bytes} {eta}")
        .expect("the template is constant, and a test draws it")
        .progress_chars("=> ");
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.with_style(style).with_message(name.to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_bar_can_be_drawn() {
        super::bar(true, "run.log").finish_and_clear();
    }
}
