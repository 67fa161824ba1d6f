//! Every command's output, as a table, as JSON and as YAML.

use almanac_cli::Exit;
use almanac_proto::log::{self, Stream};
use unicode_width::UnicodeWidthStr;

use crate::{
    reconciler::{COMPLETED, File, State},
    typed::{Desk, named},
};

fn files() -> Vec<File> {
    vec![File::new("run.log", b"64 bytes from 192.0.2.1: time=31.2 ms\n"), File::new("run.json", b"{}")]
}

const COMMANDS: [&str; 30] = [
    "nodes list",
    "nodes show london-01",
    "nodes show paris-01",
    "nodes cordon london-01 --reason visitors --for 2h",
    "nodes drain london-01 --reason visitors --deadline 10m",
    "nodes uncordon london-01",
    "nodes telemetry london-01",
    "nodes telemetry paris-01",
    "nodes scavenge london-01 on --reason visitors --for 2h",
    "nodes scavenge london-01 off",
    "nodes history london-01",
    "jobs list",
    "jobs show ping-london",
    "jobs show congestion-control-bbr",
    "jobs history ping-london",
    "users history alice",
    "runs list",
    "runs show 8d86",
    "runs show b41d",
    "runs cancel 2f4f --reason typo",
    "runs keep 8d86 --reason reviewers",
    "runs unkeep 8d86",
    "schedule",
    "sync status",
    "sync list",
    "sync show",
    "sync show 10",
    "sync show 11",
    "sync actions",
    "whoami",
];

#[tokio::test]
async fn every_command_in_every_format() {
    let desk = Desk::new(State { files: files(), ..State::default() }).await;
    for command in COMMANDS {
        for format in ["table", "json", "yaml"] {
            let said = desk.type_(&format!("-o {format} {command}")).await;
            insta::assert_snapshot!(named(&format!("{command} {format}")), said);
        }
    }
}

#[tokio::test]
async fn tables_fit_a_terminal() {
    let desk = Desk::new(State { files: files(), ..State::default() }).await;
    for command in COMMANDS {
        let said = desk.type_(command).await;
        // Findings and single values are never cut.
        if !command.contains("show") {
            assert!(said.out.lines().all(|line| line.width() <= 80), "{said}");
        }
    }
}

/// A text without its colours.
fn plain(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').expect("a colour ends with `m`").1)
}

#[tokio::test]
async fn colours_move_nothing() {
    let desk = Desk::new(State { files: files(), ..State::default() }).await;
    let coloured = Desk { colour: true, ..Desk::new(State { files: files(), ..State::default() }).await };
    let mut seen = 0;
    for command in COMMANDS {
        let said = coloured.type_(command).await;
        seen += usize::from(said.out.contains('\u{1b}'));
        assert_eq!(plain(&said.out), desk.type_(command).await.out, "{command}");
    }
    assert!(seen > 5, "only {seen} of the commands have any colour");
}

#[tokio::test]
async fn removed_jobs_are_shown_on_request() {
    let desk = Desk::new(State::default()).await;
    insta::assert_snapshot!("jobs_list_deleted", desk.type_("jobs list --deleted").await);
}

#[tokio::test]
async fn empty_lists_say_so_beside_the_data() {
    let desk = Desk::new(State { empty: true, ..State::default() }).await;
    for (command, note) in [
        ("nodes list", "no nodes\n"),
        ("jobs list", "no jobs\n"),
        ("runs list", "no runs\n"),
        ("schedule", "nothing is scheduled in that time\n"),
        ("sync list", "no syncs\n"),
        ("sync actions", "nobody did anything to the syncs\n"),
        ("jobs history ping-london", "no changes\n"),
        ("runs download --job ping", "there is nothing to download\n"),
    ] {
        let said = desk.type_(command).await;
        assert_eq!((said.exit, said.out.as_str(), said.err.as_str()), (Exit::Done, "", note));
        let said = desk.type_(&format!("-o json {command}")).await;
        assert_eq!((said.out.as_str(), said.err.as_str()), ("[]\n", note));
    }
}

