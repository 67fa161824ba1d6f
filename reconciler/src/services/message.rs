//! Rows as messages.

use almanac_proto::{convert::timestamp, v1};
use chrono::{DateTime, Utc};

use crate::{
    applied::{Applied, JobOrigin},
    artifacts::Grant,
    conditions::{self, Condition, KeptOff, NodeConditions},
    desired::json,
    follow::{Answer, Looked},
    heartbeats::{Heartbeats, Hindrance, Liveness, Pace},
    hex,
    instructions::Instructions,
    intent::Hold,
    run::RunStep,
    store::{
        ArtifactRow, ChangeRow, DeletedJob, FindingRow, HeartbeatRow, KeepRow, RunRow, SyncOutcome, SyncRow,
    },
    surroundings::{Surroundings, standing},
};
use almanac_schemas::{Cordon, JobName, JobSpec, NodeName, RunRole, Scavenging};
use almanac_validate::{NodeEntry, plan::Action};

/// What is known of nodes and jobs at an instant.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) applied: &'a Applied,
    pub(super) heartbeats: &'a Heartbeats,
    pub(super) instructions: &'a Instructions,
    pub(super) surroundings: &'a Surroundings,
    pub(super) pace: Pace,
    pub(super) now: DateTime<Utc>,
}

impl Facts<'_> {
    /// The conditions of a node; none when it is not declared.
    pub(super) fn node(&self, name: &NodeName) -> Option<NodeConditions> {
        let kept_off = KeptOff { cordon: self.cordon(name), scavenging: self.scavenging(name) };
        let heartbeat = self.heartbeats.get(name);
        conditions::node(self.applied, name, heartbeat.as_ref(), &kept_off, &self.pace, self.now)
    }

    /// How what a node asks to be fetched stands; none when it asks for nothing.
    fn unfetched(&self, name: &NodeName, entry: &NodeEntry) -> Option<Condition> {
        let Self { applied, surroundings, .. } = self;
        standing::node(&applied.testbed, &entry.spec, &surroundings.known(), applied.declared_since(name))
    }

    /// What keeps new runs off a node, otherwise than its manifest: what was said here, or else on its host.
    fn cordon(&self, name: &NodeName) -> Option<Cordon> {
        self.instructions.cordon(name, self.now).or_else(|| {
            let said = self.heartbeats.get(name)?.outlook?.cordon?;
            Some(said).filter(|cordon| cordon.holds(self.now))
        })
    }

    /// Who wants a node's link: who said so here, or else on its host.
    fn scavenging(&self, name: &NodeName) -> Option<Scavenging> {
        self.instructions.scavenging(name, self.now).or_else(|| {
            let said = self.heartbeats.get(name)?.outlook?.scavenging?;
            Some(said).filter(|said| said.holds(self.now))
        })
    }

    /// Why the next run of a job will not start on a node, as far as its host says.
    fn hindrance(&self, node: &NodeName, job: &JobName) -> Option<Hindrance> {
        let hindrances = self.heartbeats.get(node)?.outlook?.hindrances;
        hindrances.into_iter().find(|hindrance| hindrance.job == *job && hindrance.scheduled_at.0 >= self.now)
    }
}

pub(super) fn run(row: &RunRow) -> v1::Run {
    let state = &row.state;
    v1::Run {
        id: row.id.to_string(),
        job: row.job.to_string(),
        node: row.node.to_string(),
        owner: row.owner.to_string(),
        scheduled_at: Some(timestamp(row.scheduled_at)),
        phase: v1::Phase::from(state.phase).into(),
        reason: reason(state.reason),
        message: state.message.clone(),
        started_at: state.started_at.map(timestamp),
        ended_at: state.ended_at.map(timestamp),
        exit_code: state.exit_code,
        image_digest: state.image_digest.clone(),
        commit: state.commit.clone(),
        role: v1::Role::from(row.role).into(),
        moved_to: row.moved_to.map(timestamp),
        ..v1::Run::default()
    }
}

pub(super) fn keep(row: KeepRow) -> v1::Keep {
    v1::Keep { actor: row.actor, reason: row.reason, since: Some(timestamp(row.since)) }
}

pub(super) fn step(step: &RunStep) -> v1::RunStep {
    v1::RunStep {
        sequence: step.sequence,
        phase: v1::Phase::from(step.phase).into(),
        reason: reason(step.reason),
        message: step.message.clone(),
        at: Some(timestamp(step.at)),
    }
}

