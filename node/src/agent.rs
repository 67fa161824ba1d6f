//! The agent as a whole: opens what it needs, takes up what was going on, starts its tasks, and
//! waits for them.

use std::{fs, io, path::Path, sync::Arc};

use chrono::TimeDelta;
use thiserror::Error;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

use almanac_proto::client::EndpointError;

use crate::{
    clock,
    connection::{self, Held, Listeners},
    contact::Contact,
    container::ContainerName,
    disk::{self, Disks, Guard, Reserve},
    dispatcher::{self, Dispatcher, OnStop},
    gate::Gates,
    heartbeat::{
        self, Pulse,
        host::{Host, Places},
    },
    housekeeping::{self, Housekeeper},
    journal::{Journal, JournalError},
    kernel::Kernel,
    link::Link,
    local, logs,
    point::Points,
    report::{self, Reporter},
    run::{RunKey, Tools},
    runtime::{Docker, Process, Runtime, RuntimeError, chain},
    servers::Servers,
    service,
    settings::{RuntimeChoice, Settings},
    spool::Spool,
    state_dir::{StateDir, StateDirError},
    status::Watch,
    telemetry::{
        Telemetry,
        feed::{self, Feeds},
        providers::{self, Providers},
        stream,
    },
    traffic::Traffic,
    upload::{self, Uploader},
};

