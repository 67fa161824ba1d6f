//! A run with two sides, as it is shown.

use unicode_width::UnicodeWidthStr;

use crate::{
    reconciler::{File, PAIR, State},
    typed::{Desk, Said},
};

async fn desk() -> Desk {
    let files = vec![File::new("run.log", b"[  5]  0.00-1.00 sec\n"), File::new("run.json", b"{}")];
    Desk::new(State { files, ..State::default() }).await
}

/// The lines of a table below the one that begins with a title.
fn below<'a>(said: &'a Said, title: &str) -> Vec<&'a str> {
    let lines = said.out.lines().skip_while(|line| !line.trim_start().starts_with(title)).skip(1);
    lines.take_while(|line| !line.is_empty()).collect()
}

#[tokio::test]
async fn both_sides_stand_beside_each_other_in_any_terminal() {
    let desk = desk().await;
    for width in [80, 100, 160] {
        let said = desk.type_on("runs show b41d", width).await;
        insta::assert_snapshot!(format!("runs_show_pair_{width}"), said);
        for line in below(&said, "CLIENT").into_iter().chain(below(&said, "AT (UTC)")) {
            assert!(line.width() <= width, "{line}");
        }
        // Nothing that explains the end is cut.
        assert!(!below(&said, "AT (UTC)").concat().contains('…'), "{said}");
    }
    insta::assert_snapshot!("runs_show_pair_pipe", desk.type_in_a_pipe("runs show b41d").await);
}

#[tokio::test]
async fn what_happened_on_both_sides_is_in_one_order() {
    let said = desk().await.type_on("runs show b41d", 160).await;
    let word = |line: &&str| line.split_whitespace().skip(1).take(2).collect::<Vec<_>>().join(" ");
    let steps: Vec<_> = below(&said, "AT (UTC)").iter().map(word).collect();
    let expected = [
        "server DEPLOYING",
        "client DEPLOYING",
        "server RUNNING",
        "client RUNNING",
        "server UPLOADING",
        "server FAILED",
        "client UPLOADING",
        "client FAILED",
    ];
    assert_eq!(steps, expected);
}

#[tokio::test]
async fn files_of_one_name_are_told_apart() {
    for width in [80, 100] {
        let said = desk().await.type_on("runs show b41d", width).await;
        let files: Vec<_> = below(&said, "FILE")
            .iter()
            .map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(files, ["run.log client", "run.json client", "run.log server", "run.json server"]);
    }
}

#[tokio::test]
async fn programs_get_both_sides() {
    let said = desk().await.type_("-o json runs show b41d").await;
    let run: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let server = &run["server"];
    assert_eq!((run["id"].as_str(), server["id"].as_str()), (Some(PAIR), Some(PAIR)));
    assert_eq!((run["role"].as_str(), server["role"].as_str()), (Some("client"), Some("server")));
    assert_eq!((run["node"].as_str(), server["node"].as_str()), (Some("london-01"), Some("paris-01")));
    assert_eq!(server["exitCode"], 3);
    for side in [&run, server] {
        assert_eq!(side["steps"].as_array().unwrap().len(), 4);
        assert!(side["startSkewMs"].is_number() && side["image"].is_string(), "{side}");
    }
    let of = |role| run["artifacts"].as_array().unwrap().iter().filter(|file| file["role"] == role).count();
    assert_eq!((of("client"), of("server")), (2, 2));
    let alone = desk().await.type_("-o json runs show 8d86").await;
    let alone: serde_json::Value = serde_json::from_str(&alone.out).unwrap();
    assert!(alone.as_object().unwrap()["server"].is_null());
}
