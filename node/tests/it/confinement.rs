//! What a container must not be able to do, tried from inside one.

use std::collections::BTreeMap;

use serde_json::json;

use almanac_schemas::{Phase, Reason};

use crate::harness::{Job, World};

const DONE: Option<(Phase, Reason)> = Some((Phase::Completed, Reason::ExitCode));

/// Tries things in a container, each a name and a line of shell, and says which of them worked.
fn attempts(world: &mut World, job: Job, tries: &[(&str, &str)]) -> BTreeMap<String, bool> {
    let script: String = tries
        .iter()
        .map(|(name, line)| {
            format!("if ( {line} ) >/dev/null 2>&1; then echo {name} yes; else echo {name} no; fi\n")
        })
        .collect();
    let (run, log) = world.run("attempts", job.length("1m").sh(&script));
    assert_eq!(run.end(), DONE, "{:?}", run.last());
    let results: BTreeMap<String, bool> = log
        .lines()
        .map(|line| {
            let (name, worked) = line.split_once(' ').unwrap();
            (name.to_owned(), worked == "yes")
        })
        .collect();
    assert_eq!(results.len(), tries.len(), "each was tried: {log}");
    results
}

/// What reaches beyond a container, by what is tried.
const BEYOND: &[(&str, &str)] = &[
    ("remount-its-root", "busybox mount -o remount,rw /"),
    ("mount-proc", "busybox mount -t proc proc /tmp"),
    ("mount-in-memory", "busybox mount -t tmpfs tmpfs /tmp"),
    ("make-a-disk", "busybox mknod /artifacts/disk b 254 0 && head -c 1 /artifacts/disk"),
    ("find-a-disk", "ls /dev/sd* || ls /dev/vd* || ls /dev/nvme*"),
    ("name-the-host", "busybox hostname evil"),
    ("set-the-clock", "busybox date -s 2001-01-01; busybox date +%Y | busybox grep 2001"),
    ("change-a-sysctl", "echo 1 > /proc/sys/kernel/panic"),
    ("change-a-module", "echo 1 > /sys/module/printk/parameters/time"),
    ("crash-the-host", "echo s > /proc/sysrq-trigger"),
    ("read-the-kernel", "head -c 1 /proc/kcore | busybox grep ."),
    ("read-the-kernel-log", "busybox dmesg -n 1"),
    ("read-the-keys", "head -c 1 /proc/keys | busybox grep ."),
    ("a-new-namespace", "busybox unshare -m true"),
    ("a-new-user-namespace", "busybox unshare -r true"),
    ("the-namespace-of-the-host", "busybox nsenter -t 1 -m ls /home"),
    ("another-root", "busybox chroot / true"),
    ("the-socket-of-the-engine", "ls /var/run/docker.sock || ls /run/docker.sock"),
    (
        "see-other-processes",
        "ls /proc | busybox grep -v '[a-z]' | busybox awk '$1 > 1000 { n++ } END { exit !n }'",
    ),
    ("be-somebody-else", "busybox httpd -u 1:1 -p 8080"),
    ("give-files-away", "touch /artifacts/x && busybox chown 1234 /artifacts/x"),
    ("a-raw-socket", "busybox ping -c 1 -W 1 127.0.0.1"),
    ("an-interface-up", "ip link add x type dummy"),
    ("more-priority", "busybox nice -n -5 true && busybox renice -n -5 -p 1"),
];

#[test]
#[ignore = "needs docker"]
fn nothing_that_reaches_beyond_a_container_works() {
    let mut world = World::with_docker();
    let worked = attempts(&mut world, Job::soon("attempts"), BEYOND);
    let worked: Vec<&String> = worked.iter().filter(|(_, worked)| **worked).map(|(name, _)| name).collect();
    assert!(worked.is_empty(), "{worked:?}");
    world.wait_tidy();
}

#[test]
#[ignore = "needs docker"]
fn a_capability_that_is_named_gives_what_it_is_for_and_nothing_else() {
    let mut world = World::with_docker();
    let job =
        Job::soon("attempts").container("capabilities", json!(["CHOWN", "NET_RAW", "SETGID", "SETUID"]));
    let worked = attempts(&mut world, job, BEYOND);
    let worked: Vec<&str> = worked.iter().filter(|(_, worked)| **worked).map(|(name, _)| &**name).collect();
    assert_eq!(worked, ["a-raw-socket", "be-somebody-else", "give-files-away"]);
}

