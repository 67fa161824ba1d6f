//! `plan`, `codeowners` and `--author`: what they print and how they end.

use std::{fmt::Write, sync::Arc};

use almanac_validate::{
    Declared, Entry, Source, check, novelty,
    plan::Preview,
    render::{
        markdown::MAX_LENGTH,
        plan::{Proposal, markdown},
    },
};

use crate::git::{Repo, World, job, node, user};

const NOW: &str = "--now=2027-03-01T00:00:00Z";

const WINDOW: &str = "start: 2027-01-01T00:00:00Z, end: 2027-12-01T00:00:00Z";

/// A testbed on `main` and a change of it on a branch.
fn change(world: &World) -> Repo {
    let repo = world.repo("repo");
    repo.write("ann.yaml", &user("ann", "{ role: admin, login: ann-example }"));
    repo.write("bob.yaml", &user("bob", "{ team: a }"));
    repo.write("n1.yaml", &node("n1", "{ owner: ann }")).write("n2.yaml", &node("n2", "{ owner: ann }"));
    let often = format!("cron: \"*/15 * * * *\", {WINDOW}, length: 2m");
    repo.write("jobs/same.yaml", &job("same", "n2", &format!("cron: \"3 3 * * *\", {WINDOW}, length: 10m")));
    repo.write("jobs/slower.yaml", &job("slower", "n1", &often));
    repo.write("jobs/gone.yaml", &job("gone", "n2", &often));
    repo.commit();
    repo.git(&["checkout", "-q", "-b", "change"]);
    repo.git(&["rm", "-q", "jobs/gone.yaml"]);
    let seldom = format!("cron: \"*/30 * * * *\", {WINDOW}, length: 2m, startDeadline: 10s");
    repo.write("jobs/slower.yaml", &job("slower", "n1", &seldom).replace("[n1]", "[n1, n2]"));
    let nightly = format!("cron: \"30 1 * * *\", timezone: Europe/London, {WINDOW}, length: 5m");
    repo.write("jobs/new.yaml", &job("new", "n1", &nightly));
    repo.write("bob.yaml", &user("bob", "{ team: b, displayName: Bob }"));
    repo.write("n3.yaml", &node("n3", "{ owner: bob }"));
    repo.commit();
    repo
}

#[test]
fn a_plan_in_every_form() {
    let world = World::new();
    let repo = change(&world);
    let plan = |format: &str| repo.run(&["plan", "--base=main", "--rev=change", NOW, "--format", format]);
    let human = plan("human");
    assert_eq!((human.code, human.stderr.as_str()), (1, ""), "`new` and `slower` conflict");
    insta::assert_snapshot!("plan_human", human.stdout);
    insta::assert_snapshot!("plan_markdown", plan("markdown").stdout);
    insta::assert_snapshot!("plan_json", plan("json").stdout);
}

#[test]
fn files_that_are_kept_for_less_time_are_said() {
    let world = World::new();
    let repo = change(&world);
    let hourly = format!("cron: \"7 * * * *\", {WINDOW}, length: 2m");
    let kept = |name: &str, retention: &str| {
        let text = format!("{}  artifacts: {{ retention: {retention} }}\n", job(name, "n3", &hourly));
        repo.write(&format!("jobs/{name}.yaml"), &text);
    };
    let settings = |retention: &str| {
        let spec = format!("spec: {{ artifacts: {{ retention: {retention} }} }}\n");
        let head = "apiVersion: almanac/v1\nkind: Config\nmetadata: { name: global }\n";
        repo.write("config.yaml", &(head.to_owned() + &spec));
    };
    for (name, before) in [("shorter", "90d"), ("longer", "30d"), ("nothing", "90d")] {
        kept(name, before);
    }
    settings("60d");
    repo.commit();
    for (name, after) in [("shorter", "7d"), ("longer", "90d")] {
        kept(name, after);
    }
    repo.write("jobs/nothing.yaml", &job("nothing", "n3", &hourly));
    settings("50d");
    let plan = repo.run(&["plan", "--base=HEAD", NOW]).stdout;
    let said: Vec<&str> = plan.lines().filter(|line| line.contains("instead of")).collect();
    let end = "older ones are removed at once, but of kept runs";
    let expected = [
        format!("files of runs of `nothing` are kept for 50d instead of 90d: {end}"),
        format!("files of runs of `shorter` are kept for 7d instead of 90d: {end}"),
        format!("files of runs of all jobs that declare no retention are kept for 50d instead of 60d: {end}"),
    ];
    assert!(
        said.len() == 3 && said.iter().zip(&expected).all(|(said, expected)| said.contains(expected)),
        "{plan}"
    );
}

