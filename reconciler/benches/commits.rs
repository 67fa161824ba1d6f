//! What a commit costs in a repository of 10,000 jobs on 1,000 nodes, one manifest per file.
//!
//! `cargo bench -p almanac-reconciler --bench commits`

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot unwrap has failed")]

use std::{hint::black_box, sync::Arc, time::Duration};

use almanac_reconciler::{
    applied::Applied,
    signatures::{Change, verify},
    source::{Location, Repository, Target, Tree},
};
use almanac_validate::{
    Checker, Source, Testbed, check,
    plan::Plan,
    revision::{Cache, read_tree},
};
use chrono::{DateTime, Utc};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use git2::{FileMode, Oid, Signature, build::TreeUpdateBuilder};
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey};
use tempfile::TempDir;

const NODES: usize = 1_000;
const JOBS: usize = 10;

fn now() -> DateTime<Utc> {
    "2026-11-24T12:34:56Z".parse().unwrap()
}

/// A repository with an admin, nodes, and jobs that are not in each other's way.
struct Bed {
    folder: TempDir,
    git: git2::Repository,
    key: PrivateKey,
}

impl Bed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let git = git2::Repository::init_bare(folder.path()).unwrap();
        let key = PrivateKey::random(&mut ssh_key::rand_core::OsRng, Algorithm::Ed25519).unwrap();
        let bed = Self { folder, git, key };
        let public = bed.key.public_key().to_openssh().unwrap();
        let mut files = vec![
            (
                "users/alice.yaml".to_owned(),
                format!(
                    "apiVersion: almanac/v1\nkind: User\nmetadata: {{ name: alice }}\nspec: {{ keys: [\"{public}\"] }}\n"
                ),
            ),
            (
                "users/root.yaml".to_owned(),
                "apiVersion: almanac/v1\nkind: User\nmetadata: { name: root }\nspec: { role: admin }\n"
                    .to_owned(),
            ),
        ];
        for node in 0..NODES {
            files.push((
                format!("nodes/node-{node:04}.yaml"),
                format!("apiVersion: almanac/v1\nkind: Node\nmetadata: {{ name: node-{node:04} }}\nspec: {{ owner: root }}\n"),
            ));
            files.extend((0..JOBS).map(|job| bed.job(node, job, 2)));
        }
        let mut tree = TreeUpdateBuilder::new();
        for (path, text) in files {
            tree.upsert(path, bed.git.blob(text.as_bytes()).unwrap(), FileMode::Blob);
        }
        let empty = bed.git.find_tree(bed.git.treebuilder(None).unwrap().write().unwrap()).unwrap();
        let tree = tree.create_updated(&bed.git, &empty).unwrap();
        drop(empty);
        bed.commit(tree, None);
        bed
    }

    fn job(&self, node: usize, job: usize, length: usize) -> (String, String) {
        let minute = job * 6;
        let text = format!(
            "apiVersion: almanac/v1\nkind: Job\nmetadata: {{ name: node-{node:04}-{job} }}\nspec:\n  owner: alice\n  \
             description: Measures something between two places, as often as it can\n  nodes: [node-{node:04}]\n  \
             schedule:\n    cron: \"{minute} * * * *\"\n    start: 2026-12-01T00:00:00Z\n    end: 2027-12-01T00:00:00Z\n    \
             length: {length}m\n  container:\n    image: registry.example.org/probes/iperf:3.17\n    \
             command: [iperf3, -c, example.org, -J]\n    resources: {{ cpus: 1, memory: 256MiB, pids: 64 }}\n"
        );
        (format!("jobs/node-{node:04}-{job}.yaml"), text)
    }

    fn head(&self) -> Oid {
        self.git.refname_to_id("refs/heads/main").unwrap()
    }

    /// Changes a job, signed by its owner.
    fn change(&self, node: usize, job: usize, length: usize) -> Oid {
        let parent = self.git.find_commit(self.head()).unwrap();
        let (path, text) = self.job(node, job, length);
        let blob = self.git.blob(text.as_bytes()).unwrap();
        let tree = TreeUpdateBuilder::new()
            .upsert(path, blob, FileMode::Blob)
            .create_updated(&self.git, &parent.tree().unwrap())
            .unwrap();
        self.commit(tree, Some(&parent))
    }

    fn commit(&self, tree: Oid, parent: Option<&git2::Commit<'_>>) -> Oid {
        let author = Signature::now("alice", "alice@example.org").unwrap();
        let tree = self.git.find_tree(tree).unwrap();
        let parents: Vec<_> = parent.into_iter().collect();
        let object = self.git.commit_create_buffer(&author, &author, "a change", &tree, &parents).unwrap();
        let signature =
            self.key.sign("git", HashAlg::Sha512, &object).unwrap().to_pem(LineEnding::LF).unwrap();
        let id = self
            .git
            .commit_signed(std::str::from_utf8(&object).unwrap(), signature.trim_end(), None)
            .unwrap();
        self.git.reference("refs/heads/main", id, true, "bench").unwrap();
        id
    }

    fn sources(&self, commit: Oid, cache: &mut Cache) -> Vec<Arc<Source>> {
        let tree = self.git.find_commit(commit).unwrap().tree().unwrap();
        read_tree(&self.git, &tree, cache).unwrap()
    }

    fn testbed(sources: &[Arc<Source>]) -> Arc<Testbed> {
        let report = check(sources, now());
        assert_eq!(report.findings, []);
        Arc::clone(report.testbed().unwrap())
    }

    fn repository(&self) -> Repository {
        let location = Location::Local(self.folder.path().to_owned());
        Repository::new(location, "main", "", "/nonexistent/mirror.git".into())
    }
}

