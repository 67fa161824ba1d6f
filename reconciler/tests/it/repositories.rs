//! Repositories that are odd, empty, elsewhere or not there.

use std::fs;

use almanac_proto::v1;
use almanac_reconciler::{
    config::Settings,
    exit::Exit,
    once::{Told, sync_once},
    source::Location,
    store::Store,
};

use crate::bed::{Bed, job};

async fn refused(settings: &Settings) -> String {
    almanac_reconciler::causes::chain(sync_once(settings).await.unwrap_err().as_ref())
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let bed = Bed::new();
    let said = refused(&bed.settings()).await;
    assert!(said.contains("no commit yet") && said.contains("`main`"), "{said}");

    bed.commit("users and nodes");
    let said = refused(&Settings { branch: "nosuch".to_owned(), ..bed.settings() }).await;
    assert!(said.contains("`nosuch`") && said.contains("`main`"), "{said}");

    let nowhere = bed.path().join("nowhere");
    let said = refused(&Settings { location: Location::Local(nowhere.clone()), ..bed.settings() }).await;
    assert!(said.contains(nowhere.to_str().unwrap()), "{said}");

    let said = refused(&Settings { subdir: "testbed".to_owned(), ..bed.settings() }).await;
    assert!(said.contains("no folder `testbed`"), "{said}");
}

#[tokio::test]
async fn one_round_prints_the_plan_and_another_one_nothing() {
    let bed = Bed::new();
    bed.write("sub/dir/jobs.yaml", job("ping", "london-01"));
    bed.commit("all");
    let Told { exit, text } = sync_once(&bed.settings()).await.unwrap();
    assert_eq!(exit, Exit::Success);
    assert!(text.contains("+ user alice\n") && text.contains("+ job ping\n"), "{text}");
    assert!(text.contains("6 added, 0 changed, 0 removed"), "{text}");
    let Told { exit, text } = sync_once(&bed.settings()).await.unwrap();
    assert!(exit == Exit::Success && text.starts_with("nothing changes"), "{text}");

    bed.write("bad.yaml", "kind: Nonsense\n");
    bed.commit("bad");
    let Told { exit, text } = sync_once(&bed.settings()).await.unwrap();
    assert_eq!(exit, Exit::Rejected);
    assert!(text.contains("bad.yaml"), "{text}");
    let Told { exit, text } = sync_once(&bed.settings()).await.unwrap();
    assert_eq!(exit, Exit::Rejected);
    assert!(text.contains(" --> bad.yaml:1:") && text.contains("was rejected as sync 2"), "{text}");
}

/// People open files from where the repository begins, whatever part of it is the testbed.
#[tokio::test]
async fn findings_name_files_from_the_root_of_the_repository() {
    let bed = Bed::new();
    let folder = bed.repo().join("measuring/testbed");
    fs::create_dir_all(&folder).unwrap();
    for part in ["users", "nodes"] {
        fs::rename(bed.repo().join(part), folder.join(part)).unwrap();
    }
    let settings = Settings { subdir: "./measuring//testbed/".to_owned(), ..bed.settings() };
    bed.commit("below a folder");
    sync_once(&settings).await.unwrap();
    bed.write("measuring/testbed/users/mallory.yaml", "kind: User\n");
    bed.commit("a broken user");
    for told in ["when it is found", "when it is repeated"] {
        let Told { exit, text } = sync_once(&settings).await.unwrap();
        assert_eq!(exit, Exit::Rejected, "{told}");
        assert!(text.contains(" --> measuring/testbed/users/mallory.yaml:1:1\n"), "{told}: {text}");
    }
    let store = Store::open(&settings.database).await.unwrap();
    let findings = store.findings(2).await.unwrap();
    assert!(!findings.is_empty());
    assert!(findings.iter().all(|finding| finding.file == "measuring/testbed/users/mallory.yaml"));
    // The same was found out again, and is not recorded once more.
    assert_eq!(store.latest_sync().await.unwrap().unwrap().id, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_manifest_is_a_finding_and_what_does_not_count_is_not() {
    let bed = Bed::serving().await;
    bed.write("large.yaml", vec![b'#'; 2 << 20]);
    bed.write("binary.yaml", b"kind: \xff\xfe\n");
    std::os::unix::fs::symlink("/etc/passwd", bed.repo().join("link.yaml")).unwrap();
    bed.write(".github/ci.yaml", "not: a manifest\n");
    bed.write("charts/values.yaml", "not: a manifest\n");
    bed.write(".almanacignore", "charts/\n");
    bed.write("large.bin", vec![0; 2 << 20]);
    bed.git(&["add", "--all"]);
    let head = bed.git(&["rev-parse", "HEAD"]);
    bed.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{head},module")]);
    bed.git(&["commit", "--quiet", "-m", "odd"]);
    let sync = bed.looked_at(&bed.git(&["rev-parse", "HEAD"])).await;
    assert_eq!(sync.sync.unwrap().outcome(), v1::SyncOutcome::Rejected);
    let files: Vec<_> = sync.findings.iter().map(|finding| finding.file.as_str()).collect();
    assert_eq!(files, ["binary.yaml", "large.yaml", "link.yaml", "module"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_comes_later_is_noticed() {
    let mut bed = Bed::new();
    bed.start().await;
    // Nobody is declared yet, so nobody can ask; the log and the exit of `sync --once` tell.
    let commit = bed.commit("users and nodes");
    bed.applied(&commit).await;
    // A packed reference moves like any other.
    bed.git(&["pack-refs", "--all"]);
    let commit = bed.commit("empty");
    bed.applied(&commit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_repository_is_followed_when_it_is_pushed_to() {
    let mut bed = Bed::new();
    bed.commit("users and nodes");
    let bare = bed.path().join("bare.git");
    bed.git(&["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
    let mut settings = bed.serve_settings();
    settings.common.location = Location::Local(bare.clone());
    bed.start_with(settings).await;
    let commit = bed.commit("empty");
    bed.git(&["push", "--quiet", bare.to_str().unwrap(), "main"]);
    bed.applied(&commit).await;
}

/// What is elsewhere is fetched by Git; a path is as good an address for it as any.
#[tokio::test]
async fn a_remote_repository_is_mirrored_beside_the_database() {
    let bed = Bed::new();
    bed.commit("users and nodes");
    let remote = Location::Remote(bed.repo().display().to_string());
    let settings = Settings { location: remote, ..bed.settings() };
    assert_eq!(sync_once(&settings).await.unwrap().exit, Exit::Success);
    assert!(bed.path().join("data/mirror.git/HEAD").exists());
    bed.write("jobs/ping.yaml", job("ping", "london-01"));
    bed.commit("a job");
    let told = sync_once(&settings).await.unwrap();
    assert!(told.text.contains("+ job ping"), "{}", told.text);

    let gone = Location::Remote(bed.path().join("gone").display().to_string());
    let said = refused(&Settings { location: gone, ..bed.settings() }).await;
    assert!(said.contains("cannot fetch") && said.contains("gone"), "{said}");
}
