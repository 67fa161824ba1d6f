//! Runs with a server on another node, whose owner wants its link: the run of both moves, whoever says what first.

use almanac_proto::{
    convert::timestamp,
    v1::{self, Phase, Reason, Role, TaskState},
};
use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    harness::{Testbed, event, instant, manifest, run_id, whole_run},
    scavenging::{at, exclusive, once, told},
    servers::standing,
};

const NOON: &str = "{ at: 2030-01-01T12:00:00Z, length: 10m }";

fn noon() -> DateTime<Utc> {
    instant("2030-01-01T12:00:00Z")
}

/// That a client's run of a job ended, in seconds after it was due.
fn client(job: &str, start: DateTime<Utc>, seconds: u64, phase: Phase, reason: Reason) -> v1::RunEvent {
    v1::RunEvent { reason: reason.into(), ..event(job, "london-01", start, seconds, phase) }
}

/// The same of its server's part.
fn server(job: &str, start: DateTime<Utc>, seconds: u64, phase: Phase, reason: Reason) -> v1::RunEvent {
    v1::RunEvent {
        role: Role::Server.into(),
        client: "london-01".to_owned(),
        message: "carol wants the node's link".to_owned(),
        ..client(job, start, seconds, phase, reason)
    }
}

/// That its server made room.
fn made_room(job: &str, start: DateTime<Utc>) -> v1::RunEvent {
    server(job, start, 30, Phase::Aborted, Reason::Scavenger)
}

/// That a client failed since its server was gone.
fn bereft(job: &str, start: DateTime<Utc>) -> v1::RunEvent {
    client(job, start, 31, Phase::Failed, Reason::ServerUnavailable)
}

async fn part(testbed: &Testbed, job: &str, start: DateTime<Utc>, role: Role) -> v1::Run {
    let request = v1::ListRunsRequest { job: job.to_owned(), ..Default::default() };
    let runs = testbed.ask("alice").list_runs(request).await.unwrap().into_inner().runs;
    let id = run_id(job, "london-01", start);
    let found = runs.iter().find(|run| run.id == id && run.role() == role);
    found.unwrap_or_else(|| panic!("no {role:?} of {job} at {start} in {runs:#?}")).clone()
}

async fn testbed() -> Testbed {
    let testbed = Testbed::with_jobs().await;
    once(&testbed, "survey", true, NOON);
    testbed.push("a survey").await;
    testbed
}

/// Both parts of a run moved, to the same instant, once.
async fn assert_moved(testbed: &Testbed, job: &str, start: DateTime<Utc>, what: &str) -> DateTime<Utc> {
    let client = part(testbed, job, start, Role::Client).await;
    let server = part(testbed, job, start, Role::Server).await;
    for part in [&client, &server] {
        assert_eq!(
            (part.phase(), part.reason()),
            (Phase::Rescheduled, Reason::Scavenger),
            "{what}: {part:?}"
        );
    }
    assert_eq!(client.moved_to, server.moved_to, "{what}");
    let moves = told(testbed).await.moves;
    let expected = v1::Move { job: job.to_owned(), at: Some(timestamp(noon())), to: client.moved_to };
    assert_eq!(moves, [expected], "{what}");
    at(client.moved_to)
}

#[tokio::test]
async fn a_run_moves_once_whichever_of_its_two_agents_reports_first() {
    use Phase::{Aborted, Failed, Skipped};
    use Reason::{ExitCode, Scavenger, ServerUnavailable};
    let ends = [
        // What both say of it, with the seconds after its instant.
        ((Failed, ServerUnavailable, 90), (Aborted, Scavenger, 30)),
        ((Skipped, ServerUnavailable, 30), (Skipped, Scavenger, 30)),
        // It broke off before its agent heard why.
        ((Failed, ExitCode, 29), (Aborted, Scavenger, 30)),
        // Its agent knew.
        ((Aborted, Scavenger, 31), (Aborted, Scavenger, 30)),
    ];
    for (of_client, of_server) in ends {
        let what = format!("{of_client:?} {of_server:?}");
        let client = client("survey", noon(), of_client.2, of_client.0, of_client.1);
        let server = server("survey", noon(), of_server.2, of_server.0, of_server.1);
        for server_first in [false, true] {
            let mut testbed = testbed().await;
            let mut reports = [("london-01", client.clone()), ("paris-01", server.clone())];
            if server_first {
                reports.reverse();
            }
            for (node, report) in &reports {
                testbed.report(node, vec![report.clone()]).await;
            }
            let to = assert_moved(&testbed, "survey", noon(), &what).await;
            let recorded = part(&testbed, "survey", noon(), Role::Server).await;
            let to_be_read = to.format("%Y-%m-%dT%H:%M:%SZ");
            assert_eq!(recorded.message, format!("carol wants the node's link; moved to {to_be_read}"));
            let recorded = part(&testbed, "survey", noon(), Role::Client).await;
            if of_client.1 != Scavenger {
                let why = "`paris-01`, the node of its server, makes room: carol wants the node's link";
                assert_eq!(recorded.message, format!("{why}; moved to {to_be_read}"));
            }
            // However often that is said, and whatever crashes.
            testbed.crash_and_serve().await;
            for (node, report) in reports.iter().chain(reports.iter().rev()) {
                testbed.report(node, vec![report.clone(), report.clone()]).await;
            }
            assert_eq!(assert_moved(&testbed, "survey", noon(), &what).await, to);
            // Nothing is left of it once it was run.
            testbed.report("london-01", whole_run("survey", "london-01", to)).await;
            assert_eq!(told(&testbed).await.moves, []);
        }
    }
}

