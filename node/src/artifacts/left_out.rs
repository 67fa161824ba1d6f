//! What a run left behind that is not in its archive, and why.

use std::{fmt, path::Path};

use serde::Serialize;

/// How many are named; the others are counted.
const NAMED: usize = 100;

/// What is not in an archive as it was in the folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    count: u64,
    /// The first of them, in the order of the archive.
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Entry {
    /// Below the folder of the artifacts. What is not UTF-8 in it is replaced.
    path: String,
    why: Why,
}

/// Why something is not in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Why {
    /// A symbolic link that leads out of the folder, or might.
    Link,
    /// A device.
    Device,
    /// A socket.
    Socket,
    /// A named pipe.
    Pipe,
    /// Its path is too long for those who unpack it.
    Path,
    /// Something wrote on: it vanished, or became another thing, while it was packed.
    Vanished,
    /// Something wrote on: it became shorter while it was packed, and ends in zeros.
    Shortened,
}

impl LeftOut {
    /// Whether everything is in the archive.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Notes that something is not.
    pub(super) fn add(&mut self, path: &Path, why: Why) {
        self.count += 1;
        if self.entries.len() < NAMED {
            self.entries.push(Entry { path: path.to_string_lossy().into_owned(), why });
        }
    }
}

/// The beginning of a path, which may be a line of its own.
fn shortened(path: &str) -> String {
    const MOST: usize = 60;
    let mut shortened: String = path.chars().take(MOST).collect();
    if shortened.len() < path.len() {
        shortened.push_str("...");
    }
    shortened
}

/// For people, in a line.
impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Entry { path, why }) = self.entries.first() else {
            return f.write_str("everything is packed");
        };
        let path = shortened(path);
        match self.count {
            1 => write!(f, "`{path}` is not in its artifacts: {why}"),
            count => write!(f, "{count} entries are not in its artifacts, such as `{path}`: {why}"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Link => "a symbolic link out of the folder",
            Self::Device => "a device",
            Self::Socket => "a socket",
            Self::Pipe => "a named pipe",
            Self::Path => "its path is too long",
            Self::Vanished => "it vanished while it was packed",
            Self::Shortened => "it became shorter while it was packed, and ends in zeros",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_counted_and_some_are_named() {
        let mut left_out = LeftOut::default();
        assert!(left_out.is_empty());
        left_out.add(Path::new("sub/pipe"), Why::Pipe);
        assert_eq!(left_out.to_string(), "`sub/pipe` is not in its artifacts: a named pipe");
        for number in 0..1000 {
            left_out.add(Path::new(&number.to_string()), Why::Socket);
        }
        assert_eq!((left_out.count, left_out.entries.len()), (1001, NAMED));
        let text = "1001 entries are not in its artifacts, such as `sub/pipe`: a named pipe";
        assert_eq!(left_out.to_string(), text);
    }
}
