//! Files of runs that go by a change, since they are to be kept for less time.

use almanac_schemas::{Duration, JobName};

use super::Plan;
use crate::Testbed;

/// Files are kept for less time than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortened<'a> {
    /// Whose: those of a job, or of all jobs that say nothing of it.
    pub job: Option<&'a JobName>,
    /// How long they were kept.
    pub before: Duration,
    /// How long they are.
    pub after: Duration,
}

/// What is kept for less time, the jobs first.
pub(super) fn shortened<'a>(from: &Testbed, to: &Testbed, plan: &Plan<'a>) -> Vec<Shortened<'a>> {
    let [default_before, default_after] = [from, to].map(|testbed| testbed.config.artifacts.retention);
    let jobs = plan.jobs.iter().filter_map(|job| {
        let (before, after) = (job.edit.before()?.artifacts.retention, job.edit.after()?.artifacts.retention);
        // What changes with the settings is said of them.
        (before != after).then(|| Shortened {
            job: Some(job.name),
            before: before.unwrap_or(default_before),
            after: after.unwrap_or(default_after),
        })
    });
    let all = Shortened { job: None, before: default_before, after: default_after };
    jobs.chain([all]).filter(|shortened| shortened.after < shortened.before).collect()
}
