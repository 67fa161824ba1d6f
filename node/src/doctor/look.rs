//! Looks at the host. What it finds is judged elsewhere.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time;

use almanac_proto::v1;

use crate::{
    cli::RunArgs,
    clock,
    contact::Contact,
    disk::Reserve,
    gate::Gates,
    link::{Link, advice, problem},
    local::{self, AskError},
    runtime::{Docker, Runtime as _, RuntimeError, chain},
    settings::{RuntimeChoice, Settings, SettingsError},
    state_dir::SOCKET,
    status::Status,
};

use super::{
    Finding,
    judge::{self, Limits, Space},
};

/// How long an engine or a reconciler is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks at everything that an agent with these settings needs. Without settings there is nothing else to look at.
pub async fn examine(args: RunArgs) -> Vec<Finding> {
    let file = args.config.clone();
    let settings = match Settings::resolve(args) {
        Ok(settings) => settings,
        Err(error) => return vec![unsettled(&error)],
    };
    let place = file.map_or("given by options".to_owned(), |file| file.display().to_string());
    let fingerprint = settings.identity.public_key().fingerprint();
    let mut findings = vec![
        Finding::good("configuration", format!("{place}: node `{}`", settings.name)),
        Finding::good("key", fingerprint),
    ];
    let (engine, reconciler, agent) =
        tokio::join!(engine(&settings), reconciler(&settings), agent(&settings.state_dir));
    findings.push(folder(&settings.state_dir));
    findings.push(disk("disk", &settings.state_dir, reserve(&settings)));
    findings.extend(engine);
    findings.push(kernel());
    findings.extend(reconciler);
    findings.extend(agent);
    findings
}

fn unsettled(error: &SettingsError) -> Finding {
    let (check, remedy) = match error {
        SettingsError::Identity(_) => {
            ("key", "make one with `almanac-node keygen`, or name the right file as `key`")
        }
        SettingsError::Endpoint(_) => {
            ("configuration", "write, for example, `server = \"https://testbed.example.org:7600\"`")
        }
        SettingsError::Registry(_) => {
            ("registries", "write the password into that file, and let the agent's user read it")
        }
        SettingsError::Missing(_) => ("configuration", "see docs/node.md for what has to be given"),
        SettingsError::Read(..) => ("configuration", "name the file that there is with `--config`"),
        SettingsError::Form(..) => ("configuration", "correct the line that is named"),
    };
    Finding::bad(check, chain(error), remedy)
}

