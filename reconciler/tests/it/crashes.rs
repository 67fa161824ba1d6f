//! A reconciler that is killed at any step of a round leaves nothing half done. `ALMANAC_NIGHTLY=50` kills it
//! fifty times as often.

use std::{
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Command, Stdio},
};

use almanac_reconciler::{
    applied::{Applied, Assigned},
    clock,
    source::Repository,
    step::Step,
    store::{Loaded, Store, SyncOutcome},
    sync::{Reconciler, Round},
};

use crate::bed::{Bed, job_at_minute};

/// Each step this often.
const TURNS: usize = 3;

/// So many that removing them is held back.
const MANY: u64 = 24;

#[tokio::test]
async fn a_round_that_is_killed_at_any_step_is_as_if_it_had_not_begun_or_had_ended() {
    let crash_at = program();
    let bed = Bed::new();
    let store = Store::open(&bed.settings().database).await.unwrap();
    let mut history = History::new(&bed);
    round(&bed, &store, "main").await;
    let mut killed = 0;
    for turn in 0..TURNS * factor() {
        for step in 0..Step::ALL.len() {
            let what = format!("turn {turn}, killed after {:?}: {}", Step::ALL[step], history.next());
            let head = bed.git(&["rev-parse", "HEAD"]);
            let before = store.syncs(None, 1).await.unwrap()[0].id;
            let status = Command::new(&crash_at)
                .arg(step.to_string())
                .args([&*bed.settings().database, bed.repo().to_str().unwrap()])
                .arg(bed.path().join("mirror.git"))
                .stderr(Stdio::inherit())
                .status()
                .unwrap();
            assert!(status.success() || status.signal() == Some(9), "{what}: {status}");
            killed += usize::from(!status.success());

            let (Round::Unchanged(sync) | Round::Recorded(sync, _)) = round(&bed, &store, "main").await
            else {
                panic!("{what}: nobody suspended anything");
            };
            assert_eq!(sync.commit.id, head, "{what}");
            let recorded: Vec<_> = store.syncs(None, 10).await.unwrap();
            let since = recorded.iter().filter(|sync| sync.id > before).count();
            assert_eq!(since, 1, "{what}: it is recorded once");
            assert_eq!(
                usize::try_from(sync.findings),
                Ok(store.findings(sync.id).await.unwrap().len()),
                "{what}"
            );
            let changes = (sync.added + sync.changed + sync.removed) as usize;
            let (recorded, _) = store.changes_from(sync.id, 0, 1_000).await.unwrap();
            assert_eq!(recorded.len(), changes, "{what}");
            assert_eq!(sync.outcome, history.expected, "{what}: {}", sync.message);
            let good = store.applied_sync().await.unwrap().unwrap().commit.id;
            assert_same(&what, &store.load().await.unwrap(), &fresh(&bed, &good).await);
            assert_eq!(orphans(&store).await, 0, "{what}");
        }
    }
    assert!(killed >= TURNS * factor() * 4, "it was killed no more than {killed} times");
}

/// What is in force in a new database after a commit.
async fn fresh(bed: &Bed, commit: &str) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    bed.git(&["branch", "--force", "good", commit]);
    let store = Store::open(&format!("sqlite://{}/fresh.db", folder.path().display())).await.unwrap();
    round(bed, &store, "good").await;
    store.load().await.unwrap()
}

async fn round(bed: &Bed, store: &Store, branch: &str) -> Round {
    let location = bed.settings().location;
    let repository = Repository::new(location, branch, "", bed.path().join("mirror.git"));
    let mut reconciler = Reconciler::new(repository, store.clone()).await.unwrap();
    let round = reconciler.round(clock::now()).await.unwrap();
    let published = reconciler.applied().borrow().generations.clone();
    assert_eq!(published, store.load().await.unwrap().applied.generations, "what is told is what is written");
    round
}

/// Everything but generations, instants, and which of several commits declared a job.
fn assert_same(what: &str, one: &Loaded, other: &Loaded) {
    for loaded in [one, other] {
        assert!(loaded.unreadable.is_empty() && loaded.strays.is_empty(), "{what}: {loaded:?}");
    }
    let assigned = |applied: &Applied| -> Vec<_> {
        let parts = |parts: &Vec<Assigned>| -> Vec<_> {
            parts.iter().map(|part| (part.job.clone(), part.role)).collect()
        };
        applied.assignments.iter().map(|(node, all)| (node.clone(), parts(all))).collect()
    };
    let (one, other) = (&one.applied, &other.applied);
    assert_eq!(one.testbed, other.testbed, "{what}");
    assert_eq!(assigned(one), assigned(other), "{what}");
    assert_eq!(one.placements, other.placements, "{what}");
    assert!(one.origins.keys().eq(other.origins.keys()), "{what}");
    assert_eq!(one.commit(), other.commit(), "{what}");
}

