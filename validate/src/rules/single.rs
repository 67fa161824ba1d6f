//! The rules that look at one job at a time: at what it says, and at the users, nodes and settings around it.
//!
//! What they found to be without a flaw stays so for as long as nothing around it changes, and until the next
//! run is due: a job may then have had its last one. So a commit costs what it changes.

use std::{collections::HashMap, sync::Arc};

use almanac_schemas::{Job, JobSpec, Schedule, UserSpec, config::ConfigSpec};
use chrono::{DateTime, Utc};
use rayon::prelude::*;

use super::{
    Context, Draft, Place, access, container, context::Target, host_network, kernel, ranges, references,
    resources, schedule, server, targets, trigger,
};
use crate::NodeEntry;

/// A job that is looked at.
pub(super) struct Subject<'c, 'a> {
    pub(super) job: &'a Job,
    /// Its document.
    pub(super) place: &'c Place,
    /// The nodes that it needs.
    pub(super) targets: Vec<Target<'c, 'a>>,
}

/// What a look at all jobs came to.
pub(super) struct Looked<'a> {
    pub(super) drafts: Vec<Draft>,
    /// The jobs without a flaw that were not known to be.
    pub(super) sound: Vec<(&'a Arc<JobSpec>, Timely)>,
}

/// The jobs without a flaw, as far as these rules go, in the tree that was checked last.
#[derive(Debug, Default)]
pub(crate) struct Sound {
    around: Surroundings,
    /// By the address of the spec, which is no other's for as long as it is held.
    jobs: HashMap<usize, (Arc<JobSpec>, Timely)>,
}

/// All that these rules look at besides the job itself.
#[derive(Debug, Default, PartialEq)]
struct Surroundings {
    complete: bool,
    users: Vec<(String, Option<Arc<UserSpec>>)>,
    nodes: Vec<(String, Option<NodeEntry>)>,
    config: Option<Arc<ConfigSpec>>,
}

/// When a job runs, and what that says about the passing of time.
#[derive(Debug, Clone)]
pub(super) struct Timely {
    pub(super) schedule: Arc<Schedule>,
    /// From when on its schedule is without a flaw.
    pub(super) from: DateTime<Utc>,
    /// Until when it certainly is: then it runs next.
    pub(super) until: DateTime<Utc>,
}

/// Applies the rules to every job that is not known to be without a flaw.
pub(super) fn check<'a>(context: &Context<'a>, sound: &Sound) -> Looked<'a> {
    const CHECKS: &[fn(&Context<'_>, &Subject<'_, '_>, &mut Vec<Draft>)] = &[
        references::of_job,
        targets::check,
        server::check,
        access::check,
        kernel::check,
        host_network::check,
        resources::check,
        container::check,
        ranges::of_job,
        trigger::check,
    ];
    let unknown: Vec<_> =
        context.whole_jobs().filter(|(job, _)| sound.schedule(job, context.now).is_none()).collect();
    let looks = unknown.into_par_iter().map(|(job, place)| {
        let subject = Subject { job, place, targets: context.targets(job) };
        let mut drafts = Vec::new();
        for check in CHECKS {
            check(context, &subject, &mut drafts);
        }
        let timely = schedule::check(context, &subject, &mut drafts);
        let timely = timely.filter(|_| drafts.is_empty());
        (drafts, timely.map(|timely| (&job.spec, timely)))
    });
    let (drafts, sound): (Vec<_>, Vec<_>) = looks.unzip();
    Looked { drafts: drafts.into_iter().flatten().collect(), sound: sound.into_iter().flatten().collect() }
}

impl Sound {
    /// Forgets what does not count where other things are declared.
    pub(super) fn enter(&mut self, context: &Context<'_>) {
        let around = Surroundings::of(context);
        if self.around != around {
            *self = Self { around, jobs: HashMap::new() };
        }
    }

    /// When a job runs, if it is known to be without a flaw.
    pub(super) fn schedule(&self, job: &Job, now: DateTime<Utc>) -> Option<&Arc<Schedule>> {
        let (_, timely) = self.jobs.get(&Arc::as_ptr(&job.spec).addr())?;
        (timely.from <= now && now <= timely.until).then_some(&timely.schedule)
    }

    /// Adds what was found, and forgets jobs that nobody else knows of.
    pub(super) fn keep(&mut self, sound: Vec<(&Arc<JobSpec>, Timely)>) {
        self.jobs.retain(|_, (spec, _)| Arc::strong_count(spec) > 1);
        for (spec, timely) in sound {
            self.jobs.insert(Arc::as_ptr(spec).addr(), (Arc::clone(spec), timely));
        }
    }
}

impl Surroundings {
    fn of(context: &Context<'_>) -> Self {
        let users = context.users.iter().map(|(name, user)| {
            let spec = user.manifest.map(|user| Arc::clone(&user.spec));
            ((*name).to_owned(), spec)
        });
        let nodes =
            context.nodes.iter().map(|(name, node)| ((*name).to_owned(), node.manifest.map(NodeEntry::of)));
        Self {
            complete: context.complete,
            users: users.collect(),
            nodes: nodes.collect(),
            config: context.settings().map(Arc::clone),
        }
    }
}
