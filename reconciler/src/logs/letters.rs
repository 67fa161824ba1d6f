//! What reconcilers of one database write to each other about logs, and about what nodes measure. PostgreSQL carries what is shorter than 8,000
//! bytes (`NOTIFY`), so that a piece goes in parts. A letter that is lost is written again by whoever misses the
//! answer.

use std::time::Duration;

use almanac_proto::{log::Stream, reading::Reading};
use almanac_schemas::trigger::{Provider, samples::Sample};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{From, LogKey, Piece, Question};

/// The most bytes of a log in one letter. In base64 and with what is around it, that is less than 8,000.
const PART: usize = 5400;

/// A letter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Letter {
    /// Somebody watches a log at `from`. It counts for a while.
    Want {
        /// Who writes.
        from: Uuid,
        /// The run's node.
        node: String,
        /// Which log.
        log: Named,
    },
    /// Nobody does any more.
    Done {
        /// Who writes.
        from: Uuid,
        /// Which log.
        log: Named,
    },
    /// A question to whoever has the node's stream for a log.
    Ask {
        /// Who asks.
        from: Uuid,
        /// The question's number there.
        id: u64,
        /// Which log.
        log: Named,
        /// The place.
        at: Place,
        /// At most so many bytes.
        most: u32,
        /// How long to wait, in milliseconds.
        wait: u64,
    },
    /// A part of an answer.
    Part {
        /// Who asked.
        to: Uuid,
        /// The question's number there.
        id: u64,
        /// Where this part begins.
        begin: u64,
        /// In base64.
        data: String,
        /// Set in the last part.
        last: Option<Rest>,
    },
    /// Somebody watches what a node measures at `from`. It counts for a while.
    WantTelemetry {
        /// Who writes.
        from: Uuid,
        /// Which node.
        node: String,
    },
    /// Nobody does any more.
    DoneTelemetry {
        /// Who writes.
        from: Uuid,
        /// Which node.
        node: String,
    },
    /// A node measured something, or only said that it is there.
    Telemetry {
        /// Who writes.
        from: Uuid,
        /// Which node.
        node: String,
        /// What.
        reading: Option<Measured>,
    },
}

/// What a node measured. Its bounds keep it below what PostgreSQL carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    provider: String,
    /// In microseconds since 1970.
    at: i64,
    sample: Sample,
}

/// The names of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    run: String,
    role: String,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// At a byte.
    Offset(u64),
    /// Where lines begin.
    Lines {
        /// How many.
        tail: Option<u32>,
        /// From which instant on, in microseconds since 1970.
        since: Option<i64>,
        /// Which count.
        stream: Option<Stream>,
    },
}

/// What the last part of an answer says besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    written: u64,
    ended: bool,
    absent: bool,
}

impl std::convert::From<&Reading> for Measured {
    fn from(Reading { provider, at, sample }: &Reading) -> Self {
        Self { provider: provider.to_string(), at: at.timestamp_micros(), sample: sample.clone() }
    }
}

impl Measured {
    /// The reading, if it makes sense.
    pub fn reading(self) -> Option<Reading> {
        let (provider, at) = (Provider::find(&self.provider)?, DateTime::from_timestamp_micros(self.at)?);
        Some(Reading { provider, at, sample: self.sample })
    }
}

impl Named {
    /// The names of a log.
    pub fn new(key: LogKey) -> Self {
        Self { run: key.run.to_string(), role: key.role.to_string() }
    }

    /// The log, if they make sense.
    pub fn key(&self) -> Option<LogKey> {
        Some(LogKey { run: self.run.parse().ok()?, role: self.role.parse().ok()? })
    }
}

impl Letter {
    /// A question.
    pub fn ask(from: Uuid, id: u64, key: LogKey, question: Question) -> Self {
        let at = match question.from {
            From::Offset(offset) => Place::Offset(offset),
            From::Lines { tail, since, stream } => {
                Place::Lines { tail, since: since.map(|since| since.timestamp_micros()), stream }
            }
        };
        let wait = u64::try_from(question.wait.as_millis()).unwrap_or(u64::MAX);
        Self::Ask { from, id, log: Named::new(key), at, most: question.most, wait }
    }

    /// The parts of an answer, in their order.
    pub fn parts(to: Uuid, id: u64, piece: &Piece) -> Vec<Self> {
        let count = piece.data.len().div_ceil(PART).max(1);
        let part = |number: usize| {
            let (begin, end) = (number * PART, piece.data.len().min((number + 1) * PART));
            let Piece { written, ended, absent, .. } = *piece;
            Self::Part {
                to,
                id,
                begin: piece.begin + begin as u64,
                data: STANDARD.encode(&piece.data[begin..end]),
                last: (number + 1 == count).then_some(Rest { written, ended, absent }),
            }
        };
        (0..count).map(part).collect()
    }
}

