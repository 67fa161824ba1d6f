//! Repositories that are rewritten, torn, hostile or huge. Each has a defined answer, and until it is good
//! again, what was in force stays in force.

use std::{fs, process::Command, time::Instant};

use almanac_proto::v1;
use almanac_reconciler::{
    source::Location,
    store::Store,
    sync::{News, Reconciler, Round},
};
use chrono::Utc;
use git2::{ObjectType, Oid};

use crate::{
    bed::{Bed, job, job_at_minute, until},
    harness::{Testbed, manifest},
};

/// What an admin is told of the last look.
async fn status(bed: &Bed) -> v1::GetSyncStatusResponse {
    bed.alice().get_sync_status(v1::GetSyncStatusRequest {}).await.unwrap().into_inner()
}

/// Waits until a look has failed with this, and looks that a commit is still in force.
async fn fails_with(bed: &Bed, expected: &str, in_force: &str) -> String {
    let what = format!("a look that fails with `{expected}`");
    let status = until(&what, async || {
        let status = status(bed).await;
        status.look_error.contains(expected).then_some(status)
    })
    .await;
    assert_eq!(status.applied_commit, in_force);
    status.look_error
}

/// Waits until a commit is in force and the last look went well.
async fn recovers(bed: &Bed, commit: &str) {
    until("the repository to be well again", async || {
        let status = status(bed).await;
        (status.applied_commit == commit && status.look_error.is_empty()).then_some(())
    })
    .await;
}

