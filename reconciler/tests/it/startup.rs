//! `sync --once`, and what cannot start.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use almanac_reconciler::store::Store;

use crate::{
    database::add_migration,
    harness::{Ended, Testbed, manifest},
};

fn once(testbed: &Testbed) -> Command {
    testbed.command(&["sync", "--once"])
}

#[test]
fn one_round_prints_the_plan() {
    let testbed = Testbed::prepare();
    testbed.write_job("ping", "bob", "london-01", manifest::HOURLY);
    let commit = testbed.repository.push("everything");
    let ended = Ended::of(&mut once(&testbed));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for line in ["+ user alice", "+ node london-01", "+ job ping", "7 added, 0 changed, 0 removed"] {
        assert!(ended.stdout.lines().any(|printed| printed == line), "{line} in {}", ended.stdout);
    }
    assert!(ended.stdout.contains(&commit[..12]), "{}", ended.stdout);

    let ended = Ended::of(&mut once(&testbed));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("nothing changes"), "{}", ended.stdout);

    testbed.write_job("ping", "bob", "london-01", manifest::DAILY);
    testbed.repository.remove("users/dave.yaml");
    testbed.repository.push("a change");
    let ended = Ended::of(&mut once(&testbed));
    assert!(
        ended.stdout.contains("- user dave\n~ job ping\n0 added, 1 changed, 1 removed\n"),
        "{}",
        ended.stdout
    );
}

#[test]
fn a_bad_commit_is_exit_code_1_and_says_where() {
    let testbed = Testbed::prepare();
    testbed.write_job("ping", "bob", "london-1", manifest::HOURLY);
    testbed.repository.push("bad");
    let ended = Ended::of(&mut once(&testbed));
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let said = ended.stdout + &ended.stderr;
    for part in ["unknown-node", "jobs/ping.yaml", "6", "london-1", "london-01"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    // The same again: the commit is no better for having been looked at.
    let ended = Ended::of(&mut once(&testbed));
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
}

#[test]
fn a_repository_or_branch_that_is_not_there_is_named() {
    let testbed = Testbed::prepare();
    // Nothing was pushed.
    let said = Ended::refusal(&mut once(&testbed));
    assert!(said.contains("`main`") && said.contains("testbed.git") && said.contains("push"), "{said}");

    testbed.repository.push("everything");
    let said = Ended::refusal(once(&testbed).args(["--branch", "nosuch"]));
    assert!(said.contains("`nosuch`") && said.contains("`main`"), "{said}");
    let said = Ended::refusal(once(&testbed).args(["--subdir", "no/such"]));
    assert!(said.contains("`no/such`"), "{said}");
    let nowhere = testbed.folder().join("nowhere");
    let said = Ended::refusal(once(&testbed).arg("--repo").arg(&nowhere));
    assert!(said.contains(nowhere.to_str().unwrap()), "{said}");
    let mut serve = testbed.command(&["serve", "--listen", "127.0.0.1:0"]);
    let said = Ended::refusal(serve.arg("--repo").arg(&nowhere));
    assert!(said.contains(nowhere.to_str().unwrap()), "{said}");
}

#[test]
fn a_port_in_use_is_named() {
    let testbed = Testbed::prepare();
    testbed.repository.push("everything");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = Ended::refusal(&mut testbed.command(&["serve", "--listen", &address]));
    assert!(said.contains(&address) && said.contains("in use") && said.contains("--listen"), "{said}");
}

#[test]
fn a_plain_listener_that_others_reach_must_be_asked_for() {
    let testbed = Testbed::prepare();
    for address in ["0.0.0.0:0", "[::]:0"] {
        let said = Ended::refusal(&mut testbed.command(&["serve", "--listen", address]));
        assert!(said.contains("--plaintext") && said.contains("--tls-cert"), "{said}");
        assert!(
            !testbed.database_file().exists() && !testbed.folder().join("data").exists(),
            "nothing is opened before the configuration is right"
        );
    }
}

#[test]
fn flags_that_are_missing_or_wrong_are_named() {
    let testbed = Testbed::prepare();
    let bare = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_almanac-reconciler"));
        command.args(args);
        command
    };
    let said = Ended::refusal(&mut bare(&["sync", "--once", "--repo", "/nowhere"]));
    assert!(said.contains("--database"), "{said}");
    let said = Ended::refusal(&mut bare(&["sync", "--once", "--database", "sqlite:///nowhere"]));
    assert!(said.contains("--repo"), "{said}");
    let said = Ended::refusal(once(&testbed).args(["--database", "mysql://example.org/almanac"]));
    assert!(said.contains("`mysql`") && said.contains("sqlite://"), "{said}");
    let said = Ended::refusal(&mut testbed.command(&["serve", "--poll-interval", "soon"]));
    assert!(said.contains("--poll-interval") && said.contains("soon"), "{said}");
    let said = Ended::refusal(&mut testbed.command(&["sync"]));
    assert!(said.contains("--once"), "{said}");
}

