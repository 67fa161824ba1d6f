use chrono::TimeDelta;

use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn exit(code: Option<i32>) -> Observation {
    Observation::Exited(Exit { at: at(9), code, out_of_memory: false })
}

/// Puts a new run through observations, one a second, and returns what is reported.
fn reported(observations: impl IntoIterator<Item = Observation>) -> Vec<String> {
    let Transition { mut state, step } = State::begin(at(0));
    let mut steps: Vec<Step> = step.into_iter().collect();
    for (second, observation) in (1..).zip(observations) {
        let transition = state.next(observation, at(0) + TimeDelta::seconds(second));
        state = transition.state;
        steps.extend(transition.step);
    }
    let word = |step: &Step| {
        let reason = step.reason.map(|reason| format!("/{reason}")).unwrap_or_default();
        let code = step.exit_code.map(|code| format!(" {code}")).unwrap_or_default();
        let message = if step.message.is_empty() { String::new() } else { format!(" ({})", step.message) };
        format!("{}{reason}{code}{message}", step.phase)
    };
    steps.iter().map(word).collect()
}

const WHOLE: Observation = Observation::Collected(Collected::Whole);

fn started() -> Observation {
    Observation::Started(at(1))
}

#[test]
fn a_run_goes_its_way() {
    assert_eq!(
        reported([started(), exit(Some(0)), WHOLE, Observation::Delivered]),
        ["DEPLOYING", "RUNNING", "UPLOADING 0", "COMPLETED/exit_code 0"]
    );
    assert_eq!(
        reported([started(), exit(Some(2)), WHOLE, Observation::Delivered])[3],
        "FAILED/exit_code 2 (it ended with exit code 2)"
    );
}

#[test]
fn reaching_the_length_completes_whatever_the_exit_code() {
    for code in [Some(0), Some(143), None] {
        assert_eq!(
            reported([started(), Observation::LengthReached, exit(code), WHOLE, Observation::Delivered]),
            ["DEPLOYING", "RUNNING", "UPLOADING", "COMPLETED/length_reached"]
        );
    }
}

#[test]
fn a_run_that_does_not_start_is_over() {
    let last = |observation| reported([observation]).pop().unwrap();
    assert_eq!(last(Observation::ImageMissing("no".to_owned())), "FAILED/image_pull (no)");
    assert_eq!(last(Observation::NotStarted("no".to_owned())), "FAILED/runtime (no)");
    assert!(last(Observation::TooLate { offline: false }).starts_with("MISSED/late"));
    assert!(last(Observation::TooLate { offline: true }).starts_with("MISSED/node_offline"));
    let omission = Omission {
        phase: Phase::Skipped,
        reason: Reason::TriggerFalse,
        message: "it did not hold".to_owned(),
    };
    assert_eq!(last(Observation::Omitted(omission)), "SKIPPED/trigger_false (it did not hold)");
}

#[test]
fn by_what_a_trigger_held_is_said_once_and_a_run_that_began_is_not_omitted() {
    let held = || Observation::Triggered { at: at(1), message: "it held".to_owned() };
    let omission =
        Omission { phase: Phase::Skipped, reason: Reason::TriggerFalse, message: "late".to_owned() };
    let observations = [
        held(),
        held(),
        started(),
        Observation::Omitted(omission),
        exit(Some(0)),
        WHOLE,
        Observation::Delivered,
    ];
    assert_eq!(
        reported(observations),
        ["DEPLOYING", "RUNNING (it held)", "UPLOADING 0", "COMPLETED/exit_code 0"]
    );
}

#[test]
fn a_container_that_ends_badly_is_named() {
    let last = |observation| reported([started(), observation, WHOLE, Observation::Delivered]).pop().unwrap();
    assert!(last(Observation::Lost).starts_with("FAILED/runtime (its container disappeared"));
    assert!(last(exit(None)).starts_with("FAILED/runtime"));
    let killed = Exit { at: at(3), code: Some(137), out_of_memory: true };
    assert!(last(Observation::Exited(killed)).starts_with("FAILED/out_of_memory 137"));
}

#[test]
fn what_becomes_of_the_files_decides_unless_the_run_failed_by_itself() {
    let last = |code, collected| {
        let observations =
            [started(), exit(Some(code)), Observation::Collected(collected), Observation::Delivered];
        reported(observations).pop().unwrap()
    };
    let large = Collected::TooLarge { size: 9, limit: 5 };
    assert!(last(0, large.clone()).starts_with("FAILED/artifacts_too_large 0"));
    assert!(last(0, Collected::Failed("disk full".to_owned())).starts_with("FAILED/artifacts 0 (disk full)"));
    let both = last(3, large);
    assert!(both.starts_with("FAILED/exit_code 3") && both.contains("5 are allowed"), "{both}");
    let refused =
        [started(), exit(Some(0)), WHOLE, Observation::Refused("bad".to_owned()), Observation::Delivered];
    assert_eq!(reported(refused).pop().unwrap(), "FAILED/artifacts 0 (bad)");
}

