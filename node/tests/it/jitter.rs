//! Runs that begin a certain time after their instant.

use chrono::{TimeDelta, Utc};
use serde_json::json;

use almanac_schemas::{Duration, Phase, Reason, RunId};

use crate::harness::{Job, World};

#[test]
fn a_run_begins_at_its_offset_and_ends_with_its_time() {
    let mut world = World::new();
    let at = Utc::now() + TimeDelta::seconds(2);
    // Of some names, the ones with an offset that is neither nothing nor all of it.
    let at = chrono::SubsecRound::trunc_subsecs(at, 6);
    let jitter = Duration::from_secs(4);
    let offset = |name: &str| RunId::new(&name.parse().unwrap(), &world.node, at).offset(jitter);
    let names: Vec<String> = (0..200).map(|number| format!("job-{number}")).collect();
    let mut names: Vec<&String> = names
        .iter()
        .filter(|name| (TimeDelta::milliseconds(500)..TimeDelta::milliseconds(3000)).contains(&offset(name)))
        .collect();
    names.truncate(4);
    let offsets: Vec<TimeDelta> = names.iter().map(|name| offset(name)).collect();
    let job = |name: &String| {
        let job = Job::once(name, at).schedule("jitter", json!("4s")).length("5s").start_deadline("1s");
        job.spec("exclusive", json!(false)).sh("sleep 60")
    };
    let jobs: Vec<Job> = names.iter().map(|name| job(name)).collect();
    world.declare(jobs);
    world.start();
    for (name, offset) in names.iter().zip(offsets) {
        let run = world.wait_end(name);
        assert_eq!(run.scheduled_at(), at, "its instant is what it was");
        assert_eq!(run.end(), Some((Phase::Completed, Reason::LengthReached)));
        let late = run.at(Phase::Running) - (at + offset);
        // The times of files are those of the kernel's last tick.
        assert!(late >= -TimeDelta::milliseconds(10) && late < TimeDelta::seconds(1), "{name}: {late} late");
        let end = run.at(Phase::Uploading) - (at + TimeDelta::seconds(5));
        assert!(
            end >= -TimeDelta::milliseconds(10) && end < TimeDelta::seconds(5),
            "{name}: it ended {end} late"
        );
    }
}
