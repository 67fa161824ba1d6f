//! `--on-stop drain`: an agent that waits for what runs still hears what is to end.

use std::time::{Duration, Instant};

use almanac_proto::v1::{Cancellation, Instructions, TaskNews, TaskState};
use almanac_schemas::{Phase, Reason};
use chrono::{DateTime, Utc};
use serde_json::json;

use crate::{
    harness::World,
    scavenger::wanted,
    servers::{LONG, at, end, serving, task, wait_news},
};

#[test]
fn an_agent_that_drains_still_hears_that_its_server_is_to_end() {
    for state in [TaskState::Released, TaskState::Abandoned] {
        let (mut world, at) = draining();
        world.reconciler.pair(&task(at, state));
        let asked = Instant::now();
        assert!(world.wait_stopped().success());
        assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
        assert!(world.processes().is_empty());
        world.start();
        let expected = match state {
            TaskState::Released => (Phase::Completed, Reason::LengthReached),
            _ => (Phase::Aborted, Reason::NodeOffline),
        };
        assert_eq!(end(&world.wait_end("pair")), expected);
    }
}

#[test]
fn an_agent_that_drains_still_hears_that_a_run_is_cancelled_and_that_its_owner_wants_the_link() {
    for reason in [Reason::Cancelled, Reason::Scavenger] {
        let (mut world, _) = draining();
        let instructions = match reason {
            Reason::Cancelled => {
                let run_id = world.wait_phase("pair", Phase::Running).key.0;
                let (actor, reason) = ("alice".to_owned(), String::new());
                let cancellations = vec![Cancellation { run_id, actor, reason }];
                Instructions { cancellations, ..Instructions::default() }
            }
            _ => wanted(),
        };
        world.reconciler.instruct(&instructions);
        assert!(world.wait_stopped().success());
        world.start();
        assert_eq!(end(&world.wait_end("pair")), (Phase::Aborted, reason));
    }
}

/// An agent that was told to stop, and waits for a server that is ready.
fn draining() -> (World, DateTime<Utc>) {
    let mut world = World::new().option("--on-stop", "drain").option("--stop-deadline", "10m");
    let at = at();
    world.declare([serving(at, LONG, &json!({"log": "^up$"}))]);
    world.reconciler.pair(&task(at, TaskState::Requested));
    world.start();
    wait_news(&mut world, TaskNews::Ready);
    world.wait_phase("pair", Phase::Running);
    world.ask_to_stop();
    world.wait("it to wait for what runs", |world| {
        world.agent_log().contains("waiting for what runs").then_some(())
    });
    (world, at)
}
