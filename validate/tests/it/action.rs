//! The GitHub Action at the root of the repository: its steps are carried out as a runner does it, with
//! the program of this build.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use serde_yaml::Value;

use crate::git::{Repo, World, job, node, user};

const USER: &str = "apiVersion: almanac/v1\nkind: User\nmetadata: { name: alice }\nspec: {}\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn action() -> Value {
    serde_yaml::from_str(&fs::read_to_string(root().join("action.yml")).unwrap()).unwrap()
}

/// A checkout in which the action runs.
struct Runner {
    folder: World,
    inputs: BTreeMap<String, String>,
    /// What is known of the event that the workflow runs for.
    event: BTreeMap<String, String>,
    /// Where programs that are built are kept.
    cache: Option<std::path::PathBuf>,
}

/// What is there after a run.
struct Ran {
    succeeded: bool,
    outputs: BTreeMap<String, String>,
    summary: String,
    log: String,
}

impl Runner {
    /// A checkout with a folder of manifests.
    fn new(manifests: &str, files: &[(&str, &str)]) -> Self {
        let folder = World::new();
        for name in ["checkout", "temp", "files"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let manifests = folder.path().join("checkout").join(manifests);
        fs::create_dir_all(&manifests).unwrap();
        for (path, text) in files {
            fs::write(manifests.join(path), text).unwrap();
        }
        let program = env!("CARGO_BIN_EXE_almanac-validate").to_owned();
        Self {
            folder,
            inputs: BTreeMap::from([("program".to_owned(), program)]),
            event: BTreeMap::new(),
            cache: None,
        }
    }

    /// The checkout of a pull request: a testbed, a change of it, and who proposes the change.
    fn of_pull_request(author: &str, change: impl FnOnce(&Repo)) -> Self {
        let mut runner = Self::new(".", &[]);
        let repo = runner.folder.repo("checkout");
        repo.write(
            "users.yaml",
            &(user("ann", "{ role: admin, login: ann-x }") + "---\n" + &user("bob", "{ login: bob-x }")),
        );
        repo.write("n1.yaml", &node("n1", "{ owner: ann }"));
        // An error that is there already.
        repo.write("old.yaml", &job("old", "nowhere", &every_day(20)));
        let base = repo.commit();
        change(&repo);
        repo.commit();
        let event = [("base.sha", base.trim()), ("user.login", author)];
        let known =
            event.map(|(name, value)| (format!("github.event.pull_request.{name}"), value.to_owned()));
        runner.event.extend(known);
        runner
    }

    fn with(mut self, input: &str, value: &str) -> Self {
        self.inputs.insert(input.to_owned(), value.to_owned());
        self
    }

    fn run(&self) -> Ran {
        let action = action();
        let mut contexts = BTreeMap::from([("runner.os".to_owned(), "Linux".to_owned())]);
        for (name, input) in action["inputs"].as_mapping().unwrap() {
            let name = name.as_str().unwrap();
            let default = input["default"].as_str().unwrap().to_owned();
            let default = expanded(&default, &self.event);
            contexts.insert(format!("inputs.{name}"), self.inputs.get(name).cloned().unwrap_or(default));
        }
        let mut ran =
            Ran { succeeded: true, outputs: BTreeMap::new(), summary: String::new(), log: String::new() };
        for step in action["runs"]["steps"].as_sequence().unwrap() {
            let due = step["if"].as_str().is_none_or(|condition| holds(condition, &contexts));
            // Nothing is in the cache here, and nobody asks for what it holds.
            if !ran.succeeded || !due || step["uses"].is_string() {
                continue;
            }
            let outputs = self.step(step, &contexts, &mut ran);
            if let Some(id) = step["id"].as_str() {
                contexts.extend(
                    outputs.into_iter().map(|(name, value)| (format!("steps.{id}.outputs.{name}"), value)),
                );
            }
        }
        for (name, output) in action["outputs"].as_mapping().unwrap() {
            let value = expanded(output["value"].as_str().unwrap(), &contexts);
            ran.outputs.insert(name.as_str().unwrap().to_owned(), value);
        }
        ran
    }

    /// Runs the script of a step, and returns its outputs.
    fn step(
        &self,
        step: &Value,
        contexts: &BTreeMap<String, String>,
        ran: &mut Ran,
    ) -> BTreeMap<String, String> {
        assert_eq!(step["shell"], "bash");
        let file = |name: &str| self.folder.path().join("files").join(name);
        fs::write(file("script"), step["run"].as_str().unwrap()).unwrap();
        fs::write(file("output"), "").unwrap();
        fs::write(file("summary"), "").unwrap();
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-eo", "pipefail"]).arg(file("script"));
        command.current_dir(self.folder.path().join("checkout"));
        command.env("GITHUB_ACTION_PATH", root()).env("RUNNER_TEMP", self.folder.path().join("temp"));
        command.env("GITHUB_OUTPUT", file("output")).env("GITHUB_STEP_SUMMARY", file("summary"));
        if let Some(cache) = &self.cache {
            // The same steps with less time spent on making the program fast.
            command.env("XDG_CACHE_HOME", cache).env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0");
            command.env("CARGO_TARGET_DIR", root().join("target/action"));
        }
        for (name, value) in step["env"].as_mapping().into_iter().flatten() {
            command.env(name.as_str().unwrap(), expanded(value.as_str().unwrap(), contexts));
        }
        let output = command.output().unwrap();
        ran.succeeded = output.status.success();
        ran.log += &String::from_utf8(output.stdout).unwrap();
        ran.log += &String::from_utf8(output.stderr).unwrap();
        ran.summary += &fs::read_to_string(file("summary")).unwrap();
        let outputs = fs::read_to_string(file("output")).unwrap();
        let outputs = outputs.lines().map(|line| line.split_once('=').unwrap());
        outputs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn checkout(&self) -> std::path::PathBuf {
        self.folder.path().join("checkout")
    }
}

fn every_day(hour: u8) -> String {
    format!("cron: \"0 {hour} * * *\", start: 2126-01-01T00:00:00Z, end: 2127-01-01T00:00:00Z, length: 5m")
}

/// A text with its expressions replaced. What is not known is empty, as it is for a runner.
fn expanded(text: &str, contexts: &BTreeMap<String, String>) -> String {
    let Some((before, rest)) = text.split_once("${{") else { return text.to_owned() };
    let (expression, after) = rest.split_once("}}").unwrap();
    let value = contexts.get(expression.trim()).cloned().unwrap_or_default();
    format!("{before}{value}{}", expanded(after, contexts))
}

/// Whether a condition holds: comparisons with texts, joined by `&&`.
fn holds(condition: &str, contexts: &BTreeMap<String, String>) -> bool {
    condition.split("&&").all(|comparison| {
        let (equal, (name, text)) = match comparison.split_once("!=") {
            Some(sides) => (false, sides),
            None => (true, comparison.split_once("==").unwrap()),
        };
        let value = contexts.get(name.trim()).map_or("", String::as_str);
        (value == text.trim().strip_prefix('\'').unwrap().strip_suffix('\'').unwrap()) == equal
    })
}

#[test]
fn a_clean_checkout_passes() {
    let runner = Runner::new(".", &[("alice.yaml", USER)]);
    let ran = runner.run();
    assert!(ran.succeeded, "{}", ran.log);
    assert_eq!(ran.outputs["exit-code"], "0");
    assert_eq!(ran.summary, "**Valid.** 1 file checked, nothing found\n");
    assert_eq!(ran.log, "1 file checked, nothing found\n");
    let sarif = fs::read_to_string(runner.checkout().join(&ran.outputs["sarif"])).unwrap();
    assert!(sarif.contains(r#""results": []"#), "{sarif}");
    assert_eq!([&ran.outputs["plan"], &ran.outputs["changed"]], ["", ""]);
}

#[test]
fn findings_fail_and_are_shown_everywhere() {
    let runner = Runner::new("test bed", &[("a.yaml", &USER.replace("{}", "{ teem: x }"))])
        .with("path", "test bed")
        .with("sarif", "a b.sarif");
    let ran = runner.run();
    assert!(!ran.succeeded);
    assert_eq!(ran.outputs["exit-code"], "1");
    assert!(ran.log.starts_with("::error title=unknown-field,file=test bed/a.yaml,line=4"), "{}", ran.log);
    assert!(ran.summary.starts_with("**Not valid.** 1 file checked: 1 error\n"), "{}", ran.summary);
    assert_eq!(fs::read_to_string(&ran.outputs["markdown"]).unwrap(), ran.summary);
    assert_eq!([&ran.outputs["findings"], &ran.outputs["errors"]], ["1", "1"]);
    assert!(fs::read_to_string(&ran.outputs["json"]).unwrap().contains(r#""rule": "unknown-field""#));
    assert_eq!(ran.outputs["sarif"], "a b.sarif");
    let sarif = fs::read_to_string(runner.checkout().join("a b.sarif")).unwrap();
    assert!(sarif.contains(r#""uri": "test%20bed/a.yaml""#), "{sarif}");
}

#[test]
fn what_could_not_be_checked_has_no_results() {
    let runner = Runner::new(".", &[]).with("path", "nowhere");
    fs::write(runner.checkout().join("almanac.sarif"), "of an earlier run").unwrap();
    let ran = runner.run();
    assert!(!ran.succeeded);
    assert_eq!(ran.outputs["exit-code"], "2");
    assert_eq!([&ran.outputs["sarif"], &ran.outputs["markdown"], &ran.summary], ["", "", ""]);
    assert_eq!([&ran.outputs["findings"], &ran.outputs["errors"], &ran.outputs["json"]], ["", "", ""]);
    assert_eq!(
        ran.log,
        "::error title=almanac-validate::The check could not be run. The log of this step says why.\n\
         error: cannot read `nowhere`: No such file or directory (os error 2)\n"
    );
}

#[test]
fn inputs_are_values_and_never_code() {
    for path in ["$(touch pwned)", "`touch pwned`", "a; touch pwned", "'\"\\ $HOME *", "--help"] {
        let runner = Runner::new(path, &[("alice.yaml", USER)]).with("path", path);
        let ran = runner.run();
        assert!(ran.succeeded, "{path}: {}", ran.log);
        assert_eq!(ran.log, "1 file checked, nothing found\n", "{path}");
        assert!(!runner.checkout().join("pwned").exists(), "{path}");
    }
    for base in ["--help", "$(touch pwned)", "; touch pwned"] {
        let change = |repo: &Repo| {
            repo.write("README.md", "");
        };
        let runner = Runner::of_pull_request("--help", change).with("base", base);
        let ran = runner.run();
        assert_eq!(ran.outputs["exit-code"], "2", "{base}: {}", ran.log);
        assert!(ran.log.contains("error: there is no revision `"), "{base}: {}", ran.log);
        assert!(!runner.checkout().join("pwned").exists(), "{base}");
    }
    for step in action()["runs"]["steps"].as_sequence().unwrap() {
        let run = step["run"].as_str().unwrap_or_default();
        assert!(!run.contains("${{"), "an expression in the text of a script:\n{run}");
    }
}

#[test]
fn a_pull_request_is_compared_with_its_base() {
    let add = |repo: &Repo| {
        repo.write("new.yaml", &job("new", "n1", &every_day(1)).replace("ann", "bob"));
    };
    let runner = Runner::of_pull_request("bob-x", add).with("only-new", "true");
    let ran = runner.run();
    assert!(ran.succeeded, "that something changes is no failure: {}", ran.log);
    assert_eq!(
        [&ran.outputs["exit-code"], &ran.outputs["changed"], &ran.outputs["findings"]],
        ["0", "true", "0"]
    );
    assert_eq!(ran.log, "4 files checked, nothing found; 1 finding of the base left out\n");
    let plan = fs::read_to_string(&ran.outputs["plan"]).unwrap();
    assert!(plan.starts_with("### Plan: 1 added, 0 changed, 0 removed\n"), "{plan}");
    assert!(ran.summary.starts_with("**Valid.**") && ran.summary.ends_with(&plan), "{}", ran.summary);

    // What was wrong already counts when new findings are not asked for alone.
    let ran = Runner::of_pull_request("bob-x", add).run();
    assert_eq!((ran.succeeded, ran.outputs["exit-code"].as_str()), (false, "1"), "{}", ran.log);
    assert_eq!([&ran.outputs["errors"], &ran.outputs["plan"]], ["1", ""]);

    let nothing = |repo: &Repo| {
        repo.write("README.md", "no manifest");
    };
    let ran = Runner::of_pull_request("bob-x", nothing).with("only-new", "true").run();
    assert_eq!((ran.succeeded, ran.outputs["changed"].as_str()), (true, "false"), "{}", ran.log);
}

#[test]
fn the_author_of_a_pull_request_needs_the_right() {
    let change = |repo: &Repo| {
        repo.write("n1.yaml", &node("n1", "{ owner: bob }"));
    };
    let run = |author: &str| Runner::of_pull_request(author, change).with("only-new", "true").run();
    let ran = run("bob-x");
    assert!(!ran.succeeded);
    assert!(ran.log.starts_with("::error title=new%3A ownership,file=n1.yaml,line="), "{}", ran.log);
    assert!(run("ann-x").succeeded);
    let unasked = Runner::of_pull_request("bob-x", change).with("only-new", "true").with("author", "");
    assert!(unasked.run().succeeded, "an empty author is nobody");
    let alone = Runner::of_pull_request("bob-x", change).with("base", "");
    assert_eq!(alone.run().outputs["errors"], "1", "without a base there is no change to have a right for");
}

#[test]
fn a_checkout_without_history_is_told_how_to_get_it() {
    let mut runner = Runner::of_pull_request("ann-x", |repo| {
        repo.write("n2.yaml", &node("n2", "{ owner: ann }"));
    });
    let full = runner.folder.at("checkout");
    let world = World::new();
    world.clone_of(&full, "checkout", &["--depth=1"]);
    for name in ["temp", "files"] {
        fs::create_dir(world.path().join(name)).unwrap();
    }
    let _whole = std::mem::replace(&mut runner.folder, world);
    let ran = runner.run();
    assert_eq!((ran.succeeded, ran.outputs["exit-code"].as_str()), (false, "2"));
    assert!(
        ran.log.trim_end().ends_with("or in a workflow with `fetch-depth: 0` of `actions/checkout`"),
        "{}",
        ran.log
    );
}

#[test]
#[ignore = "needs minutes: it builds the program anew"]
fn without_a_program_it_is_built_from_the_action_itself() {
    let cache = tempfile::tempdir().unwrap();
    let mut runner = Runner::new(".", &[("alice.yaml", USER)]).with("program", "");
    runner.cache = Some(cache.path().to_path_buf());
    let ran = runner.run();
    assert!(ran.succeeded, "{}", ran.log);
    assert!(ran.log.ends_with("1 file checked, nothing found\n"), "{}", ran.log);
}