/// How many rows are about something that is not there.
async fn orphans(store: &Store) -> i64 {
    let (count,): (i64,) = sqlx::query_as(
        "SELECT (SELECT COUNT(*) FROM findings WHERE sync_id NOT IN (SELECT id FROM syncs))
              + (SELECT COUNT(*) FROM changes WHERE sync_id NOT IN (SELECT id FROM syncs))
              + (SELECT COUNT(*) FROM jobs WHERE sync_id NOT IN (SELECT id FROM syncs WHERE outcome = 'applied'))
              + (SELECT COUNT(*) FROM nodes WHERE sync_id NOT IN (SELECT id FROM syncs WHERE outcome = 'applied'))
              + (SELECT COUNT(*) FROM users WHERE sync_id NOT IN (SELECT id FROM syncs WHERE outcome = 'applied'))
              + (SELECT COUNT(*) FROM assignments WHERE removed_at IS NULL
                   AND job NOT IN (SELECT name FROM jobs WHERE deleted_at IS NULL))",
    )
    .fetch_one(store.pool())
    .await
    .unwrap();
    count
}

/// A repository that somebody changes at random: the same way each time.
struct History<'a> {
    bed: &'a Bed,
    random: u64,
    /// What is to come of the last commit.
    expected: SyncOutcome,
    /// The last commit that is to be in force.
    good: String,
    count: u64,
}

impl<'a> History<'a> {
    fn new(bed: &'a Bed) -> Self {
        for number in 0..MANY {
            bed.write(&format!("jobs/j{number}.yaml"), job_at_minute(&format!("j{number}"), "london-01", 0));
        }
        bed.commit("a beginning");
        let good = bed.commit("users, nodes and jobs");
        Self { bed, random: 1, expected: SyncOutcome::Applied, good, count: 0 }
    }

    /// A number below a limit (SplitMix64, prng.di.unimi.it/splitmix64.c).
    fn below(&mut self, limit: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    /// Commits something, and says what.
    fn next(&mut self) -> String {
        self.count += 1;
        // Each goes on from the last that was good.
        self.bed.git(&["read-tree", "--reset", "-u", &self.good]);
        self.expected = SyncOutcome::Applied;
        let what = match self.below(8) {
            0 => {
                self.bed.write("jobs/bad.yaml", job_at_minute("bad", "nowhere", 0));
                self.expected = SyncOutcome::Rejected;
                "a bad job".to_owned()
            }
            // Held back where there are many, and said to be meant now and then.
            1 if self.jobs() >= 10 => {
                std::fs::remove_dir_all(self.bed.repo().join("jobs")).unwrap();
                let meant = self.below(2) == 0;
                if !meant {
                    self.expected = SyncOutcome::Waiting;
                }
                format!("all jobs removed\n\nAlmanac-Prune: {}", if meant { "yes" } else { "no" })
            }
            2 => {
                self.fill();
                "all jobs back".to_owned()
            }
            // The branch loses the commit that was looked at last.
            3 => {
                self.bed.git(&["reset", "--quiet", "--soft", "HEAD~1"]);
                format!("a rewritten branch, with {}", self.edit())
            }
            _ => self.edit(),
        };
        let commit = self.bed.commit(&format!("{} {what}", self.count));
        if self.expected == SyncOutcome::Applied {
            self.good = commit;
        }
        what
    }

    /// Adds, changes or removes a few jobs, a user or a node.
    fn edit(&mut self) -> String {
        for _ in 0..=self.below(4) {
            let number = self.below(MANY);
            let name = format!("j{number}");
            let path = self.bed.repo().join(format!("jobs/{name}.yaml"));
            if path.exists() && self.below(4) == 0 {
                std::fs::remove_file(path).unwrap();
            } else {
                let node = ["london-01", "paris-01"][usize::from(self.below(2) == 0)];
                let minute = u32::try_from(self.below(60)).unwrap();
                self.bed.write(&format!("jobs/{name}.yaml"), job_at_minute(&name, node, minute));
            }
        }
        let team = self.below(100);
        let user =
            "apiVersion: almanac/v1\nkind: User\nmetadata: { name: erin }\nspec: { role: user, keys: [] }\n";
        match self.below(3) {
            0 => self.bed.write("users/erin.yaml", user),
            1 => self.bed.write("users/erin.yaml", user.replace("keys", &format!("team: t{team}, keys"))),
            _ => {
                let _ = std::fs::remove_file(self.bed.repo().join("users/erin.yaml"));
            }
        }
        format!("an edit with {team}")
    }

    fn jobs(&self) -> usize {
        std::fs::read_dir(self.bed.repo().join("jobs")).map_or(0, Iterator::count)
    }

    fn fill(&self) {
        for number in 0..MANY {
            let name = format!("j{number}");
            let path = format!("jobs/{name}.yaml");
            if !self.bed.repo().join(&path).exists() {
                self.bed.write(&path, job_at_minute(&name, "paris-01", 0));
            }
        }
    }
}

/// The program of `examples/crash_at.rs`, which `cargo test` makes with the tests unless it is told to make one
/// of them only.
fn program() -> PathBuf {
    // The tests lie in `target/PROFILE/deps`.
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().with_file_name("examples").join("crash_at");
    assert!(program.exists(), "make it with `cargo build -p almanac-reconciler --example crash_at`");
    program
}

fn factor() -> usize {
    std::env::var_os("ALMANAC_NIGHTLY").map_or(1, |factor| factor.to_str().unwrap().parse().unwrap())
}