/// The question of a letter.
pub fn question(at: Place, most: u32, wait: u64) -> Question {
    let from = match at {
        Place::Offset(offset) => From::Offset(offset),
        Place::Lines { tail, since, stream } => {
            From::Lines { tail, since: since.and_then(DateTime::<Utc>::from_timestamp_micros), stream }
        }
    };
    Question { from, most, wait: Duration::from_millis(wait) }
}

/// An answer whose parts arrive.
#[derive(Debug, Default)]
pub struct Arriving {
    begin: Option<u64>,
    data: Vec<u8>,
}

impl Arriving {
    /// Takes the next part; the piece when it is the last. Nothing comes of an answer of which a part is missing.
    pub fn take(&mut self, begin: u64, data: &str, last: Option<Rest>) -> Option<Piece> {
        let first = *self.begin.get_or_insert(begin);
        if first.saturating_add(self.data.len() as u64) != begin {
            return None;
        }
        self.data.extend(STANDARD.decode(data).ok()?);
        let Rest { written, ended, absent } = last?;
        Some(Piece {
            begin: first,
            data: Bytes::from(std::mem::take(&mut self.data)),
            written,
            ended,
            absent,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_reading_is_one_that_postgresql_carries() {
        use almanac_proto::v1;
        let text = |text: String| v1::MeasuredValue { value: Some(v1::measured_value::Value::Text(text)) };
        let sample = (0..200).map(|number| (format!("{number:064}"), text("\"".repeat(200)))).collect();
        let at = Some(almanac_proto::convert::timestamp(DateTime::<Utc>::MAX_UTC));
        let reading =
            Reading::try_from(v1::Reading { provider: "satellites".to_owned(), at, sample }).unwrap();
        let measured = Measured::from(&reading);
        assert_eq!(measured.clone().reading().unwrap().sample, reading.sample);
        let (from, node) = (Uuid::new_v4(), "n".repeat(63));
        let letter = Letter::Telemetry { from, node, reading: Some(measured) };
        let text = serde_json::to_string(&letter).unwrap();
        assert!((5_000..8_000).contains(&text.len()), "{}", text.len());
        assert_eq!(serde_json::from_str::<Letter>(&text).unwrap(), letter);
    }

    #[test]
    fn an_answer_arrives_in_parts_that_postgresql_carries() {
        let data: Vec<u8> = (0..20_000_u32).map(|byte| (byte % 251) as u8).collect();
        let begin = u64::MAX / 2;
        let piece = Piece { begin, data: data.into(), written: u64::MAX, ended: true, absent: false };
        let parts = Letter::parts(Uuid::new_v4(), u64::MAX, &piece);
        assert_eq!(parts.len(), 4);
        let mut arriving = Arriving::default();
        let mut last = None;
        for part in &parts {
            let text = serde_json::to_string(part).unwrap();
            assert!(text.len() < 8000, "{}", text.len());
            let Letter::Part { begin, data, last: rest, .. } = serde_json::from_str(&text).unwrap() else {
                panic!("{text}");
            };
            last = arriving.take(begin, &data, rest);
        }
        assert_eq!(last, Some(piece));
        let empty = Piece { absent: true, ..Piece::default() };
        assert_eq!(Letter::parts(Uuid::new_v4(), 1, &empty).len(), 1);
        // The second part is lost.
        let mut arriving = Arriving::default();
        for part in [&parts[0], &parts[2], &parts[3]] {
            let Letter::Part { begin, data, last, .. } = part else { panic!() };
            assert_eq!(arriving.take(*begin, data, *last), None);
        }
    }

    #[test]
    fn a_question_comes_as_it_went() {
        let key = LogKey {
            run: "8d863d4f-9fe6-5c16-837c-10e6c0fa0321".parse().unwrap(),
            role: almanac_schemas::RunRole::Server,
        };
        let lines = From::Lines {
            tail: Some(3),
            since: DateTime::from_timestamp_micros(1_234_567),
            stream: Some(Stream::Stderr),
        };
        for from in [From::Offset(7), lines] {
            let asked = Question { from, most: 100, wait: Duration::from_millis(1500) };
            let text = serde_json::to_string(&Letter::ask(Uuid::nil(), 1, key, asked)).unwrap();
            let Letter::Ask { log, at, most, wait, .. } = serde_json::from_str(&text).unwrap() else {
                panic!("{text}");
            };
            assert_eq!((log.key(), question(at, most, wait)), (Some(key), asked));
        }
    }
}
