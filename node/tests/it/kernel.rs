//! Kernel settings, in containers of a real engine and on this host, whose files are put back.

use std::{fs, path::PathBuf};

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use almanac_node::point::Point;
use almanac_proto::v1::{Cancellation, Instructions};
use almanac_schemas::{Phase, Reason};

use crate::harness::{Answer, Job, Run, World, ask, docker};

const DONE: Option<(Phase, Reason)> = Some((Phase::Completed, Reason::ExitCode));
const FAILED: Option<(Phase, Reason)> = Some((Phase::Failed, Reason::Kernel));
const CONGESTION: &str = "net.ipv4.tcp_congestion_control";

/// A file of this host that a test changes, and nobody else. It is what it was at the end, whatever becomes of the test.
struct HostFile {
    path: &'static str,
    was: String,
}

impl HostFile {
    fn of(path: &'static str) -> Self {
        Self { path, was: fs::read_to_string(path).unwrap().trim().to_owned() }
    }

    fn now(&self) -> String {
        fs::read_to_string(self.path).unwrap().trim().to_owned()
    }

    fn other(&self) -> String {
        (self.was.parse::<u64>().unwrap() + 1).to_string()
    }

    fn is_put_back(&self) -> bool {
        self.now() == self.was
    }
}

impl Drop for HostFile {
    fn drop(&mut self) {
        fs::write(self.path, &self.was).unwrap();
    }
}

/// The congestion control of the host, and another one that its kernel has.
fn congestion() -> (String, String) {
    let read =
        |name: &str| fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap().trim().to_owned();
    let hosts = read("tcp_congestion_control");
    let available = read("tcp_available_congestion_control");
    let other = available.split(' ').find(|name| *name != hosts).unwrap().to_owned();
    (hosts, other)
}

/// A world whose node lists sysctls and a file.
fn world(files: &[&str]) -> World {
    let mut world = World::with_docker();
    world.desired.node["role"] = json!("privileged");
    world.desired.node["kernel"] = json!({
        "sysctls": [CONGESTION, "net.ipv4.ip_local_port_range", "net.ipv4.nosuch"],
        "files": files,
    });
    world
}

fn declaring(name: &str, kernel: Value) -> Job {
    Job::soon(name).length("2m").start_deadline("60s").spec("kernel", kernel)
}

/// A run that waits.
struct Waiting {
    run: Run,
    socket: PathBuf,
}

impl Waiting {
    fn start(world: &mut World, job: Job, name: &str) -> Self {
        world.declare([job.sh("while [ ! -e /artifacts/end ]; do sleep 0.05; done; cat /proc/sys/net/ipv4/tcp_congestion_control")]);
        if world.agent.is_none() {
            world.start();
        }
        Self::of(world, name)
    }

    fn of(world: &mut World, name: &str) -> Self {
        let run = world.wait_phase(name, Phase::Running);
        let pid = docker(&["inspect", "--format", "{{.State.Pid}}", &format!("almanac-{}", run.key.0)]);
        let socket = PathBuf::from(format!("/proc/{}/root/almanac/api.sock", pid.trim()));
        Self { run, socket }
    }

    fn get(&self, path: &str) -> Answer {
        ask(&self.socket, "GET", path, b"").unwrap()
    }

    fn put(&self, path: &str, value: &str) -> Answer {
        ask(&self.socket, "PUT", path, value.as_bytes()).unwrap()
    }

