//! A run that waits for its trigger: samples are wanted as long, and each is looked at.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use almanac_schemas::{
    Phase, Reason,
    job::Trigger,
    trigger::{Condition, Provider},
};

use crate::{
    clock,
    scheduler::Omission,
    telemetry::{Reading, Telemetry, Wanted},
};

use super::{
    Order,
    trigger::{Held, Verdict, judge},
};

/// A run that waits for its trigger. Samples are wanted as long as this is held.
pub(super) struct Waiting {
    trigger: Trigger,
    condition: Condition,
    until: DateTime<Utc>,
    telemetry: Telemetry,
    _wanted: Wanted,
}

impl Waiting {
    /// What the run of an order waits for; nothing where it has no trigger.
    ///
    /// # Errors
    ///
    /// Why it is not to be, where its trigger was stored by another version of the agent and cannot be read.
    pub(super) fn of(order: &Order, telemetry: &Telemetry) -> Result<Option<Self>, Omission> {
        let Some(trigger) = &order.spec.trigger else { return Ok(None) };
        let condition = Condition::parse(&trigger.when).map_err(|problem| Omission {
            phase: Phase::Skipped,
            reason: Reason::Unsupported,
            message: format!(
                "the job declares a trigger that this version of the agent does not understand: {problem}"
            ),
        })?;
        Ok(Some(Self {
            trigger: trigger.clone(),
            condition,
            until: (order.begin() + trigger.wait.to_delta()).min(order.end()),
            telemetry: telemetry.clone(),
            _wanted: telemetry.want(),
        }))
    }

    /// Waits until the trigger holds, or is not waited for any more: it is decided at once, and again by each sample of a
    /// provider that it asks.
    ///
    /// Cancel-safe: it is decided by what is known, whoever asks.
    ///
    /// # Errors
    ///
    /// Why the run is not to be.
    pub(super) async fn decide(&self) -> Result<Held, Omission> {
        let Trigger { when, wait } = &self.trigger;
        let mut readings = self.telemetry.listen();
        loop {
            let decision = self.telemetry.decide(&self.condition);
            match judge(when, *wait, &decision, self.until, clock::now()) {
                Verdict::Begin(held) => return Ok(held),
                Verdict::Omit(omission) => return Err(omission),
                Verdict::Wait => {}
            }
            // Cancel-safe: what is missed of samples is in what is decided by, and a sleep holds nothing.
            tokio::select! {
                () = self.sampled(&mut readings) => {}
                () = clock::sleep_until(self.until) => {}
            }
        }
    }

    /// Waits for a sample that may change what the trigger comes to.
    async fn sampled(&self, readings: &mut Receiver<Reading>) {
        let fields = self.condition.fields();
        let asked: BTreeSet<Provider> = fields.into_iter().map(|field| field.provider).collect();
        loop {
            match readings.recv().await {
                Ok(reading) if !asked.contains(&reading.provider) => {}
                // Whoever is behind looks at what is new, too.
                Ok(_) | Err(RecvError::Lagged(_)) => return,
                // The agent ends, and whoever takes the run up goes on waiting.
                Err(RecvError::Closed) => return std::future::pending().await,
            }
        }
    }
}
