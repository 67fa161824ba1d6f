//! Places as people see them.

use std::path::Path;

use crate::{Location, text::printable};

/// The path of a file below a root, on one line.
pub(super) fn path(root: &Path, file: &str) -> String {
    printable(root.join(file).display().to_string())
}

/// A place as `path:line:column`, which terminals and editors can open.
pub fn place(root: &Path, location: &Location) -> String {
    format!("{}:{}:{}", path(root, &location.file), location.line, location.column)
}
