//! Where findings go: to standard output and to files, each in a format of its own.

use std::{
    collections::BTreeSet,
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use almanac_validate::{
    Report, Source,
    render::{Summary, github, human, json, junit, markdown, sarif},
    words::listed,
};
use anyhow::{Context, bail};
use clap::ValueEnum;
use tempfile::Builder;

/// How findings are written, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Outputs {
    /// How findings are written to standard output [default: human].
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Write the findings to a file as well; may be given several times.
    ///
    /// Each in a format of its own, such as sarif=almanac.sarif. The file `-` is standard output, in
    /// place of --format.
    #[arg(long = "output", value_name = "FORMAT=FILE")]
    outputs: Vec<Output>,
}

/// How findings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people, with the lines in question.
    Human,
    /// For programs, as one JSON document (schemas/json/findings.json).
    Json,
    /// For code scanning, as SARIF 2.1.0.
    Sarif,
    /// For the log of GitHub Actions, as commands that become annotations.
    Github,
    /// For reports of tests, as JUnit with a test case per file.
    Junit,
    /// For a pull request's comment or `$GITHUB_STEP_SUMMARY`, as Markdown.
    Markdown,
}

/// One place to write to, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Output {
    format: Format,
    target: Target,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Stdout,
    File(PathBuf),
}

/// What was found, and what is needed to show it.
pub(crate) struct Found<'a> {
    pub(crate) report: &'a Report,
    pub(crate) sources: &'a [Arc<Source>],
    /// What paths are shown below: the folder that was checked, or nothing for the present one.
    pub(crate) folder: &'a Path,
    pub(crate) elapsed: Duration,
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (format, file) = text
            .split_once('=')
            .ok_or_else(|| "expected a format and a file, such as `sarif=out.sarif`".to_owned())?;
        let format = Format::from_str(format, false).map_err(|_| {
            let known = Format::value_variants().iter().filter_map(ValueEnum::to_possible_value);
            let known = known.map(|value| value.get_name().to_owned());
            format!("`{format}` is not a format; those are {}", listed(known))
        })?;
        let target = match file {
            "" => return Err("the name of the file is missing; `-` is standard output".to_owned()),
            "-" => Target::Stdout,
            file => Target::File(PathBuf::from(file)),
        };
        Ok(Self { format, target })
    }
}

impl Outputs {
    /// Whether all can be written side by side. To be asked before anything else is done.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let to_stdout = self.outputs.iter().filter(|output| output.target == Target::Stdout).count();
        if to_stdout + usize::from(self.format.is_some()) > 1 {
            bail!(
                "two formats are to be written to standard output; give one of them a file: `--output FORMAT=FILE`"
            );
        }
        let mut files = BTreeSet::new();
        for output in &self.outputs {
            if let Target::File(path) = &output.target
                && !files.insert(identity(path))
            {
                bail!("two formats are to be written to `{}`; give each a file of its own", path.display());
            }
        }
        Ok(())
    }

    /// Writes everything. What cannot be written does not keep the rest from being written; the errors
    /// are those of the former.
    pub(crate) fn write(&self, found: &Found<'_>) -> Vec<anyhow::Error> {
        let mut errors = Vec::new();
        let mut stdout = self.format.unwrap_or(Format::Human);
        // Files first: a reader of standard output that has enough must not keep them from being there.
        for output in &self.outputs {
            match &output.target {
                Target::Stdout => stdout = output.format,
                Target::File(path) => {
                    let text = output.format.render(found, human::Style::Plain);
                    let written = replace(path, text.as_bytes());
                    errors
                        .extend(written.with_context(|| format!("cannot write `{}`", path.display())).err());
                }
            }
        }
        let text = stdout.render(found, human::Style::Coloured);
        let written = match stdout {
            // This stream takes the colours out again where they are not wanted.
            Format::Human => anstream::stdout().write_all(text.as_bytes()),
            _ => io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()),
        };
        match written {
            // Who closed the pipe has read enough.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                errors.push(anyhow::Error::new(error).context("cannot write the findings"));
            }
            _ => {}
        }
        errors
    }
}

impl Format {
    fn render(self, found: &Found<'_>, style: human::Style) -> String {
        let Found { report, sources, folder, elapsed } = *found;
        match self {
            Self::Human => {
                let summary = Summary::new(report, sources.len()).after(elapsed);
                human::findings(report, sources, folder, style) + &format!("{summary}\n")
            }
            Self::Json => json::json(report, sources.len()),
            Self::Sarif => sarif::sarif(report, sources, &root_from_here(folder)),
            Self::Github => github::github(report, sources.len(), &root_from_here(folder)),
            Self::Junit => junit::junit(report, sources, &root_from_here(folder)),
            Self::Markdown => markdown::markdown(report, sources, &root_from_here(folder)),
        }
    }
}

/// The folder from the present one, where it is below that: a forge knows files by their paths from the
/// root of the checkout, which is where a workflow runs.
fn root_from_here(folder: &Path) -> PathBuf {
    let here = std::env::current_dir().and_then(fs::canonicalize);
    let real = fs::canonicalize(folder);
    match (here, real) {
        (Ok(here), Ok(real)) => real.strip_prefix(here).map_or(real.clone(), Path::to_path_buf),
        _ => folder.to_path_buf(),
    }
}

/// What tells whether two paths are those of one file, which need not be there yet.
fn identity(path: &Path) -> PathBuf {
    if let Ok(real) = fs::canonicalize(path) {
        return real;
    }
    match (folder_of(path).canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_path_buf(),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a file so that a reader sees the old content or all of the new.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    // What the system shows of devices, pipes and open files is written to: to replace it would take
    // it away from others.
    if ["/dev", "/proc"].iter().any(|folder| path.starts_with(folder)) {
        return File::options().append(true).open(path)?.write_all(content);
    }
    // A link stays, and what it leads to is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let permissions = match fs::metadata(&path) {
        Ok(old) if old.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(old) if !old.is_file() => return File::options().append(true).open(&path)?.write_all(content),
        Ok(old) => old.permissions(),
        // The system takes from this what the user's mask takes from every new file.
        Err(_) => Permissions::from_mode(0o666),
    };
    let folder = folder_of(&path);
    fs::metadata(folder)?;
    let mut file = Builder::new().prefix(".almanac-").permissions(permissions).tempfile_in(folder)?;
    file.write_all(content)?;
    file.persist(&path).map_err(|error| error.error)?;
    Ok(())
}
