//! What is due: the scheduler says it, the journal settles it, and a worker is started for each run.

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use almanac_schemas::{Instant, Reason, RunId, RunRole, node::Limits};

use crate::{
    clock,
    connection::Held,
    desired::Desired,
    forecast::{Outlook, hindrances},
    journal::{JournalError, Settlement},
    point::Point,
    run::{self, Order, Peer, State, Transition},
    scheduler::{self, Decision, Situation, Verdict},
    servers::{self, Loss, plan::Going},
};

use super::Dispatcher;

/// How often it is looked at what the host says of what is to run, at most: quiet hours begin and end.
const LOOK_AHEAD: TimeDelta = TimeDelta::minutes(10);

/// How often it is looked whether there is room for new runs again.
const SHORT_LOOK: TimeDelta = TimeDelta::minutes(1);

impl Dispatcher {
    /// Settles what is due and starts what is to run. Returns when something is due next.
    pub(super) async fn dispatch(&mut self) -> Result<Option<DateTime<Utc>>, JournalError> {
        let now = clock::now();
        self.interrupt(now);
        let changes_at = self.said.changes_at(now);
        let reserved = self.workers.reserved(now);
        let short = self.tools.disk.shortage();
        if short.is_some() != self.is_short {
            self.is_short = short.is_some();
            self.looked_ahead = None;
            match &short {
                Some(short) => warn!(message = %short, "no new run starts"),
                None => info!("as far as the disks are concerned, new runs start again"),
            }
        }
        let changes_at = changes_at.into_iter().chain(short.map(|_| now + SHORT_LOOK)).min();
        let Some(desired) = &self.desired else { return Ok(changes_at) };
        let anticipated = self.anticipation.follow(desired, now);
        let situation = Situation {
            node: &self.node,
            reserved: &reserved,
            lost_at: self.tools.journal.rebuilt().map(|rebuilt| rebuilt.at),
            desired,
            accounts: &self.accounts,
            policy: &self.policy,
            said: &self.said,
            operating_since: self.operating_since,
            short: short.as_ref(),
            now,
        };
        if self.looked_ahead.is_none_or(|at| (now - at).abs() >= LOOK_AHEAD) {
            self.looked_ahead = Some(now);
            let outlook = Outlook::of(&self.said, hindrances(&situation));
            self.held.send_replace(Held::of(Some(desired), outlook));
        }
        let mut plan = scheduler::plan(&situation);
        let going = Going::of(self.workers.orders());
        let wanted = servers::plan::plan(&situation, &self.pairs, &going);
        plan.decisions.extend(wanted.decisions);
        plan.upcoming.extend(wanted.upcoming);
        plan.wake_at = plan.wake_at.into_iter().chain(wanted.wake_at).min();
        let order =
            |decision: &Decision<'_>, start_by, limits| self.order(desired, decision, start_by, limits);
        let upcoming = plan.upcoming.iter().filter_map(|decision| match &decision.verdict {
            Verdict::Start { by, limits } => Some(order(decision, *by, limits)),
            Verdict::Omit(_) => None,
        });
        let upcoming: Vec<Order> = upcoming.collect();
        let wake_at = plan.wake_at.into_iter().chain(changes_at).chain(anticipated).min();
        if plan.decisions.is_empty() {
            self.preparations.follow(upcoming);
            return Ok(wake_at);
        }
        let settlements: Vec<Settlement> = plan
            .decisions
            .iter()
            .map(|decision| {
                let (start_by, limits, transition) = match &decision.verdict {
                    Verdict::Start { by, limits } => (*by, limits, State::begin(now)),
                    Verdict::Omit(omission) => {
                        (decision.scheduled_at, &desired.node.limits, run::omitted(omission, now))
                    }
                };
                Settlement { order: order(decision, start_by, limits), transition }
            })
            .collect();
        let fresh = self.tools.journal.settle(&settlements, now).await?;
        self.tools.points.reach(Point::Settled);
        self.tools.report.notify_one();
        for (Settlement { order, transition }, fresh) in settlements.into_iter().zip(fresh) {
            self.accounts
                .entry(order.job.clone())
                .and_modify(|settled| *settled = (*settled).max(order.scheduled_at.0))
                .or_insert(order.scheduled_at.0);
            self.settle_server(&order, &transition, fresh);
            if !fresh {
                continue;
            }
            if let Some(step) = &transition.step {
                info!(run = %order.key(), job = %order.job, phase = %step.phase, message = step.message, "run");
            }
            if !transition.state.is_finished() {
                let prepared = self.preparations.take(&order);
                self.workers.start(order, transition.state, prepared);
            }
        }
        // Last, since it withdraws whatever was not taken.
        self.preparations.follow(upcoming);
        Ok(wake_at)
    }

    fn order(
        &self,
        desired: &Desired,
        Decision { assignment, scheduled_at, client, .. }: &Decision<'_>,
        start_by: DateTime<Utc>,
        limits: &Limits,
    ) -> Order {
        let run = RunId::new(&assignment.job, client.as_ref().unwrap_or(&self.node), *scheduled_at);
        let server = || assignment.spec.server.as_ref().map(|server| self.pairs.peer(&server.node));
        let client = client.as_ref().map(|client| Peer { node: client.clone(), address: String::new() });
        Order {
            job: assignment.job.clone(),
            node: self.node.clone(),
            role: assignment.role,
            scheduled_at: Instant(*scheduled_at),
            begin_at: Some(Instant(*scheduled_at + run.offset(assignment.spec.schedule.jitter))),
            start_by: Instant(start_by),
            spec: (*assignment.spec).clone(),
            limits: limits.clone(),
            network: desired.network.clone(),
            commit: desired.commit.clone(),
            peer: client.or_else(server),
        }
    }

    /// Remembers that something was made of a server that is wanted, and tells its client where that is nothing good.
    fn settle_server(&mut self, order: &Order, transition: &Transition, fresh: bool) {
        if order.role != RunRole::Server {
            return;
        }
        let run = order.key().id;
        self.pairs.take(run);
        let refusal = match &transition.step {
            _ if !fresh => Some(Loss::from("its part of this run has ended already")),
            Some(step) if transition.state.is_finished() => {
                Some(Loss::of(step.reason.unwrap_or(Reason::ServerUnavailable), &step.message))
            }
            _ => None,
        };
        if let Some(loss) = refusal {
            self.tools.servers.refuse(run, order.end(), loss);
        }
    }
}
