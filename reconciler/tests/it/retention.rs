//! Files of runs go when their time is over, and their records stay.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::SystemTime,
};

use almanac_proto::v1;
use almanac_reconciler::{
    artifacts::{STALE, Staging, Uploads},
    clock,
    metrics::Metrics,
    retention::{Expire, Looked},
    store::{KeepRow, Kept, Store},
};
use almanac_schemas::{RunId, RunRole, config::ArtifactStore};
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use tonic::Code;

use crate::{
    bed::{Bed, job, until},
    harness::{Testbed, event, instant, manifest, run_id, whole_run},
};

const CONTENT: &[u8] = b"64 bytes from 192.0.2.1: time=31.2 ms\n";

/// A testbed with what looks at its retention.
struct Kept90 {
    bed: Bed,
    store: Store,
    uploads: Uploads,
    expire: Expire,
}

fn retained(name: &str, days: u32) -> String {
    job(name, "london-01") + &format!("  artifacts: {{ retention: {days}d }}\n")
}

fn at(hour: i64) -> DateTime<Utc> {
    instant("2030-01-01T00:00:00Z") + TimeDelta::hours(hour)
}

fn id(job: &str, hour: i64) -> RunId {
    run_id(job, "london-01", at(hour)).parse().unwrap()
}

impl Kept90 {
    /// Jobs `ping`, whose files are kept for 90 days, and `trace`, which does not say.
    async fn new() -> Self {
        let mut bed = Bed::new();
        bed.write("jobs/ping.yaml", retained("ping", 90));
        bed.write("jobs/trace.yaml", job("trace", "london-01"));
        let commit = bed.commit("users, nodes and jobs");
        bed.start().await;
        bed.applied(&commit).await;
        let store = Store::open(&bed.settings().database).await.unwrap();
        let staging = Staging::new(bed.path().join("data/uploads")).unwrap();
        let uploads =
            Uploads::new(store.clone(), staging, None, bed.path().join("unused"), Metrics::default());
        let expire = Expire::new(store.clone(), uploads.clone(), Metrics::default());
        Self { bed, store, uploads, expire }
    }

    /// Looks so many days from now, by the testbed's usual settings.
    async fn look(&mut self, days: i64) -> Looked {
        self.expire.look(&ArtifactStore::default(), clock::now() + TimeDelta::days(days)).await.unwrap()
    }

    /// A run with a file of it, and where that lies.
    async fn run(&self, job: &str, hour: i64) -> PathBuf {
        report(&self.bed, job, hour).await;
        upload(&self.bed, job, hour, "run.log").await;
        let row = self.store.artifact(id(job, hour), RunRole::Client, "run.log").await.unwrap().unwrap();
        let path = Path::new(row.store.strip_prefix("file://").unwrap()).join(&row.path);
        assert_eq!(fs::read(&path).unwrap(), CONTENT);
        path
    }

    async fn get(&self, id: RunId) -> v1::GetRunResponse {
        self.bed.alice().get_run(v1::GetRunRequest { id: id.to_string() }).await.unwrap().into_inner()
    }

    async fn is_expired(&self, run: RunId) -> bool {
        let row = self.store.artifact(run, RunRole::Client, "run.log").await.unwrap().unwrap();
        row.expired.is_some()
    }
}

async fn report(bed: &Bed, job: &str, hour: i64) {
    let request =
        v1::ReportRunsRequest { node: "london-01".to_owned(), events: whole_run(job, "london-01", at(hour)) };
    bed.connect("london-01").node().report_runs(request).await.unwrap();
}

async fn upload(bed: &Bed, job: &str, hour: i64, name: &str) {
    let request = announcement(job, hour, name, true);
    let answer = bed.connect("london-01").node().begin_upload(request).await.unwrap().into_inner();
    assert_eq!(answer.artifact.unwrap().name, name);
}

fn announcement(job: &str, hour: i64, name: &str, content: bool) -> v1::BeginUploadRequest {
    v1::BeginUploadRequest {
        node: "london-01".to_owned(),
        run_id: id(job, hour).to_string(),
        role: v1::Role::Client.into(),
        name: name.to_owned(),
        size: CONTENT.len() as u64,
        sha256: Sha256::digest(CONTENT).to_vec().into(),
        content: content.then(|| CONTENT.into()),
        direct: false,
    }
}