#[test]
fn what_is_seen_twice_changes_nothing() {
    let twice = [
        started(),
        started(),
        exit(Some(0)),
        exit(Some(1)),
        Observation::LengthReached,
        WHOLE,
        Observation::Collected(Collected::Failed("again".to_owned())),
        Observation::Delivered,
        Observation::Delivered,
        Observation::TooLate { offline: false },
    ];
    assert_eq!(reported(twice), ["DEPLOYING", "RUNNING", "UPLOADING 0", "COMPLETED/exit_code 0"]);
}

/// The journal of an agent that was updated must stay readable.
#[test]
fn states_keep_their_written_form() {
    let outcome = Outcome {
        phase: Phase::Completed,
        reason: Reason::ExitCode,
        message: String::new(),
        exit_code: Some(0),
    };
    let states = [
        (State::Deploying, r#"{"stage":"deploying"}"#),
        (
            State::Running { started_at: Instant(at(0)) },
            r#"{"stage":"running","startedAt":"2027-01-15T08:00:00Z"}"#,
        ),
        (
            State::Delivering { outcome },
            r#"{"stage":"delivering","outcome":{"phase":"COMPLETED","reason":"exit_code","message":"","exitCode":0}}"#,
        ),
    ];
    for (state, text) in states {
        assert_eq!(serde_json::to_string(&state).unwrap(), text);
        assert_eq!(serde_json::from_str::<State>(text).unwrap(), state);
    }
}

#[test]
fn a_run_that_is_interrupted_is_aborted_with_what_it_left() {
    let interrupted = || {
        Observation::Interrupted(Interruption {
            reason: Reason::Cancelled,
            message: "alice cancelled it".to_owned(),
        })
    };
    assert_eq!(
        reported([started(), interrupted(), exit(Some(143)), WHOLE, Observation::Delivered]),
        ["DEPLOYING", "RUNNING", "UPLOADING", "ABORTED/cancelled (alice cancelled it)"]
    );
    let refused = Observation::Refused("`run.log` is lost".to_owned());
    assert_eq!(
        reported([started(), interrupted(), exit(None), WHOLE, refused, Observation::Delivered])[3],
        "ABORTED/cancelled (alice cancelled it; `run.log` is lost)"
    );
    assert_eq!(reported([interrupted()]), ["DEPLOYING", "ABORTED/cancelled (alice cancelled it)"]);
    // What has ended has ended.
    assert_eq!(
        reported([started(), exit(Some(0)), interrupted(), WHOLE, Observation::Delivered])[3],
        "COMPLETED/exit_code 0"
    );
    // The end of its length comes while it is being stopped.
    assert_eq!(
        reported([
            started(),
            interrupted(),
            Observation::LengthReached,
            exit(None),
            WHOLE,
            Observation::Delivered
        ])[3],
        "ABORTED/cancelled (alice cancelled it)"
    );
}

#[test]
fn a_client_whose_server_is_lost_fails_and_one_that_never_had_it_is_skipped() {
    let without = Observation::NoServer("no server on `m`".to_owned());
    assert_eq!(reported([without]), ["DEPLOYING", "SKIPPED/server_unavailable (no server on `m`)"]);
    let lost =
        || Interruption { reason: Reason::ServerUnavailable, message: "its server was lost".to_owned() };
    assert_eq!(
        reported([
            started(),
            Observation::Interrupted(lost()),
            exit(Some(143)),
            WHOLE,
            Observation::Delivered
        ]),
        ["DEPLOYING", "RUNNING", "UPLOADING", "FAILED/server_unavailable (its server was lost)"]
    );
    let exit = Exit { at: at(9), code: Some(1), out_of_memory: false };
    let bereft = Observation::Bereft { exit: exit.clone(), loss: lost() };
    assert_eq!(
        reported([started(), bereft, WHOLE, Observation::Delivered])[3],
        "FAILED/server_unavailable 1 (its server was lost; it ended with exit code 1)"
    );
    // It makes room with its server.
    let loss = Interruption { reason: Reason::Scavenger, message: "`m` makes room".to_owned() };
    assert_eq!(
        reported([started(), Observation::Bereft { exit, loss }, WHOLE, Observation::Delivered])[3],
        "ABORTED/scavenger 1 (`m` makes room; it ended with exit code 1)"
    );
}

#[test]
fn a_server_ends_with_its_client() {
    let ended = || {
        let message = "its client has ended".to_owned();
        Observation::Interrupted(Interruption { reason: Reason::LengthReached, message })
    };
    assert_eq!(
        reported([started(), ended(), exit(Some(143)), WHOLE, Observation::Delivered])[3],
        "COMPLETED/length_reached (its client has ended)"
    );
    assert_eq!(reported([ended()]), ["DEPLOYING", "SKIPPED/server_unavailable (its client has ended)"]);
    let abandoned = Interruption { reason: Reason::NodeOffline, message: "silence".to_owned() };
    let events = [started(), Observation::Interrupted(abandoned), exit(None), WHOLE, Observation::Delivered];
    assert_eq!(reported(events)[3], "ABORTED/node_offline (silence)");
}
