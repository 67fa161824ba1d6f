//! Whether a pull moves.

use std::collections::HashMap;

/// What was seen of a pull.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// What each layer does, and how far it is with that.
    layers: HashMap<String, (String, i64)>,
}

impl Progress {
    /// Notes a step of the engine's, and says whether the pull got on by it. An engine that counts down to its next
    /// attempt, or says again what it said, does not get on.
    pub(super) fn note(&mut self, layer: Option<&str>, status: Option<&str>, current: Option<i64>) -> bool {
        let status = status.unwrap_or_default();
        if status.starts_with("Retrying") {
            return false;
        }
        let seen = (status.to_owned(), current.unwrap_or_default());
        match self.layers.get_mut(layer.unwrap_or_default()) {
            Some(before) if before.0 == seen.0 && before.1 >= seen.1 => false,
            Some(before) => {
                *before = seen;
                true
            }
            None => {
                self.layers.insert(layer.unwrap_or_default().to_owned(), seen);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_is_told_from_what_is_said_again() {
        let mut progress = Progress::default();
        let mut note = |layer, status, current| progress.note(Some(layer), Some(status), current);
        assert!(note("a", "Pulling fs layer", None));
        assert!(!note("a", "Pulling fs layer", None));
        assert!(note("b", "Pulling fs layer", None), "another layer");
        assert!(note("a", "Downloading", Some(100)));
        assert!(note("a", "Downloading", Some(200)));
        assert!(!note("a", "Downloading", Some(200)));
        assert!(!note("a", "Retrying in 5 seconds", None));
        assert!(!note("a", "Retrying in 4 seconds", None));
        assert!(!note("a", "Downloading", Some(100)), "again from the start is where it was");
        assert!(note("a", "Downloading", Some(201)));
        assert!(note("a", "Extracting", Some(1)), "the next thing to do");
    }
}