async fn message(bed: &Bed, commit: &str) -> String {
    bed.applied(commit).await.sync.unwrap().message
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_branch_is_followed_and_recorded() {
    let bed = Bed::serving().await;
    let first = bed.git(&["rev-parse", "HEAD"]);
    bed.write("jobs/ping.yaml", job("ping", "london-01"));
    bed.git(&["add", "--all"]);
    bed.git(&["commit", "--quiet", "--amend", "-m", "amended"]);
    let amended = bed.git(&["rev-parse", "HEAD"]);
    let said = message(&bed, &amended).await;
    assert!(
        said.starts_with(&format!("the branch was rewritten and no longer contains {}", &first[..12])),
        "{said}"
    );

    // A history that has nothing to do with it, though the same files.
    bed.git(&["checkout", "--quiet", "--orphan", "new"]);
    bed.git(&["commit", "--quiet", "-m", "unrelated"]);
    bed.git(&["branch", "--force", "main", "new"]);
    let unrelated = bed.git(&["rev-parse", "HEAD"]);
    let said = message(&bed, &unrelated).await;
    assert!(said.contains("no longer contains") && said.contains(&amended[..12]), "{said}");
    // And back to where it was.
    bed.git(&["branch", "--force", "main", &amended]);
    until("the former commit to be in force", async || {
        (status(&bed).await.applied_commit == amended).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_is_gone_or_leads_elsewhere_changes_nothing() {
    let bed = Bed::serving().await;
    let commit = bed.git(&["rev-parse", "HEAD"]);
    bed.git(&["checkout", "--quiet", "-b", "other"]);
    bed.git(&["branch", "--quiet", "-D", "main"]);
    let said = fails_with(&bed, "no branch `main`", &commit).await;
    assert!(said.contains("`other`"), "{said}");

    let reference = bed.repo().join(".git/refs/heads/main");
    let tree = bed.git(&["rev-parse", "HEAD^{tree}"]);
    fs::write(&reference, format!("{tree}\n")).unwrap();
    fails_with(&bed, "leads to a folder, and not to a commit", &commit).await;
    let file = bed.git(&["rev-parse", "HEAD:users/alice.yaml"]);
    fs::write(&reference, format!("{file}\n")).unwrap();
    fails_with(&bed, "leads to a file, and not to a commit", &commit).await;
    fs::write(&reference, "nonsense\n").unwrap();
    fails_with(&bed, "cannot open the repository", &commit).await;
    fs::write(&reference, "0123456789012345678901234567890123456789\n").unwrap();
    fails_with(&bed, "cannot read commit 0123456789012345678901234567890123456789", &commit).await;

    // A tag of a commit is as good as the commit.
    let next = bed.commit("next");
    bed.git(&["tag", "-a", "v1", "-m", "v1"]);
    fs::write(&reference, format!("{}\n", bed.git(&["rev-parse", "v1"]))).unwrap();
    recovers(&bed, &next).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_may_vanish_come_back_and_be_replaced() {
    let bed = Bed::serving().await;
    let first = bed.git(&["rev-parse", "HEAD"]);
    let away = bed.path().join("away");
    fs::rename(bed.repo(), &away).unwrap();
    // Nothing tells of a folder that was renamed from outside; whoever asks, and the next poll, sees it.
    bed.alice().sync_now(v1::SyncNowRequest::default()).await.unwrap();
    fails_with(&bed, "there is no Git repository at", &first).await;
    fs::rename(&away, bed.repo()).unwrap();
    // A look that failed is soon followed by another, though a poll is an hour away.
    recovers(&bed, &first).await;
    let second = bed.commit("second");
    recovers(&bed, &second).await;

    // Another repository at the same path, and pushes to that are noticed too.
    fs::rename(bed.repo().join(".git"), bed.path().join("old")).unwrap();
    bed.git(&["init", "--quiet", "--initial-branch=main"]);
    let other = bed.commit("another repository");
    bed.alice().sync_now(v1::SyncNowRequest::default()).await.unwrap();
    let said = message(&bed, &other).await;
    assert!(said.contains("no longer contains") && said.contains(&second[..12]), "{said}");
    let next = bed.commit("next");
    recovers(&bed, &next).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_object_changes_nothing_until_it_is_whole() {
    let bed = Bed::serving().await;
    let mut in_force = bed.git(&["rev-parse", "HEAD"]);
    for (number, object) in
        ["HEAD:jobs/ping.yaml", "HEAD:jobs", "HEAD^{tree}", "HEAD"].into_iter().enumerate()
    {
        bed.git(&["checkout", "--quiet", "-B", "side"]);
        bed.write("jobs/ping.yaml", job_at_minute("ping", "london-01", u32::try_from(number).unwrap()));
        let commit = bed.commit("ping");
        let id = bed.git(&["rev-parse", object]);
        let path = bed.repo().join(".git/objects").join(&id[..2]).join(&id[2..]);
        let whole = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        // The end is missing, as after a power cut; or a byte is another one, as on an old disk.
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for torn in [&whole[..whole.len() / 2], &whole[..whole.len() - 1], &flipped] {
            fs::write(&path, torn).unwrap();
            fs::write(bed.repo().join(".git/refs/heads/main"), format!("{commit}\n")).unwrap();
            bed.alice().sync_now(v1::SyncNowRequest::default()).await.unwrap();
            fails_with(&bed, &format!("the object {id} is torn"), &in_force).await;
        }
        fs::write(&path, &whole).unwrap();
        bed.alice().sync_now(v1::SyncNowRequest::default()).await.unwrap();
        recovers(&bed, &commit).await;
        in_force = commit;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shallow_repositories_are_followed_here_and_elsewhere() {
    let origin = Bed::new();
    origin.commit("first");
    origin.write("jobs/ping.yaml", job("ping", "london-01"));
    let second = origin.commit("second");
    let shallow = origin.path().join("shallow.git");
    let url = format!("file://{}", origin.repo().display());
    origin.git(&["clone", "--quiet", "--bare", "--depth=1", &url, shallow.to_str().unwrap()]);
    for location in [Location::Local(shallow.clone()), Location::Remote(shallow.display().to_string())] {
        let mut bed = Bed::new();
        fs::remove_file(bed.path().join("alice")).unwrap();
        fs::copy(origin.path().join("alice"), bed.path().join("alice")).unwrap();
        let mut settings = bed.serve_settings();
        settings.common.location = location;
        bed.start_with(settings).await;
        let said = message(&bed, &second).await;
        assert!(!said.contains("rewritten"), "{said}");
        // The next one begins a history of its own, as far as anybody can tell; it is not called a rewritten one.
        let third = origin.commit("third");
        origin.git(&[
            "--git-dir",
            shallow.to_str().unwrap(),
            "fetch",
            "--quiet",
            "--depth=1",
            &url,
            "+main:main",
        ]);
        bed.alice().sync_now(v1::SyncNowRequest::default()).await.unwrap();
        let said = message(&bed, &third).await;
        assert!(!said.contains("rewritten"), "{said}");
        origin.git(&["reset", "--quiet", "--hard", &second]);
        origin.git(&[
            "--git-dir",
            shallow.to_str().unwrap(),
            "fetch",
            "--quiet",
            "--depth=1",
            &url,
            "+main:main",
        ]);
        bed.stop().await;
    }
}

/// A tree with entries as they are given, which `git` would refuse to make.
fn tree(repository: &git2::Repository, entries: &[(&str, &[u8], Oid)]) -> Oid {
    let mut raw = Vec::new();
    for (mode, name, id) in entries {
        raw.extend([mode.as_bytes(), b" ", name, b"\0", id.as_bytes()].concat());
    }
    repository.odb().unwrap().write(ObjectType::Tree, &raw).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_lead_elsewhere_are_findings() {
    let bed = Bed::serving().await;
    let first = bed.git(&["rev-parse", "HEAD"]);
    let repository = git2::Repository::open(bed.repo()).unwrap();
    let blob = repository.blob(job("ping", "london-01").as_bytes()).unwrap();
    let inner = tree(&repository, &[("100644", b"inner.yaml", blob)]);
    let at = |path: &str| repository.revparse_single(&format!("HEAD:{path}")).unwrap().id();
    let (users, nodes) = (at("users"), at("nodes"));
    let sub = tree(&repository, &[("40000", b"..", inner), ("100644", b"caf\xe9.yaml", blob)]);
    let root = tree(
        &repository,
        &[
            ("40000", b".", inner),
            ("40000", b"..", inner),
            ("40000", b".GIT", inner),
            ("40000", b".git", inner),
            ("100644", b"../up.yaml", blob),
            ("100644", b"/etc/absolute.yaml", blob),
            ("40000", b"nodes", nodes),
            ("100644", b"slash/ed.yaml", blob),
            ("40000", b"sub", sub),
            ("40000", b"users", users),
        ],
    );
    let head = repository.head().unwrap().peel_to_commit().unwrap();
    let (author, root) = (head.author(), repository.find_tree(root).unwrap());
    let commit =
        repository.commit(Some("refs/heads/main"), &author, &author, "odd", &root, &[&head]).unwrap();
    let sync = bed.looked_at(&commit.to_string()).await;
    assert_eq!(sync.sync.unwrap().outcome(), v1::SyncOutcome::Rejected);
    let named = sync.findings.iter().filter(|finding| finding.rule == "file-name");
    let mut files: Vec<_> = named.map(|finding| finding.file.as_str()).collect();
    files.sort_unstable();
    let expected = [
        ".",
        "..",
        "../up.yaml",
        ".GIT",
        ".git",
        "/etc/absolute.yaml",
        "slash/ed.yaml",
        "sub/..",
        "sub/caf\u{fffd}.yaml",
    ];
    assert_eq!(files, expected);
    assert_eq!(status(&bed).await.applied_commit, first);
}

/// Runs Git in the clone with something to read.
fn git_reading(testbed: &Testbed, args: &[&str], input: &[u8]) -> String {
    let file = testbed.folder().join("input");
    fs::write(&file, input).unwrap();
    let output = Command::new("git")
        .current_dir(testbed.repository.clone_path())
        .args(args)
        .stdin(fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_file_of_100_mib_is_a_finding_and_is_not_read() {
    let testbed = Testbed::start().await;
    let before = testbed.peak_memory();
    testbed.repository.write("jobs/large.yaml", vec![b'#'; 100 << 20]);
    testbed.repository.write("results.bin", vec![b'#'; 100 << 20]);
    let sync = testbed.push_and_look("large").await;
    let findings: Vec<_> =
        sync.findings.iter().map(|finding| (finding.file.as_str(), finding.rule.as_str())).collect();
    assert_eq!(findings, [("jobs/large.yaml", "file-too-large")]);
    let grown = testbed.peak_memory() - before;
    assert!(grown < 20, "{grown} MiB more than before");
}

/// Half of the files are no manifests. Of the others, one in fifty declares something: what takes time is to be
/// the files, and not the rows of the database.
#[tokio::test]
#[ignore = "needs a minute"]
async fn a_repository_of_200000_files_is_followed() {
    let testbed = Testbed::start().await;
    let before = testbed.peak_memory();
    let head = testbed.repository.git(&["rev-parse", "HEAD"]);
    let commit = |message: &str, from: &str| {
        format!(
            "commit refs/heads/main\ncommitter Alice Example <alice@example.org> 1700000000 +0000\ndata {}\n{message}\nfrom {from}\n",
            message.len()
        )
    };
    let mut import = commit("many", &head);
    for number in 0..100_000 {
        let text = if number % 50 == 0 {
            manifest::user(&format!("user-{number}"), "user", "").replace("\"\"", "")
        } else {
            format!("# Measured in week {number}.\n")
        };
        let folder = number / 1_000;
        import += &format!("M 100644 inline users/{folder}/{number}.yaml\ndata {}\n{text}\n", text.len());
        let note = format!("note {number}\n");
        import += &format!("M 100644 inline notes/{folder}/{number}.txt\ndata {}\n{note}\n", note.len());
    }
    git_reading(&testbed, &["fast-import", "--quiet"], import.as_bytes());
    let many = testbed.repository.git(&["rev-parse", "main"]);
    let timed_push = async |commit: &str| {
        let begun = Instant::now();
        testbed.repository.git(&["push", "--quiet", "origin", "main"]);
        testbed.wait_applied(commit).await;
        begun.elapsed()
    };
    let first = timed_push(&many).await;
    let memory = testbed.peak_memory() - before;

    let one = commit("one", &many) + "M 100644 inline notes/one.txt\ndata 4\none\n\n";
    git_reading(&testbed, &["fast-import", "--quiet"], one.as_bytes());
    let second = timed_push(&testbed.repository.git(&["rev-parse", "main"])).await;
    println!("200,000 files: {first:?} and {memory} MiB at first, {second:?} for one more");
    assert!(memory < 256, "{memory} MiB");
    assert!(second < first, "{second:?} against {first:?}");
}

/// A commit costs what it changes: of files that are as they were, nothing is read.
#[tokio::test]
async fn an_object_that_was_read_is_not_read_again() {
    let bed = Bed::new();
    bed.write("jobs/ping.yaml", job("ping", "london-01"));
    bed.commit("first");
    let settings = bed.settings();
    let store = Store::open(&settings.database).await.unwrap();
    let mirror = bed.path().join("mirror.git");
    let repository = almanac_reconciler::source::Repository::new(settings.location, "main", "", mirror);
    let mut reconciler = Reconciler::new(repository, store).await.unwrap();
    reconciler.round(Utc::now()).await.unwrap();
    // All that was there is taken away but its trees, so that whoever reads it fails.
    let listed = bed.git(&["ls-tree", "-r", "HEAD"]);
    for line in listed.lines() {
        let blob = line.split([' ', '\t']).nth(2).unwrap();
        fs::remove_file(bed.repo().join(".git/objects").join(&blob[..2]).join(&blob[2..])).unwrap();
    }
    bed.write("jobs/pong.yaml", job("pong", "london-01"));
    bed.git(&["add", "jobs/pong.yaml"]);
    let tree = bed.git(&["write-tree", "--missing-ok"]);
    let commit = bed.git(&["commit-tree", "-p", "HEAD", "-m", "second", &tree]);
    bed.git(&["update-ref", "refs/heads/main", &commit]);
    let round = reconciler.round(Utc::now()).await.unwrap();
    let Round::Recorded(_, News::Applied(plan)) = round else { panic!("{round:?}") };
    assert!(plan.contains("+ job pong") && !plan.contains("ping"), "{plan}");
}
