//! Pairs whose server's node is wanted by its owner: the server says so when it is told to stop, and its client makes room too.

use almanac_proto::v1::{self, TaskNews, TaskState};
use almanac_schemas::{Phase, Reason};
use serde_json::json;

use almanac_node::point::Point;

use crate::{
    harness::{Record, World},
    scavenger::wanted,
    servers::{LONG, at, end, served, serving, task, wait_news},
};

const MAKES_ROOM: &str = "alice wants the node's link: a call";
const SCAVENGED: (Phase, Reason) = (Phase::Aborted, Reason::Scavenger);

/// Whether it was said that there is no server since its node makes room, and nothing else after that it is ready.
fn says_that_it_makes_room(record: &Record) -> Option<()> {
    let said = record.news.iter().find(|said| said.news() == TaskNews::Failed)?;
    assert_eq!((said.reason(), said.message.as_str()), (v1::Reason::Scavenger, MAKES_ROOM));
    Some(())
}

#[test]
fn a_server_that_makes_room_is_told_and_so_is_its_client_before_it_has_ended() {
    let mut world = World::new();
    let (at, gate) = (at(), world.path("gate"));
    // It takes its time to end.
    let script = format!(
        "trap 'touch {}; while ! test -e {}; do sleep 0.05; done; exit 0' TERM; {LONG}",
        world.path("told").display(),
        gate.display()
    );
    world.declare([serving(at, &script, &json!({"log": "^up$"}))]);
    world.reconciler.pair(&task(at, TaskState::Requested));
    world.start();
    wait_news(&mut world, TaskNews::Ready);
    world.wait_phase("pair", Phase::Running);
    let told = world.path("told");
    world.reconciler.instruct(&wanted());
    world.wait_told("its client to be told", says_that_it_makes_room);
    world.wait("it to be told", |_| told.exists().then_some(()));
    assert!(!world.processes().is_empty(), "its client need not wait for its end");
    std::fs::write(gate, "").unwrap();
    assert_eq!(end(&world.wait_end("pair")), SCAVENGED);
}

#[test]
fn a_server_makes_room_once_wherever_the_agent_is_killed_and_its_client_hears_of_it() {
    for point in [Point::Settled, Point::Ready, Point::Due, Point::Released, Point::Running] {
        let mut world = World::new();
        let at = at();
        world.declare([serving(at, LONG, &json!({"log": "^up$"}))]);
        world.reconciler.pair(&task(at, TaskState::Requested));
        world.start_until(point);
        world.reconciler.instruct(&wanted());
        world.start();
        let run = world.wait_end("pair");
        assert_eq!(end(&run), SCAVENGED, "{point:?}");
        assert_eq!(run.last().message, MAKES_ROOM);
        world.wait_told("its client to be told", |record| {
            // An agent that heard of the task only when its part was over does not say why it ended. The reconciler knows it
            // by the record of the part.
            let news = record.news.iter().find(|said| said.news() == TaskNews::Failed)?;
            let is_over = news.message == "its part of this run has ended already";
            if is_over { Some(()) } else { says_that_it_makes_room(record) }
        });
        world.wait_tidy();
    }
}

#[test]
fn a_server_is_not_begun_for_a_client_while_its_node_makes_room() {
    let mut world = World::new();
    let at = at();
    world.reconciler.instruct(&wanted());
    world.declare([serving(at, LONG, &json!({}))]);
    world.reconciler.pair(&task(at, TaskState::Requested));
    world.start();
    world.wait_told("its client to be told", says_that_it_makes_room);
    assert_eq!(end(&world.wait_end("pair")), (Phase::Skipped, Reason::Scavenger));
}

const OTHER_MAKES_ROOM: &str =
    "`paris`, the node of its server, makes room: alice wants the node's link: a call";

#[test]
fn a_client_whose_server_makes_room_does_so_too_wherever_its_agent_is_killed() {
    for point in [Point::Settled, Point::Ready, Point::Due, Point::Released, Point::Running] {
        let mut world = World::new();
        world.reconciler.serve(TaskState::Ready, "", "203.0.113.7");
        let job = served(&format!("echo up >> {}; {LONG}", world.path("ran").display()), "60s");
        world.declare([job.start_deadline("1m")]);
        world.start_until(point);
        world.reconciler.make_room(MAKES_ROOM);
        world.start();
        let run = world.wait_end("pair");
        let began = !world.lines("ran").is_empty();
        let (phase, reason) = end(&run);
        assert_eq!(reason, Reason::Scavenger, "{point:?}: {run:#?}");
        assert_eq!(phase, if began { Phase::Aborted } else { Phase::Skipped }, "{point:?}");
        assert_eq!(run.last().message, OTHER_MAKES_ROOM);
        world.wait_tidy();
    }
}

#[test]
fn a_client_that_ends_badly_after_its_server_made_room_makes_room_and_one_that_ends_well_is_done() {
    for (code, expected) in [(3, SCAVENGED), (0, (Phase::Completed, Reason::ExitCode))] {
        let mut world = World::new();
        world.reconciler.serve(TaskState::Ready, "", "203.0.113.7");
        let gate = world.path("gate");
        // Its last words take half of the time that it has for them, from when its agent hears of that.
        let script = format!("while ! test -e {}; do sleep 0.02; done; sleep 1; exit {code}", gate.display());
        world.declare([served(&script, "60s")]);
        world.start();
        world.wait_phase("pair", Phase::Running);
        world.reconciler.make_room(MAKES_ROOM);
        std::fs::write(&gate, "").unwrap();
        assert_eq!(end(&world.wait_end("pair")), expected, "{code}");
    }
}
