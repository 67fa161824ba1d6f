//! A node that sends what it measures when it is asked to.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use almanac_proto::{
    client::Signed,
    convert::timestamp,
    v1::{self, node_service_client::NodeServiceClient},
};
use chrono::Utc;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Duration, sleep},
};
use tokio_stream::wrappers::ReceiverStream;

/// A node's agent, as far as telemetry is concerned. It connects again by itself.
pub(crate) struct Meter {
    latest: watch::Sender<Option<f64>>,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    opened: AtomicUsize,
    open: AtomicUsize,
}

/// The latency of the dish in a reading.
pub(crate) fn latency(reading: &v1::Reading) -> Option<f64> {
    match reading.sample.get("pop_ping_latency_ms")?.value {
        Some(v1::measured_value::Value::Number(number)) => Some(number),
        _ => None,
    }
}

fn reading(latency: Option<f64>) -> v1::Reading {
    let value = |number| v1::MeasuredValue { value: Some(v1::measured_value::Value::Number(number)) };
    let sample = latency.map(|number| ("pop_ping_latency_ms".to_owned(), value(number)));
    v1::Reading {
        provider: "dish".to_owned(),
        at: Some(timestamp(Utc::now())),
        sample: sample.into_iter().collect(),
    }
}

impl Meter {
    /// Watches the node's desired state, and sends what is measured while it is wanted.
    pub(crate) fn start(agent: NodeServiceClient<Signed>, node: &str) -> Self {
        let (latest, measured) = watch::channel(None);
        let counts = Arc::<Counts>::default();
        let task = tokio::spawn(run(agent, node.to_owned(), measured, Arc::clone(&counts)));
        Self { latest, counts, task }
    }

    /// The dish measures something.
    pub(crate) fn measure(&self, latency: f64) {
        self.latest.send_replace(Some(latency));
    }

    /// The dish measures nothing any more.
    pub(crate) fn silence(&self) {
        self.latest.send_replace(None);
    }

    /// How many streams were opened, and are open.
    pub(crate) fn streams(&self) -> (usize, usize) {
        (self.counts.opened.load(Ordering::SeqCst), self.counts.open.load(Ordering::SeqCst))
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    agent: NodeServiceClient<Signed>,
    node: String,
    measured: watch::Receiver<Option<f64>>,
    counts: Arc<Counts>,
) {
    loop {
        let request = v1::WatchDesiredStateRequest { node: node.clone(), ..Default::default() };
        if let Ok(states) = agent.clone().watch_desired_state(request).await {
            let mut states = states.into_inner();
            let mut sending: Option<JoinHandle<()>> = None;
            while let Ok(Some(state)) = states.message().await {
                // One that is not wanted any more ends by the reconciler's answer.
                if state.telemetry_wanted == Some(true) {
                    let (agent, node) = (agent.clone(), node.clone());
                    let send = send(agent, node, measured.clone(), Arc::clone(&counts));
                    sending = Some(tokio::spawn(send));
                }
            }
            if let Some(sending) = sending {
                sending.abort();
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
}

struct Open(Arc<Counts>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn send(
    mut agent: NodeServiceClient<Signed>,
    node: String,
    mut measured: watch::Receiver<Option<f64>>,
    counts: Arc<Counts>,
) {
    counts.opened.fetch_add(1, Ordering::SeqCst);
    counts.open.fetch_add(1, Ordering::SeqCst);
    let _open = Open(counts);
    let (messages, receiver) = mpsc::channel(1);
    let feed = async {
        let latest = *measured.borrow_and_update();
        let readings = latest.map(|latency| reading(Some(latency))).into_iter().collect();
        let _ = messages.send(v1::StreamTelemetryRequest { node, readings }).await;
        while measured.changed().await.is_ok() {
            let readings = vec![reading(*measured.borrow_and_update())];
            let _ = messages.send(v1::StreamTelemetryRequest { readings, ..Default::default() }).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = agent.stream_telemetry(ReceiverStream::new(receiver)) => {}
        () = feed => {}
    }
}
