//! Which of an engine's messages are taken already.
//!
//! An engine stamps each message and keeps a bounded number of them, in a fixed order, so that a log is
//! read again from the oldest that is left until the last one that was taken. That one is known by its
//! exact stamp, never by comparing: two streams are stamped before they are put in line, and the wall
//! clock may be set. The pieces of a line that is longer than the engine's buffer all have one stamp, and
//! pieces of the other stream may lie in between; hence a count for each stream.

use almanac_proto::log::Stream;
use serde::{Deserialize, Serialize};

/// The last message that was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The stream that it is of; absent when nothing was taken yet.
    last: Option<Stream>,
    stdout: Stamp,
    stderr: Stamp,
}

/// The newest stamp of a stream, as the engine wrote it, and how many messages with it were taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    text: String,
    count: u64,
    /// Whether its last message does not end its line.
    is_open: bool,
}

impl Place {
    /// Whether nothing was taken yet.
    pub const fn is_start(&self) -> bool {
        self.last.is_none()
    }

    /// The last message that was taken: its stream and its stamp.
    pub fn last(&self) -> Option<(Stream, String)> {
        let stamp = match self.last? {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        };
        Some((self.last?, stamp.text.clone()))
    }

    /// A message is taken. Answers whether the end of a line is to be put before it, and the stamp of that line: the
    /// driver `local` of some engines forgets the newline after a line that it kept in pieces. The pieces of one
    /// line have one stamp, so that what comes with another begins a line.
    pub fn take(&mut self, stream: Stream, text: &str, content: &[u8]) -> Option<String> {
        self.last = Some(stream);
        let stamp = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let was_open = stamp.is_open;
        stamp.is_open = !content.ends_with(b"\n");
        if stamp.text == text {
            stamp.count += 1;
            return None;
        }
        let before = std::mem::replace(&mut stamp.text, text.to_owned());
        stamp.count = 1;
        was_open.then_some(before)
    }
}

/// Tells the messages that are taken already from the new ones, while a log is read from its start.
#[derive(Debug)]
pub struct Search {
    sought: Option<(Stream, Stamp)>,
}

impl Search {
    /// Looks for a place.
    pub fn new(place: &Place) -> Self {
        let stamp = |stream| match stream {
            Stream::Stdout => place.stdout.clone(),
            Stream::Stderr => place.stderr.clone(),
        };
        Self { sought: place.last.map(|stream| (stream, stamp(stream))) }
    }

    /// Whether a message is new. It is to be asked about each, in their order.
    pub fn is_new(&mut self, stream: Stream, text: &str) -> bool {
        let Some((sought, stamp)) = &mut self.sought else { return true };
        if *sought == stream && stamp.text == text {
            stamp.count -= 1;
            if stamp.count == 0 {
                self.sought = None;
            }
        }
        false
    }

    /// Whether the place was reached. When all that there is was read and it was not, then the engine
    /// has thrown it away, and nobody knows how much more.
    pub const fn found(&self) -> bool {
        self.sought.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Stream::{Stderr, Stdout};

    const LOG: [(Stream, &str); 9] = [
        (Stdout, "1"),
        (Stderr, "3"),
        // Stamped before the one before it.
        (Stdout, "2"),
        // The pieces of a long line.
        (Stdout, "4"),
        (Stdout, "4"),
        (Stderr, "5"),
        (Stdout, "4"),
        // The clock is set back.
        (Stderr, "2"),
        (Stdout, "3"),
    ];

    /// Takes so many messages, then reads again when the oldest are thrown away.
    fn read_again(taken: usize, thrown_away: usize) -> (Vec<usize>, bool) {
        let mut place = Place::default();
        for (stream, stamp) in &LOG[..taken] {
            place.take(*stream, stamp, b"x\n");
        }
        let mut search = Search::new(&place);
        let new = (thrown_away..LOG.len()).filter(|index| search.is_new(LOG[*index].0, LOG[*index].1));
        (new.collect(), search.found())
    }

    #[test]
    fn every_message_is_taken_once_wherever_reading_stopped() {
        for taken in 0..=LOG.len() {
            assert_eq!(read_again(taken, 0), ((taken..LOG.len()).collect(), true), "after {taken}");
        }
        // What comes before the last one that was taken may be thrown away.
        assert_eq!(read_again(3, 2), ((3..LOG.len()).collect(), true));
    }

    #[test]
    fn a_forgotten_newline_is_put_back() {
        let mut place = Place::default();
        let none = None::<String>;
        assert_eq!(place.take(Stdout, "1", b"a long "), none);
        assert_eq!(place.take(Stderr, "2", b"other\n"), none);
        assert_eq!(place.take(Stdout, "1", b"line"), none);
        assert_eq!(place.take(Stderr, "3", b"other\n"), none);
        assert_eq!(place.take(Stdout, "4", b"a long "), Some("1".to_owned()));
        assert_eq!(place.take(Stdout, "4", b"line\n"), none, "not forgotten");
        assert_eq!(place.take(Stdout, "5", b"next"), none);
    }

    #[test]
    fn a_place_that_was_thrown_away_is_not_found() {
        assert_eq!(read_again(3, 3), (Vec::new(), false));
        assert_eq!(read_again(LOG.len(), LOG.len()), (Vec::new(), false));
    }
}
