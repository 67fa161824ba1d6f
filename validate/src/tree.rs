//! What a tree of files consists of, wherever it comes from: a folder, or a commit.

use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};

/// The file that lists what is passed over, in the syntax of `.gitignore`.
pub const IGNORE_FILE: &str = ".almanacignore";

/// Something with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A file with its content, at most [`almanac_schemas::manifest::MAX_FILE`] bytes.
    File(&'a [u8]),
    /// A larger file, with its size in bytes.
    TooLarge(u64),
    /// A symbolic link, wherever it points to.
    Symlink,
    /// A Git submodule.
    Submodule,
    /// Something to read from that is no file, such as a pipe or a device; or a folder where a file should be.
    Special,
    /// A file whose name is not UTF-8; the path that goes with it is a readable replacement.
    NotUtf8Name,
    /// Something with a name that no folder can hold, such as `..` or one with a slash; only a tree of Git that
    /// was made by hand has that.
    ImpossibleName,
}

/// Which parts of a tree count.
#[derive(Debug)]
pub struct Selection {
    ignored: Gitignore,
}

impl Selection {
    /// The selection of a tree, by the content of the `.almanacignore` at its root. Lines that are
    /// not patterns are passed over, as Git does.
    pub fn new(almanacignore: Option<&str>) -> Self {
        let mut builder = GitignoreBuilder::new("");
        for line in almanacignore.unwrap_or_default().lines() {
            // A line that is no pattern excludes nothing, so that what it was meant to hide is checked.
            let _ = builder.add_line(None, line);
        }
        Self { ignored: builder.build().unwrap_or_else(|_| Gitignore::empty()) }
    }

    /// Whether a file is a manifest: `*.yaml` or `*.yml`, and [covered](Self::covers).
    pub fn includes(&self, path: &str) -> bool {
        (path.ends_with(".yaml") || path.ends_with(".yml")) && self.covers(path, false)
    }

    /// Whether something counts at all: neither it nor a folder above it is hidden or listed in
    /// `.almanacignore`. A symbolic link or a submodule that counts is a finding whatever its name,
    /// since what is behind it would be silently left out.
    pub fn covers(&self, path: &str, is_folder: bool) -> bool {
        let path = path.trim_start_matches('/');
        let hidden = path.split('/').any(|part| part.starts_with('.'));
        !hidden && !matches!(self.ignored.matched_path_or_any_parents(path, is_folder), Match::Ignore(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_yaml_files_outside_hidden_folders() {
        let all = Selection::new(None);
        for path in ["a.yaml", "b.yml", "x/y/z.yaml"] {
            assert!(all.includes(path), "{path}");
        }
        for path in ["README.md", "a.yaml.orig", ".github/ci.yaml", "x/.hidden.yml", "yaml"] {
            assert!(!all.includes(path), "{path}");
        }
    }

    #[test]
    fn ignored_paths_follow_gitignore() {
        let some = Selection::new(Some("# comment\ncharts/\n/top.yaml\n*.tmpl.yaml\n!keep.tmpl.yaml\n[\n"));
        for path in ["charts/a.yaml", "x/charts/b/c.yaml", "top.yaml", "x/y.tmpl.yaml"] {
            assert!(!some.includes(path), "{path}");
        }
        for path in ["x/top.yaml", "keep.tmpl.yaml", "charts.yaml"] {
            assert!(some.includes(path), "{path}");
        }
        assert!(!some.covers("charts", true));
        assert!(some.covers("charts", false));
    }
}