#[test]
#[ignore = "needs docker"]
fn what_can_be_written_is_what_is_meant_to_be() {
    let tries: &[(&str, &str)] = &[
        ("root", "echo x > /x"),
        ("etc", "echo x > /etc/passwd"),
        ("bin", "touch /bin/x"),
        ("config", "echo x > /almanac/config.yaml"),
        ("facts", "echo x > /almanac/run.json"),
        ("artifacts", "echo x > /artifacts/x"),
        ("tmp", "echo x > /tmp/x"),
        ("much-of-tmp", "dd if=/dev/zero of=/tmp/much bs=1M count=100"),
        ("run-from-tmp", "busybox cp /bin/busybox /tmp/true && /tmp/true"),
    ];
    let mut world = World::with_docker();
    let worked = attempts(&mut world, Job::soon("attempts"), tries);
    let worked: Vec<&str> = worked.iter().filter(|(_, worked)| **worked).map(|(name, _)| &**name).collect();
    assert_eq!(worked, ["artifacts", "tmp"]);

    let job = Job::soon("attempts").container("readOnly", json!(false));
    let mut world = World::with_docker();
    let worked = attempts(&mut world, job, tries);
    let failed: Vec<&str> = worked.iter().filter(|(_, worked)| !**worked).map(|(name, _)| &**name).collect();
    assert_eq!(failed, ["config", "facts"], "the agent's own files stay as they are");
}

#[test]
#[ignore = "needs docker"]
fn a_process_has_no_capability_no_new_privileges_and_a_filter_of_system_calls() {
    let mut world = World::with_docker();
    let (run, log) = world.run("status", Job::soon("status").sh("cat /proc/self/status"));
    assert_eq!(run.end(), DONE);
    let field = |name: &str| {
        let found = log.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.unwrap_or_else(|| panic!("{name} in {log}")).trim().to_owned()
    };
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!((field("NoNewPrivs"), field("Seccomp")), ("1".to_owned(), "2".to_owned()));
}

#[test]
#[ignore = "needs docker"]
fn the_limits_hold() {
    let mut world = World::with_docker();
    world.desired.node["limits"] = json!({"pids": 16, "memory": "64MiB", "cpus": 0.2});
    // Each attempt is a process of its own already.
    let tries: &[(&str, &str)] = &[
        ("few", "for i in 1 2 3; do sleep 1 & done; wait"),
        ("many", "for i in $(seq 40); do sleep 2 & done; wait"),
    ];
    let worked = attempts(&mut world, Job::soon("attempts"), tries);
    assert_eq!(worked, BTreeMap::from([("few".to_owned(), true), ("many".to_owned(), false)]));

    // `$$$$` is what the agent makes `$$` of. A busy loop of two seconds gets two fifths of one, and some more, as the first period is free.
    let burn = "busybox timeout 2 sh -c 'while :; do :; done'; cat /proc/self/stat";
    let script =
        format!("{{ {burn}; }} >/dev/null 2>&1; busybox awk '{{ print $16 + $17 }}' /proc/$$$$/stat");
    let (run, log) = world.run("burn", Job::soon("burn").length("1m").sh(&script));
    assert_eq!(run.end(), DONE, "{:?}", run.last());
    let ticks: u32 = log.trim().parse().unwrap();
    assert!((10..90).contains(&ticks), "{ticks} hundredths of a second in two");
}

#[test]
#[ignore = "needs docker"]
fn artifacts_that_are_larger_than_they_may_be_fail_the_run() {
    let mut world = World::with_docker();
    world.desired.node["limits"] = json!({"artifacts": "1MiB"});
    let job = Job::soon("large")
        .length("1m")
        .spec("artifacts", json!({"maxSize": "1GiB"}))
        .sh("head -c 2000000 /dev/zero > /artifacts/zero; echo wrote");
    let (run, log) = world.run("large", job);
    assert_eq!(run.end(), Some((Phase::Failed, Reason::ArtifactsTooLarge)), "{:?}", run.last());
    assert!(run.last().message.contains("1048576"), "it says what is allowed: {}", run.last().message);
    assert_eq!(log, "wrote\n", "the log is delivered all the same");
    assert_eq!(world.file(&run, "artifacts.tar.zst"), None);
    world.wait_tidy();
}