#[tokio::test]
async fn a_job_or_the_testbed_says_how_long_and_the_record_says_when() {
    let mut testbed = Kept90::new().await;
    let (ping, trace) = (testbed.run("ping", 0).await, testbed.run("trace", 0).await);
    assert_eq!(testbed.look(89).await, Looked::default());
    let shown = testbed.get(id("ping", 0)).await;
    let file = &shown.artifacts[0];
    let (stored, ends) = (file.stored_at.unwrap().seconds, file.expires_at.unwrap().seconds);
    assert_eq!((ends - stored, file.expired_at), (90 * 86_400, None));
    let file = &testbed.get(id("trace", 0)).await.artifacts[0];
    assert_eq!(file.expires_at.unwrap().seconds - file.stored_at.unwrap().seconds, 180 * 86_400);

    assert_eq!(testbed.look(91).await, Looked { expired: 1, removed: 1, again_at: None });
    assert!(!ping.exists() && trace.exists());
    // Nothing is left of the run, nor of its job, whose folder had nothing else.
    let job = ping.ancestors().nth(5).unwrap();
    assert!(!job.exists() && job.parent().unwrap().exists(), "{}", job.display());
    let shown = testbed.get(id("ping", 0)).await;
    assert_eq!(shown.run.unwrap().phase(), v1::Phase::Completed);
    assert_eq!(shown.steps.len(), 4);
    let file = &shown.artifacts[0];
    assert_eq!((file.name.as_str(), file.kept_for_seconds, file.expires_at), ("run.log", 90 * 86_400, None));
    assert!(file.expired_at.unwrap().seconds > stored + 90 * 86_400);
    assert_eq!(testbed.look(91).await, Looked::default(), "it is done once");

    let mut bob = testbed.bed.connect("bob").testbed();
    let wanted = v1::DownloadArtifactRequest {
        run_id: id("ping", 0).to_string(),
        role: v1::Role::Client.into(),
        name: "run.log".to_owned(),
        offset: 0,
    };
    let refused = bob.download_artifact(wanted.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().contains("expired at 20") && refused.message().contains("kept for 90d"),
        "{refused:?}"
    );
    let tail = v1::TailLogsRequest { run_id: wanted.run_id.clone(), ..Default::default() };
    let mut tail = bob.tail_logs(tail).await.unwrap().into_inner();
    let refused = tail.message().await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().contains("`run.log`") && refused.message().contains("expired at"),
        "{refused:?}"
    );
    let grant = v1::GrantDownloadRequest { run_id: wanted.run_id, role: wanted.role, name: wanted.name };
    assert_eq!(bob.grant_download(grant).await.unwrap_err().code(), Code::FailedPrecondition);

    // An agent that did not hear that it was stored has nothing to send.
    upload(&testbed.bed, "ping", 0, "run.log").await;
    assert!(!ping.exists(), "what has expired does not come back");

    assert_eq!(testbed.look(181).await.removed, 1);
    assert!(!trace.exists());
}

#[tokio::test]
async fn the_latest_manifest_counts_and_of_a_removed_job_the_last_one() {
    let mut testbed = Kept90::new().await;
    let (ping, trace) = (testbed.run("ping", 0).await, testbed.run("trace", 0).await);
    fs::remove_file(testbed.bed.repo().join("jobs/ping.yaml")).unwrap();
    testbed.bed.write("jobs/trace.yaml", retained("trace", 10));
    let commit = testbed.bed.commit("one shorter, one gone");
    testbed.bed.applied(&commit).await;
    assert_eq!(testbed.look(11).await.removed, 1);
    assert!(ping.exists() && !trace.exists());
    assert_eq!(testbed.look(91).await.removed, 1);
    assert!(!ping.exists());
}

#[tokio::test]
async fn more_than_a_change_is_about_goes_in_one_look() {
    let mut testbed = Kept90::new().await;
    for hour in 0..120 {
        report(&testbed.bed, "ping", hour).await;
        upload(&testbed.bed, "ping", hour, "run.log").await;
    }
    upload(&testbed.bed, "ping", 7, "run.json").await;
    assert_eq!(testbed.look(91).await, Looked { expired: 121, removed: 121, again_at: None });
}

