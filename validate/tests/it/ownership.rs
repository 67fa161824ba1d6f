//! The ownership rule, cell by cell: who x what.

use std::{collections::BTreeMap, sync::Arc};

use almanac_validate::{
    Declared, Entry, Source,
    ownership::{Author, findings, judge},
};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFmzdE2ixIkXasfftSYYWODMA5Kelp/rvvOIbAb06yzq a";

/// What is declared: `ann` is admin, `bob` owns the node `n1` and the job `b`, `cyd` the node `n2` and the job `c`.
fn base() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut put = |name: &str, text: String| drop(files.insert(format!("{name}.yaml"), text));
    put("ann", manifest("User", "ann", "{ role: admin, login: Ann-Example }"));
    put("bob", manifest("User", "bob", "{ team: t, email: bob@example.org, displayName: Bob }"));
    put("cyd", manifest("User", "cyd", "{ role: privileged, login: cyd-example }"));
    put("n1", manifest("Node", "n1", "{ owner: bob, guard: 5s }"));
    put("n2", manifest("Node", "n2", "{ owner: cyd }"));
    put("b", job("b", "bob", "n1", 0));
    put("c", job("c", "cyd", "n2", 0));
    put("config", manifest("Config", "global", "{ prune: { maxFraction: 0.5 } }"));
    files
}

fn manifest(kind: &str, name: &str, spec: &str) -> String {
    format!("apiVersion: almanac/v1\nkind: {kind}\nmetadata: {{ name: {name} }}\nspec: {spec}\n")
}

fn job(name: &str, owner: &str, node: &str, minute: u8) -> String {
    let schedule = format!("{{ cron: \"{minute} * * * *\", end: 2030-01-01T00:00:00Z, length: 1m }}");
    manifest(
        "Job",
        name,
        &format!("{{ owner: {owner}, nodes: [{node}], schedule: {schedule}, container: {{ image: x }} }}"),
    )
}

type Files = BTreeMap<String, String>;

fn sources(files: &Files) -> Vec<Arc<Source>> {
    files.iter().map(|(path, text)| Arc::new(Source::read(path, Entry::File(text.as_bytes())))).collect()
}

fn declared(files: &Files) -> Declared {
    Declared::new(&sources(files))
}

fn messages(rights: &Files, base: &Files, tree: &Files, author: &str) -> Vec<String> {
    let (rights, declared_base, declared_tree) = (declared(rights), declared(base), declared(tree));
    let author = Author::find(&rights, author);
    let violations = judge(&author, &rights, &declared_base, &declared_tree);
    let found = findings(violations, &sources(tree), &sources(base));
    found
        .iter()
        .map(|finding| {
            let place = finding.location.as_ref().unwrap();
            let help = finding.help.as_deref().unwrap_or_default();
            format!("{}:{}:{}: {}; {help}", place.file, place.line, place.column, finding.message)
        })
        .collect()
}

/// A change of the files above.
type Edit = fn(&mut Files);

fn replace(files: &mut Files, file: &str, from: &str, to: &str) {
    let text = files.get_mut(&format!("{file}.yaml")).unwrap();
    assert!(text.contains(from), "{text}");
    *text = text.replace(from, to);
}

fn put(files: &mut Files, file: &str, text: String) {
    files.insert(format!("{file}.yaml"), text);
}

fn remove(files: &mut Files, file: &str) {
    files.remove(&format!("{file}.yaml")).unwrap();
}