/// Neither of them sees what the other one has not recorded yet, unless they wait for each other.
#[tokio::test]
async fn two_reports_at_a_time_move_a_run_once() {
    let testbed = Testbed::with_jobs().await;
    let hours: Vec<DateTime<Utc>> = (0..12).map(|hour| noon() + TimeDelta::hours(hour)).collect();
    let name = |start: &DateTime<Utc>| format!("survey-{}", start.format("%d%H"));
    for start in &hours {
        let schedule = format!("{{ at: {}, length: 10m }}", start.to_rfc3339());
        once(&testbed, &name(start), true, &schedule);
    }
    testbed.push("surveys").await;
    for start in &hours {
        let job = name(start);
        tokio::join!(
            testbed.report("london-01", vec![bereft(&job, *start)]),
            testbed.report("paris-01", vec![made_room(&job, *start)]),
        );
    }
    let moves = told(&testbed).await.moves;
    assert_eq!(moves.len(), hours.len(), "{moves:#?}");
    for start in &hours {
        let client = part(&testbed, &name(start), *start, Role::Client).await;
        let server = part(&testbed, &name(start), *start, Role::Server).await;
        assert_eq!((client.phase(), server.phase()), (Phase::Rescheduled, Phase::Rescheduled));
        assert_eq!(client.moved_to, server.moved_to);
        assert_eq!(moves.iter().filter(|moved| moved.job == name(start)).count(), 1);
    }
}

#[tokio::test]
async fn a_moved_run_whose_server_says_days_later_that_it_made_room_is_not_lost() {
    let testbed = testbed().await;
    testbed.report("paris-01", vec![made_room("survey", noon())]).await;
    assert_eq!(told(&testbed).await.moves, [], "its client may end well");
    testbed.report("london-01", vec![bereft("survey", noon())]).await;
    let first = assert_moved(&testbed, "survey", noon(), "at first").await;
    testbed.report("london-01", vec![bereft("survey", first)]).await;
    assert_eq!(told(&testbed).await.moves, [], "its time is given back");
    testbed.report("paris-01", vec![made_room("survey", first)]).await;
    let second = assert_moved(&testbed, "survey", first, "again").await;
    assert!(second >= first);
}

#[tokio::test]
async fn a_run_whose_client_ended_well_or_on_purpose_does_not_move() {
    for (phase, reason) in [
        (Phase::Completed, Reason::ExitCode),
        (Phase::Completed, Reason::LengthReached),
        (Phase::Aborted, Reason::Cancelled),
    ] {
        let testbed = testbed().await;
        let report = client("survey", noon(), 30, phase, reason);
        testbed.report("paris-01", vec![made_room("survey", noon())]).await;
        testbed.report("london-01", vec![report]).await;
        let client = part(&testbed, "survey", noon(), Role::Client).await;
        assert_eq!((client.phase(), client.reason(), client.moved_to), (phase, reason, None));
        let server = part(&testbed, "survey", noon(), Role::Server).await;
        assert_eq!((server.phase(), server.reason()), (Phase::Aborted, Reason::Scavenger));
        assert_eq!(told(&testbed).await.moves, []);
    }
}

#[tokio::test]
async fn a_server_that_is_gone_for_another_reason_moves_nothing() {
    let testbed = testbed().await;
    let failed = server("survey", noon(), 30, Phase::Failed, Reason::ExitCode);
    testbed.report("paris-01", vec![failed]).await;
    testbed.report("london-01", vec![bereft("survey", noon())]).await;
    let client = part(&testbed, "survey", noon(), Role::Client).await;
    assert_eq!((client.phase(), client.reason()), (Phase::Failed, Reason::ServerUnavailable));
    assert_eq!(told(&testbed).await.moves, []);
}

