//! The file of `--config`.

use std::{fs, path::Path};

use super::Problem;

/// Reads the file. What is wrong with it as TOML is one problem; what its keys mean is looked at later.
pub(super) fn read(path: &Path) -> Result<toml::Table, Problem> {
    let text = fs::read_to_string(path).map_err(|error| Problem::Read(path.to_owned(), error))?;
    toml::from_str(&text).map_err(|error| {
        let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
        Problem::Syntax {
            file: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
            message: error.message().to_owned(),
        }
    })
}

/// The known word that is nearest to one that is not known, if any is near.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.into_iter().map(|candidate| (strsim::jaro_winkler(word, candidate), candidate));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(score, _)| *score > 0.8).map(|(_, candidate)| candidate)
}

/// What an error of `serde` about an unknown field perhaps meant: it lists the field and those that
/// there are, each in backticks.
pub(super) fn nearest_field(message: &str) -> Option<String> {
    let message = message.strip_prefix("unknown field ")?;
    let mut words = message.split('`').skip(1).step_by(2);
    let found = words.next()?;
    nearest(found, words).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_guessed() {
        assert_eq!(nearest("poll", ["repo", "poll-interval", "log"]), Some("poll-interval"));
        assert_eq!(nearest("colour", ["repo", "log"]), None);
        let message = "unknown field `brust`, expected one of `requests-per-second`, `burst`";
        assert_eq!(nearest_field(message).as_deref(), Some("burst"));
        assert_eq!(nearest_field("invalid type"), None);
    }

    #[test]
    fn what_is_not_toml_is_found_and_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reconciler.toml");
        fs::write(&path, "repo = \"a\"\ndatabase = hunter2\n").unwrap();
        let said = read(&path).unwrap_err().to_string();
        assert!(said.contains("reconciler.toml:2:12") && !said.contains("hunter2"), "{said}");
    }
}