/// What this user may change of the kernel, should the node's manifest list something.
fn kernel() -> Finding {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let held = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let is_locked = |path| {
        rustix::fs::statvfs(path)
            .is_ok_and(|found| found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
    };
    judge::kernel(judge::Powers {
        is_root: rustix::process::geteuid().is_root(),
        capabilities: held.and_then(|held| u64::from_str_radix(held.trim(), 16).ok()).unwrap_or(0),
        are_files_locked: is_locked("/proc/sys") || is_locked("/sys"),
    })
}

/// Whether the state folder can be written. It is not made: that is the agent's to do.
fn folder(path: &Path) -> Finding {
    let place = path.display();
    let remedy =
        format!("let the agent's user own it: `chown almanac-node: {place}`, or run this as that user");
    match fs::metadata(path) {
        Ok(found) if !found.is_dir() => {
            Finding::bad("state folder", format!("{place} is no folder"), "name another as `state-dir`")
        }
        Ok(_) => match rustix::fs::access(path, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK) {
            Ok(()) => Finding::good("state folder", place.to_string()),
            Err(error) => {
                Finding::bad("state folder", format!("{place}: {}", io::Error::from(error)), remedy)
            }
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let parent = existing(path);
            match rustix::fs::access(&parent, rustix::fs::Access::WRITE_OK) {
                Ok(()) => Finding::good("state folder", format!("{place} will be made")),
                Err(error) => Finding::bad(
                    "state folder",
                    format!("{place} cannot be made in {}: {}", parent.display(), io::Error::from(error)),
                    remedy,
                ),
            }
        }
        Err(error) => Finding::bad("state folder", format!("{place}: {error}"), remedy),
    }
}

/// The folder itself, or the one that it will be made in.
fn existing(path: &Path) -> PathBuf {
    let found = path.ancestors().find(|path| path.exists());
    found.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

fn reserve(settings: &Settings) -> Reserve {
    Reserve::new(settings.policy.disk_reserve)
}

fn disk(check: &'static str, path: &Path, reserve: Reserve) -> Finding {
    match rustix::fs::statvfs(existing(path)) {
        Ok(found) => {
            let total = found.f_blocks.saturating_mul(found.f_frsize);
            let space = Space {
                free: found.f_bavail.saturating_mul(found.f_frsize),
                total,
                free_files: found.f_favail,
                total_files: found.f_files,
                reserve: reserve.of(total),
            };
            judge::disk(check, space)
        }
        Err(error) => Finding::warning(
            check,
            format!("nobody knows how much is free: {}", io::Error::from(error)),
            "look with `df`",
        ),
    }
}

/// Whether an engine's folder is there, and not on the disk of the state folder.
fn is_elsewhere(folder: &Path, state_dir: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
    device(folder).is_some_and(|engine| device(&existing(state_dir)) != Some(engine))
}

async fn engine(settings: &Settings) -> Vec<Finding> {
    let RuntimeChoice::Docker { host, pulls } = &settings.runtime else {
        let remedy = "set `runtime = \"docker\"` on a host that is not yours alone";
        return vec![Finding::warning(
            "engine",
            "`process`: jobs run as this user and nothing confines them",
            remedy,
        )];
    };
    let asked = async {
        let agent = settings.identity.public_key().fingerprint();
        let gates = Gates::new(settings.state_dir.join("gate"), settings.state_dir.join("runs"));
        let docker = Docker::connect(host.as_deref(), agent, pulls.clone(), None, gates, settings.log_limit);
        let docker = docker.await?;
        Ok((docker.abilities().await?, docker.folder()))
    };
    let remedy = match host {
        Some(_) => "start it, or correct `docker-host`; its socket has to be open to the agent's user",
        None => {
            "start it: `systemctl start docker`; its socket has to be open to the agent's user: `usermod -aG docker almanac-node`"
        }
    };
    match time::timeout(PATIENCE, asked).await {
        Ok(Ok((able, folder))) => {
            let limits = Limits { memory: able.memory, swap: able.swap, cpus: able.cpus, pids: able.pids };
            let mut findings =
                vec![Finding::good("engine", able.engine), judge::cgroups(&able.cgroups, limits)];
            findings.extend(
                folder
                    .filter(|folder| is_elsewhere(folder, &settings.state_dir))
                    .map(|folder| disk("engine's disk", &folder, reserve(settings))),
            );
            findings
        }
        // Its text has a remedy of its own, which is that of an agent.
        Ok(Err(RuntimeError::Unreachable(error))) => {
            vec![Finding::bad("engine", format!("it does not answer: {}", chain(&error)), remedy)]
        }
        Ok(Err(error)) => vec![Finding::bad("engine", chain(&error), remedy)],
        Err(_elapsed) => {
            let found = format!("it does not answer within {} s", PATIENCE.as_secs());
            vec![Finding::bad("engine", found, "restart it: `systemctl restart docker`")]
        }
    }
}

/// Whether the reconciler knows this key, and what its clock says.
async fn reconciler(settings: &Settings) -> Vec<Finding> {
    let server = &settings.server;
    let connection = match server.connect(Some(settings.identity.clone())) {
        Ok(connection) => connection,
        Err(error) => {
            return vec![Finding::bad("reconciler", chain(&error), "correct `ca-file`")];
        }
    };
    let asked_at = clock::now();
    let mut client = connection.testbed();
    let asked = client.who_am_i(Link::request(v1::WhoAmIRequest {}));
    let answer = match time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(tonic::Status::unavailable("it does not answer in time")),
    };
    let answered_at = clock::now();
    let metadata = match &answer {
        Ok(response) => response.metadata(),
        Err(status) => status.metadata(),
    };
    // Every answer of an HTTP server carries its time (RFC 9110, section 6.6.1), to the second.
    let date = metadata.get("date").and_then(|date| DateTime::parse_from_rfc2822(date.to_str().ok()?).ok());
    let mut findings = vec![match answer {
        Ok(response) => {
            let caller = response.into_inner();
            Finding::good(
                "reconciler",
                format!("{server} knows this key as {} `{}`", caller.role, caller.name),
            )
        }
        Err(status) => {
            Finding::bad("reconciler", format!("{server}: {}", problem(&status)), advice(status.code()))
        }
    }];
    if let Some(date) = date {
        findings.push(compare_clocks(asked_at, answered_at, date.to_utc()));
    }
    findings
}

/// The reconciler read its clock somewhere in the round trip, and cut it to the second.
fn compare_clocks(asked_at: DateTime<Utc>, answered_at: DateTime<Utc>, date: DateTime<Utc>) -> Finding {
    let round_trip = answered_at - asked_at;
    let theirs = date + TimeDelta::milliseconds(500);
    judge::clock(asked_at + round_trip / 2 - theirs, round_trip / 2)
}

/// Whether an agent runs, and what it measures.
async fn agent(state_dir: &Path) -> Vec<Finding> {
    let status = local::status(&state_dir.join(SOCKET)).await;
    let mut findings = match &status {
        Ok(status) => {
            status.telemetry.iter().map(|measuring| judge::telemetry(measuring, status.at)).collect()
        }
        Err(_) => Vec::new(),
    };
    findings.push(running(status));
    findings
}

fn running(status: Result<Status, AskError>) -> Finding {
    match status {
        Ok(status) => match status.contact {
            Contact::Lost { problem, remedy, .. } => {
                Finding::warning("agent", format!("it runs, and is not connected: {problem}"), remedy)
            }
            Contact::Connecting => Finding::good("agent", "it runs, and is connecting"),
            Contact::Connected { .. } => Finding::good("agent", "it runs, and is connected"),
        },
        Err(AskError::Silent(..)) => {
            Finding::warning("agent", "it does not run", "start it: `systemctl start almanac-node`")
        }
        Err(error) => Finding::warning("agent", chain(&error), "see its log: `journalctl -u almanac-node`"),
    }
}