#[test]
fn how_a_plan_ends() {
    let world = World::new();
    let repo = change(&world);
    let plan = |arguments: &[&str]| repo.run(&[&["plan", NOW][..], arguments].concat());
    let nothing = plan(&["--base=main", "--rev=main"]);
    assert_eq!(nothing.code, 0);
    assert!(
        nothing.stdout.ends_with(": nothing changes\n\n7 files checked, nothing found\n"),
        "{}",
        nothing.stdout
    );
    repo.write("jobs/new.yaml", &job("new", "n1", &format!("cron: \"33 1 * * *\", {WINDOW}, length: 5m")));
    assert_eq!(plan(&["--base=main"]).code, 3, "{}", plan(&["--base=main"]).stdout);
    assert_eq!(plan(&["--base=nowhere"]).code, 2);
    assert_eq!(plan(&[]).code, 2, "a plan needs a base");
    // A file that moves, a comment, and a README are no change.
    repo.git(&["checkout", "-q", "-f", "main"]);
    repo.git(&["mv", "n1.yaml", "nodes.yaml"]);
    repo.write("README.md", "x")
        .write("ann.yaml", &format!("# Ann.\n{}", user("ann", "{ login: ann-example, role: admin }")));
    assert_eq!(plan(&["--base=main"]).code, 0);
}

#[test]
fn a_base_with_errors_is_read_as_far_as_it_goes() {
    let world = World::new();
    let repo = world.repo("repo");
    repo.write("ann.yaml", &user("ann", "{ role: admin }")).write("bob.yaml", &user("bob", "{ teem: a }"));
    repo.write("broken.yaml", "a: [\n").commit();
    repo.write("bob.yaml", &user("bob", "{ team: a }")).write("cyd.yaml", &user("cyd", "{}"));
    repo.git(&["rm", "-q", "broken.yaml"]);
    let ran = repo.run(&["plan", "--base=main", NOW]);
    assert_eq!(ran.code, 3);
    insta::assert_snapshot!("plan_of_a_base_with_errors", ran.stdout);
}

#[test]
fn what_an_author_may_not_do_is_a_finding() {
    let world = World::new();
    let repo = change(&world);
    repo.git(&["rm", "-q", "jobs/new.yaml"]);
    let check = |author: &str| repo.run(&["check", "--base=main", NOW, "--author", author]);
    assert_eq!(check("Ann-Example").stdout, "7 files checked, nothing found\n");
    let bob = check("bob");
    assert_eq!(bob.code, 1);
    insta::assert_snapshot!("check_author", bob.stdout);
    assert_eq!(repo.run(&["plan", "--base=main", NOW, "--author=bob"]).code, 1);
    let unknown = check("mallory").stdout;
    assert!(unknown.contains("= help: no user has this login or name; an admin (`ann`) may"), "{unknown}");
    assert_eq!(repo.run(&["check", "--author=bob"]).code, 2, "a change needs a base");
}

