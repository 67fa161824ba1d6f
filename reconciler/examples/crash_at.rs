//! One round that ends with SIGKILL after a step of it, as a power cut would end it there: for tests of what
//! the next round finds.
//!
//! `crash_at STEP DATABASE REPOSITORY MIRROR`, where `STEP` is the number of a step in [`Step::ALL`]. It ends by
//! itself where the round does not come to that step.

use anyhow::Context;

use almanac_reconciler::{
    clock,
    source::Repository,
    step::{Step, Steps},
    store::Store,
    sync::Reconciler,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [step, database, repository, mirror] = &arguments[..] else {
        anyhow::bail!("expected STEP DATABASE REPOSITORY MIRROR");
    };
    let last = *Step::ALL.get(step.parse::<usize>()?).context("there is no such step")?;
    let store = Store::open(database).await?;
    let repository = Repository::new(repository.parse()?, "main", "", mirror.into());
    let steps = Steps::new(move |step| {
        if step == last {
            let this = rustix::process::getpid();
            rustix::process::kill_process(this, rustix::process::Signal::KILL).expect("one may kill oneself");
        }
    });
    let mut reconciler = Reconciler::new(repository, store).await?.with_steps(steps);
    reconciler.round(clock::now()).await?;
    Ok(())
}