#[tokio::test]
async fn a_run_that_somebody_keeps_loses_nothing_until_they_do_not() {
    let mut testbed = Kept90::new().await;
    let (kept, other) = (testbed.run("ping", 0).await, testbed.run("ping", 1).await);
    let mut bob = testbed.bed.connect("bob").testbed();
    let keep = |hour: i64, reason: &str| v1::KeepRunRequest {
        id: id("ping", hour).to_string(),
        reason: reason.to_owned(),
    };
    let answer = bob.keep_run(keep(0, "  for the paper ")).await.unwrap().into_inner().run.unwrap();
    let said = answer.run.unwrap().kept.unwrap();
    assert_eq!((said.actor.as_str(), said.reason.as_str()), ("bob", "for the paper"));
    assert_eq!(answer.artifacts[0].expires_at, None);
    let listed = bob.list_runs(v1::ListRunsRequest::default()).await.unwrap().into_inner().runs;
    let listed: Vec<_> = listed.iter().map(|run| run.kept.is_some()).collect();
    assert_eq!(listed, [false, true]);

    assert_eq!(testbed.look(91).await.removed, 1);
    assert!(kept.exists() && !other.exists());
    let gone = bob.keep_run(keep(1, "")).await.unwrap_err();
    assert_eq!(gone.code(), Code::FailedPrecondition);
    assert!(gone.message().contains("expired already"), "{gone:?}");
    // Somebody else's word takes its place.
    let mut alice = testbed.bed.alice();
    let again =
        alice.keep_run(keep(0, "")).await.unwrap().into_inner().run.unwrap().run.unwrap().kept.unwrap();
    assert_eq!((again.actor.as_str(), again.reason.as_str()), ("alice", ""));

    let unkeep = v1::UnkeepRunRequest { id: id("ping", 0).to_string() };
    for _ in 0..2 {
        let answer = bob.unkeep_run(unkeep.clone()).await.unwrap().into_inner().run.unwrap();
        assert_eq!(answer.run.unwrap().kept, None);
        assert!(answer.artifacts[0].expires_at.is_some());
    }
    assert_eq!(testbed.look(91).await.removed, 1);
    assert!(!kept.exists());
}

/// Whoever was told that a run is kept finds its files, whatever was under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_keeps_a_run_while_it_expires_is_told_the_truth() {
    let mut testbed = Kept90::new().await;
    for hour in 0..100 {
        report(&testbed.bed, "ping", hour).await;
        upload(&testbed.bed, "ping", hour, "run.log").await;
    }
    let store = testbed.store.clone();
    let keeping = tokio::spawn(async move {
        let mut kept = Vec::new();
        for hour in (0..100).rev() {
            let actor = "bob".to_owned();
            let row = KeepRow { run: id("ping", hour), actor, reason: String::new(), since: clock::now() };
            kept.push((row.run, store.keep(&row).await.unwrap()));
        }
        kept
    });
    let looked = testbed.look(91).await;
    let kept = keeping.await.unwrap();
    for (run, kept) in &kept {
        assert_eq!(testbed.is_expired(*run).await, *kept == Kept::Gone, "{run}: {kept:?}");
    }
    let gone = kept.iter().filter(|(_, kept)| *kept == Kept::Gone).count();
    assert_eq!((looked.expired, looked.removed), (gone as u64, gone as u64));
}

#[tokio::test]
async fn a_store_that_fails_is_asked_again_and_holds_back_no_other() {
    let mut testbed = Kept90::new().await;
    let good = testbed.run("ping", 0).await;
    let other = testbed.bed.path().join("other");
    testbed.bed.write(
        "config.yaml",
        format!(
            "apiVersion: almanac/v1\nkind: Config\nmetadata: {{ name: global }}\nspec: {{ artifacts: {{ store: \"file://{}\" }} }}\n",
            other.display()
        ),
    );
    let commit = testbed.bed.commit("another store");
    testbed.bed.applied(&commit).await;
    let bad = testbed.run("ping", 1).await;
    assert!(bad.starts_with(&other));
    // The disk is not mounted: there is a file in its place.
    let away = testbed.bed.path().join("away");
    fs::rename(&other, &away).unwrap();
    fs::write(&other, "no folder").unwrap();
    let now = clock::now() + TimeDelta::days(91);
    let settings = ArtifactStore::default();
    let looked = testbed.expire.look(&settings, now).await.unwrap();
    assert_eq!((looked.expired, looked.removed), (2, 1));
    assert!(!good.exists());
    let again_at = looked.again_at.expect("it is tried again");
    assert!(again_at > now && again_at < now + TimeDelta::minutes(1), "{again_at}");

    fs::remove_file(&other).unwrap();
    fs::rename(&away, &other).unwrap();
    let looked = testbed.expire.look(&settings, again_at - TimeDelta::seconds(1)).await.unwrap();
    assert_eq!((looked.removed, looked.again_at), (0, Some(again_at)), "it is left in peace meanwhile");
    let looked = testbed.expire.look(&settings, again_at).await.unwrap();
    assert_eq!(looked, Looked { expired: 0, removed: 1, again_at: None });
    assert!(!bad.exists() && other.exists());
}

