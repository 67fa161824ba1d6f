//! Jobs, and when they are to run.

use tonic::Status;

use almanac_proto::v1;

use super::{
    Reconciler, at,
    conditions::{WELL, conditions},
    known::APPLIED,
};

pub(super) fn list(
    reconciler: &Reconciler,
    question: &v1::ListJobsRequest,
) -> Result<v1::ListJobsResponse, Status> {
    let mut jobs = jobs();
    jobs.retain(|job| question.deleted || job.deleted_at.is_none());
    let (jobs, next_page_token) = reconciler.page(jobs, question.page_size, &question.page_token);
    Ok(v1::ListJobsResponse { jobs, next_page_token })
}

pub(super) fn get(
    _reconciler: &Reconciler,
    question: &v1::GetJobRequest,
) -> Result<v1::GetJobResponse, Status> {
    let name = &question.name;
    let job = jobs().into_iter().find(|job| job.name == *name);
    let missing = || Status::not_found(format!("job `{name}` not found"));
    Ok(v1::GetJobResponse { job: Some(job.ok_or_else(missing)?) })
}

pub(super) fn list_occurrences(
    reconciler: &Reconciler,
    question: &v1::ListOccurrencesRequest,
) -> Result<v1::ListOccurrencesResponse, Status> {
    let (occurrences, next_page_token) =
        reconciler.page(occurrences(), question.page_size, &question.page_token);
    Ok(v1::ListOccurrencesResponse { occurrences, next_page_token })
}

fn jobs() -> Vec<v1::Job> {
    let job = |name: &str, nodes: &[&str], schedule: &str| v1::Job {
        name: name.to_owned(),
        owner: "alice".to_owned(),
        spec: format!(
            r#"{{"owner":"alice","nodes":["london-01"],"schedule":{{{schedule},"length":"1m"}},"exclusive":true,"container":{{"image":"almanac/probe:1","command":["ping","-c","10","example.org"]}}}}"#
        ),
        nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
        commit: APPLIED.to_owned(),
        created_at: at("2027-01-01T08:00:00Z"),
        updated_at: at("2027-01-09T12:00:00Z"),
        ..v1::Job::default()
    };
    vec![
        v1::Job {
            next_run: at("2027-01-10T12:15:00Z"),
            conditions: conditions(WELL),
            ..job("ping-london", &["london-01"], r#""cron":"*/15 * * * *""#)
        },
        v1::Job {
            next_run: at("2027-01-10T13:00:00Z"),
            conditions: conditions([
                (
                    false,
                    "NodesNotReady",
                    "2 of 3 nodes: `paris-01`: silent: last heard of at 2027-01-10T11:55:00Z; `tromso-01`: its agent was never heard of",
                ),
                (false, "Progressing", ""),
                (
                    true,
                    "Lagging",
                    "2 of 3 nodes: `paris-01`: silent: last heard of at 2027-01-10T11:55:00Z; `tromso-01`: its agent was never heard of",
                ),
            ]),
            ..job("congestion-control-bbr", &["london-01", "paris-01", "tromso-01"], r#""cron":"0 * * * *""#)
        },
        v1::Job {
            deleted_at: at("2027-01-09T12:00:00Z"),
            ..job("once", &["paris-01"], r#""at":"2027-01-05T12:00:00Z""#)
        },
    ]
}

fn occurrences() -> Vec<v1::Occurrence> {
    let occurrence = |job: &str, node: &str, start: &str, end: &str| v1::Occurrence {
        job: job.to_owned(),
        node: node.to_owned(),
        role: v1::Role::Client.into(),
        owner: "alice".to_owned(),
        start: at(start),
        end: at(end),
        exclusive: true,
        maintenance: false,
        moved_from: None,
    };
    vec![
        occurrence("ping-london", "london-01", "2027-01-10T12:15:00Z", "2027-01-10T12:16:00Z"),
        v1::Occurrence {
            moved_from: at("2027-01-10T11:30:00Z"),
            ..occurrence("survey", "london-01", "2027-01-10T12:16:00Z", "2027-01-10T12:17:00Z")
        },
        v1::Occurrence {
            role: v1::Role::Server.into(),
            ..occurrence("throughput", "paris-01", "2027-01-10T12:20:00Z", "2027-01-10T12:22:00Z")
        },
        v1::Occurrence {
            job: String::new(),
            owner: String::new(),
            role: v1::Role::Unspecified.into(),
            exclusive: false,
            maintenance: true,
            ..occurrence("", "tromso-01", "2027-01-11T03:00:00Z", "2027-01-11T04:00:00Z")
        },
    ]
}
