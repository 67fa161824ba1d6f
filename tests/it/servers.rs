//! Pairs of a client and a server on two nodes: with two agents, a reconciler, and containers.

use std::{
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use almanac_tests::{
    Runtime, Testbed,
    manifest::{Job, soon},
};
use chrono::{DateTime, Utc};
use serde_json::Value;

/// The host, as containers of the testbed reach it: everything runs on one.
pub(crate) fn host() -> String {
    let docker = |args: &[&str]| Command::new("docker").args(args).output().unwrap().stdout;
    // It is there already where an agent has run before.
    docker(&["network", "create", "almanac"]);
    let gateway =
        docker(&["network", "inspect", "almanac", "--format", "{{(index .IPAM.Config 0).Gateway}}"]);
    String::from_utf8(gateway).unwrap().trim().to_owned()
}

/// A port that nobody has, as far as the host knows now.
fn port() -> u16 {
    std::net::TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

/// The name of the pair of this test. Containers are named after their runs, on one engine for all tests: two pairs of one
/// name that begin in one second would be in each other's way.
pub(crate) fn name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    thread_local!(static NAME: String = format!("pair-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    NAME.with(Clone::clone)
}

/// A pair of a client in London and a server in Paris.
pub(crate) struct Pair {
    pub(crate) client: String,
    pub(crate) server: String,
    pub(crate) ready: String,
    pub(crate) length: &'static str,
    pub(crate) port: u16,
}

impl Pair {
    /// A web server that says hello, and a client that asks it for something again and again until it is told to stop
    /// asking, for an hour at most.
    pub(crate) fn of_web() -> Self {
        let port = port();
        let server = format!(
            "echo hello from $ALMANAC_NODE to $ALMANAC_CLIENT_NODE > /artifacts/index.html; echo serving; \
             trap exit TERM; busybox httpd -f -p {port} -h /artifacts & wait"
        );
        let client = format!(
            "wget -q -O /artifacts/got http://$ALMANAC_SERVER_ADDRESS:$ALMANAC_SERVER_PORT_{port}/ && cat /artifacts/got"
        );
        Self { client, server, ready: format!("{{ tcp: {port}, timeout: 10s }}"), length: "2m", port }
    }

    /// The same, whose client goes on after that.
    pub(crate) fn that_goes_on() -> Self {
        let mut pair = Self::of_web();
        pair.client += " && echo got it && sleep 3600";
        pair
    }

    pub(crate) fn declare(&self, testbed: &mut Testbed, seconds: i64) {
        let Self { client, server, ready, length, port } = self;
        let job = Job::once(&name(), "london-01", soon(seconds), length, client).yaml();
        let job = job.replace("exclusive: false", "exclusive: true");
        let server = Value::from(server.as_str());
        let image = almanac_tests::engine::IMAGE;
        let server = format!(
            "  server:\n    node: paris-01\n    container: {{ image: \"{image}\", command: [sh, -c, {server}], ports: [{port}/tcp] }}\n    ready: {ready}\n"
        );
        testbed.repository.write("jobs/pair.yaml", job + &server);
        testbed.push("a pair");
    }
}

/// A testbed with both agents.
fn testbed() -> Testbed {
    let mut testbed = Testbed::start(Runtime::Docker);
    testbed.start_agent("london-01");
    start_paris(&mut testbed);
    testbed
}

pub(crate) fn start_paris(testbed: &mut Testbed) {
    testbed.start_agent_with("paris-01", &["--address", &host()]);
}

pub(crate) fn part(testbed: &Testbed, role: &str) -> Option<Value> {
    testbed.runs(&name()).into_iter().find(|run| run["role"] == role)
}

/// Waits until a part of the pair is in a phase.
fn wait(testbed: &mut Testbed, role: &str, phase: &str) -> Value {
    testbed.wait_for(&format!("the {role} to be {phase}"), |testbed| {
        part(testbed, role).filter(|run| run["phase"] == phase)
    })
}

/// How a part ended: its phase and its reason.
pub(crate) fn end(run: &Value) -> (&str, &str) {
    (run["phase"].as_str().unwrap(), run["reason"].as_str().unwrap())
}

pub(crate) fn log(testbed: &Testbed, run: &Value, options: &[&str]) -> String {
    let args = [&["runs", "logs", run["id"].as_str().unwrap()], options].concat();
    String::from_utf8(testbed.almanac("bob", &args).stdout).unwrap()
}

/// The phases of a side, as its steps tell them.
fn phases(side: &Value) -> Vec<&str> {
    let mut phases: Vec<_> =
        side["steps"].as_array().unwrap().iter().map(|step| step["phase"].as_str().unwrap()).collect();
    phases.dedup();
    phases
}

/// How long after its instant a part began.
fn skew(run: &Value) -> Duration {
    let at = |field: &str| run[field].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    (at("startedAt") - at("scheduledAt")).to_std().unwrap()
}

/// Waits until the client has got something from its server.
fn wait_served(testbed: &mut Testbed) {
    wait(testbed, "server", "RUNNING");
    let run = wait(testbed, "client", "RUNNING");
    testbed.wait_for("the client to be served", |testbed| {
        log(testbed, &run, &["--tail", "10"]).contains("got it").then_some(())
    });
}

/// No container of either side of a run is left.
pub(crate) fn wait_tidy(testbed: &mut Testbed, run: &Value) {
    let label = format!("almanac.run={}", run["id"].as_str().unwrap());
    testbed.wait_for("the containers to go", |_| {
        almanac_tests::engine::containers(&label).is_empty().then_some(())
    });
}

#[test]
#[ignore = "needs docker"]
fn a_client_is_served_at_its_instant_and_both_sides_are_kept_under_one_run() {
    let mut testbed = testbed();
    Pair::of_web().declare(&mut testbed, 6);
    let client = wait(&mut testbed, "client", "COMPLETED");
    let server = wait(&mut testbed, "server", "COMPLETED");
    assert_eq!((client["node"].as_str(), server["node"].as_str()), (Some("london-01"), Some("paris-01")));
    assert_eq!(client["id"], server["id"]);
    assert_eq!((end(&client).1, end(&server).1), ("exit_code", "length_reached"));
    assert_eq!(log(&testbed, &client, &[]), "hello from paris-01 to london-01\n");
    assert!(skew(&client) >= skew(&server), "{:?} before {:?}", skew(&client), skew(&server));
    let id = client["id"].as_str().unwrap();
    let shown = testbed.json("bob", &["runs", "show", id]);
    let of = |role: &str| {
        shown["artifacts"].as_array().unwrap().iter().filter(|file| file["role"] == role).count()
    };
    assert_eq!((of("client"), of("server")), (3, 3), "{shown}");
    let whole = ["DEPLOYING", "RUNNING", "UPLOADING", "COMPLETED"];
    assert_eq!((phases(&shown), phases(&shown["server"])), (whole.to_vec(), whole.to_vec()), "{shown}");
    assert_eq!(
        (shown["node"].as_str(), shown["server"]["node"].as_str()),
        (Some("london-01"), Some("paris-01"))
    );
    let folder = testbed.folder().join("download");
    let downloaded = testbed.almanac("bob", &["runs", "download", id, "--to", folder.to_str().unwrap()]);
    assert!(downloaded.status.success(), "{downloaded:?}");
    let found = Command::new("find").arg(&folder).args(["-name", "run.log"]).output().unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    assert_eq!(found.lines().filter(|path| path.contains("/server/")).count(), 1, "{found}");
    assert_eq!(found.lines().count(), 2, "{found}");
    wait_tidy(&mut testbed, &client);
}

#[test]
#[ignore = "needs docker"]
fn a_pair_goes_on_whoever_is_killed_and_comes_back() {
    let mut testbed = testbed();
    let pair = Pair { length: "30s", ..Pair::that_goes_on() };
    pair.declare(&mut testbed, 6);
    wait_served(&mut testbed);
    testbed.take_reconciler().kill();
    testbed.start_reconciler();
    testbed.take_agent("paris-01").kill();
    start_paris(&mut testbed);
    testbed.take_agent("london-01").kill();
    testbed.start_agent("london-01");
    let client = wait(&mut testbed, "client", "COMPLETED");
    assert_eq!(end(&client), ("COMPLETED", "length_reached"), "it goes to its end");
    assert_eq!(end(&wait(&mut testbed, "server", "COMPLETED")).1, "length_reached");
    wait_tidy(&mut testbed, &client);
}

#[test]
#[ignore = "needs docker"]
fn a_server_whose_agent_does_not_come_back_is_lost() {
    let mut testbed = testbed();
    Pair::that_goes_on().declare(&mut testbed, 6);
    wait_served(&mut testbed);
    testbed.take_agent("paris-01").kill();
    let client = wait(&mut testbed, "client", "FAILED");
    assert_eq!(end(&client).1, "server_unavailable");
    assert_eq!(client["message"], "its server was lost: nothing was heard of `paris-01` for 10 s");
    // Its agent finds that out when it is back.
    start_paris(&mut testbed);
    assert_eq!(end(&wait(&mut testbed, "server", "FAILED")).1, "server_unavailable");
    wait_tidy(&mut testbed, &client);
}

#[test]
#[ignore = "needs docker"]
fn a_client_whose_agent_does_not_come_back_keeps_no_server() {
    let mut testbed = testbed();
    Pair::that_goes_on().declare(&mut testbed, 6);
    wait_served(&mut testbed);
    testbed.take_agent("london-01").kill();
    assert_eq!(end(&wait(&mut testbed, "server", "ABORTED")).1, "node_offline");
    testbed.start_agent("london-01");
    let client = wait(&mut testbed, "client", "FAILED");
    assert_eq!(end(&client).1, "server_unavailable");
    wait_tidy(&mut testbed, &client);
}

#[test]
#[ignore = "needs docker"]
fn a_cancelled_client_takes_its_server_with_it() {
    let mut testbed = testbed();
    Pair::that_goes_on().declare(&mut testbed, 6);
    wait_served(&mut testbed);
    let id = part(&testbed, "client").unwrap()["id"].as_str().unwrap().to_owned();
    testbed.almanac("bob", &["runs", "cancel", &id, "--no-wait"]);
    let client = wait(&mut testbed, "client", "ABORTED");
    assert_eq!(end(&client).1, "cancelled");
    let server = testbed.wait_for("the end of the server", |testbed| {
        part(testbed, "server").filter(|run| !run["reason"].is_null())
    });
    assert!(matches!(end(&server), ("COMPLETED", "length_reached") | ("ABORTED", "cancelled")), "{server}");
    wait_tidy(&mut testbed, &client);
}

#[test]
#[ignore = "needs docker"]
fn without_a_server_in_time_nothing_starts() {
    let mut testbed = testbed();
    // It listens on no port, though an engine would accept connections on the one that it publishes.
    let never = Pair { server: "sleep 3600".to_owned(), ..Pair::of_web() };
    let never = Pair { ready: never.ready.replace("10s", "3s"), ..never };
    never.declare(&mut testbed, 6);
    let client = wait(&mut testbed, "client", "SKIPPED");
    assert_eq!(end(&client).1, "server_unavailable");
    assert_eq!(client["message"], "there was no server on `paris-01`: it was not ready in time");
    assert_eq!(end(&wait(&mut testbed, "server", "FAILED")).1, "server_unavailable");
    wait_tidy(&mut testbed, &client);
}

#[test]
#[ignore = "needs docker"]
fn a_server_that_ends_early_is_said_at_once() {
    let mut testbed = testbed();
    Pair { server: "echo no such disk >&2; exit 7".to_owned(), ..Pair::of_web() }.declare(&mut testbed, 6);
    let client = wait(&mut testbed, "client", "SKIPPED");
    assert_eq!(client["message"], "there was no server on `paris-01`: it ended with exit code 7");
    let server = wait(&mut testbed, "server", "FAILED");
    assert_eq!((end(&server).1, &server["exitCode"]), ("exit_code", &7.into()));
    // Both sides are told, with why the pair ended.
    let shown = testbed.almanac("bob", &["runs", "show", client["id"].as_str().unwrap()]).stdout;
    let shown = String::from_utf8(shown).unwrap();
    println!("{shown}");
    let line = |begin: &str| {
        let found = shown.lines().find(|line| line.starts_with(begin));
        found.unwrap_or_else(|| panic!("no {begin}: {shown}")).split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!(line("node "), ["node", "london-01", "paris-01"]);
    assert_eq!(line("phase "), ["phase", "SKIPPED", "FAILED"]);
    assert_eq!(line("reason "), ["reason", "server_unavailable", "exit_code"]);
    assert_eq!(line("exit code "), ["exit", "code", "-", "7"]);
    let step = |words: [&str; 3]| shown.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(step([" server ", " FAILED ", " exit_code "]), "{shown}");
    assert!(step([" client ", " SKIPPED ", "it ended with exit code 7"]), "{shown}");
}

#[test]
#[ignore = "needs docker"]
fn a_server_is_ready_when_a_line_or_a_command_says_so() {
    let mut testbed = testbed();
    let slow = |ready: &str| {
        let web = Pair::of_web();
        let server = web.server.replace("& wait", "& sleep 1; echo serving on port; touch /tmp/up; wait");
        Pair { server, ready: ready.to_owned(), ..web }
    };
    for ready in [
        "{ log: \"^serving on [a-z]+$\", timeout: 20s }",
        "{ exec: [sh, -c, \"test -e /tmp/up\"], timeout: 20s }",
    ] {
        slow(ready).declare(&mut testbed, 6);
        let client = testbed.wait_for("the end of the client", |testbed| {
            let run = part(testbed, "client")?;
            // Of the instant that was declared last.
            let is_new = run["scheduledAt"].as_str()?.parse::<DateTime<Utc>>().ok()?
                > Utc::now() - chrono::TimeDelta::seconds(20);
            (is_new && run["phase"] == "COMPLETED").then_some(run)
        });
        assert!(skew(&client) > Duration::from_secs(1), "{ready}: {:?}", skew(&client));
        testbed.repository.remove("jobs/pair.yaml");
        testbed.push("no pair");
        wait_tidy(&mut testbed, &client);
    }
}
