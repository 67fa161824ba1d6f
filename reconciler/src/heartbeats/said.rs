//! What a node says about itself: in full at first, and then what has changed.

use almanac_proto::v1;
use almanac_schemas::{ClockOffset, Instant, NodeName};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::Outlook;
use crate::store::HeartbeatRow;

/// The longest text about a node that is kept, in bytes. It is for people.
const MAX_TEXT: usize = 1 << 10;

/// How a node's clock is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Clock {
    /// By how much it differs from the reconciler's.
    pub offset: ClockOffset,
    /// Since when that is too much, if it is.
    pub off_since: Option<Instant>,
}

/// How a node's host is. What its agent cannot read is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Host {
    /// The load average of the last minute, in hundredths.
    pub load_hundredths: Option<u32>,
    /// Bytes of memory.
    pub memory_total: Option<u64>,
    /// Bytes of memory that a new program could take.
    pub memory_available: Option<u64>,
    /// Bytes of the file system with the agent's state folder.
    pub disk_total: Option<u64>,
    /// How many of them are free.
    pub disk_free: Option<u64>,
    /// The highest of its temperatures, in thousandths of a degree Celsius.
    pub temperature_millidegrees: Option<i32>,
    /// When it was booted, by the reconciler's clock.
    pub booted_at: Option<Instant>,
}

/// What is known of a node by the first heartbeat of a stream.
pub fn begin(node: NodeName, beat: v1::HeartbeatRequest, now: DateTime<Utc>) -> HeartbeatRow {
    let mut row = HeartbeatRow {
        node,
        last_seen: now,
        online_since: now,
        agent_version: String::new(),
        boot_id: String::new(),
        address: String::new(),
        engine: String::new(),
        held_epoch: String::new(),
        held_generation: 0,
        clock: None,
        host: None,
        outlook: None,
    };
    go_on(&mut row, beat, now);
    row
}

/// Adds what a later heartbeat of the same stream says.
pub fn go_on(row: &mut HeartbeatRow, beat: v1::HeartbeatRequest, now: DateTime<Utc>) {
    row.last_seen = now;
    for (field, said) in [
        (&mut row.agent_version, beat.agent_version),
        (&mut row.boot_id, beat.boot_id),
        (&mut row.address, beat.address),
        (&mut row.engine, beat.engine),
        (&mut row.held_epoch, beat.epoch),
    ] {
        if let Some(said) = said {
            *field = shortened(said);
        }
    }
    if let Some(generation) = beat.generation {
        row.held_generation = generation;
    }
    if let Some(offset) = beat.clock {
        let offset = ClockOffset::from(offset);
        let before = row.clock.and_then(|clock| clock.off_since);
        row.clock =
            Some(Clock { offset, off_since: offset.is_too_large().then(|| before.unwrap_or(Instant(now))) });
    }
    if let Some(host) = beat.host {
        row.host = Some(Host::read(&host, now));
    }
    if let Some(outlook) = beat.outlook {
        row.outlook = Some(Outlook::read(&row.node, outlook));
    }
}

impl Host {
    fn read(host: &v1::HostMetrics, now: DateTime<Utc>) -> Self {
        let uptime = host.uptime_seconds.and_then(|seconds| TimeDelta::try_seconds(seconds.try_into().ok()?));
        Self {
            load_hundredths: host.load_hundredths,
            memory_total: host.memory_total,
            memory_available: host.memory_available,
            disk_total: host.disk_total,
            disk_free: host.disk_free,
            temperature_millidegrees: host.temperature_millidegrees,
            booted_at: uptime.and_then(|uptime| now.checked_sub_signed(uptime)).map(Instant),
        }
    }

    /// In the protocol's form, as it was at an instant.
    pub fn message(&self, at: DateTime<Utc>) -> v1::HostMetrics {
        v1::HostMetrics {
            load_hundredths: self.load_hundredths,
            memory_total: self.memory_total,
            memory_available: self.memory_available,
            disk_total: self.disk_total,
            disk_free: self.disk_free,
            temperature_millidegrees: self.temperature_millidegrees,
            uptime_seconds: self
                .booted_at
                .and_then(|booted_at| (at - booted_at.0).num_seconds().try_into().ok()),
        }
    }
}

/// Cuts a text of an agent, which is bounded by nothing else.
pub(super) fn shortened(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn clock(offset_micros: i64) -> v1::HeartbeatRequest {
        let clock = Some(v1::ClockOffset { offset_micros, round_trip_micros: 20_000 });
        v1::HeartbeatRequest { clock, ..Default::default() }
    }

    #[test]
    fn what_is_not_said_is_as_it_was_and_what_is_said_counts() {
        let first = v1::HeartbeatRequest {
            agent_version: Some("1".to_owned()),
            engine: Some("docker 28".to_owned()),
            generation: Some(3),
            host: Some(v1::HostMetrics { uptime_seconds: Some(60), ..Default::default() }),
            ..Default::default()
        };
        let mut row = begin("london-01".parse().unwrap(), first, at(0));
        let before = row.clone();
        go_on(&mut row, v1::HeartbeatRequest::default(), at(30));
        assert_eq!(row, HeartbeatRow { last_seen: at(30), ..before });
        let later =
            v1::HeartbeatRequest { engine: Some(String::new()), generation: Some(4), ..Default::default() };
        go_on(&mut row, later, at(60));
        assert_eq!((row.agent_version.as_str(), row.engine.as_str(), row.held_generation), ("1", "", 4));
        assert_eq!(row.host.unwrap().message(at(60)).uptime_seconds, Some(120), "it goes on");
    }

    #[test]
    fn a_clock_is_off_since_it_was_first_found_to_be() {
        let mut row = begin("london-01".parse().unwrap(), clock(500_000), at(0));
        let since = |row: &HeartbeatRow| row.clock.unwrap().off_since;
        assert_eq!(since(&row), None);
        for (seconds, micros, expected) in [
            (30, 3_000_000, Some(30)),
            (60, -3_000_000, Some(30)),
            (90, 1_005_000, None),
            (120, 2_000_000, Some(120)),
        ] {
            go_on(&mut row, clock(micros), at(seconds));
            assert_eq!(since(&row), expected.map(|seconds| Instant(at(seconds))));
        }
    }

    #[test]
    fn what_no_host_can_be_is_taken_without_harm() {
        let host = v1::HostMetrics { uptime_seconds: Some(u64::MAX), ..Default::default() };
        let beat =
            v1::HeartbeatRequest { engine: Some("é".repeat(MAX_TEXT)), host: Some(host), ..clock(i64::MIN) };
        let row = begin("london-01".parse().unwrap(), beat, at(0));
        assert!(row.engine.len() <= MAX_TEXT);
        assert_eq!(row.host.unwrap().booted_at, None);
    }
}
