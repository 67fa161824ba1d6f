//! Two exclusive runs that would overlap, since one commit follows another.

use chrono::{TimeDelta, Utc};

use almanac_schemas::{Phase, Reason};

use crate::harness::{Job, World};

#[test]
fn an_exclusive_run_does_not_start_while_one_of_an_earlier_commit_goes_on() {
    let mut world = World::new();
    world.declare([Job::soon("first")
        .length("1h")
        .sh("while [ ! -e $ALMANAC_ARTIFACTS/go ]; do sleep 0.1; done")]);
    world.start();
    let first = world.wait_phase("first", Phase::Running);
    // Also the next agent knows of it.
    world.kill();
    world.start();
    let at = Utc::now() + TimeDelta::seconds(1);
    world.declare([
        Job::once("second", at),
        Job::once("beside", at).spec("exclusive", serde_json::json!(false)),
    ]);
    let second = world.wait_end("second");
    assert_eq!(second.end(), Some((Phase::Missed, Reason::Busy)));
    assert_eq!(second.phases(), [Phase::Missed]);
    assert!(second.last().message.contains("`first`"), "{second:#?}");
    // Its files wait for the end of the exclusive run.
    world.wait_phase("beside", Phase::Uploading);

    // One that has ended by itself hinders nobody, whatever time it had left.
    let artifacts = world.state_dir().join("runs").join(&first.key.0).join("artifacts/go");
    std::fs::write(artifacts, "").unwrap();
    world.wait_end("first");
    assert_eq!(world.wait_end("beside").end(), Some((Phase::Completed, Reason::ExitCode)));
    world.declare([Job::soon("third")]);
    assert_eq!(world.wait_end("third").end(), Some((Phase::Completed, Reason::ExitCode)));
}
