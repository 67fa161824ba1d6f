//! One look at what has expired that ends with SIGKILL after a step of it, as a power cut would end it there: for tests of
//! what the next look finds.
//!
//! `crash_expiring STEP DATABASE FOLDER NOW`, where `STEP` is `expired`, `removed` or `recorded`, `FOLDER` is one for files
//! that arrive, and `NOW` the instant to look at, in RFC 3339.

use anyhow::Context;

use almanac_reconciler::{
    artifacts::{Staging, Uploads},
    metrics::Metrics,
    retention::{Expire, ExpiryStep},
    store::Store,
};
use almanac_schemas::config::ArtifactStore;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [step, database, folder, now] = &arguments[..] else {
        anyhow::bail!("expected STEP DATABASE FOLDER NOW");
    };
    let last = match step.as_str() {
        "expired" => ExpiryStep::Expired,
        "removed" => ExpiryStep::Removed,
        "recorded" => ExpiryStep::Recorded,
        _ => anyhow::bail!("there is no step `{step}`"),
    };
    let store = Store::open(database).await?;
    let (staging, metrics) = (Staging::new(folder.into())?, Metrics::default());
    let uploads = Uploads::new(store.clone(), staging, None, folder.into(), metrics);
    let mut expire = Expire::new(store, uploads, Metrics::default()).with_steps(move |step| {
        if step == last {
            let this = rustix::process::getpid();
            rustix::process::kill_process(this, rustix::process::Signal::KILL).expect("one may kill oneself");
        }
    });
    expire.look(&ArtifactStore::default(), now.parse().context("expected an instant")?).await?;
    Ok(())
}
