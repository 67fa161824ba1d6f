//! `almanac-validate codeowners`.

use almanac_validate::codeowners;

use super::{print::print, source::Place};
use crate::exit::{Exit, PRINTING};

/// Print a CODEOWNERS file for the forge, out of the manifests.
///
/// Admins own everything, including what is no manifest, such as workflows and `.almanacignore`. A file
/// that declares jobs, nodes or users is also their owners'. Users without a login are named in a
/// comment. GitHub reads it as `.github/CODEOWNERS`, GitLab as `CODEOWNERS`.
#[derive(Debug, clap::Args)]
#[command(after_help = PRINTING)]
pub(crate) struct Codeowners {
    #[command(flatten)]
    place: Place,
}

impl Codeowners {
    /// Prints it.
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        let tree = self.place.read()?;
        let text = codeowners(&tree.sources, &self.place.folder()?);
        print(|out| out.write_all(text.as_bytes()))?;
        Ok(Exit::Clean)
    }
}
