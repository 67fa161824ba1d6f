//! From what is in force to a head, wherever that lies.

use std::{
    collections::BTreeMap,
    io::Write,
    process::{Command, Stdio},
    sync::Arc,
};

use almanac_proto::v1::{self, SyncOutcome};
use almanac_reconciler::signatures::{Change, verify};
use almanac_validate::{check, revision::Cache};
use chrono::Utc;

use super::branch::{Branch, CONFIG, short};
use crate::bed::job;

#[test]
fn only_an_admin_takes_back_what_is_in_force() {
    let mut branch = Branch::new();
    let old = branch.applied.clone();
    branch.declare("bob", "user", "mallory");
    branch.applied = branch.commit("bob", "another key");
    let (before, applied) = (short(&old).to_owned(), short(&branch.applied).to_owned());
    // Whoever may push goes back to when the old key counted.
    branch.git(&["reset", "--quiet", "--hard", &old]);
    let rewritten = |head: &str| {
        format!(
            "commit-signature: the branch was rewritten: its head `{head}` does not contain `{applied}`, which is in force, and is not signed by an admin"
        )
    };
    assert_eq!(branch.findings(), [rewritten(&before)]);
    branch.edit("bob", 1);
    let commit = branch.commit("bob", "with the old key");
    let found = branch.findings();
    assert_eq!((found.len(), &found[0]), (2, &rewritten(short(&commit))), "{found:?}");
    branch.git(&["reset", "--quiet", "--hard", &old]);
    branch.commit("alice", "back to it");
    branch.accepts("alice");
    // A history that has nothing in common with it.
    branch.git(&["checkout", "--quiet", "--orphan", "new"]);
    let commit = branch.commit("mallory", "all anew");
    let found = branch.findings();
    assert_eq!(found[0], rewritten(short(&commit)));
    assert!(
        found.iter().any(|found| found.contains("who may not add the user `alice`")
            || found.contains("who may not change")),
        "{found:?}"
    );
    branch.signed("alice", &["commit", "--quiet", "--amend", "--no-edit"]);
    branch.accepts("alice");
    // The commit in force need not be there any more.
    let git = git2::Repository::open(branch.bed.repo()).unwrap();
    let mut cache = Cache::default();
    let sources = branch.read(&git, &branch.git(&["rev-parse", "HEAD"]), &mut cache);
    let testbed = Arc::clone(check(&sources, Utc::now()).testbed().unwrap());
    let head = branch.git(&["rev-parse", "HEAD"]);
    let (applied, trusted) = ("1".repeat(40), []);
    let change =
        Change { applied: &applied, testbed: &testbed, head: &head, sources: &sources, trusted: &trusted };
    let verified = verify(&git, "", &mut cache, &change).unwrap();
    assert_eq!((verified.signer.as_deref(), verified.findings), (Some("alice"), Vec::new()));
}

#[test]
fn too_many_commits_are_said_to_be() {
    let branch = Branch::new();
    let mut input = format!("reset refs/heads/long\nfrom {}\n\n", branch.applied);
    for _ in 0..10_001 {
        input += "commit refs/heads/long\ncommitter a <a> 0 +0000\ndata 1\nx\n";
    }
    let mut child = Command::new("git")
        .current_dir(branch.bed.repo())
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    branch.checkout("long");
    let found = branch.findings();
    assert!(found.len() == 1 && found[0].contains("more than 10000 commits lead from"), "{found:?}");
    branch.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    let found = branch.findings();
    assert_eq!(found.len(), 201);
    assert_eq!(found[200], "commit-signature: 9800 more findings about commits are not shown");
}

/// From a push to what is in force, by the running reconciler.
#[tokio::test]
async fn what_is_in_force_changes_by_signed_commits_alone() {
    let mut branch = Branch::new();
    branch.trust("forge");
    // Whoever switches it on needs no signature yet.
    branch.git(&["rm", "--quiet", "config.yaml"]);
    branch.bed.write("jobs/alice.yaml", job("alice", "london-01").replace("owner: bob", "owner: alice"));
    let first = branch.bed.commit("nothing is required");
    let mut settings = branch.bed.serve_settings();
    settings.common.trusted_keys.clone_from(&branch.trusted);
    branch.bed.start_with(settings).await;
    branch.bed.applied(&first).await;
    branch.bed.write("config.yaml", CONFIG);
    let on = branch.bed.commit("signatures are required");
    branch.bed.applied(&on).await;

    let hour = |minute: u32| {
        crate::bed::job_at_minute("alice", "london-01", minute).replace("owner: bob", "owner: alice")
    };
    branch.bed.write("jobs/alice.yaml", hour(5));
    let good = branch.commit("alice", "her own");
    branch.bed.applied(&good).await;

    branch.bed.write("jobs/alice.yaml", hour(6));
    let wrong = branch.commit("bob", "not his");
    let sync = branch.bed.looked_at(&wrong).await;
    assert_eq!(sync.sync.as_ref().unwrap().outcome(), SyncOutcome::Rejected);
    let [finding] = sync.findings.as_slice() else { panic!("{sync:?}") };
    assert_eq!((finding.rule.as_str(), finding.file.as_str()), ("ownership", "jobs/alice.yaml"));
    let expected =
        format!("commit `{}` is signed by `bob`, who may not change the job `alice`", short(&wrong));
    assert!(finding.message.starts_with(&expected), "{finding:?}");

    // It stays in the history, so a commit on top does not help, and what is in force stays.
    branch.git(&["revert", "--no-edit", &wrong]);
    let reverted = branch.git(&["rev-parse", "HEAD"]);
    let sync = branch.bed.looked_at(&reverted).await;
    let rules: BTreeMap<&str, usize> = sync.findings.iter().fold(BTreeMap::new(), |mut rules, finding| {
        *rules.entry(finding.rule.as_str()).or_default() += 1;
        rules
    });
    assert_eq!(rules, BTreeMap::from([("commit-signature", 1), ("ownership", 1)]));
    let status = branch.bed.alice().get_sync_status(v1::GetSyncStatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.applied_commit, good);

    let vouch = format!("it is taken back\n\nAlmanac-Vouch: {wrong}\nAlmanac-Vouch: {reverted}");
    let vouched = branch.commit("alice", &vouch);
    branch.bed.applied(&vouched).await;
    branch.edit("carol", 1);
    branch.edit("bob", 1);
    let merged = branch.commit("forge", "squashed");
    branch.bed.applied(&merged).await;
}
