//! An agent that is killed at each point between what it does and what it records: the run is carried out once,
//! and nothing of it is lost.

use std::thread;

use chrono::{TimeDelta, Utc};

use almanac_node::point::Point;
use almanac_schemas::{Phase, Reason};

use crate::harness::{Job, World, unpack};

/// A log in two parts, a file that says how often it ran, an exit code of its own.
const SCRIPT: &str = "echo one; echo ran >> $ALMANAC_ARTIFACTS/ran; sleep 0.5; echo two; exit 3";

#[test]
fn a_process_runs_once_wherever_its_agent_is_killed() {
    // They wait more than they work.
    thread::scope(|scope| {
        for point in Point::ALL {
            scope.spawn(move || survives(World::new(), point));
        }
    });
}

#[test]
#[ignore = "needs docker"]
fn a_container_runs_once_wherever_its_agent_is_killed() {
    for points in Point::ALL.chunks(6) {
        thread::scope(|scope| {
            for point in points {
                scope.spawn(|| survives(World::with_docker(), *point));
            }
        });
    }
}

fn survives(mut world: World, point: Point) {
    let at = Utc::now() + TimeDelta::milliseconds(2_500);
    world.declare([Job::once("run", at).start_deadline("30s").length("40s").sh(SCRIPT)]);
    world.start_until(point);
    world.start();
    let run = world.wait_end("run");
    assert_eq!(run.end(), Some((Phase::Failed, Reason::ExitCode)), "{point:?}: {run:#?}");
    assert_eq!(
        run.phases(),
        [Phase::Deploying, Phase::Running, Phase::Uploading, Phase::Failed],
        "{point:?}: {run:#?}"
    );
    assert_eq!(run.last().exit_code, Some(3), "{point:?}");
    assert_eq!(world.log(&run), "one\ntwo\n", "{point:?}");
    let files = unpack(&world.file(&run, "artifacts.tar.zst").unwrap());
    assert_eq!(files[0].2.as_deref(), Some(&b"ran\n"[..]), "{point:?}: it ran once");
    let skew = run.at(Phase::Running) - at;
    // The times of files, by which a process that was found again is known, are those of the kernel's last tick.
    let tick = TimeDelta::milliseconds(10);
    assert!(skew >= -tick && skew < TimeDelta::seconds(20), "{point:?}: it began {skew} late");
    world.wait_tidy();
}
