use almanac_schemas::RunId;

use super::*;

fn event(role: RunRole, phase: Phase, reason: Option<Reason>) -> RunEvent {
    let (job, node) = ("once".parse().unwrap(), "n".parse().unwrap());
    let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    RunEvent {
        run: RunId::new(&job, &node, at),
        job,
        role,
        client: None,
        scheduled_at: at,
        step: RunStep {
            sequence: 3,
            phase,
            reason,
            message: "alice wants the node's link".to_owned(),
            at,
            exit_code: None,
            image_digest: String::new(),
            commit: "c".to_owned(),
        },
    }
}

#[test]
fn only_the_end_of_a_part_that_made_room_may_be_about_a_move() {
    let nothing = Applied::nothing("e".into());
    let concerns = |role, phase, reason| concerns(&nothing, &event(role, phase, Some(reason)));
    for role in [RunRole::Client, RunRole::Server] {
        assert!(concerns(role, Phase::Aborted, Reason::Scavenger));
        assert!(concerns(role, Phase::Skipped, Reason::Scavenger));
        assert!(!concerns(role, Phase::Aborted, Reason::Cancelled));
        // An agent has no say in where a run moves.
        assert!(!concerns(role, Phase::Rescheduled, Reason::Scavenger));
        // Of a job that is not declared, nobody knows a server.
        assert!(!concerns(role, Phase::Failed, Reason::ServerUnavailable));
    }
}

#[test]
fn what_is_recorded_says_what_was_reported_and_where_the_run_went() {
    let reported = event(RunRole::Client, Phase::Aborted, Some(Reason::Scavenger)).step;
    let at = |seconds: i64| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
    let moved = Moved { job: "once".parse().unwrap(), node: "n".parse().unwrap(), at: at(0), to: at(1_800) };
    let step = Decision::Moves(moved).step(&reported);
    assert_eq!((step.phase, step.reason), (Phase::Rescheduled, Some(Reason::Scavenger)));
    assert_eq!(step.message, "alice wants the node's link; moved to 2027-01-15T08:30:00Z");
    assert_eq!((step.sequence, step.commit.as_str()), (3, "c"));
    let silent = RunStep { message: String::new(), ..reported };
    let step = Decision::NoSlot { from: at(0), until: at(3_600) }.step(&silent);
    assert_eq!((step.phase, step.reason), (Phase::Aborted, Some(Reason::NoSlot)));
    assert_eq!(step.message, "no time is free for it from 2027-01-15T08:00:00Z to 2027-01-15T09:00:00Z");
    let step = Decision::NoSlot { from: at(3_600), until: at(3_600) }.step(&silent);
    assert_eq!(
        step.message,
        "it would have had to start before 2027-01-15T09:00:00Z, and it is too late for that"
    );
}
