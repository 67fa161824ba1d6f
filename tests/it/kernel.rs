//! Kernel settings, from the manifests to a container that asks for them on its socket.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    process::Command,
};

use almanac_tests::{
    Runtime, Testbed,
    manifest::{Job, soon, user},
};

const SYSCTL: &str = "net.ipv4.ip_local_port_range";
const PATH: &str = "/kernel/sysctl/net.ipv4.ip_local_port_range";

/// Asks on the socket of the container of a run, and returns the status and everything else.
pub(crate) fn ask(container: &str, method: &str, path: &str, body: &str) -> (String, String) {
    let inspected =
        Command::new("docker").args(["inspect", "--format", "{{.State.Pid}}", container]).output().unwrap();
    let process = String::from_utf8(inspected.stdout).unwrap();
    let mut socket = UnixStream::connect(format!("/proc/{}/root/almanac/api.sock", process.trim())).unwrap();
    let length = body.len();
    write!(socket, "{method} {path} HTTP/1.1\r\nhost: run\r\ncontent-length: {length}\r\n\r\n{body}")
        .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap().to_owned(), answer)
}

#[test]
#[ignore = "needs docker"]
fn the_owner_of_a_run_has_kernel_settings_as_long_as_they_are_privileged() {
    let mut testbed = Testbed::start(Runtime::Docker);
    let public = |testbed: &Testbed, name: &str| {
        fs::read_to_string(testbed.folder().join(format!("{name}.pub"))).unwrap().trim().to_owned()
    };
    let (bob, london) = (public(&testbed, "bob"), public(&testbed, "london-01"));
    testbed.repository.write("users/bob.yaml", user("bob", "privileged", &bob));
    let node = format!(
        "apiVersion: almanac/v1\nkind: Node\nmetadata: {{ name: london-01 }}\nspec: {{ owner: alice, guard: 0s, keys: [\"{london}\"], \
         role: privileged, kernel: {{ sysctls: [{SYSCTL}] }} }}\n"
    );
    testbed.repository.write("nodes/london-01.yaml", node);
    testbed.push("a privileged user and a node that lists a sysctl");
    testbed.start_agent("london-01");
    let hosts = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let script = "cat /proc/sys/net/ipv4/ip_local_port_range; sleep 30";
    let job = Job::once("ports", "london-01", soon(4), "50s", script).yaml()
        + &format!("  kernel: {{ sysctls: {{ {SYSCTL}: \"20000 30000\" }} }}\n");
    testbed.repository.write("jobs/ports.yaml", job);
    testbed.push("a job with a kernel setting");
    let run = testbed.wait_run("ports", "RUNNING");
    let container = format!("almanac-{}", run["id"].as_str().unwrap());
    let (status, answer) = ask(&container, "GET", PATH, "");
    assert!(status == "200" && answer.contains("20000\\t30000"), "{answer}");
    let (status, answer) = ask(&container, "PUT", PATH, "40000 50000");
    assert!(status == "200" && answer.contains("40000\\t50000"), "{answer}");

    testbed.repository.write("users/bob.yaml", user("bob", "user", &bob));
    // Without the role, the job is a finding: it goes, and its run goes on.
    testbed.repository.remove("jobs/ports.yaml");
    testbed.push("bob is no longer privileged");
    for (method, body) in [("PUT", "1024 2048"), ("GET", "")] {
        let (status, answer) = ask(&container, method, PATH, body);
        assert!(status == "403" && answer.contains("not declared for this node"), "{answer}");
    }
    assert_eq!(
        fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap(),
        hosts,
        "the host's own stays"
    );
    let id = run["id"].as_str().unwrap();
    assert!(testbed.almanac("bob", &["runs", "cancel", id, "--reason", "done"]).status.success());
    let run = testbed.wait_run("ports", "ABORTED");
    let log = testbed.almanac("bob", &["runs", "logs", run["id"].as_str().unwrap()]);
    assert_eq!(String::from_utf8(log.stdout).unwrap(), "20000\t30000\n");
}
