//! Whether messages of an engine follow each other.
//!
//! Read to its present end, an engine's copy is in order. But an older engine (before Docker 23) that somebody follows
//! begins a file a second time when it was just begun, and leaves out a whole one when two were begun while it did not
//! look. That is so while its reader is slow; and when a file is begun between the moment at which the engine opens the
//! last one and that at which it watches it, which is as long as its reader takes for all that was there, it goes on only
//! with the one after the next. So a message that comes after a pause, in which a whole file could have been written, is
//! believed only when the engine's copy, read once more from its end, has it where it came.

use std::collections::VecDeque;

use almanac_proto::log::Stream;
use chrono::{DateTime, TimeDelta, Utc};

use super::engine::Message;

/// Which message one is. The pieces of a long line, and nothing else, are the same.
pub(super) type Identity = (Stream, String);

/// What is to be thought of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// It comes next.
    Follows,
    /// It comes later, and nobody knows whether it comes next.
    Unsure,
    /// It came already.
    Broken,
}

/// Watches the messages of one reading.
pub(super) struct Watch {
    shortest_skip: TimeDelta,
    /// Whether the engine is one that leaves out files.
    skips: bool,
    /// The last message of each stream: its stamp, and whether its line goes on.
    last: [Option<(DateTime<Utc>, bool)>; 2],
    /// The newest stamp.
    newest: Option<DateTime<Utc>>,
    /// Whether what came before the first message is known.
    goes_on: bool,
}

impl Watch {
    /// Watches a reading that goes on behind another, or begins.
    pub(super) const fn new(shortest_skip: TimeDelta, skips: bool, goes_on: bool) -> Self {
        Self { shortest_skip, skips, last: [None; 2], newest: None, goes_on }
    }

    /// What is to be thought of the next message. It is not one that came already when it is younger than the one
    /// before, or a further piece of the same line. Nothing was left out before it when there was no time to write a
    /// whole file in between, or by an engine that leaves out nothing.
    pub(super) fn judge(&mut self, message: &Message) -> Order {
        let at = message.at();
        let last = self.last[message.stream as usize];
        if last.is_some_and(|(stamp, goes_on)| at < stamp || at == stamp && !goes_on) {
            return Order::Broken;
        }
        self.last[message.stream as usize] = Some((at, !message.content.ends_with(b"\n")));
        let had_time = self.newest.map_or(self.goes_on, |newest| at - newest >= self.shortest_skip);
        self.newest = self.newest.max(Some(at));
        if self.skips && had_time { Order::Unsure } else { Order::Follows }
    }
}

/// What the end of an engine's copy says of messages that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// They are there, one after the other, and so many came after them.
    Together {
        /// How many are behind them.
        behind: usize,
    },
    /// They are not.
    No,
}

/// Looks for messages that came one after the other in the end of an engine's copy.
pub(super) fn find(came: &VecDeque<Identity>, end: &[Identity]) -> Found {
    let is_there = |place: &&[Identity]| place.iter().eq(came.iter());
    let mut places = end.windows(came.len().max(1)).enumerate();
    match places.rfind(|(_, place)| is_there(place)) {
        Some((at, _)) => Found::Together { behind: end.len() - at - came.len() },
        None => Found::No,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(stream: Stream, millis: u32, content: &'static str) -> Message {
        let stamp = format!("2026-12-01T00:00:00.{millis:03}Z");
        Message { stream, stamp, content: Bytes::from_static(content.as_bytes()) }
    }

    #[test]
    fn messages_that_follow_each_other_are_believed() {
        use Order::{Broken, Follows, Unsure};
        let mut watch = Watch::new(TimeDelta::milliseconds(5), true, false);
        let mut judge = |stream, millis, content| watch.judge(&message(stream, millis, content));
        assert_eq!(judge(Stream::Stdout, 100, "a\n"), Follows);
        assert_eq!(judge(Stream::Stdout, 100, "a\n"), Broken, "it came already");
        assert_eq!(judge(Stream::Stdout, 99, "a\n"), Broken, "older than the one before");
        assert_eq!(judge(Stream::Stderr, 99, "b"), Follows, "the streams have no order");
        assert_eq!(judge(Stream::Stderr, 99, "c\n"), Follows, "a piece of the same line");
        assert_eq!(judge(Stream::Stdout, 104, "d\n"), Follows, "no time to write a file");
        assert_eq!(judge(Stream::Stdout, 109, "e\n"), Unsure, "time to write a file");
        assert_eq!(judge(Stream::Stderr, 113, "f\n"), Follows, "no time since the newest one");
        let mut watch = Watch::new(TimeDelta::milliseconds(5), false, false);
        assert_eq!(watch.judge(&message(Stream::Stdout, 100, "a\n")), Follows);
        assert_eq!(
            watch.judge(&message(Stream::Stdout, 500, "b\n")),
            Follows,
            "this engine leaves out nothing"
        );
    }

    #[test]
    fn the_first_message_behind_what_was_read_is_not_believed_of_an_engine_that_skips() {
        for (skips, goes_on, order) in
            [(true, true, Order::Unsure), (true, false, Order::Follows), (false, true, Order::Follows)]
        {
            let mut watch = Watch::new(TimeDelta::milliseconds(5), skips, goes_on);
            assert_eq!(watch.judge(&message(Stream::Stdout, 100, "a\n")), order);
        }
    }

    #[test]
    fn what_came_is_found_where_nothing_is_in_between() {
        let named = |names: &[&str]| -> Vec<Identity> {
            names.iter().map(|name| (Stream::Stdout, (*name).to_owned())).collect()
        };
        let found = |came: &[&str], end: &[&str]| find(&named(came).into(), &named(end));
        assert_eq!(found(&["1", "2"], &["0", "1", "2", "3", "4"]), Found::Together { behind: 2 });
        assert_eq!(found(&["1", "2"], &["1", "2"]), Found::Together { behind: 0 });
        assert_eq!(found(&["1", "3"], &["0", "1", "2", "3"]), Found::No);
        assert_eq!(found(&["1", "2"], &["2", "3"]), Found::No, "the first is gone");
        assert_eq!(found(&["1"], &[]), Found::No);
        assert_eq!(found(&["1", "1", "2"], &["1", "1", "1", "2"]), Found::Together { behind: 0 }, "pieces");
    }
}