#[test]
fn a_configuration_file_says_what_flags_do_not() {
    let testbed = Testbed::prepare();
    testbed.repository.git(&["checkout", "--quiet", "-b", "live"]);
    testbed.repository.commit("everything");
    testbed.repository.git(&["push", "--quiet", "origin", "live"]);
    let file = testbed.folder().join("reconciler.toml");
    let text = format!(
        "repo = {:?}\nbranch = \"live\"\ndatabase = \"sqlite://{}\"\n",
        testbed.repository.path(),
        testbed.database_file().display()
    );
    fs::write(&file, &text).unwrap();
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_almanac-reconciler"));
        command.args(["sync", "--once", "--config"]).arg(&file).args(more);
        command
    };
    let ended = Ended::of(&mut run(&[]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let said = Ended::refusal(&mut run(&["--branch", "main"]));
    assert!(said.contains("`main`"), "{said}");
    fs::write(&file, text + "poll = \"1s\"\n").unwrap();
    let said = Ended::refusal(&mut run(&[]));
    assert!(said.contains("reconciler.toml") && said.contains("poll"), "{said}");
}

#[test]
fn a_file_that_is_not_a_database_is_left_alone() {
    let testbed = Testbed::prepare_on_sqlite();
    testbed.repository.push("everything");
    let content =
        "this is not a database, and it is longer than a header is, which is 100 bytes or so\n".repeat(4);
    fs::write(testbed.database_file(), &content).unwrap();
    let said = Ended::refusal(&mut once(&testbed));
    assert!(said.contains("almanac.db") && said.contains("not an SQLite database"), "{said}");
    assert_eq!(fs::read_to_string(testbed.database_file()).unwrap(), content);
    let said = Ended::refusal(once(&testbed).arg("--database").arg("sqlite:///no/such/folder/almanac.db"));
    assert!(said.contains("/no/such/folder/almanac.db"), "{said}");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    let testbed = Testbed::prepare();
    testbed.repository.push("everything");
    assert_eq!(Ended::of(&mut once(&testbed)).code, Some(0));
    // A migration that this program does not know.
    let store = Store::open(testbed.database()).await.unwrap();
    add_migration(&store).await;
    store.close().await;
    let said = Ended::refusal(&mut once(&testbed));
    assert!(said.contains("almanac") && said.contains("newer"), "{said}");
}

/// Root may write whatever the mode says, so the file system itself is read-only.
#[test]
#[ignore = "needs docker"]
fn a_database_on_a_read_only_disk_is_named() {
    let testbed = Testbed::prepare();
    testbed.repository.push("everything");
    let disk = testbed.folder().join("disk");
    let mount = crate::harness::Mount::tmpfs(&disk, 8192);
    let address = format!("sqlite://{}", disk.join("almanac.db").display());
    assert_eq!(Ended::of(once(&testbed).args(["--database", &address])).code, Some(0));
    assert!(Command::new("mount").args(["-o", "remount,ro"]).arg(&disk).status().unwrap().success());
    let said = Ended::refusal(once(&testbed).args(["--database", &address]));
    assert!(
        said.contains("almanac.db") && (said.contains("read-only") || said.contains("be able to write")),
        "{said}"
    );
    let mut serve = testbed.command(&["serve", "--listen", "127.0.0.1:0"]);
    let said = Ended::refusal(serve.args(["--database", &address]));
    assert!(
        said.contains("almanac.db") && (said.contains("read-only") || said.contains("be able to write")),
        "{said}"
    );
    drop(mount);
}

/// What a mode refuses is only seen without root's rights, so they are dropped where they are there.
#[test]
fn a_database_that_may_not_be_written_is_named() {
    let testbed = Testbed::prepare_on_sqlite();
    testbed.repository.push("everything");
    assert_eq!(Ended::of(&mut once(&testbed)).code, Some(0));
    for entry in fs::read_dir(testbed.folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("almanac.db") {
            fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
        }
    }
    testbed.repository.remove("users/dave.yaml");
    testbed.repository.push("a change");
    let mut command = once(&testbed);
    // `mode=ro` asks SQLite for what a mode would force upon everybody but root.
    command.arg("--database").arg(format!("sqlite://{}?mode=ro", testbed.database_file().display()));
    let said = Ended::refusal(&mut command);
    assert!(
        said.contains("almanac.db") && (said.contains("read-only") || said.contains("be able to write")),
        "{said}"
    );
}