#[test]
fn five_hundred_jobs_are_a_table() {
    let world = World::new();
    let repo = world.repo("repo");
    repo.write("ann.yaml", &user("ann", "{}")).write("n.yaml", &node("n", "{ owner: ann }")).commit();
    let mut jobs = String::new();
    for index in 0..500 {
        let at = format!("cron: \"{} {} * * *\", {WINDOW}, length: 1m", index % 30 * 2, index / 30);
        let _ = writeln!(jobs, "{}---", job(&format!("job-{index:03}"), "n", &at));
    }
    repo.write("jobs.yaml", &jobs);
    let ran = repo.run(&["plan", "--base=main", NOW]);
    assert_eq!(ran.code, 3);
    assert!(ran.stdout.lines().count() < 520, "{} lines", ran.stdout.lines().count());
    assert!(ran.stdout.lines().all(|line| line.chars().count() < 120));
    let start: Vec<_> = ran.stdout.lines().take(6).collect();
    insta::assert_snapshot!("plan_of_many_jobs", start.join("\n"));
}

#[test]
fn jobs_that_change_in_great_number_are_a_table_as_well() {
    let world = World::new();
    let repo = world.repo("repo");
    repo.write("ann.yaml", &user("ann", "{}")).write("n.yaml", &node("n", "{ owner: ann }"));
    let write = |length: u8| {
        for index in 0..60 {
            let at =
                format!("cron: \"{index} 4 1 * *\", {WINDOW}, length: {length}s, startDeadline: {length}s");
            repo.write(&format!("{index}.yaml"), &job(&format!("job-{index:02}"), "n", &at));
        }
    };
    write(20);
    repo.commit();
    write(30);
    let text = repo.run(&["plan", "--base=main", NOW]).stdout;
    assert!(text.contains("\nand 20 more fields (--format json has them)\n"), "{text}");
    let fields = "job     field                        before  after\n\
                  job-00  spec.schedule.length         \"20s\"   \"30s\"\n\
                  job-00  spec.schedule.startDeadline  \"20s\"   \"30s\"\n";
    assert!(text.contains(fields), "{text}");
}

