//! Nodes.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use almanac_proto::{convert::FieldError, v1};
use almanac_schemas::{ClockOffset, Cordon, Instant, Scavenging};

use crate::{
    output::{Look, Row, View},
    table::{Cell, Column, Fit, Tone, details},
    view::{self, Condition, Host, Spec, condition, host},
};

/// The condition that a node's clock is off.
const CLOCK_SKEWED: &str = "ClockSkewed";

/// A host that runs an agent.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its name.
    pub name: String,
    /// What selectors select by.
    pub labels: BTreeMap<String, String>,
    /// Whether it is heard of.
    pub liveness: Liveness,
    /// Its latest heartbeat.
    pub last_seen: Option<Instant>,
    /// What its agent reports.
    pub address: Option<String>,
    /// What its agent reports.
    pub agent_version: Option<String>,
    /// What its agent reports.
    pub engine: Option<String>,
    /// The generation of its desired state.
    pub generation: u64,
    /// The generation that its agent holds.
    pub held_generation: u64,
    /// When something is to run on it next.
    pub next_run: Option<Instant>,
    /// What keeps new runs off it, otherwise than its manifest.
    pub cordon: Option<Cordon>,
    /// Who wants its link, if anybody does: no exclusive run starts.
    pub scavenging: Option<Scavenging>,
    /// By how much its clock differs from the reconciler's.
    pub clock: Option<ClockOffset>,
    /// What its agent measures of its host.
    pub host: Option<Host>,
    /// How it is.
    pub conditions: Vec<Condition>,
    /// The `spec` of its manifest.
    pub spec: Spec,
}

/// What keeps new runs off a node, for people.
fn cordon(cordon: &Cordon, now: DateTime<Utc>) -> String {
    let Cordon { actor, reason, until, stop_at, .. } = cordon;
    let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let at = |what: &str, at: &Option<Instant>| {
        at.map(|at| format!("; {what} at {}", view::both(Some(at), now))).unwrap_or_default()
    };
    let (stopped, ended) = (at("what still runs is stopped", stop_at), at("it ends", until));
    format!("{} by {actor}{because}{stopped}{ended}", cordon.deed())
}

/// Who wants a node's link, for people.
fn scavenging(scavenging: &Scavenging, now: DateTime<Utc>) -> String {
    let Scavenging { actor, reason, until, .. } = scavenging;
    let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let ended = until.map(|until| format!("; it ends at {}", view::both(Some(until), now)));
    format!("on, by {actor}{because}{}", ended.unwrap_or_default())
}

/// Whether a node is heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Liveness {
    /// Its last heartbeat is recent.
    Online,
    /// It was silent for a while.
    Stale,
    /// It was silent for long.
    Offline,
    /// It was never heard of.
    Never,
}

impl Liveness {
    const fn cell(self) -> (&'static str, Tone) {
        match self {
            Self::Online => ("online", Tone::Good),
            Self::Stale => ("stale", Tone::Odd),
            Self::Offline => ("offline", Tone::Bad),
            Self::Never => ("never", Tone::Plain),
        }
    }
}

impl TryFrom<v1::Liveness> for Liveness {
    type Error = FieldError;

    fn try_from(liveness: v1::Liveness) -> Result<Self, FieldError> {
        match liveness {
            v1::Liveness::Online => Ok(Self::Online),
            v1::Liveness::Stale => Ok(Self::Stale),
            v1::Liveness::Offline => Ok(Self::Offline),
            v1::Liveness::Never => Ok(Self::Never),
            v1::Liveness::Unspecified => Err(FieldError::missing("liveness")),
        }
    }
}

impl TryFrom<v1::Node> for Node {
    type Error = FieldError;