fn reason(reason: Option<almanac_schemas::Reason>) -> i32 {
    reason.map_or(v1::Reason::Unspecified, v1::Reason::from).into()
}

pub(super) fn artifact(row: &ArtifactRow) -> v1::Artifact {
    v1::Artifact {
        run_id: row.run.to_string(),
        role: v1::Role::from(row.role).into(),
        name: row.name.clone(),
        size: row.size,
        sha256: hex::decode(&row.sha256).unwrap_or_default().into(),
        path: row.path.clone(),
        stored_at: Some(timestamp(row.stored_at)),
        expired_at: row.expired.map(|expired| timestamp(expired.at)),
        kept_for_seconds: row.expired.map_or(0, |expired| expired.kept_for.as_secs()),
        expires_at: None,
    }
}

/// What only its holder should see.
pub(super) fn signed_request(grant: Grant) -> v1::SignedRequest {
    v1::SignedRequest {
        method: grant.method.to_owned(),
        url: grant.url,
        headers: grant.headers.into_iter().collect(),
        expires_at: Some(timestamp(grant.expires_at)),
    }
}

pub(super) fn sync(row: &SyncRow) -> v1::Sync {
    v1::Sync {
        id: row.id.cast_unsigned(),
        commit: row.commit.id.clone(),
        author: row.commit.author.clone(),
        subject: row.commit.subject.clone(),
        committed_at: Some(timestamp(row.commit.committed_at)),
        started_at: Some(timestamp(row.started_at)),
        ended_at: Some(timestamp(row.ended_at)),
        outcome: match row.outcome {
            SyncOutcome::Applied => v1::SyncOutcome::Applied,
            SyncOutcome::Rejected => v1::SyncOutcome::Rejected,
            SyncOutcome::Waiting => v1::SyncOutcome::Waiting,
        }
        .into(),
        message: row.message.clone(),
        added: row.added,
        changed: row.changed,
        removed: row.removed,
        findings: row.findings,
        tree: row.commit.tree.clone(),
        cause: row.cause.as_str().to_owned(),
        signer: row.signer.clone().unwrap_or_default(),
        approved_by: row.approved_by.clone().unwrap_or_default(),
    }
}

/// What came of a look that somebody asked for.
pub(super) fn looked(answer: Answer, now: DateTime<Utc>) -> v1::Sync {
    match answer {
        Ok(Looked::Sync(row)) => sync(&row),
        Ok(Looked::Suspended(hold)) => v1::Sync {
            outcome: v1::SyncOutcome::Suspended.into(),
            ..failed_sync(format!("suspended {hold}"), now)
        },
        Err(message) => failed_sync(message, now),
    }
}

pub(super) fn hold(hold: &Hold) -> v1::SyncHold {
    v1::SyncHold {
        actor: hold.actor.clone(),
        reason: hold.reason.clone(),
        since: Some(timestamp(hold.since)),
        until: hold.until.map(timestamp),
        commit: hold.commit.clone(),
    }
}

pub(super) fn condition(condition: &Condition) -> v1::Condition {
    v1::Condition {
        r#type: condition.kind.as_str().to_owned(),
        status: condition.status,
        reason: condition.reason.as_str().to_owned(),
        message: condition.message.clone(),
        since: Some(timestamp(condition.since)),
    }
}

/// A look that came to nothing. It is not recorded, since it says nothing about any commit.
fn failed_sync(message: String, now: DateTime<Utc>) -> v1::Sync {
    v1::Sync {
        outcome: v1::SyncOutcome::Failed.into(),
        message,
        started_at: Some(timestamp(now)),
        ended_at: Some(timestamp(now)),
        ..v1::Sync::default()
    }
}

pub(super) fn finding(row: FindingRow) -> v1::Finding {
    v1::Finding {
        rule: row.rule,
        severity: row.severity,
        message: row.message,
        file: row.file,
        line: row.line,
        column: row.column,
        end_line: row.end_line,
        end_column: row.end_column,
        help: row.help,
    }
}

