//! A bad commit changes nothing, and says all that is wrong with it.

use almanac_proto::v1::{self, SyncOutcome};

use crate::harness::{Testbed, instant, manifest, run_id, whole_run};

/// Pushes, expects a rejection, and expects that everything is as before.
async fn rejected(testbed: &Testbed, message: &str) -> Vec<v1::Finding> {
    let look = async || {
        let mut alice = testbed.ask("alice");
        let nodes = alice.list_nodes(v1::ListNodesRequest::default()).await.unwrap().into_inner();
        let jobs = alice.list_jobs(v1::ListJobsRequest::default()).await.unwrap().into_inner();
        let status = alice.get_sync_status(v1::GetSyncStatusRequest {}).await.unwrap().into_inner();
        (nodes, jobs, status.applied_commit)
    };
    let before = look().await;
    let sync = testbed.push_and_look(message).await;
    let summary = sync.sync.unwrap();
    assert_eq!(summary.outcome(), SyncOutcome::Rejected, "{}", summary.message);
    assert_eq!((summary.added, summary.changed, summary.removed), (0, 0, 0));
    assert_eq!(summary.findings as usize, sync.findings.len());
    assert_eq!(sync.changes, []);
    assert_eq!(look().await, before);
    sync.findings
}

fn places(findings: &[v1::Finding]) -> Vec<(&str, &str, u32)> {
    findings.iter().map(|finding| (finding.rule.as_str(), finding.file.as_str(), finding.line)).collect()
}

#[tokio::test]
async fn all_findings_are_recorded_with_their_places_and_the_next_good_commit_is_applied() {
    let testbed = Testbed::with_jobs().await;
    let job = manifest::job("dns", "mallory", "london-02", manifest::HOURLY);
    testbed.repository.write("jobs/dns.yaml", job.replace("exclusive", "exclusiv"));
    testbed.repository.write("jobs/ping.yaml", manifest::job("ping", "bob", "paris-1", manifest::HOURLY));
    let findings = rejected(&testbed, "bad").await;
    let places = places(&findings);
    assert!(places.contains(&("unknown-field", "jobs/dns.yaml", 8)), "{places:?}");
    assert!(places.contains(&("unknown-node", "jobs/ping.yaml", 6)), "{places:?}");
    let node = findings.iter().find(|finding| finding.file == "jobs/ping.yaml").unwrap();
    assert_eq!((node.severity.as_str(), node.column, node.end_column), ("error", 11, 18));
    assert!(node.message.contains("paris-1"), "{}", node.message);
    let hint = format!("{} {}", node.message, node.help);
    assert!(hint.contains("paris-01"), "{hint}");

    let latest = testbed.ask("bob").get_sync_status(v1::GetSyncStatusRequest {}).await.unwrap().into_inner();
    assert_eq!(latest.latest.unwrap().outcome(), SyncOutcome::Rejected);

    testbed.repository.remove("jobs/dns.yaml");
    testbed.write_job("ping", "bob", "paris-01", manifest::HOURLY);
    testbed.push("good again").await;
}

#[tokio::test]
async fn what_cannot_be_a_manifest_is_a_finding() {
    let testbed = Testbed::with_jobs().await;
    let folder = testbed.repository.clone_path().to_owned();

    testbed.repository.write("large.yaml", "#".repeat(2 << 20));
    assert_eq!(places(&rejected(&testbed, "2 MiB").await), [("file-too-large", "large.yaml", 1)]);
    testbed.repository.remove("large.yaml");

    std::os::unix::fs::symlink("../users/bob.yaml", folder.join("jobs/link.yaml")).unwrap();
    assert_eq!(places(&rejected(&testbed, "a link").await), [("symbolic-link", "jobs/link.yaml", 1)]);
    testbed.repository.remove("jobs/link.yaml");

    testbed.repository.write("jobs/latin.yaml", b"apiVersion: almanac/v1\nkind: J\xf6b\n");
    let findings = rejected(&testbed, "Latin-1").await;
    let found: Vec<_> =
        findings.iter().map(|finding| (finding.rule.as_str(), finding.file.as_str())).collect();
    assert_eq!(found, [("file-encoding", "jobs/latin.yaml")]);
    testbed.repository.remove("jobs/latin.yaml");

    testbed.repository.git(&[
        "submodule",
        "--quiet",
        "add",
        testbed.repository.path().to_str().unwrap(),
        "more",
    ]);
    let found = rejected(&testbed, "a submodule").await;
    assert_eq!(places(&found), [("submodule", "more", 1)]);
    testbed.repository.git(&["rm", "--quiet", "--force", "more"]);

    testbed.repository.write("jobs/syntax.yaml", "apiVersion: almanac/v1\nkind: [\n");
    assert_eq!(places(&rejected(&testbed, "no YAML").await), [("syntax", "jobs/syntax.yaml", 3)]);
    testbed.repository.remove("jobs/syntax.yaml");

    testbed.push("good again").await;
}

