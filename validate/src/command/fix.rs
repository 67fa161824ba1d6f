//! `almanac-validate check --fix`: what the library changed in memory goes into the files.

use std::{collections::BTreeSet, fs, io::Write, path::Path, sync::Arc};

use almanac_validate::{Fixed, Source, fix_change, render::place, words::counted};
use anyhow::{Context, bail};
use chrono::{DateTime, Utc};

use super::print::say;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Carries out the fixes of everything below a folder, as a change of `base`, and says which.
/// Paths are shown below `shown`.
pub(super) fn run(
    root: &Path,
    shown: &Path,
    sources: Vec<Arc<Source>>,
    base: &[Arc<Source>],
    now: DateTime<Utc>,
) -> anyhow::Result<Fixed> {
    let before = sources.clone();
    let fixed = fix_change(sources, base, now);
    let mut files = 0;
    for (old, new) in before.iter().zip(&fixed.sources) {
        if !Arc::ptr_eq(old, new) && old.text() != new.text() {
            store(root, old, new)
                .with_context(|| format!("cannot fix `{}`", shown.join(old.path()).display()))?;
            files += 1;
        }
    }
    // Not with the findings: those may be meant for a program.
    let mut said = BTreeSet::new();
    for finding in &fixed.findings {
        if let (Some(at), Some(fix)) = (&finding.location, &finding.fix) {
            let line = format!("fixed[{}] {}: {}", finding.rule, place(shown, at), fix.message);
            // One change may be the fix of several findings.
            if said.insert(line.clone()) {
                say(&line);
            }
        }
    }
    match fixed.findings.len() {
        0 => say("nothing to fix"),
        count => say(&format!("fixed {} in {}", counted(count, "finding"), counted(files, "file"))),
    }
    Ok(fixed)
}

/// Replaces a file as a whole, so that nobody ever sees half of it. Its byte-order mark and its
/// permissions stay.
fn store(root: &Path, old: &Source, new: &Source) -> anyhow::Result<()> {
    let path = root.join(old.path());
    let folder = path.parent().unwrap_or(root);
    // The tree was walked without following links; a link that is there now came in meanwhile.
    let inside = fs::canonicalize(folder)? == fs::canonicalize(root)?.join(inner_folder(old.path()));
    let metadata = fs::symlink_metadata(&path)?;
    if !inside || !metadata.is_file() {
        bail!("it is behind a symbolic link");
    }
    let bytes = fs::read(&path)?;
    let mark = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK } else { b"" };
    if &bytes[mark.len()..] != old.text().as_bytes() {
        bail!("it was changed meanwhile: run the command again");
    }
    let mut file = tempfile::Builder::new().prefix(".almanac-fix-").tempfile_in(folder)?;
    file.write_all(mark)?;
    file.write_all(new.text().as_bytes())?;
    file.as_file().set_permissions(metadata.permissions())?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}

/// The folder of a path within the tree.
fn inner_folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
