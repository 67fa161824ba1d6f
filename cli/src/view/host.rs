//! A node's host, as its agent measures it.

use chrono::TimeDelta;
use serde::Serialize;

use almanac_proto::v1;
use almanac_schemas::ClockOffset;

use crate::{relative::span, table::Cell, view};

/// A node's host. What its agent cannot read is not known.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Host {
    /// The load average of the last minute.
    pub load: Option<f64>,
    /// Bytes of memory.
    pub memory_total: Option<u64>,
    /// Bytes of memory that a new program could take.
    pub memory_available: Option<u64>,
    /// Bytes of the file system with the agent's state folder.
    pub disk_total: Option<u64>,
    /// How many of them are free.
    pub disk_free: Option<u64>,
    /// The highest temperature, in degrees Celsius.
    pub temperature: Option<f64>,
    /// How long it had been up at its latest heartbeat.
    pub uptime_seconds: Option<u64>,
}

impl From<v1::HostMetrics> for Host {
    fn from(host: v1::HostMetrics) -> Self {
        Self {
            load: host.load_hundredths.map(|load| f64::from(load) / 100.0),
            memory_total: host.memory_total,
            memory_available: host.memory_available,
            disk_total: host.disk_total,
            disk_free: host.disk_free,
            temperature: host.temperature_millidegrees.map(|degrees| f64::from(degrees) / 1_000.0),
            uptime_seconds: host.uptime_seconds,
        }
    }
}

impl Host {
    /// What is known, line by line.
    pub(super) fn pairs(&self) -> Vec<(&'static str, Cell)> {
        let of = |part: Option<u64>, whole: Option<u64>, what| {
            Some(format!("{} of {} {what}", view::size(part?), view::size(whole?)))
        };
        let up = |seconds: u64| Some(span(TimeDelta::try_seconds(seconds.try_into().ok()?)?));
        [
            ("load", self.load.map(|load| format!("{load:.2}"))),
            ("memory", of(self.memory_available, self.memory_total, "available")),
            ("disk", of(self.disk_free, self.disk_total, "free")),
            ("temperature", self.temperature.map(|degrees| format!("{degrees:.1} °C"))),
            ("up", self.uptime_seconds.and_then(up)),
        ]
        .into_iter()
        .filter_map(|(label, text)| Some((label, text?.into())))
        .collect()
    }
}

/// By how much a clock is off, and how sure that is.
pub(super) fn clock(offset: ClockOffset) -> String {
    format!("{offset}, to within {} ms", offset.round_trip_micros.div_ceil(2_000))
}
