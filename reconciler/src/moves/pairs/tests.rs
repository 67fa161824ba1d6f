use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn step(sequence: u64, phase: Phase, reason: Option<Reason>, seconds: i64) -> RunStep {
    RunStep {
        sequence,
        phase,
        reason,
        message: String::new(),
        at: at(seconds),
        exit_code: None,
        image_digest: String::new(),
        commit: "c".to_owned(),
    }
}

/// A part whose command ended at an instant, and whose files were delivered a minute later.
fn part(node: &str, phase: Phase, reason: Reason, ended: i64, message: &str) -> Part {
    let last = RunStep { message: message.to_owned(), ..step(4, phase, Some(reason), ended + 60) };
    let steps = match phase {
        Phase::Skipped => vec![RunStep { at: at(ended), ..last }],
        _ => vec![step(2, Phase::Running, None, 0), step(3, Phase::Uploading, None, ended), last],
    };
    Part::of(node.parse().unwrap(), &steps).unwrap()
}

fn server(phase: Phase, reason: Reason) -> Part {
    part("paris-01", phase, reason, 30, "alice wants the node's link")
}

const SCAVENGED: (Phase, Reason) = (Phase::Aborted, Reason::Scavenger);

#[test]
fn a_client_without_its_server_makes_room_with_it() {
    for (phase, reason, expected) in [
        (Phase::Failed, Reason::ServerUnavailable, Phase::Aborted),
        (Phase::Failed, Reason::ExitCode, Phase::Aborted),
        (Phase::Skipped, Reason::ServerUnavailable, Phase::Skipped),
    ] {
        let client = part("london-01", phase, reason, 29, "its server was lost");
        let server = server(SCAVENGED.0, SCAVENGED.1);
        let step = bereft(&client, &server).unwrap();
        assert_eq!((step.phase, step.reason), (expected, Some(Reason::Scavenger)));
        assert_eq!(
            step.message,
            "`paris-01`, the node of its server, makes room: alice wants the node's link"
        );
        assert_eq!((step.sequence, step.at), (client.end.sequence, client.end.at), "it is the same step");
        assert!(made_room(&step), "it is decided about as any other that made room");
    }
}

#[test]
fn a_client_that_ended_for_another_reason_stays_as_it_ended() {
    let scavenged = server(SCAVENGED.0, SCAVENGED.1);
    for (phase, reason) in [
        (Phase::Completed, Reason::ExitCode),
        (Phase::Completed, Reason::LengthReached),
        (Phase::Aborted, Reason::Cancelled),
        (Phase::Failed, Reason::OutOfMemory),
        (Phase::Rescheduled, Reason::Scavenger),
        (Phase::Aborted, Reason::NoSlot),
    ] {
        assert_eq!(bereft(&part("london-01", phase, reason, 29, ""), &scavenged), None, "{phase} {reason}");
    }
    for (phase, reason) in [
        (Phase::Failed, Reason::ExitCode),
        (Phase::Completed, Reason::LengthReached),
        (Phase::Aborted, Reason::Cordoned),
    ] {
        let client = part("london-01", Phase::Failed, Reason::ServerUnavailable, 29, "");
        assert_eq!(bereft(&client, &server(phase, reason)), None, "{phase} {reason}");
    }
}

/// Its agent did not hear of that, so that the server was there until its owner wanted the link.
#[test]
fn a_client_that_failed_long_before_failed_by_itself() {
    let scavenged = server(SCAVENGED.0, SCAVENGED.1);
    let failed = |reason, ended| bereft(&part("london-01", Phase::Failed, reason, ended, ""), &scavenged);
    assert_eq!(failed(Reason::ExitCode, 14), None);
    assert!(failed(Reason::ExitCode, 15).is_some(), "its server may have been told by then");
    assert!(failed(Reason::ServerUnavailable, 0).is_some(), "it never was for anything else");
}

#[test]
fn a_server_that_made_room_is_recorded_as_what_became_of_the_run() {
    let scavenged = server(SCAVENGED.0, SCAVENGED.1).end;
    let with = |message: &str, end: (Phase, Reason)| RunStep {
        message: message.to_owned(),
        ..step(3, end.0, Some(end.1), 0)
    };
    let moved = with("its server; moved to 2030-01-01T00:00:00Z", (Phase::Rescheduled, Reason::Scavenger));
    let step = follow(&scavenged, &moved).unwrap();
    assert_eq!((step.phase, step.reason), (Phase::Rescheduled, Some(Reason::Scavenger)));
    assert_eq!(step.message, "alice wants the node's link; moved to 2030-01-01T00:00:00Z");
    assert_eq!(step.sequence, 4);
    let no_slot = with("no time is free for it", (Phase::Aborted, Reason::NoSlot));
    assert_eq!(follow(&scavenged, &no_slot).unwrap().reason, Some(Reason::NoSlot));
    // What recurs does not move, and what ended otherwise did not make room.
    assert_eq!(follow(&scavenged, &with("", SCAVENGED)), None);
    assert_eq!(follow(&server(Phase::Completed, Reason::LengthReached).end, &moved), None);
}

#[test]
fn what_goes_on_has_not_ended() {
    let steps = [step(1, Phase::Deploying, None, 0), step(2, Phase::Running, None, 1)];
    assert_eq!(Part::of("paris-01".parse().unwrap(), &steps), None);
}
