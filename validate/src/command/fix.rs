//! `almanac-validate check --fix`: what the library changed in memory goes into the files.

use std::{fs, io::Write, path::Path, sync::Arc};

use almanac_validate::{Fixed, Source, fix};
use anyhow::{Context, bail};
use chrono::{DateTime, Utc};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Carries out the fixes of everything below a folder, and says which.
/// Paths are shown below `shown`.
pub(super) fn run(
    root: &Path,
    shown: &Path,
    sources: Vec<Arc<Source>>,
    now: DateTime<Utc>,
) -> anyhow::Result<Fixed> {
    let before = sources.clone();
    let fixed = fix(sources, now);
    let mut files = 0;
    for (old, new) in before.iter().zip(&fixed.sources) {
        if !Arc::ptr_eq(old, new) && old.text() != new.text() {
            store(root, old, new)
                .with_context(|| format!("cannot fix `{}`", shown.join(old.path()).display()))?;
            files += 1;
        }
    }
    // Not with the findings: those may be meant for a program.
    let mut output = anstream::stderr();
    for finding in &fixed.findings {
        if let (Some(at), Some(fix)) = (&finding.location, &finding.fix) {
            let path = shown.join(&at.file);
            let place = format!("{}:{}:{}", path.display(), at.line, at.column);
            // Who closed the stream does not want to know.
            let _ = writeln!(output, "fixed[{}] {place}: {}", finding.rule, fix.message);
        }
    }
    let counted = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let _ = match fixed.findings.len() {
        0 => writeln!(output, "nothing to fix"),
        count => writeln!(output, "fixed {} in {}", counted(count, "finding"), counted(files, "file")),
    };
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