#[tokio::test]
async fn a_file_that_cannot_be_removed_holds_up_none_behind_it() {
    let mut testbed = Kept90::new().await;
    let stuck = testbed.run("ping", 0).await;
    fs::remove_file(&stuck).unwrap();
    fs::create_dir(&stuck).unwrap();
    let first = testbed.look(91).await;
    assert_eq!((first.expired, first.removed, first.again_at.is_some()), (1, 0, true));
    for hour in 1..120 {
        report(&testbed.bed, "ping", hour).await;
        upload(&testbed.bed, "ping", hour, "run.log").await;
    }
    let second = testbed.look(92).await;
    assert_eq!((second.expired, second.removed, second.again_at.is_some()), (119, 119, true));
    fs::remove_dir(&stuck).unwrap();
    assert_eq!(testbed.look(93).await, Looked { expired: 0, removed: 1, again_at: None });
}

#[tokio::test]
async fn a_look_that_is_killed_at_any_step_is_repeated_without_harm() {
    // The tests lie in `target/PROFILE/deps`.
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().with_file_name("examples").join("crash_expiring");
    assert!(program.exists(), "make it with `cargo build -p almanac-reconciler --example crash_expiring`");
    let mut testbed = Kept90::new().await;
    for (hour, step) in (0..).zip(["expired", "removed", "recorded"]) {
        let path = testbed.run("ping", hour).await;
        let stays = testbed.run("trace", hour).await;
        let now = clock::now() + TimeDelta::days(91);
        let status = Command::new(&program)
            .args([step, &*testbed.bed.settings().database])
            .arg(testbed.bed.path().join("crashed"))
            .arg(now.to_rfc3339())
            .stderr(Stdio::inherit())
            .status()
            .unwrap();
        assert_eq!(status.signal(), Some(9), "{step}: {status}");
        assert_eq!(path.exists(), step == "expired", "{step}");
        assert!(testbed.is_expired(id("ping", hour)).await, "{step}");
        let looked = testbed.look(91).await;
        assert_eq!(looked.removed, u64::from(step != "recorded"), "{step}");
        assert!(!path.exists() && stays.exists(), "{step}");
        assert_eq!(testbed.get(id("ping", hour)).await.artifacts.len(), 1, "the record stays");
        assert_eq!(testbed.look(91).await, Looked::default(), "{step}");
    }
}

