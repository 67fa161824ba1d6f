//! What a run is answered from.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use serde_json::{Map, Value, json};
use tokio::{
    sync::{Mutex, Semaphore},
    task, time,
};

use almanac_schemas::{Instant, kernel::Setting, trigger::Condition};

use crate::{
    kernel::{Kernel, KernelError},
    run::Order,
    telemetry::{Reading, Telemetry, Wanted},
};

/// How many streams of telemetry a run has at a time. The other connections are for everything else.
const STREAMS: usize = 8;

/// How long a question about the kernel takes at least: each asks the reconciler, which is there for everybody.
const PACE: Duration = Duration::from_millis(50);

/// What a run is answered from.
pub struct Desk {
    /// What `run.json` says.
    pub(super) facts: String,
    order: Order,
    /// The trigger of its job, if that has one.
    condition: Option<(String, Condition)>,
    telemetry: Telemetry,
    /// Held from the first question about telemetry on: who asks once asks again.
    wanted: OnceLock<Wanted>,
    kernel: Kernel,
    /// One question about the kernel at a time.
    pace: Mutex<()>,
    pub(super) streams: Arc<Semaphore>,
}

impl Desk {
    /// Where a run is answered.
    pub fn new(order: Order, facts: String, telemetry: Telemetry, kernel: Kernel) -> Self {
        let when = order.spec.trigger.as_ref().map(|trigger| trigger.when.clone());
        let condition = when.and_then(|when| Condition::parse(&when).ok().map(|parsed| (when, parsed)));
        Self {
            facts,
            order,
            condition,
            telemetry,
            wanted: OnceLock::new(),
            kernel,
            pace: Mutex::default(),
            streams: Arc::new(Semaphore::new(STREAMS)),
        }
    }

    /// What is measured, for somebody who wants it.
    pub(super) fn telemetry(&self) -> &Telemetry {
        self.wanted.get_or_init(|| self.telemetry.want());
        &self.telemetry
    }

    /// The latest samples, by provider.
    pub(super) fn latest(&self) -> Value {
        let latest = self.telemetry().latest().into_iter();
        let samples: Map<String, Value> = latest
            .map(|(provider, (at, sample))| {
                (provider.as_str().to_owned(), json!({"at": Instant(at), "sample": sample}))
            })
            .collect();
        Value::Object(samples)
    }

    /// Whether the trigger of the job holds now; nothing where there is none.
    pub(super) fn trigger(&self) -> Option<Value> {
        let (when, condition) = self.condition.as_ref()?;
        let decision = self.telemetry().decide(condition);
        let seen: Map<String, Value> =
            decision.seen.into_iter().map(|(field, value)| (field.to_string(), json!(value))).collect();
        let missing: Vec<String> = decision.missing.iter().map(ToString::to_string).collect();
        Some(json!({"when": when, "holds": decision.holds, "seen": seen, "missing": missing}))
    }

    /// Reads a kernel setting, or makes it where there is a value.
    ///
    /// What is begun is ended, also when whoever asked has gone meanwhile: else it would not be recorded.
    pub(super) async fn kernel(
        self: Arc<Self>,
        setting: Setting,
        value: Option<String>,
    ) -> Result<String, KernelError> {
        let asked = task::spawn(async move {
            let _one = self.pace.lock().await;
            let pace = time::sleep(PACE);
            let answer = match value {
                None => self.kernel.get(&self.order, &setting).await,
                Some(value) => self.kernel.put(&self.order, &setting, &value).await,
            };
            pace.await;
            answer
        });
        // It is not aborted, so that it can only have panicked.
        asked.await.unwrap_or(Err(KernelError::Over))
    }
}

/// A reading as it is told.
pub(super) fn reading(Reading { provider, at, sample }: &Reading) -> Value {
    json!({"provider": provider.as_str(), "at": Instant(*at), "sample": sample})
}