    fn try_from(node: v1::Node) -> Result<Self, FieldError> {
        Ok(Self {
            name: node.name,
            labels: node.labels.into_iter().collect(),
            liveness: view::word::<v1::Liveness, _>("liveness", node.liveness)?,
            last_seen: view::maybe_instant("last_seen", node.last_seen.as_ref())?,
            address: view::text(node.address),
            agent_version: view::text(node.agent_version),
            engine: view::text(node.engine),
            generation: node.generation,
            held_generation: node.held_generation,
            next_run: view::maybe_instant("next_run", node.next_run.as_ref())?,
            cordon: node.cordon.map(Cordon::try_from).transpose()?,
            scavenging: node.scavenging.map(Scavenging::try_from).transpose()?,
            clock: node.clock.map(Into::into),
            host: node.host.map(Into::into),
            conditions: condition::all(node.conditions)?,
            spec: view::spec("spec", &node.spec)?,
        })
    }
}

impl Node {
    /// Whether the node holds what it should.
    fn state(&self) -> Cell {
        match (self.held_generation, self.generation) {
            (held, wanted) if held == wanted => Cell::toned("current", Tone::Good),
            (0, _) => "nothing".into(),
            _ => Cell::toned("behind", Tone::Odd),
        }
    }

    fn liveness(&self) -> Cell {
        let (word, tone) = self.liveness.cell();
        let cordoned = self.spec.get("cordoned").and_then(Spec::as_bool) == Some(true);
        let drained = self.cordon.as_ref().is_some_and(|cordon| cordon.stop_at.is_some());
        let mode = match (drained, cordoned || self.cordon.is_some()) {
            (true, _) => Some("drained"),
            (false, true) => Some("cordoned"),
            (false, false) => None,
        };
        let scavenger = self.scavenging.is_some().then_some("scavenger");
        let odd = [mode, scavenger, condition::holds(&self.conditions, CLOCK_SKEWED).then_some("clock off")];
        let words: Vec<&str> = std::iter::once(word).chain(odd.into_iter().flatten()).collect();
        Cell::toned(words.join(", "), if words.len() > 1 { Tone::Odd } else { tone })
    }
}

impl Row for Node {
    const NONE: &'static str = "no nodes";
    const COLUMNS: &'static [Column] = &[
        Column { title: "NAME", fit: Fit::Shorten },
        Column { title: "STATUS", fit: Fit::Keep },
        Column { title: "READY", fit: Fit::Keep },
        Column { title: "SEEN", fit: Fit::Keep },
        Column { title: "SCHEDULE", fit: Fit::Drop(2) },
        Column { title: "NEXT RUN", fit: Fit::Keep },
        Column { title: "LOCATION", fit: Fit::Drop(1) },
    ];

    fn cells(&self, now: DateTime<Utc>) -> Vec<Cell> {
        vec![
            self.name.as_str().into(),
            self.liveness(),
            condition::ready(&self.conditions),
            view::ago(self.last_seen, now).into(),
            self.state(),
            view::ago(self.next_run, now).into(),
            view::dash(self.spec.get("location").and_then(Spec::as_str)).into(),
        ]
    }
}

impl View for Node {
    fn text(&self, look: Look) -> String {
        let labels: Vec<_> = self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut pairs = vec![
            ("name", self.name.as_str().into()),
            ("labels", if labels.is_empty() { "-".into() } else { labels.join(", ").into() }),
            ("status", self.liveness()),
            ("seen", view::both(self.last_seen, look.now).into()),
            ("address", view::dash(self.address.as_deref()).into()),
            ("agent", view::dash(self.agent_version.as_deref()).into()),
            ("engine", view::dash(self.engine.as_deref()).into()),
            ("schedule", self.state()),
            ("generation", format!("{} held of {}", self.held_generation, self.generation).into()),
            ("next run", view::both(self.next_run, look.now).into()),
        ];
        if let Some(cordon) = &self.cordon {
            pairs.insert(3, ("cordon", self::cordon(cordon, look.now).into()));
        }
        if let Some(scavenging) = &self.scavenging {
            pairs.insert(3, ("scavenger", self::scavenging(scavenging, look.now).into()));
        }
        pairs.extend(self.clock.map(|offset| ("clock", host::clock(offset).into())));
        pairs.extend(self.host.iter().flat_map(Host::pairs));
        details(pairs, look.style) + &condition::text(&self.conditions, look) + &view::spec_text(&self.spec)
    }
}
