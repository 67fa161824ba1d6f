//! Who gets kernel settings, as the commit in force says.

use almanac_proto::{
    convert::timestamp,
    v1::{self, kernel_setting::What},
};
use tonic::Code;

use crate::harness::{Testbed, event, instant, manifest, run_id, whole_run};

const SYSCTL: &str = "net.ipv4.tcp_congestion_control";
const FILE: &str = "/sys/module/tcp_cubic/parameters/beta";

fn sysctl(name: &str) -> v1::KernelSetting {
    v1::KernelSetting { what: Some(What::Sysctl(name.to_owned())) }
}

fn file(path: &str) -> v1::KernelSetting {
    v1::KernelSetting { what: Some(What::File(path.to_owned())) }
}

fn request(job: &str, settings: &[v1::KernelSetting]) -> v1::AuthorizeKernelRequest {
    let at = instant("2030-01-01T12:00:00Z");
    v1::AuthorizeKernelRequest {
        node: "london-01".to_owned(),
        run_id: run_id(job, "london-01", at),
        role: v1::Role::Client.into(),
        job: job.to_owned(),
        scheduled_at: Some(timestamp(at)),
        settings: settings.to_vec(),
    }
}

/// Why not; empty when it is allowed.
async fn ask(testbed: &Testbed, job: &str, settings: &[v1::KernelSetting]) -> String {
    let answer =
        testbed.agent("london-01").authorize_kernel(request(job, settings)).await.unwrap().into_inner();
    assert_eq!(answer.allowed, answer.reason.is_empty(), "{answer:?}");
    answer.reason
}

async fn refused(testbed: &Testbed, request: v1::AuthorizeKernelRequest) -> Code {
    testbed.agent("london-01").authorize_kernel(request).await.unwrap_err().code()
}

fn allowing(testbed: &Testbed, more: &str) {
    let key = std::fs::read_to_string(testbed.folder().join("london-01.pub")).unwrap();
    testbed.repository.write("nodes/london-01.yaml", manifest::node("london-01", key.trim(), more));
}

/// `cc` of the privileged `carol` and `ping` of `bob`, both on a node that lists a sysctl and a file.
async fn testbed() -> Testbed {
    let mut testbed = Testbed::prepare();
    let lists = format!(
        "  role: privileged\n  kernel: {{ sysctls: [{SYSCTL}], files: [\"/sys/module/tcp_cubic/parameters/*\"] }}\n"
    );
    allowing(&testbed, &lists);
    testbed.write_job("cc", "carol", "london-01", manifest::HOURLY);
    testbed.write_job("ping", "bob", "london-01", manifest::HOURLY);
    testbed.write_job("trace", "carol", "paris-01", manifest::HOURLY);
    let commit = testbed.repository.push("a node with kernel settings");
    testbed.serve().await;
    testbed.wait_applied(&commit).await;
    testbed
}

#[tokio::test]
async fn the_owner_has_to_be_privileged_and_the_node_to_list_it() {
    let testbed = testbed().await;
    assert_eq!(ask(&testbed, "cc", &[sysctl(SYSCTL), file(FILE)]).await, "");
    let reason = ask(&testbed, "ping", &[sysctl(SYSCTL)]).await;
    assert!(reason.contains("user `bob` may not") && reason.contains("privileged"), "{reason}");
    let reason = ask(&testbed, "cc", &[sysctl(SYSCTL), sysctl("net.core.rmem_max")]).await;
    assert!(reason.contains("`net.core.rmem_max`") && reason.contains("alice"), "{reason}");
    let reason = ask(&testbed, "cc", &[file("/sys/module/tcp_bbr/parameters/beta")]).await;
    assert!(reason.contains("tcp_bbr"), "{reason}");
    let reason = ask(&testbed, "trace", &[sysctl(SYSCTL)]).await;
    assert!(reason.contains("not declared for this node"), "{reason}");
    assert!(ask(&testbed, "nosuch", &[sysctl(SYSCTL)]).await.contains("not declared"));
}

#[tokio::test]
async fn a_run_that_has_ended_gets_nothing_more() {
    let testbed = testbed().await;
    let at = instant("2030-01-01T12:00:00Z");
    testbed.report("london-01", vec![event("cc", "london-01", at, 1, v1::Phase::Deploying)]).await;
    assert_eq!(ask(&testbed, "cc", &[sysctl(SYSCTL)]).await, "", "it goes on");
    testbed.report("london-01", whole_run("cc", "london-01", at).split_off(1)).await;
    assert!(ask(&testbed, "cc", &[sysctl(SYSCTL)]).await.contains("ended"));
}

#[tokio::test]
async fn an_owner_who_is_demoted_and_a_node_that_changes_its_list_count_at_once() {
    let testbed = testbed().await;
    assert_eq!(ask(&testbed, "cc", &[file(FILE)]).await, "");
    let key = std::fs::read_to_string(testbed.folder().join("carol.pub")).unwrap();
    testbed.repository.write("users/carol.yaml", manifest::user("carol", "user", key.trim()));
    let commit = testbed.push("carol is no longer privileged").await;
    testbed.wait_applied(&commit).await;
    let reason = ask(&testbed, "cc", &[file(FILE)]).await;
    assert!(reason.contains("user `carol` may not"), "{reason}");

    testbed.repository.write("users/carol.yaml", manifest::user("carol", "admin", key.trim()));
    allowing(&testbed, "  role: privileged\n");
    let commit = testbed.push("carol is an admin, and the node lists nothing").await;
    testbed.wait_applied(&commit).await;
    assert!(ask(&testbed, "cc", &[file(FILE)]).await.contains("does not list"));
    let lists = format!("  kernel: {{ sysctls: [{SYSCTL}] }}\n");
    allowing(&testbed, &lists);
    let commit = testbed.push("the node is a standard one").await;
    testbed.wait_applied(&commit).await;
    assert!(ask(&testbed, "cc", &[sysctl(SYSCTL)]).await.contains("role `standard`"));
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_refused() {
    let testbed = testbed().await;
    let good = request("cc", &[sysctl(SYSCTL)]);
    // Another's run: that of Paris, and one of another job.
    let mut others = good.clone();
    others.run_id = run_id("trace", "paris-01", instant("2030-01-01T12:00:00Z"));
    assert_eq!(refused(&testbed, others).await, Code::InvalidArgument);
    let mut others = good.clone();
    others.job = "ping".to_owned();
    assert_eq!(refused(&testbed, others).await, Code::InvalidArgument);
    for settings in [
        vec![],
        vec![v1::KernelSetting { what: None }],
        vec![sysctl("kernel.core_pattern")],
        vec![file("/sys/module/tcp_cubic/parameters/../../../power/state")],
        vec![file("/etc/passwd")],
        vec![sysctl(SYSCTL); 65],
    ] {
        assert_eq!(refused(&testbed, request("cc", &settings)).await, Code::InvalidArgument, "{settings:?}");
    }
    let answer = testbed.agent("paris-01").authorize_kernel(good).await.unwrap_err();
    assert_eq!(answer.code(), Code::PermissionDenied, "Paris does not ask for London");
}