/// Why the agent does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The state folder cannot be used.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// The journal cannot be used.
    #[error("the journal {path} cannot be opened")]
    Journal {
        /// Its file.
        path: String,
        /// Why.
        #[source]
        source: JournalError,
    },
    /// The engine cannot be used.
    #[error("no containers can be run")]
    Runtime(#[source] RuntimeError),
    /// The connection cannot be set up.
    #[error("the reconciler cannot be spoken to")]
    Endpoint(#[from] EndpointError),
}

/// How long finished runs are remembered here; the reconciler has them.
const MEMORY: TimeDelta = TimeDelta::days(30);

/// Runs the agent until `stop`, with its points watched. With what runs then, it does what its settings say.
///
/// # Errors
///
/// When something that it cannot do without is missing. Once it runs, it does not fail.
pub async fn run(settings: Settings, points: Points, stop: CancellationToken) -> Result<(), StartError> {
    let started_at = clock::now();
    let state_dir = Arc::new(StateDir::open(&settings.state_dir)?);
    let boot_id = boot_id();
    let spool = Spool::new(settings.spool_limit, &settings.state_dir)
        .map_err(|error| StateDirError::Unwritable(settings.state_dir.clone(), error))?;
    let path = state_dir.journal();
    let in_journal = |source| StartError::Journal { path: state_dir.journal().display().to_string(), source };
    let journal = Journal::open(&path).await.map_err(in_journal)?;
    let (runtime, docker): (Arc<dyn Runtime>, _) = match &settings.runtime {
        RuntimeChoice::Docker { host, pulls } => {
            let agent = settings.identity.public_key().fingerprint();
            let gates = Gates::new(state_dir.gate(), state_dir.runs());
            gates.install().map_err(|error| StateDirError::Unwritable(settings.state_dir.clone(), error))?;
            let ledger = Some(journal.clone());
            let docker =
                Docker::connect(host.as_deref(), agent, pulls.clone(), ledger, gates, settings.log_limit);
            let docker = docker.await.map_err(StartError::Runtime)?;
            (Arc::new(docker.clone()), Some(docker))
        }
        RuntimeChoice::Process => {
            warn!("the process runtime isolates nothing: commands of jobs run as this user, on this host");
            (Arc::new(Process::new(state_dir.runs(), boot_id.clone(), settings.log_limit)), None)
        }
    };
    let engine = runtime.describe().await.map_err(StartError::Runtime)?;
    let connection = settings.server.connect(Some(settings.identity.clone()))?;
    info!(node = %settings.name, server = %settings.server, engine, key = settings.identity.public_key().fingerprint(), "agent starts");

    let policy = Arc::new(settings.policy.clone());
    let (link, online) = Link::new(settings.name.clone(), connection);
    let kernel = Kernel::new(
        link.clone(),
        runtime.clone(),
        policy.clone(),
        journal.clone(),
        state_dir.clone(),
        boot_id.clone(),
    );
    let disks = Disks::new(Reserve::new(policy.disk_reserve), state_dir.runs(), runtime.folder());
    let tools = Tools {
        journal: journal.clone(),
        runtime: runtime.clone(),
        state_dir: state_dir.clone(),
        log_limit: settings.log_limit,
        report: Arc::new(Notify::new()),
        upload: Arc::new(Notify::new()),
        points: points.clone(),
        since: started_at,
        traffic: Traffic::new(settings.policy.upload_rate),
        ready: watch::Sender::default(),
        telemetry: Telemetry::new(),
        kernel,
        servers: Servers::new(link.clone()),
        disk: Guard::new(disks.clone()),
    };
    let open = journal.open_runs().await.map_err(in_journal)?;
    journal.forget(clock::now() - MEMORY).await.map_err(in_journal)?;
    tools.kernel.recover(&open).await.map_err(in_journal)?;
    let keys: Vec<RunKey> = open.iter().map(|run| run.order.key()).collect();
    remove_strays(runtime.as_ref(), &state_dir, &keys).await.map_err(StartError::Runtime)?;

    let (held, held_receiver) = watch::channel(Held::default());
    let (messages, there) = mpsc::channel(connection::MESSAGES);
    let (words, here) = mpsc::channel(1);
    let (contact, contacts) = watch::channel(Contact::default());
    let (watched, watched_logs) = watch::channel(Vec::new());
    let (measured, measured_for) = watch::channel(false);
    let places = Places {
        proc: "/proc".into(),
        sys_class: "/sys/class".into(),
        state_dir: settings.state_dir.clone(),
    };
    let feeds = Feeds::load(state_dir.telemetry());
    let measuring = Providers::new(
        tools.telemetry.clone(),
        feeds.clone(),
        runtime.clone(),
        places.clone(),
        settings.local,
    );
    let mut dispatcher = Dispatcher::load(settings.name.clone(), tools.clone(), policy.clone(), held)
        .await
        .map_err(in_journal)?;
    dispatcher.resume(open);

    // What runs to the end is reported while it does: the others stop after the dispatcher.
    let (stopping, stop) = (stop, CancellationToken::new());
    let tasks = TaskTracker::new();
    tasks.spawn(connection::watch_desired_state(
        link.clone(),
        online,
        held_receiver.clone(),
        Listeners { messages, logs: watched, telemetry: measured, feeds: feeds.clone() },
        contact,
        stop.clone(),
    ));
    let sender = logs::stream::Sender {
        link: link.clone(),
        state_dir: state_dir.clone(),
        log_limit: settings.log_limit,
        traffic: tools.traffic.clone(),
    };
    tasks.spawn(logs::stream::send(sender, watched_logs, stop.clone()));
    let sender = stream::Sender {
        link: link.clone(),
        telemetry: tools.telemetry.clone(),
        traffic: tools.traffic.clone(),
    };
    tasks.spawn(stream::send(sender, measured_for, stop.clone()));
    let (clock_offset, clock_offsets) = watch::channel(None);
    let watch = Watch {
        node: settings.name,
        server: settings.server.to_string(),
        started_at,
        runtime: runtime.clone(),
        journal: journal.clone(),
        policy,
        contact: contacts,
        clock: clock_offsets,
        spool,
        telemetry: tools.telemetry.clone(),
        disks,
    };
    tasks.spawn(local::serve(state_dir.socket(), local::Host { watch, words: words.clone() }, stop.clone()));
    let keeper = Housekeeper {
        settings: settings.housekeeping,
        engine: docker,
        journal: journal.clone(),
        state_dir: state_dir.clone(),
        ready: tools.ready.subscribe(),
    };
    tasks.spawn(housekeeping::tidy(keeper, stop.clone()));
    tasks.spawn(disk::watch(tools.disk.clone(), runtime.clone(), stop.clone()));
    tasks.spawn(feed::keep(feeds, stop.clone()));
    tasks.spawn(providers::measure(measuring, stop.clone()));
    let (address, host) = (settings.address, Host::new(places));
    let pulse = Pulse { runtime, boot_id, address, host, clock: clock_offset };
    tasks.spawn(heartbeat::beat(link.clone(), pulse, held_receiver, stop.clone()));
    let reporter = Reporter {
        link: link.clone(),
        journal: journal.clone(),
        work: tools.report.clone(),
        upload: tools.upload.clone(),
        points: points.clone(),
    };
    tasks.spawn(report::report(reporter, stop.clone()));
    let uploader = Uploader {
        link,
        traffic: tools.traffic,
        journal: journal.clone(),
        state_dir,
        spool,
        work: tools.upload.clone(),
        report: tools.report,
        points,
    };
    tasks.spawn(upload::upload(uploader, stop.clone()));
    tasks.spawn(service::live(settings.manager.clone(), journal.clone(), words, stop.clone()));
    tasks.close();
    let ears = dispatcher::Ears { there, here };
    let mut dispatching = tokio::spawn(dispatcher.run(ears, settings.on_stop, stopping.clone()));
    settings.manager.ready();
    // Cancel-safe: a cancelled token stays cancelled, and a task that has ended is seen once.
    let ended = tokio::select! {
        () = stopping.cancelled() => None,
        ended = &mut dispatching => Some(ended),
    };
    settings.manager.stopping();
    if let OnStop::Drain(patience) = settings.on_stop {
        settings.manager.extend(patience + service::END);
    }
    let ended = match ended {
        Some(ended) => ended,
        None => dispatching.await,
    };
    // Without it nothing starts: the service manager starts the agent again.
    if let Err(error) = ended {
        error!(%error, "the dispatcher ended early");
    }
    stop.cancel();
    tasks.wait().await;
    journal.close().await;
    match settings.on_stop {
        OnStop::Detach => info!("agent stops; what runs goes on and is taken up at the next start"),
        OnStop::Drain(_) => info!("agent stops; nothing of it runs"),
    }
    Ok(())
}

/// Removes this node's containers and folders of runs that the journal does not know as open: of
/// finished ones, whose removal was cut off, and of nobody's.
async fn remove_strays(
    runtime: &dyn Runtime,
    state_dir: &StateDir,
    open: &[RunKey],
) -> Result<(), RuntimeError> {
    for key in runtime.list().await? {
        if !open.contains(&key) {
            info!(run = %key, "removing a container that belongs to no open run");
            if let Err(error) = runtime.remove(&ContainerName::of(&key)).await {
                warn!(run = %key, error = chain(&error), "it cannot be removed");
            }
        }
    }
    let folders = fs::read_dir(state_dir.runs())
        .and_then(Iterator::collect::<io::Result<Vec<_>>>)
        .map_err(|source| RuntimeError::Host { doing: "list the folders of runs", source })?;
    for folder in folders {
        let key = folder.file_name().to_str().and_then(RunKey::from_text);
        if let Some(key) = key.filter(|key| !open.contains(key))
            && let Err(error) = state_dir.run(&key).remove().await
        {
            warn!(folder = %folder.path().display(), %error, "the folder of a run cannot be removed");
        }
    }
    Ok(())
}

/// Linux's name for this boot of the host; empty where there is none.
fn boot_id() -> String {
    fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id")).unwrap_or_default().trim().to_owned()
}