/// Who may: one of `ann` (admin), `bob`, `cyd` and `eve`, whom nobody knows.
#[test]
fn every_cell() {
    let table: &[(&str, &[&str], Edit)] = &[
        ("nothing", &["ann", "bob", "cyd", "eve"], |_| {}),
        ("a file moves", &["ann", "bob", "cyd", "eve"], |files| {
            let text = files.remove("c.yaml").unwrap();
            files.insert("z.yaml".to_owned(), format!("# Moved.\n{text}"));
        }),
        ("a README", &["ann", "bob", "cyd", "eve"], |_| {}),
        // Jobs.
        ("bob's new job", &["ann", "bob"], |files| put(files, "new", job("new", "bob", "n2", 30))),
        ("cyd's new job", &["ann", "cyd"], |files| put(files, "new", job("new", "cyd", "n1", 30))),
        ("an unknown owner's new job", &["ann"], |files| put(files, "new", job("new", "eve", "n1", 30))),
        ("bob's job changes", &["ann", "bob"], |files| replace(files, "b", "length: 1m", "length: 2m")),
        ("bob's job goes", &["ann", "bob"], |files| remove(files, "b")),
        ("bob's job is given to cyd", &["ann"], |files| replace(files, "b", "owner: bob", "owner: cyd")),
        ("bob's job goes and cyd's of its name comes", &["ann"], |files| {
            remove(files, "b");
            put(files, "other", job("b", "cyd", "n1", 20));
        }),
        ("bob's job is declared twice", &["ann", "bob"], |files| put(files, "a", job("b", "cyd", "n1", 20))),
        ("bob's job gets an error", &["ann", "bob"], |files| replace(files, "b", "length: 1m", "length: x")),
        ("bob's job cannot be read", &["ann", "bob"], |files| put(files, "b", "a: [\n".to_owned())),
        // Users.
        ("a new user", &["ann"], |files| put(files, "new", manifest("User", "new", "{}"))),
        ("a user goes", &["ann"], |files| remove(files, "bob")),
        ("bob's display name", &["ann", "bob"], |files| replace(files, "bob", "Bob", "Robert")),
        ("bob's keys", &["ann", "bob"], |files| {
            replace(files, "bob", "team: t", &format!("team: t, keys: [{KEY}]"));
        }),
        ("bob's team", &["ann"], |files| replace(files, "bob", "team: t", "team: u")),
        ("bob's email", &["ann"], |files| replace(files, "bob", "bob@", "robert@")),
        ("bob's role", &["ann"], |files| replace(files, "bob", "team: t", "team: t, role: admin")),
        ("bob's login", &["ann"], |files| replace(files, "bob", "team: t", "team: t, login: bobby")),
        ("bob's role and his display name", &["ann"], |files| {
            replace(files, "bob", "displayName: Bob", "displayName: B, role: privileged");
        }),
        ("bob's user becomes a node", &["ann"], |files| {
            put(files, "bob", manifest("Node", "bob", "{ owner: ann }"));
        }),
        // Nodes.
        ("a new node", &["ann"], |files| put(files, "new", manifest("Node", "new", "{ owner: bob }"))),
        ("a node goes", &["ann"], |files| remove(files, "n1")),
        ("bob's node is cordoned", &["ann", "bob"], |files| {
            replace(files, "n1", "guard", "cordoned: true, guard");
        }),
        ("maintenance of bob's node", &["ann", "bob"], |files| {
            replace(files, "n1", "guard", "maintenance: [{ cron: \"0 3 * * 0\", length: 1h }], guard");
        }),
        ("the name of bob's node", &["ann", "bob"], |files| {
            replace(files, "n1", "guard", "displayName: N, description: on the roof, guard");
        }),
        ("the guard of bob's node", &["ann"], |files| replace(files, "n1", "5s", "1h")),
        ("the owner of bob's node", &["ann"], |files| replace(files, "n1", "owner: bob", "owner: cyd")),
        ("the keys of bob's node", &["ann"], |files| {
            replace(files, "n1", "guard", &format!("keys: [{KEY}], guard"));
        }),
        ("access to bob's node", &["ann"], |files| {
            replace(files, "n1", "guard", "access: { users: [bob] }, guard");
        }),
        ("kernel access to bob's node", &["ann"], |files| {
            replace(files, "n1", "guard", "role: privileged, kernel: { sysctls: [a] }, guard");
        }),
        ("the labels of bob's node", &["ann"], |files| {
            replace(files, "n1", "name: n1", "name: n1, labels: { a: b }");
        }),
        // The rest.
        ("the settings", &["ann"], |files| replace(files, "config", "0.5", "1.0")),
        ("the settings go back to the defaults", &["ann", "bob", "cyd", "eve"], |files| {
            remove(files, "config");
        }),
        ("the settings are declared with other values", &["ann"], |files| {
            replace(files, "config", "{ prune", "{ schedule: { minLength: 1s }, prune");
        }),
    ];
    let base = base();
    let mut report = String::new();
    for (what, allowed, edit) in table {
        let mut tree = base.clone();
        edit(&mut tree);
        for who in ["ann", "bob", "cyd", "eve"] {
            let author = match who {
                "ann" => "ann-example",
                "cyd" => "CYD-Example",
                who => who,
            };
            let found = messages(&base, &base, &tree, author);
            // Nobody at all may change anything, but nothing is no change.
            assert_eq!(found.is_empty(), allowed.contains(&who), "{who}: {what}: {found:?}");
            for line in found.iter().filter(|_| who != "eve") {
                report += &format!("{who}, {what}: {line}\n");
            }
        }
    }
    insta::assert_snapshot!("ownership", report);
}