#[tokio::test]
async fn pages_are_followed_up_to_the_limit() {
    let desk = Desk::new(State::default()).await;
    let count = async |options: &str| {
        let said = desk.type_(&format!("-o json runs list {options}")).await;
        let runs: Vec<serde_json::Value> = serde_json::from_str(&said.out).unwrap();
        (runs.len(), said.err)
    };
    let more = "there are more than these 3: ask for them with `--limit` (0 for all)\n";
    assert_eq!(count("--limit 3").await, (3, more.to_owned()));
    assert_eq!(count("--limit 4").await, (4, String::new()));
    assert_eq!(count("--limit 0").await, (4, String::new()));
    assert!(desk.reconciler.asked()[0].contains("page_size: 3"), "{:?}", desk.reconciler.asked());
}

#[tokio::test]
async fn what_comes_in_many_pages_looks_like_what_comes_in_one() {
    let one = Desk::new(State { files: files(), ..State::default() }).await;
    let many = Desk::new(State { files: files(), most: Some(1), ..State::default() }).await;
    for command in COMMANDS {
        for format in ["table", "json", "yaml"] {
            let line = format!("-o {format} {command}");
            assert_eq!(many.type_(&line).await.to_string(), one.type_(&line).await.to_string(), "{line}");
        }
    }
    assert!(many.reconciler.asked().len() > one.reconciler.asked().len());
}

#[tokio::test]
async fn filters_reach_the_reconciler() {
    let desk = Desk::new(State::default()).await;
    let line = "runs list --node london-01 --job ping-london --user bob --phase completed,FAILED --since -2h --until now";
    insta::assert_snapshot!("filtered_runs", desk.type_(line).await);
    desk.type_("schedule --node london-01 --job ping-london --user bob --from today --to +1d").await;
    desk.type_("jobs list --node london-01 --user bob").await;
    insta::assert_snapshot!("questions", desk.reconciler.asked().join("\n"));
}

#[tokio::test]
async fn logs_are_printed_as_they_are() {
    let desk = Desk::new(State { files: files(), ..State::default() }).await;
    let said = desk.type_(&format!("runs logs {COMPLETED}")).await;
    assert_eq!((said.exit, said.out.as_str()), (Exit::Done, "64 bytes from 192.0.2.1: time=31.2 ms\n"));
    for run in ["8d86 --role server", "2f4f", "0c5a"] {
        let said = desk.type_(&format!("runs logs {run}")).await;
        insta::assert_snapshot!(named(&format!("runs logs {run}")), said);
    }
}

#[tokio::test]
async fn a_log_goes_on_where_a_lost_connection_stopped() {
    let line = |stream, text: &str| {
        let mut line = Vec::new();
        log::encode(&mut line, "2027-01-10T11:45:00.000000000Z", stream, text.as_bytes());
        line
    };
    let content =
        [line(Stream::Stdout, "one\n"), line(Stream::Stderr, "oh\n"), line(Stream::Stdout, "two\nno end")]
            .concat();
    for options in ["", " -f", " -f --stream stdout", " --timestamps", " -o json"] {
        let files = vec![File::new("run.log", &content)];
        // Before anything comes a failure is one; afterwards it is not, however often.
        let desk = Desk::new(State { files, breaks: [1, 0, 2].into(), ..State::default() }).await;
        let said = desk.type_(&format!("runs logs {COMPLETED}{options}")).await;
        insta::assert_snapshot!(named(&format!("runs logs 8d86{options}")), said);
        let offsets: Vec<_> = desk
            .reconciler
            .asked()
            .iter()
            .map(|question| {
                question.split("offset: ").nth(1).unwrap().split(", follow").next().unwrap().to_owned()
            })
            .collect();
        assert_eq!(offsets, ["None", "Some(44)", "Some(44)", "Some(131)"]);
    }
}