#[tokio::test]
async fn an_upload_that_rests_for_a_week_is_forgotten_and_begun_again() {
    let testbed = Kept90::new().await;
    report(&testbed.bed, "ping", 0).await;
    let mut agent = testbed.bed.connect("london-01").node();
    let send = async |id: &str, offset: usize, data: &[u8]| {
        let (upload_id, offset, data) = (id.to_owned(), offset as u64, data.to_vec().into());
        let part = v1::UploadRequest { upload_id, offset, data, crc32: None };
        testbed.bed.connect("london-01").node().upload(tokio_stream::iter([part])).await
    };
    let begin = announcement("ping", 0, "run.log", false);
    let resting = agent.begin_upload(begin.clone()).await.unwrap().into_inner().upload_id;
    send(&resting, 0, &CONTENT[..10]).await.unwrap();
    // This one is slow, and goes on.
    let slow = agent.begin_upload(announcement("ping", 0, "slow.bin", false)).await.unwrap().into_inner();
    send(&slow.upload_id, 0, &CONTENT[..10]).await.unwrap();
    // This one has ended, and this one never began.
    upload(&testbed.bed, "ping", 0, "run.json").await;
    let ended = agent.begin_upload(announcement("ping", 0, "ended.bin", false)).await.unwrap().into_inner();
    send(&ended.upload_id, 0, CONTENT).await.unwrap();
    let commit = v1::CommitUploadRequest { upload_id: ended.upload_id, sent: None };
    agent.commit_upload(commit).await.unwrap();
    agent.begin_upload(announcement("ping", 0, "empty.bin", false)).await.unwrap();

    let staging = testbed.bed.path().join("data/uploads");
    let part = |id: &str| staging.join(format!("{id}.part"));
    let forget =
        async |now, leads| testbed.uploads.forget_stale(&ArtifactStore::default(), now, leads).await.unwrap();
    assert_eq!(forget(clock::now(), true).await, 0, "nothing is old");
    let old: SystemTime = (clock::now() - STALE - TimeDelta::seconds(60)).into();
    let open = |id: &str| fs::File::options().write(true).open(part(id)).unwrap();
    open(&resting).set_modified(old).unwrap();
    fs::write(staging.join("other.txt"), "not ours").unwrap();
    // As a standby: what lies here.
    assert_eq!(forget(clock::now(), false).await, 1);
    assert!(!part(&resting).exists() && part(&slow.upload_id).exists() && staging.join("other.txt").exists());
    // As the leader, a week later, when somebody has just gone on with the slow one.
    let later = clock::now() + STALE + TimeDelta::seconds(60);
    open(&slow.upload_id).set_modified(later.into()).unwrap();
    assert_eq!(forget(later, true).await, 2, "the one that ended, and the empty one");

    // The agent was away for all that time: it goes on, is told, and begins again.
    let refused = send(&resting, 10, &CONTENT[10..]).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert!(refused.message().contains("begin it again"), "{refused:?}");
    let again = agent.begin_upload(begin).await.unwrap().into_inner();
    assert_eq!(again.offset, 0);
    send(&again.upload_id, 0, CONTENT).await.unwrap();
    agent.commit_upload(v1::CommitUploadRequest { upload_id: again.upload_id, sent: None }).await.unwrap();
    let again = agent.begin_upload(announcement("ping", 0, "ended.bin", false)).await.unwrap().into_inner();
    assert_eq!(again.offset, CONTENT.len() as u64, "what is stored needs no announcement");
    send(&slow.upload_id, 10, &CONTENT[10..]).await.unwrap();
}

#[tokio::test]
async fn the_program_looks_when_its_settings_change() {
    let testbed = Testbed::with_jobs().await;
    let at = instant("2030-01-01T00:00:00Z");
    testbed.report("london-01", vec![event("ping", "london-01", at, 1, v1::Phase::Completed)]).await;
    let request = v1::BeginUploadRequest {
        run_id: run_id("ping", "london-01", at),
        ..announcement("ping", 0, "run.log", true)
    };
    let stored =
        testbed.agent("london-01").begin_upload(request).await.unwrap().into_inner().artifact.unwrap();
    let path = testbed.store().join(&stored.path);
    assert!(path.exists());
    let ping = manifest::job("ping", "bob", "london-01", manifest::HOURLY);
    testbed.repository.write("jobs/ping.yaml", ping + "  artifacts: { retention: 1s }\n");
    let over = instant_of(stored.stored_at.unwrap()) + TimeDelta::seconds(1);
    testbed.wait_for("its second to be over", async || (clock::now() > over).then_some(())).await;
    testbed.push("nothing is kept").await;
    testbed.wait_for("the file to go", async || (!path.exists()).then_some(())).await;
    let (_, metrics) = testbed.get("/metrics").await;
    let removed = until("the count", async || {
        let (_, metrics) = testbed.get("/metrics").await;
        metrics.contains("almanac_files_removed_total 1\n").then_some(metrics)
    });
    assert!(removed.await.contains(&format!("almanac_bytes_removed_total {}\n", CONTENT.len())), "{metrics}");
    let shown = testbed.run(&stored.run_id).await;
    assert!(shown.artifacts[0].expired_at.is_some() && shown.run.is_some());
}

fn instant_of(timestamp: prost_types::Timestamp) -> DateTime<Utc> {
    almanac_proto::convert::instant("stored_at", Some(&timestamp)).unwrap()
}