fn read(repository: &mut Repository) -> Tree {
    let head = repository.find(&Target::Branch).unwrap();
    repository.read(head).unwrap()
}

fn one_change(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("10,000 jobs on 1,000 nodes");
    group.sample_size(20).measurement_time(Duration::from_secs(5));
    let bed = Bed::new();
    let first = bed.head();
    let second = bed.change(500, 5, 3);
    let mut cache = Cache::default();
    let before = bed.sources(first, &mut cache);
    let after = bed.sources(second, &mut cache);
    let testbed = Bed::testbed(&before);
    let nothing = Applied::nothing("bench".into());
    let plan = Plan::between(&nothing.testbed, &testbed);
    let applied = nothing.next(&testbed, &plan, &first.to_string(), now()).applied;

    let mut repository = bed.repository();
    read(&mut repository);
    group.bench_function("read the head, nothing changed", |bencher| {
        bencher.iter(|| read(&mut repository).sources.len());
    });
    let mut heads = [first, second].into_iter().cycle();
    group.bench_function("read the head, one job changed", |bencher| {
        bencher.iter_batched(
            || drop(bed.git.reference("refs/heads/main", heads.next().unwrap(), true, "bench").unwrap()),
            |()| read(&mut repository).sources.len(),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("check what is parsed, anew", |bencher| {
        bencher.iter(|| check(black_box(&after), now()).findings.len());
    });
    let mut checker = Checker::default();
    checker.check(&before, now());
    let mut trees = [&after, &before].into_iter().cycle();
    group.bench_function("check what is parsed, one job changed", |bencher| {
        bencher.iter(|| checker.check(trees.next().unwrap(), now()).findings.len());
    });
    let next = Bed::testbed(&after);
    group.bench_function("plan one changed job", |bencher| {
        bencher.iter(|| Plan::between(black_box(&testbed), &next).jobs.len());
    });
    let plan = Plan::between(&testbed, &next);
    assert_eq!(plan.counts().changed, 1);
    group.bench_function("what is applied next", |bencher| {
        bencher.iter_with_large_drop(|| applied.next(&next, &plan, "1", now()));
    });
    group.finish();
}

fn signed_commits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("signed commits, 10,000 jobs on 1,000 nodes");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    let bed = Bed::new();
    let first = bed.head();
    let mut cache = Cache::default();
    let testbed = Bed::testbed(&bed.sources(first, &mut cache));
    for count in [1, 1_000] {
        bed.git.reference("refs/heads/main", first, true, "bench").unwrap();
        for commit in 0..count {
            bed.change(commit, commit % JOBS, 3);
        }
        let head = bed.head();
        let sources = bed.sources(head, &mut cache);
        let (applied, head) = (first.to_string(), head.to_string());
        let change =
            Change { applied: &applied, testbed: &testbed, head: &head, sources: &sources, trusted: &[] };
        group.bench_function(format!("{count} by an owner"), |bencher| {
            bencher.iter_batched(
                || git2::Repository::open(bed.folder.path()).unwrap(),
                |git| {
                    let verified = verify(&git, "", &mut cache, &change).unwrap();
                    assert_eq!((verified.signer.as_deref(), verified.findings.len()), (Some("alice"), 0));
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, one_change, signed_commits);
criterion_main!(benches);