#[tokio::test]
async fn what_recurs_ends_for_the_same_reason_on_both_nodes() {
    let testbed = Testbed::with_jobs().await;
    let daily = manifest::DAILY.replace("0 12", "0 18");
    exclusive(&testbed, "often", &manifest::served_job("often", "bob", "london-01", "paris-01", &daily));
    testbed.push("what recurs").await;
    for (day, server_first) in [(1, false), (2, true)] {
        let start = instant(&format!("2030-01-0{day}T18:00:00Z"));
        let mut reports = [("london-01", bereft("often", start)), ("paris-01", made_room("often", start))];
        if server_first {
            reports.reverse();
        }
        for (node, report) in reports {
            testbed.report(node, vec![report]).await;
        }
        for role in [Role::Client, Role::Server] {
            let part = part(&testbed, "often", start, role).await;
            assert_eq!(
                (part.phase(), part.reason(), part.moved_to),
                (Phase::Aborted, Reason::Scavenger, None)
            );
        }
        let client = part(&testbed, "often", start, Role::Client).await;
        assert_eq!(
            client.message,
            "`paris-01`, the node of its server, makes room: carol wants the node's link"
        );
    }
    assert_eq!(told(&testbed).await.moves, []);
}

#[tokio::test]
async fn without_a_time_that_is_free_on_both_nodes_both_parts_say_so() {
    for server_first in [false, true] {
        let testbed = Testbed::with_jobs().await;
        let text = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let start = instant(&text(Utc::now() + TimeDelta::minutes(1)));
        let end = text(Utc::now() + TimeDelta::hours(3));
        once(&testbed, "survey", true, &format!("{{ at: {}, end: {end}, length: 10m }}", text(start)));
        let block = text(Utc::now() + TimeDelta::minutes(20));
        // The node of the client would be free.
        let block = manifest::job("block", "carol", "paris-01", &format!("{{ at: {block}, length: 12h }}"));
        exclusive(&testbed, "block", &block);
        testbed.push("what runs").await;
        let mut reports = [("london-01", bereft("survey", start)), ("paris-01", made_room("survey", start))];
        if server_first {
            reports.reverse();
        }
        for (node, report) in reports {
            testbed.report(node, vec![report]).await;
        }
        for role in [Role::Client, Role::Server] {
            let part = part(&testbed, "survey", start, role).await;
            assert_eq!((part.phase(), part.reason(), part.moved_to), (Phase::Aborted, Reason::NoSlot, None));
            assert!(part.message.contains("; no time is free for it from"), "{}", part.message);
        }
        assert_eq!(told(&testbed).await.moves, []);
    }
}

#[tokio::test]
async fn a_moved_client_may_want_its_server_at_its_new_instant() {
    let testbed = Testbed::with_jobs().await;
    let config = manifest::config("store: file:///nowhere") + "  scavenger: { delay: 10s }\n";
    testbed.repository.write("config.yaml", config);
    once(&testbed, "survey", true, NOON);
    testbed.push("a survey that moves to soon").await;
    testbed.report("paris-01", vec![made_room("survey", noon())]).await;
    testbed.report("london-01", vec![bereft("survey", noon())]).await;
    let to = assert_moved(&testbed, "survey", noon(), "soon").await;
    let want = async |start: DateTime<Utc>| {
        let scheduled_at = Some(timestamp(start));
        let (node, job) = ("london-01".to_owned(), "survey".to_owned());
        testbed.agent("london-01").request_server(v1::RequestServerRequest { node, job, scheduled_at }).await
    };
    let refused = want(to + TimeDelta::seconds(1)).await.unwrap_err();
    assert!(refused.message().contains("does not run at"), "{refused}");
    let mut client = want(to).await.unwrap().into_inner();
    assert_eq!(standing(&mut client).await.0, TaskState::Requested);
}

/// What the version before wrote of a task.
const TASK: &str =
    "INSERT INTO tasks (run_id, job, client, server, scheduled_at, ends_at, ttl, state, message,
                                       client_seen, server_seen, version)
     VALUES ('65a19cc8-0f61-5813-9960-508a380c25b0', 'pair', 'london-01', 'paris-01', 1, 2000000000000000, 3,
             'failed', 'it ended with exit code 1', 4, 5, 6)";

/// PostgreSQL has the same column.
#[tokio::test]
async fn a_task_of_the_version_before_did_not_make_room() {
    let folder = tempfile::tempdir().unwrap();
    let migrations = folder.path().join("migrations");
    std::fs::create_dir(&migrations).unwrap();
    let all = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite")).unwrap();
    for file in all.map(|entry| entry.unwrap()).filter(|file| *file.file_name() < *"0010") {
        std::fs::copy(file.path(), migrations.join(file.file_name())).unwrap();
    }
    let database = format!("sqlite://{}", folder.path().join("almanac.db").display());
    let pool = sqlx::SqlitePool::connect(&format!("{database}?mode=rwc")).await.unwrap();
    sqlx::migrate::Migrator::new(migrations).await.unwrap().run(&pool).await.unwrap();
    sqlx::query(TASK).execute(&pool).await.unwrap();
    pool.close().await;
    let store = almanac_reconciler::store::Store::open(&database).await.unwrap();
    let tasks = store.tasks(DateTime::UNIX_EPOCH).await.unwrap();
    assert_eq!((tasks.len(), tasks[0].made_room, tasks[0].version), (1, false, 6), "{tasks:?}");
}