#[tokio::test]
async fn a_conflict_of_schedules_names_both_jobs() {
    let testbed = Testbed::start().await;
    for name in ["first", "second"] {
        let job = manifest::job(name, "bob", "london-01", manifest::HOURLY)
            .replace("exclusive: false", "exclusive: true");
        testbed.repository.write(&format!("jobs/{name}.yaml"), job);
    }
    let findings = rejected(&testbed, "a conflict").await;
    assert!(findings.iter().any(|finding| finding.rule == "schedule-conflict"), "{findings:?}");
    let all: String = findings.iter().map(|finding| finding.message.as_str()).collect();
    assert!(all.contains("first") && all.contains("second"), "{all}");
}

/// Whatever becomes of such a commit, the history of what ran is still there after it.
#[tokio::test]
async fn an_empty_tree_takes_nothing_away_for_ever() {
    let testbed = Testbed::with_jobs().await;
    let at = instant("2030-01-01T00:00:00Z");
    testbed.report("london-01", whole_run("ping", "london-01", at)).await;
    testbed.repository.git(&["rm", "--quiet", "-r", "."]);
    let commit = testbed.repository.push("nothing at all");
    testbed
        .wait_for("the commit to be looked at", async || testbed.log().contains(&commit).then_some(()))
        .await;
    testbed.repository.git(&["revert", "--no-edit", "HEAD"]);
    testbed.push("everything again").await;
    let run = testbed.run(&run_id("ping", "london-01", at)).await;
    assert_eq!((run.run.unwrap().phase(), run.steps.len()), (v1::Phase::Completed, 4));
}

#[tokio::test]
async fn a_branch_that_comes_later_is_applied_when_it_comes() {
    let mut testbed = Testbed::prepare();
    testbed.serve().await;
    // Nothing is declared, so nobody is known.
    let refused = testbed.ask("alice").who_am_i(v1::WhoAmIRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    testbed
        .wait_for("the log to name the branch", async || testbed.log().contains("`main`").then_some(()))
        .await;
    testbed.push("the first").await;
}

#[tokio::test]
async fn a_repository_that_goes_away_is_said_and_what_is_in_force_stays() {
    let testbed = Testbed::with_jobs().await;
    let away = testbed.folder().join("away.git");
    std::fs::rename(testbed.repository.path(), &away).unwrap();
    let sync = testbed.ask("alice").sync_now(v1::SyncNowRequest {}).await.unwrap().into_inner().sync.unwrap();
    assert_eq!(sync.outcome(), SyncOutcome::Failed);
    assert!(sync.message.contains("testbed.git"), "{}", sync.message);
    let status = testbed.ask("bob").get_sync_status(v1::GetSyncStatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.look_error, sync.message);
    assert!(!status.applied_commit.is_empty());

    std::fs::rename(away, testbed.repository.path()).unwrap();
    let sync = testbed.ask("alice").sync_now(v1::SyncNowRequest {}).await.unwrap().into_inner().sync.unwrap();
    assert_eq!(sync.outcome(), SyncOutcome::Applied);
    let status = testbed.ask("bob").get_sync_status(v1::GetSyncStatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.look_error, "");
}
