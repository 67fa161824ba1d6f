//! `schema` and `completions`: what the program says about itself and its manifests.

use std::path::Path;

use almanac_schemas::{Kind, json_schema};

use crate::command::{run, text};

fn printed(arguments: &[&str]) -> String {
    let output = run(Path::new("/"), arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

#[test]
fn schemas_are_those_that_are_checked_in() {
    for kind in Kind::ALL {
        let lower = kind.as_str().to_lowercase();
        let files = json_schema::files();
        let (_, file) = files.iter().find(|(name, _)| *name == format!("{lower}.json")).unwrap();
        for word in [kind.as_str(), &lower, &kind.as_str().to_uppercase()] {
            assert_eq!(printed(&["schema", word]), *file);
        }
    }
    let any: serde_json::Value = serde_json::from_str(&printed(&["schema"])).unwrap();
    assert_eq!(any["title"], "Almanac manifest");
    assert_eq!(any.pointer("/$defs/Node/title").unwrap(), "Almanac Node");
    let wrong = run(Path::new("/"), &["schema", "jop"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        text(&wrong.stderr).contains("[possible values: User, Node, Job, Config]"),
        "{}",
        text(&wrong.stderr)
    );
}

#[test]
fn every_shell_is_told_of_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&["completions", shell]);
        for word in ["check", "watch", "schedule", "slot", "schema", "--timezone", "--every"] {
            // Fish leaves the hyphens out.
            assert!(script.contains(word.trim_start_matches('-')), "{shell}: {word}");
        }
    }
}