#[tokio::test]
async fn what_is_wanted_of_a_log_is_asked_for() {
    let desk = Desk::new(State { files: files(), ..State::default() }).await;
    desk.type_(&format!("runs logs {COMPLETED} -f --since 10m -n 5 --stream stderr")).await;
    desk.type_(&format!("runs logs {COMPLETED} --since 2027-01-10T11:00:00Z --role client")).await;
    insta::assert_snapshot!("log_questions", desk.reconciler.asked().join("\n"));
    let said = desk.type_(&format!("runs logs {COMPLETED} -n 100001")).await;
    assert_eq!(said.exit, Exit::Usage);
}

/// What may be typed that ends with a look at the repository.
const LOOKS: [&str; 5] =
    ["sync now", "sync resume", "sync unpin", "sync approve 7b110c5a", "sync pin 5a531c5a --reason compare"];

#[tokio::test]
async fn a_commit_that_does_not_come_into_force_is_an_answer_of_no() {
    use almanac_proto::v1::SyncOutcome::{Applied, Failed, Rejected, Suspended, Waiting};
    let desk = Desk::new(State::default()).await;
    for outcome in [Applied, Rejected, Failed, Waiting, Suspended] {
        desk.reconciler.state.lock().unwrap().outcome = outcome;
        let exit = if outcome == Applied { Exit::Done } else { Exit::Negative };
        for line in LOOKS {
            let said = desk.type_(line).await;
            assert_eq!(said.exit, exit, "{line}: {said}");
        }
        let name = format!("sync_now_{outcome:?}").to_lowercase();
        insta::assert_snapshot!(name, desk.type_("sync now").await);
    }
}

#[tokio::test]
async fn the_syncs_are_held_for_a_reason_and_a_while() {
    let desk = Desk::new(State::default()).await;
    for line in [
        "sync suspend --reason moving",
        "sync suspend --reason moving --for 1h30m",
        "sync pin 5a531c5a --reason compare --for 2d",
        "-o json sync suspend --reason moving --for 1h30m",
        "-o json sync pin 5a531c5a --reason compare",
    ] {
        insta::assert_snapshot!(named(line), desk.type_(line).await);
    }
    desk.type_("sync approve").await;
    desk.type_("jobs history ping-london").await;
    desk.type_("nodes history london-01").await;
    desk.type_("users history alice").await;
    insta::assert_snapshot!("steering_questions", desk.reconciler.asked().join("\n"));
}

#[tokio::test]
async fn what_people_did_is_listed_up_to_the_limit() {
    let desk = Desk::new(State::default()).await;
    let said = desk.type_("-o json sync actions --limit 2").await;
    let actions: Vec<serde_json::Value> = serde_json::from_str(&said.out).unwrap();
    assert_eq!(actions.len(), 2);
    assert_eq!(said.err, "there are more than these 2: ask for them with `--limit` (0 for all)\n");
    for all in ["3", "0"] {
        assert_eq!(desk.type_(&format!("sync actions --limit {all}")).await.err, "");
    }
}

#[tokio::test]
async fn completions_need_no_settings() {
    let desk = Desk::new(State::default()).await;
    for shell in ["bash", "zsh", "fish"] {
        let said = desk.type_words(&format!("almanac completions {shell}")).await;
        assert_eq!(said.exit, Exit::Done);
        assert!(said.out.contains("download"), "{}", said.out);
    }
}

#[tokio::test]
async fn what_a_node_measures_is_followed_in_every_format() {
    for format in ["table", "json", "yaml"] {
        let desk = Desk::new(State { breaks: [1].into(), ..State::default() }).await;
        let said = desk.type_(&format!("-o {format} nodes telemetry london-01 --follow")).await;
        insta::assert_snapshot!(named(&format!("nodes telemetry follow {format}")), said);
        assert_eq!(desk.reconciler.state.lock().unwrap().asked.len(), 2, "a lost connection is made again");
    }
    let desk = Desk::new(State::default()).await;
    let said = desk.type_in_a_pipe("nodes telemetry london-01 -f").await;
    insta::assert_snapshot!(named("nodes telemetry follow pipe"), said);
    let said = desk.type_in_a_pipe("nodes telemetry paris-01 -f").await;
    assert_eq!(said.exit, Exit::Negative, "{said}");
}