pub(super) fn change(row: ChangeRow) -> v1::Change {
    v1::Change {
        kind: row.kind.as_str().to_owned(),
        name: row.name,
        action: match row.action {
            Action::Added => v1::ChangeAction::Added,
            Action::Changed => v1::ChangeAction::Changed,
            Action::Removed => v1::ChangeAction::Removed,
        }
        .into(),
        before: row.before,
        after: row.after,
    }
}

pub(super) fn job(
    facts: Facts<'_>,
    name: &JobName,
    spec: &JobSpec,
    next_run: Option<DateTime<Utc>>,
) -> v1::Job {
    let Facts { applied, now, .. } = facts;
    let places = applied.placements.get(name).into_iter().flatten();
    let clients = places.filter(|(_, role)| *role == RunRole::Client).map(|(node, _)| node);
    let mut job = plain_job(name, spec, applied.origins.get(name), clients);
    let moved = facts.instructions.moved().iter().any(|run| run.job == *name && run.to >= now);
    let hindrance = |node: &NodeName| facts.hindrance(node, name);
    let conditions = conditions::job(applied, name, |node| facts.node(node), hindrance, moved, now);
    job.conditions = conditions.iter().flatten().map(condition).collect();
    job.next_run = next_run.map(timestamp);
    job
}

pub(super) fn deleted_job(job: &DeletedJob) -> v1::Job {
    let mut message = plain_job(&job.name, &job.spec, Some(&job.origin), job.nodes.iter());
    message.deleted_at = Some(timestamp(job.deleted_at));
    message
}

fn plain_job<'a>(
    name: &JobName,
    spec: &JobSpec,
    origin: Option<&JobOrigin>,
    nodes: impl Iterator<Item = &'a NodeName>,
) -> v1::Job {
    v1::Job {
        name: name.to_string(),
        owner: spec.owner.to_string(),
        spec: json(spec),
        nodes: nodes.map(ToString::to_string).collect(),
        commit: origin.map(|origin| origin.commit.clone()).unwrap_or_default(),
        created_at: origin.map(|origin| timestamp(origin.created_at)),
        updated_at: origin.map(|origin| timestamp(origin.updated_at)),
        deleted_at: None,
        next_run: None,
        conditions: Vec::new(),
    }
}

pub(super) fn node(
    facts: Facts<'_>,
    name: &NodeName,
    entry: &NodeEntry,
    next_run: Option<DateTime<Utc>>,
) -> v1::Node {
    let Facts { applied, now, .. } = facts;
    let heartbeat = facts.heartbeats.get(name);
    let heartbeat = heartbeat.as_ref();
    let last_seen = heartbeat.map(|row| row.last_seen);
    let held = held_generation(applied, heartbeat);
    let conditions = facts.node(name);
    let text = |field: fn(&HeartbeatRow) -> &String| heartbeat.map(field).cloned().unwrap_or_default();
    v1::Node {
        name: name.to_string(),
        labels: entry.labels.clone().into_iter().collect(),
        spec: json(&entry.spec),
        liveness: liveness(Liveness::of(last_seen, &facts.pace, now)).into(),
        last_seen: last_seen.map(timestamp),
        address: text(|row| &row.address),
        agent_version: text(|row| &row.agent_version),
        engine: text(|row| &row.engine),
        generation: applied.generation(name),
        held_generation: held,
        conditions: conditions
            .iter()
            .flat_map(NodeConditions::all)
            .chain(&facts.unfetched(name, entry))
            .map(condition)
            .collect(),
        next_run: next_run.map(timestamp),
        cordon: facts.cordon(name).map(v1::Cordon::from),
        scavenging: facts.scavenging(name).map(v1::Scavenging::from),
        clock: heartbeat.and_then(|row| Some(row.clock?.offset.into())),
        host: heartbeat.and_then(|row| Some(row.host.as_ref()?.message(row.last_seen))),
    }
}

/// What a node holds of this database; what it holds of another one counts for nothing.
pub(super) fn held_generation(applied: &Applied, heartbeat: Option<&HeartbeatRow>) -> u64 {
    heartbeat.filter(|row| *row.held_epoch == *applied.epoch).map_or(0, |row| row.held_generation)
}

fn liveness(liveness: Liveness) -> v1::Liveness {
    match liveness {
        Liveness::Online => v1::Liveness::Online,
        Liveness::Stale => v1::Liveness::Stale,
        Liveness::Offline => v1::Liveness::Offline,
        Liveness::Never => v1::Liveness::Never,
    }
}