#[test]
fn jobs_run_elsewhere_when_labels_change() {
    let world = World::new();
    let repo = world.repo("repo");
    repo.write("ann.yaml", &user("ann", "{}"));
    let label = |name: &str, label: &str| {
        node(name, "{ owner: ann }").replace(name, &format!("{name}, labels: {{ link: {label} }}"))
    };
    let at = format!("cron: \"0 * * * *\", {WINDOW}, length: 36s");
    repo.write("job.yaml", &job("ping", "x", &at).replace("nodes: [x]", "nodeSelector: { link: dish }"));
    repo.write("n1.yaml", &label("n1", "dish")).write("n2.yaml", &label("n2", "fibre")).commit();
    repo.write("n1.yaml", &label("n1", "fibre")).write("n2.yaml", &label("n2", "dish"));
    let text = repo.run(&["plan", "--base=main", NOW]).stdout;
    assert!(text.contains("\n  job ping, itself unchanged, runs also on n2, no longer on n1\n"), "{text}");
    assert!(text.contains("n1    1.1 %   0.0 %\n    n2    0.0 %   1.1 %\n"), "{text}");
    let json = repo.run(&["plan", "--base=main", NOW, "--format=json"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["moved"], serde_json::json!([{ "job": "ping", "gained": ["n2"], "lost": ["n1"] }]));
}

#[test]
fn owners_of_files_are_relative_to_the_repository() {
    let world = World::new();
    let repo = change(&world);
    let all = repo.run(&["codeowners"]);
    assert_eq!(all.code, 0);
    insta::assert_snapshot!("codeowners", all.stdout);
    repo.write("my bed/ann.yaml", &user("ann", "{ role: admin, login: ann-example }"));
    repo.write("my bed/bob.yaml", &user("bob", "{ login: bob-example }"));
    let below = repo.run(&["codeowners", "my bed"]).stdout;
    assert!(
        below.ends_with("\n/my\\ bed/ @ann-example\n/my\\ bed/bob.yaml @bob-example @ann-example\n"),
        "{below}"
    );
    repo.commit();
    assert_eq!(repo.run(&["codeowners", "my bed", "--rev=HEAD"]).stdout, below);
    let plain = world.at("plain");
    plain.write("bob.yaml", &user("bob", "{ login: bob-example }"));
    assert!(plain.run(&["codeowners"]).stdout.ends_with("\n/bob.yaml @bob-example\n"));
}

fn sources(files: &[(String, String)]) -> Vec<Arc<Source>> {
    files.iter().map(|(path, text)| Arc::new(Source::read(path, Entry::File(text.as_bytes())))).collect()
}

/// The plan from one set of files to another in Markdown.
fn comment(base: &[(String, String)], tree: &[(String, String)]) -> String {
    let (base, tree) = (sources(base), sources(tree));
    let now = "2027-03-01T00:00:00Z".parse().unwrap();
    let base_report = check(&base, now);
    let mut report = check(&tree, now);
    novelty::mark(&mut report, &tree, &base_report, &base);
    let (from, to) = (Declared::new(&base), Declared::new(&tree));
    let preview = Preview::between(&from, &to, now);
    markdown(&Proposal {
        preview: &preview,
        base: "main`@x|",
        tree: "change",
        base_errors: 0,
        report: &report,
    })
}

#[test]
fn a_comment_is_bounded_and_says_what_is_left_out() {
    let mut files =
        vec![("ann.yaml".to_owned(), user("ann", "{}")), ("n.yaml".to_owned(), node("n", "{ owner: ann }"))];
    let few = files.clone();
    for index in 0..2_000 {
        let at = format!("cron: \"0 {} * * *\", timezone: Europe/London, {WINDOW}, length: 1m", index % 24);
        let job = job(&format!("job-{}-{index}", "x".repeat(50)), "n", &at)
            .replace("spec:", "spec:\n  exclusive: false");
        files.push((format!("{index}.yaml"), job));
    }
    let text = comment(&few, &files);
    assert!((20_000..MAX_LENGTH).contains(&text.len()), "{}", text.len());
    assert!(text.contains("1900 more left out here; `almanac-validate plan` shows them."), "{text}");
    assert!(text.starts_with(
        "### Plan: 2000 added, 0 changed, 0 removed\n\nFrom <code>main&#96;&#64;x&#124;</code> to <code>change</code>."
    ));
}

/// Whatever a manifest says stays within code.
#[test]
fn a_comment_holds_no_markup_of_manifests() {
    let evil = "@org/all `x` | <img src=x onerror=alert(1)> [a](http://b) \\\\| www.example.org #1\\n| x |";
    let base = vec![
        ("ann.yaml".to_owned(), user("ann", "{ displayName: a }")),
        ("n.yaml".to_owned(), node("n", "{ owner: ann }")),
    ];
    let tree = vec![
        ("a|b `@c`.yaml".to_owned(), user("ann", &format!("{{ displayName: \"{evil}\" }}"))),
        (
            "n.yaml".to_owned(),
            node("n", &format!("{{ owner: ann, description: \"{evil}\", \"{evil}\": 1 }}")),
        ),
        ("bad.yaml".to_owned(), user(&format!("\"{evil}\""), "{}")),
    ];
    let text = comment(&base, &tree);
    assert!(text.contains("alert(1)"), "the value is shown: {text}");
    // Rows are as wide as their heads: no bar ends a cell early.
    let mut width = 0;
    for line in text.lines() {
        let bars = line.matches('|').count();
        width = if line.starts_with('|') { if width == 0 { bars } else { width } } else { 0 };
        assert_eq!(bars, width, "{line}");
        // Without its code, a line holds words alone.
        let mut rest = line.to_owned();
        while let (Some(start), Some(end)) = (rest.find("<code>"), rest.find("</code>")) {
            assert!(!rest[start + 6..end].contains(['<', '@', '`', '[', '\n']), "{line}");
            rest.replace_range(start..end + 7, "");
        }
        let plain: String = rest.split('`').step_by(2).collect();
        assert!(rest.matches('`').count() % 2 == 0, "{line}");
        assert!(!plain.replace("<br>", "").contains(['@', '<', '[', '\\']), "{line}");
    }
}