#[test]
fn who_is_meant() {
    let mut files = base();
    let find = |files: &Files, named: &str| match Author::find(&declared(files), named) {
        Author::Admin(name) => format!("admin {name}"),
        Author::User(name) => format!("user {name}"),
        Author::Anybody => "anybody".to_owned(),
        Author::Nobody { reason, .. } => reason,
    };
    assert_eq!(find(&files, "ann-example"), "admin ann");
    assert_eq!(find(&files, "ANN-EXAMPLE"), "admin ann");
    assert_eq!(find(&files, "bob"), "user bob");
    assert_eq!(find(&files, "Bob"), "user bob");
    assert_eq!(find(&files, "eve"), "no user has this login or name");
    assert_eq!(find(&files, ""), "no user has this login or name");
    // An account `ann` on the forge can be anybody's.
    assert_eq!(find(&files, "ann"), "user `ann` is known by the login `Ann-Example`");

    put(&mut files, "dan", manifest("User", "dan", "{ login: bob, role: admin }"));
    assert_eq!(find(&files, "bob"), "it could be `bob` and `dan`");
    put(&mut files, "fay", manifest("User", "fay", "{ login: cyd-EXAMPLE }"));
    assert_eq!(find(&files, "cyd-example"), "it could be `cyd` and `fay`");
    put(&mut files, "gus", manifest("User", "gus", "{ teem: x }"));
    assert_eq!(find(&files, "gus"), "the manifest of this user has errors");
}

#[test]
fn without_an_admin_anybody_may_begin() {
    let mut tree = base();
    let nothing = Files::new();
    assert_eq!(messages(&nothing, &nothing, &tree, "eve"), Vec::<String>::new());
    let mut unruled = base();
    remove(&mut unruled, "ann");
    assert_eq!(messages(&unruled, &unruled, &tree, "eve"), Vec::<String>::new());
    // An admin who cannot be read may be one all the same.
    for text in [manifest("User", "ann", "{ role: admin, teem: x }"), "a: [\n".to_owned()] {
        put(&mut unruled, "ann", text);
        put(&mut tree, "ann", manifest("User", "ann", "{ role: admin }"));
        assert!(!messages(&unruled, &unruled, &tree, "eve").is_empty());
    }
}

#[test]
fn rights_are_those_of_the_branch_by_now() {
    let base = base();
    // Since the change began, `ann` was made a user, the job `b` was given to `cyd`, and `d` came.
    let mut rights = base.clone();
    replace(&mut rights, "ann", "role: admin", "role: user");
    replace(&mut rights, "b", "owner: bob", "owner: cyd");
    put(&mut rights, "d", job("d", "cyd", "n1", 40));
    put(&mut rights, "new", manifest("User", "new", "{ role: admin }"));
    let mut tree = base.clone();
    replace(&mut tree, "config", "0.5", "1.0");
    assert_eq!(messages(&base, &base, &tree, "ann-example"), Vec::<String>::new());
    assert_eq!(
        messages(&rights, &base, &tree, "ann-example"),
        ["config.yaml:4:31: `ann` may not change the settings; an admin (`new`) may"]
    );
    let mut tree = base.clone();
    replace(&mut tree, "b", "length: 1m", "length: 2m");
    for who in ["bob", "cyd-example"] {
        assert_eq!(messages(&rights, &base, &tree, who).len(), 1, "{who}");
    }
    let mut tree = base.clone();
    put(&mut tree, "d", job("d", "bob", "n1", 40));
    assert_eq!(
        messages(&rights, &base, &tree, "bob"),
        ["d.yaml:3:19: `bob` may not change the job `d` of `cyd`; `cyd` may, or an admin (`new`)"]
    );
}

#[test]
fn what_has_errors_in_the_base_cannot_be_judged() {
    let mut base = base();
    replace(&mut base, "b", "length: 1m", "length: x");
    put(&mut base, "broken", "a: [\n".to_owned());
    let find = |tree: &Files| messages(&base, &base, tree, "bob");
    assert_eq!(find(&base), Vec::<String>::new());
    let mut tree = base.clone();
    let text = tree.remove("broken.yaml").unwrap();
    tree.insert("moved.yaml".to_owned(), text);
    replace(&mut tree, "bob", "displayName: Bob", "displayName: B");
    assert_eq!(find(&tree), Vec::<String>::new(), "what is whole is judged, and what moves does not change");
    replace(&mut tree, "b", "length: x", "length: 1m");
    remove(&mut tree, "moved");
    assert_eq!(
        find(&tree),
        [
            "b.yaml:3:19: `bob` may not change the job `b`: it has errors in the base, so that whose it is cannot be judged; an admin (`ann`) may",
            "broken.yaml:1:1: `bob` may not change `broken.yaml`: it cannot be read in the base, so that whose it is cannot be judged; an admin (`ann`) may",
        ]
    );
    assert_eq!(messages(&base, &base, &tree, "ann-example"), Vec::<String>::new());
}