    fn end(&self, world: &World) {
        let artifacts = world.state_dir().join("runs").join(&self.run.key.0).join("artifacts");
        fs::write(artifacts.join("end"), "").unwrap();
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
#[ignore = "needs docker"]
fn what_a_job_declares_holds_inside_and_is_put_back() {
    let file = HostFile::of("/proc/sys/vm/extfrag_threshold");
    let (hosts, other) = congestion();
    let mut world = world(&["/proc/sys/vm/extfrag_*"]);
    let kernel = json!({"sysctls": {CONGESTION: other}, "files": {file.path: file.other()}});
    let script = "cat /proc/sys/net/ipv4/tcp_congestion_control /proc/sys/vm/extfrag_threshold";
    let (run, log) = world.run("cc", declaring("cc", kernel).sh(script));
    assert_eq!(run.end(), DONE, "{:?}", run.last());
    assert_eq!(log, format!("{other}\n{}\n", file.other()));
    assert!(file.is_put_back(), "{}", file.now());
    assert_eq!(congestion().0, hosts, "the host's own stays");
    let done = lines(&world.text(&run, "kernel.jsonl"));
    let seen: Vec<(&Value, &Value)> = done.iter().map(|line| (&line["by"], &line["value"])).collect();
    let [other, changed, was] = [other, file.other(), file.was.clone()].map(Value::from);
    assert_eq!(seen, [(&json!("job"), &other), (&json!("job"), &changed), (&json!("agent"), &was)]);
    assert_eq!(done[2]["file"], file.path);
    let asked = world.reconciler.record().kernel.clone();
    assert_eq!(asked.len(), 1, "all at once");
    assert_eq!(asked[0].settings.len(), 2);
    world.wait_tidy();
}

#[test]
#[ignore = "needs docker"]
fn a_run_changes_its_own_network_and_not_the_hosts() {
    let file = HostFile::of("/sys/module/tcp_cubic/parameters/beta");
    let (hosts, other) = congestion();
    let mut world = world(&["/sys/module/tcp_cubic/parameters/*"]);
    let waiting = Waiting::start(&mut world, Job::soon("cc").length("2m"), "cc");
    let path = format!("/kernel/sysctl/{CONGESTION}");
    assert_eq!(waiting.get(&path).status, 200);
    let told = waiting.put(&path, &format!("{other}\n"));
    assert_eq!((told.status, &told.body["value"]), (200, &json!(other)), "{told:?}");
    assert_eq!(waiting.get(&path).body["value"], json!(other));
    assert_eq!(congestion().0, hosts);
    // What the kernel does not take, and what it does not have.
    let told = waiting.put(&path, "nosuch");
    assert!(told.status == 404 || told.status == 422, "{told:?}");
    assert!(told.error().contains("kernel does not take"), "{told:?}");
    assert_eq!(waiting.get("/kernel/sysctl/net.ipv4.nosuch").status, 404);
    assert_eq!(waiting.put("/kernel/sysctl/net.ipv4.ip_local_port_range", "1024 2048").status, 200);

    let path = format!("/kernel/file{}", file.path);
    assert_eq!(waiting.put(&path, &file.other()).body["value"], json!(file.other()));
    assert_eq!(waiting.put(&path, "900").body["value"], json!("900"));
    assert_eq!(file.now(), "900");
    waiting.end(&world);
    let run = world.wait_end("cc");
    assert_eq!(run.end(), DONE);
    assert_eq!(world.log(&run), format!("{other}\n"), "read inside, when all was done");
    assert!(
        file.is_put_back(),
        "what it held before the first change, and not before the last: {}",
        file.now()
    );
    let done = lines(&world.text(&run, "kernel.jsonl"));
    assert_eq!(done.len(), 6, "{done:#?}");
    assert!(done[1]["problem"].as_str().unwrap().contains("does not take"), "{:?}", done[1]);
    assert_eq!(done[5]["by"], "agent");
}

#[test]
#[ignore = "needs docker"]
fn nothing_breaks_out() {
    let (other, secret) = ("/proc/sys/vm/swappiness", HostFile::of("/proc/sys/vm/laptop_mode"));
    let mut world = world(&["/proc/sys/vm/laptop_mode"]);
    let waiting = Waiting::start(&mut world, Job::soon("cc").length("2m"), "cc");
    let before = fs::read_to_string(other).unwrap();
    for (path, status) in [
        ("/kernel/file/proc/sys/vm/swappiness", 403),
        ("/kernel/file/proc/sys/vm/../vm/laptop_mode", 400),
        ("/kernel/file/proc/sys/vm/%2e%2e/vm/laptop_mode", 400),
        ("/kernel/file/proc/sys/vm/laptop_mode%00", 400),
        ("/kernel/file/proc/sys/vm//laptop_mode", 400),
        ("/kernel/file//proc/sys/vm/laptop_mode", 400),
        ("/kernel/file/proc/sys/vm/laptop_mode/", 400),
        ("/kernel/file/proc/self/root/proc/sys/vm/laptop_mode", 400),
        ("/kernel/file/etc/hostname", 400),
        ("/kernel/file/proc/sys/kernel/core_pattern", 400),
        ("/kernel/file/artifacts/link", 400),
        ("/kernel/sysctl/net.core.rmem_max", 403),
        ("/kernel/sysctl/vm.swappiness", 400),
        ("/kernel/sysctl/net.ipv4%2ftcp_rmem", 400),
        ("/kernel/exec/id", 404),
    ] {
        let told = waiting.put(path, "7");
        assert_eq!(told.status, status, "{path}: {told:?}");
        assert!(!told.error().is_empty(), "{path}");
    }
    for value in ["", "1\n2", "1\0", "\u{7f}"] {
        assert_eq!(waiting.put("/kernel/file/proc/sys/vm/laptop_mode", value).status, 400, "{value:?}");
    }
    assert_eq!(waiting.put("/kernel/file/proc/sys/vm/laptop_mode", &"1".repeat(5_000)).status, 413);
    assert_eq!(fs::read_to_string(other).unwrap(), before);
    assert!(secret.is_put_back());
    assert_eq!(world.reconciler.record().calls.get("kernel"), None, "what cannot be is not asked");
}

#[test]
#[ignore = "needs docker"]
fn an_owner_who_is_demoted_and_a_node_without_a_connection_change_nothing() {
    let file = HostFile::of("/proc/sys/vm/vfs_cache_pressure");
    let mut world = world(&[file.path]);
    let waiting = Waiting::start(&mut world, Job::soon("cc").length("2m"), "cc");
    let (path, sysctl) = (format!("/kernel/file{}", file.path), format!("/kernel/sysctl/{CONGESTION}"));
    assert_eq!(waiting.put(&path, &file.other()).status, 200);
    world.reconciler.faults().refuse_kernel = Some("user `carol` is demoted".to_owned());
    for told in
        [waiting.put(&path, "55"), waiting.put(&sysctl, "reno"), waiting.get(&sysctl), waiting.get(&path)]
    {
        assert_eq!(told.status, 403, "{told:?}");
        assert!(told.error().contains("carol` is demoted"), "{told:?}");
    }
    world.reconciler.faults().refuse_kernel = None;
    world.reconciler.vanish();
    for told in [waiting.put(&path, "55"), waiting.put(&sysctl, "reno"), waiting.get(&sysctl)] {
        assert_eq!(told.status, 503, "{told:?}");
        assert!(told.error().contains("try again when this node is connected"), "{told:?}");
    }
    assert_eq!(file.now(), file.other());
    waiting.end(&world);
    world.wait("it to be put back, without a connection", |_| file.is_put_back().then_some(()));
    world.reconciler.come_back();
    assert_eq!(world.wait_end("cc").end(), DONE);

    // A manifest that changes counts at once, and the policy of the host always does.
    world.desired.node["role"] = json!("standard");
    world.declare(Vec::new());
    world.wait_followed();
    let waiting = Waiting::start(&mut world, Job::soon("later").length("2m"), "later");
    let told = waiting.put(&path, "55");
    assert!(told.status == 403 && told.error().contains("node's manifest"), "{told:?}");
}

#[test]
#[ignore = "needs docker"]
fn the_host_has_the_last_word_on_its_kernel() {
    let file = HostFile::of("/proc/sys/vm/oom_dump_tasks");
    let world = world(&["/proc/sys/vm/*"]);
    let config = world.path("agent.toml");
    fs::write(&config, "[policy]\nsysctls = []\nkernel-files = [\"/proc/sys/vm/stat_*\"]\n").unwrap();
    let mut world = world.option("--config", config.to_str().unwrap());
    let waiting = Waiting::start(&mut world, Job::soon("cc").length("2m"), "cc");
    for path in [format!("/kernel/file{}", file.path), format!("/kernel/sysctl/{CONGESTION}")] {
        let told = waiting.put(&path, "0");
        assert!(told.status == 403 && told.error().contains("[policy]"), "{told:?}");
    }
    world.declare([declaring("declared", json!({"files": {file.path: "0"}}))]);
    let run = world.wait_end("declared");
    assert_eq!(run.end(), Some((Phase::Skipped, Reason::ForbiddenByHost)));
    assert!(run.last().message.contains(file.path), "{:?}", run.last());
    assert!(file.is_put_back());
}

#[test]
#[ignore = "needs docker"]
fn a_file_is_one_runs_at_a_time() {
    let file = HostFile::of("/proc/sys/vm/min_slab_ratio");
    let mut world = world(&[file.path]);
    let shared = |name| Job::soon(name).length("2m").spec("exclusive", json!(false));
    let first = Waiting::start(&mut world, shared("first"), "first");
    let path = format!("/kernel/file{}", file.path);
    assert_eq!(first.put(&path, &file.other()).status, 200);
    let second = Waiting::start(&mut world, shared("second"), "second");
    let told = second.put(&path, "9");
    assert!(told.status == 409 && told.error().contains(&first.run.key.0), "{told:?}");
    let third = declaring("third", json!({"files": {file.path: "9"}})).spec("exclusive", json!(false));
    world.declare([third]);
    let run = world.wait_end("third");
    assert_eq!((run.end(), run.phases()), (FAILED, vec![Phase::Deploying, Phase::Failed]));
    assert!(run.last().message.contains(&first.run.key.0), "{:?}", run.last());
    assert_eq!(file.now(), file.other(), "nobody else touched it");
    first.end(&world);
    world.wait_end("first");
    assert!(file.is_put_back());
    assert_eq!(second.put(&path, &file.other()).status, 200, "now it is free");
    second.end(&world);
    world.wait_end("second");
    assert!(file.is_put_back());
}

#[test]
#[ignore = "needs docker"]
fn a_setting_that_cannot_be_made_fails_the_run_and_is_named() {
    let file = HostFile::of("/proc/sys/vm/page-cluster");
    let mut world = world(&[file.path, "/proc/sys/vm/nosuch"]);
    let refused = |world: &mut World, name: &str, job: Job, expected: &[&str]| {
        let (run, _) = world.run(name, job.sh("echo began > /artifacts/file"));
        assert_eq!(run.end(), FAILED, "{name}: {:?}", run.last());
        for text in expected {
            assert!(run.last().message.contains(text), "{name}: {:?}", run.last());
        }
        assert!(!run.phases().contains(&Phase::Running), "{name}");
        assert!(file.is_put_back(), "{name}");
    };
    let job = |name: &str, kernel| {
        // One follows the other at once, and before the one before has let go of the node.
        declaring(name, kernel).start_deadline("20s").spec("exclusive", json!(false))
    };
    refused(
        &mut world,
        "unknown",
        job("unknown", json!({"sysctls": {"net.ipv4.nosuch": "1"}})),
        &["net.ipv4.nosuch"],
    );
    refused(&mut world, "value", job("value", json!({"sysctls": {CONGESTION: "nosuch"}})), &[CONGESTION]);
    let files = json!({"files": {file.path: "5", "/proc/sys/vm/nosuch": "1"}});
    refused(&mut world, "absent", job("absent", files), &["/proc/sys/vm/nosuch", "cannot be opened"]);
    let files = json!({"files": {file.path: "no number"}});
    refused(&mut world, "number", job("number", files), &[file.path, "does not take"]);
    let unlisted = json!({"files": {"/proc/sys/vm/overcommit_memory": "1"}});
    refused(&mut world, "unlisted", job("unlisted", unlisted), &["overcommit_memory", "manifest"]);
    world.desired.node["hostNetwork"] = json!(true);
    let host = job("host", json!({"sysctls": {CONGESTION: "reno"}})).container("network", json!("host"));
    refused(&mut world, "host", host, &["network: host", CONGESTION]);
    world.reconciler.faults().refuse_kernel = Some("user `carol` is demoted".to_owned());
    let demoted = job("demoted", json!({"files": {file.path: file.other()}}));
    refused(&mut world, "demoted", demoted, &["carol` is demoted"]);
    world.wait_tidy();
}

#[test]
fn processes_have_no_kernel_settings() {
    let mut world = World::new();
    world.desired.node["role"] = json!("privileged");
    world.desired.node["kernel"] = json!({"files": ["/proc/sys/vm/*"]});
    let (run, _) = world.run("cc", declaring("cc", json!({"files": {"/proc/sys/vm/swappiness": "1"}})));
    assert_eq!(run.end(), FAILED);
    assert!(run.last().message.contains("it takes containers"), "{:?}", run.last());
}

#[test]
#[ignore = "needs docker"]
fn what_is_declared_begins_by_the_manifest_that_is_held_when_nobody_can_be_asked() {
    let file = HostFile::of("/proc/sys/vm/dirty_expire_centisecs");
    let mut world = world(&[file.path]);
    let at = Utc::now() + TimeDelta::seconds(3);
    let kernel = json!({"files": {file.path: file.other()}});
    let job = Job::once("cc", at).length("1m").start_deadline("30s").spec("kernel", kernel);
    world.declare([job.sh("cat /proc/sys/vm/dirty_expire_centisecs")]);
    world.start();
    world.wait_followed();
    world.reconciler.vanish();
    world.wait("the run", |_| (Utc::now() > at && file.now() == file.other()).then_some(()));
    world.wait("its end", |_| file.is_put_back().then_some(()));
    world.reconciler.come_back();
    let run = world.wait_end("cc");
    assert_eq!(run.end(), DONE, "{:?}", run.last());
    assert_eq!(world.log(&run), format!("{}\n", file.other()));
}

/// One after the other: they change the same file.
#[test]
#[ignore = "needs docker"]
fn a_killed_agent_puts_back_what_the_run_has_changed() {
    let file = HostFile::of("/proc/sys/vm/dirty_writeback_centisecs");
    for point in [
        Point::Ready,
        Point::Due,
        Point::Released,
        Point::Running,
        Point::Ended,
        Point::Collecting,
        Point::Packed,
    ] {
        let mut world = world(&[file.path]);
        let at = Utc::now() + TimeDelta::milliseconds(2_500);
        let kernel = json!({"files": {file.path: file.other()}});
        let job = Job::once("cc", at).length("40s").start_deadline("30s").spec("kernel", kernel);
        world.declare([job.sh("cat /proc/sys/vm/dirty_writeback_centisecs; sleep 0.5")]);
        world.start_until(point);
        if point == Point::Released || point == Point::Running {
            assert_eq!(file.now(), file.other(), "{point:?}: nobody has put it back");
        }
        world.start();
        let run = world.wait_end("cc");
        assert_eq!(run.end(), DONE, "{point:?}: {:?}", run.last());
        assert_eq!(world.log(&run), format!("{}\n", file.other()), "{point:?}");
        assert!(file.is_put_back(), "{point:?}: {}", file.now());
        let done = lines(&world.text(&run, "kernel.jsonl"));
        assert_eq!(done.last().unwrap()["by"], "agent", "{point:?}: {done:?}");
        world.wait_tidy();
    }
}

#[test]
#[ignore = "needs docker"]
fn a_run_that_is_cancelled_leaves_the_host_as_it_was() {
    let file = HostFile::of("/proc/sys/vm/watermark_scale_factor");
    let mut world = world(&[file.path]);
    let kernel = json!({"files": {file.path: file.other()}});
    let waiting = Waiting::start(&mut world, declaring("cc", kernel), "cc");
    assert_eq!(file.now(), file.other());
    // And an agent that is away when it ends.
    world.kill();
    let cancellation =
        Cancellation { run_id: waiting.run.key.0.clone(), actor: "alice".to_owned(), reason: String::new() };
    world.reconciler.instruct(&Instructions { cancellations: vec![cancellation], ..Default::default() });
    world.start();
    let run = world.wait_end("cc");
    assert_eq!(run.end(), Some((Phase::Aborted, Reason::Cancelled)));
    assert!(file.is_put_back(), "{}", file.now());
    let told = lines(&world.text(&run, "kernel.jsonl"));
    assert_eq!(told.len(), 2, "{told:?}");
}
