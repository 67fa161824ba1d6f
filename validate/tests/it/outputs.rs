//! Several forms in one run, each in a place of its own.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Output, Stdio},
};

const USER: &str = "apiVersion: almanac/v1\nkind: User\nmetadata: { name: alice }\nspec: {}\n";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), USER.replace("{}", "{ teem: x }")).unwrap();
    folder
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_almanac-validate"));
    command.current_dir(folder).arg("check").args(arguments);
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TERM"] {
        command.env_remove(variable);
    }
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The names in a folder: nothing temporary is left behind.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn several_forms_are_written_in_one_run() {
    let folder = folder();
    let path = folder.path();
    let outputs = ["--output", "sarif=out.sarif", "--output", "junit=report.xml", "--output", "human=a.txt"];
    let output = run(path, &outputs);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).starts_with("error[unknown-field]"));
    assert_eq!(text(&output.stderr), "");
    assert_eq!(names(path), ["a.txt", "a.yaml", "out.sarif", "report.xml"]);
    assert!(fs::read_to_string(path.join("out.sarif")).unwrap().contains(r#""ruleId": "unknown-field""#));
    assert!(fs::read_to_string(path.join("report.xml")).unwrap().starts_with("<?xml"));
    let human = fs::read_to_string(path.join("a.txt")).unwrap();
    assert!(human.starts_with("error[unknown-field]") && !human.contains('\u{1b}'), "{human}");
    let mode = fs::metadata(path.join("out.sarif")).unwrap().permissions().mode();
    assert_eq!(mode & 0o600, 0o600);
    assert_eq!(mode, fs::metadata(path.join("a.yaml")).unwrap().permissions().mode(), "as any new file");
}

#[test]
fn a_dash_is_standard_output() {
    let folder = folder();
    let output = run(folder.path(), &["--output", "json=-"]);
    assert_eq!(output.status.code(), Some(1));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["summary"]["errors"], 1);
}

#[test]
fn two_forms_in_one_place_are_refused_before_anything_is_done() {
    let folder = folder();
    let path = folder.path();
    let stdout = "error: two formats are to be written to standard output; \
                  give one of them a file: `--output FORMAT=FILE`\n";
    for arguments in
        [&["--output", "json=-", "--output", "sarif=-"][..], &["--format", "json", "--output", "json=-"]]
    {
        let output = run(path, arguments);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(2), stdout));
        assert_eq!(text(&output.stdout), "");
    }
    let twice = run(path, &["--output", "json=x.json", "--output", "sarif=./x.json"]);
    assert_eq!(twice.status.code(), Some(2));
    assert_eq!(
        text(&twice.stderr),
        "error: two formats are to be written to `./x.json`; give each a file of its own\n"
    );
    fs::write(path.join("y"), "").unwrap();
    symlink("y", path.join("z")).unwrap();
    let linked = run(path, &["--output", "json=y", "--output", "sarif=z"]);
    assert_eq!(linked.status.code(), Some(2));
    assert_eq!(names(path), ["a.yaml", "y", "z"]);
}

#[test]
fn what_is_not_an_output_is_explained() {
    let folder = folder();
    for (argument, message) in [
        ("sarif", "expected a format and a file, such as `sarif=out.sarif`"),
        (
            "html=x",
            "`html` is not a format; those are `human`, `json`, `sarif`, `github`, `junit` and `markdown`",
        ),
        ("json=", "the name of the file is missing; `-` is standard output"),
    ] {
        let output = run(folder.path(), &["--output", argument]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(message), "{}", text(&output.stderr));
    }
}

#[test]
fn a_file_that_cannot_be_written_does_not_stop_the_others() {
    let folder = folder();
    let path = folder.path();
    fs::create_dir(path.join("folder")).unwrap();
    let outputs =
        ["--output", "json=no/such/x.json", "--output", "junit=folder", "--output", "sarif=out.sarif"];
    let output = run(path, &outputs);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        text(&output.stderr),
        "error: cannot write `no/such/x.json`: No such file or directory (os error 2)\n\
         error: cannot write `folder`: is a directory\n"
    );
    assert!(text(&output.stdout).starts_with("error[unknown-field]"));
    assert!(path.join("out.sarif").exists());
}

#[test]
fn files_are_replaced_whole_and_what_is_no_file_is_written_to() {
    let folder = folder();
    let path = folder.path();
    fs::create_dir(path.join("elsewhere")).unwrap();
    fs::write(path.join("elsewhere/old.json"), "old").unwrap();
    fs::set_permissions(path.join("elsewhere/old.json"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("elsewhere/old.json", path.join("link.json")).unwrap();
    fs::hard_link(path.join("elsewhere/old.json"), path.join("before.json")).unwrap();
    let output = run(path, &["--output", "json=link.json", "--output", "sarif=/dev/null"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let new = fs::read_to_string(path.join("elsewhere/old.json")).unwrap();
    assert!(new.starts_with('{'), "{new}");
    assert!(path.join("link.json").is_symlink());
    assert_eq!(fs::read_to_string(path.join("before.json")).unwrap(), "old", "no file is changed in place");
    let mode = fs::metadata(path.join("elsewhere/old.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    assert_eq!(names(&path.join("elsewhere")), ["old.json"]);
}

#[test]
fn an_open_file_of_the_system_is_written_to_and_not_replaced() {
    let folder = folder();
    let path = folder.path().join("out.txt");
    let mut command = command(folder.path(), &["--output", "json=/dev/stdout"]);
    let out = fs::File::options().append(true).create(true).open(&path).unwrap();
    assert_eq!(command.stdout(out).status().unwrap().code(), Some(1));
    let out = fs::read_to_string(&path).unwrap();
    assert!(out.starts_with('{') && out.contains("error[unknown-field]"), "{out}");
}

#[test]
fn a_closed_pipe_does_not_keep_files_from_being_written() {
    let folder = folder();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = command(folder.path(), &["--output", "json=x.json"]);
    let status = command.stdout(writer).stderr(Stdio::inherit()).status().unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(folder.path().join("x.json").exists());
}

#[test]
fn colours_are_where_they_are_asked_for() {
    let folder = folder();
    let coloured = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = command(folder.path(), arguments);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        text(&output.stdout).contains('\u{1b}')
    };
    assert!(!coloured(&[], &[]), "this is no terminal");
    assert!(coloured(&["--color", "always"], &[]));
    assert!(coloured(&["--color", "always"], &[("NO_COLOR", "1")]));
    assert!(coloured(&[], &[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(!coloured(&["--color", "never"], &[("CLICOLOR_FORCE", "1")]));
    for format in ["json", "sarif", "github", "junit", "markdown"] {
        assert!(!coloured(&["--color", "always", "--format", format], &[]), "{format}");
    }
}

#[test]
fn machines_get_paths_from_the_folder_that_the_command_runs_in() {
    let outside = tempfile::tempdir().unwrap();
    let root = outside.path();
    fs::create_dir(root.join("test bed")).unwrap();
    fs::write(root.join("test bed/a.yaml"), USER.replace("{}", "{ teem: x }")).unwrap();
    let absolute = root.join("test bed").to_str().unwrap().to_owned();
    for path in ["test bed", "./test bed/", &absolute, "test bed/../test bed"] {
        let output = run(root, &[path, "--format", "github"]);
        let start = "::error title=unknown-field,file=test bed/a.yaml,line=4";
        assert!(text(&output.stdout).starts_with(start), "{path}: {}", text(&output.stdout));
    }
}
