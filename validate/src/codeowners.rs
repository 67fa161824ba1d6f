//! Who should look at a change of which file, in the syntax that forges read (`CODEOWNERS`).
//!
//! Admins own everything by default, and every line names them as well: nobody can approve their own
//! change, so a line with its owner alone would lock the owner out. The last line that matches counts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::Arc,
};

use almanac_schemas::{Manifest, UserName, UserRole};

use crate::{Declared, Source, document::Content, words::listed};

const HEADER: &str = "\
# Made by `almanac-validate codeowners` out of the manifests: make it anew when owners or logins change.
# Which fields an owner may change is what `almanac-validate check --base REV --author LOGIN` checks.
";

/// The owners of each file, for a tree that lies in a folder of its repository (empty for the root).
pub fn codeowners(sources: &[Arc<Source>], folder: &str) -> String {
    let declared = Declared::new(sources);
    let users = &declared.testbed.users;
    let logins: BTreeMap<&UserName, &str> = users
        .iter()
        .filter_map(|(name, user)| Some((name, user.login.as_deref().filter(|login| is_login(login))?)))
        .collect();
    let admins: Vec<&str> = users
        .iter()
        .filter(|(_, user)| user.role == UserRole::Admin)
        .filter_map(|(name, _)| logins.get(name).copied())
        .collect();
    let unknown: Vec<&str> =
        users.keys().filter(|name| !logins.contains_key(name)).map(|name| name.as_str()).collect();

    let mut text = HEADER.to_owned();
    // Writing to a string does not fail.
    if !unknown.is_empty() {
        let _ = writeln!(text, "# Users without a login (`spec.login`): {}.", listed_all(&unknown));
    }
    text.push('\n');
    let prefix = if folder.is_empty() { String::new() } else { format!("/{folder}") };
    let everything = if folder.is_empty() { Some("*".to_owned()) } else { escape(&format!("{prefix}/")) };
    if admins.is_empty() {
        text += "# No admin has a login, so that nobody owns what is not listed.\n";
    } else if let Some(everything) = everything {
        line(&mut text, &everything, &admins, &[]);
    }

    let mut sorted: Vec<&Arc<Source>> = sources.iter().collect();
    sorted.sort_by_key(|source| source.path());
    let mut notes = String::new();
    for source in sorted {
        let Some(owners) = owners(source, &declared) else { continue };
        let with_login: Vec<&str> = owners.iter().filter_map(|owner| logins.get(owner).copied()).collect();
        let others: Vec<&str> = with_login.into_iter().filter(|login| !admins.contains(login)).collect();
        if others.is_empty() {
            continue;
        }
        match escape(&format!("{prefix}/{}", source.path())) {
            Some(pattern) => line(&mut text, &pattern, &others, &admins),
            None => {
                let _ = writeln!(notes, "# No pattern can name {:?}.", source.path());
            }
        }
    }
    text + &notes
}

/// The users whose things a file declares, and nothing else; absent when a part of it is the admins'.
fn owners<'a>(source: &'a Source, declared: &Declared) -> Option<BTreeSet<&'a UserName>> {
    if !source.is_complete() || source.documents().is_empty() {
        return None;
    }
    let mut owners = BTreeSet::new();
    for document in source.documents() {
        let Content::Manifest(manifest) = &document.content else { return None };
        let key = (manifest.kind(), manifest.name().to_owned());
        if declared.damaged.contains_key(&key) {
            return None;
        }
        owners.insert(match manifest.as_ref() {
            Manifest::User(user) => &user.metadata.name,
            Manifest::Node(node) => &node.spec.owner,
            Manifest::Job(job) => &job.spec.owner,
            Manifest::Config(_) => return None,
        });
    }
    Some(owners)
}

fn line(text: &mut String, pattern: &str, first: &[&str], then: &[&str]) {
    let owners: Vec<String> = first.iter().chain(then).map(|login| format!("@{login}")).collect();
    let _ = writeln!(text, "{pattern} {}", owners.join(" "));
}

fn listed_all(names: &[&str]) -> String {
    if names.len() > 6 { names.join(", ") } else { listed(names.iter().copied()).replace('`', "") }
}

/// Whether a text can be an account on a forge. Anything else could add owners or lines.
fn is_login(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(inner)
}

/// A path as a pattern that matches it alone. `None` when no pattern does.
fn escape(path: &str) -> Option<String> {
    if path.chars().any(char::is_control) {
        return None;
    }
    let mut pattern = String::new();
    for c in path.chars() {
        if c.is_whitespace() || matches!(c, '#' | '[' | ']' | '*' | '?' | '!' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    Some(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Entry;

    fn made(files: &[(&str, &str)], folder: &str) -> String {
        let source = |(path, text): &(&str, &str)| Arc::new(Source::read(path, Entry::File(text.as_bytes())));
        let text = codeowners(&files.iter().map(source).collect::<Vec<_>>(), folder);
        text.strip_prefix(HEADER).unwrap().to_owned()
    }

    fn user(name: &str, spec: &str) -> String {
        format!("apiVersion: almanac/v1\nkind: User\nmetadata: {{ name: {name} }}\nspec: {spec}\n---\n")
    }

    fn node(name: &str, owner: &str) -> String {
        format!(
            "apiVersion: almanac/v1\nkind: Node\nmetadata: {{ name: {name} }}\nspec: {{ owner: {owner} }}\n---\n"
        )
    }

    #[test]
    fn each_file_has_its_owners_and_the_admins() {
        let ann = user("ann", "{ role: admin, login: ann-example }");
        let bob = user("bob", "{ login: bob-example }");
        let (cyd, dan) = (user("cyd", "{}"), user("dan", "{ login: \"x @evil\\n* @evil\" }"));
        let nodes = node("n1", "bob") + &node("n2", "bob");
        let both = node("n3", "bob") + &node("n4", "ann");
        let mixed = node("n5", "bob")
            + "apiVersion: almanac/v1\nkind: Config\nmetadata: { name: global }\nspec: {}\n";
        let files = [
            ("users/ann.yaml", ann.as_str()),
            ("users/bob.yaml", &bob),
            ("users/cyd.yaml", &cyd),
            ("users/dan.yaml", &dan),
            ("nodes/my nodes #1 [a].yaml", &nodes),
            ("both.yaml", &both),
            ("mixed.yaml", &mixed),
            ("broken.yaml", "a: ["),
            ("line\nbreak.yaml", &node("n6", "bob")),
        ];
        assert_eq!(
            made(&files, ""),
            "# Users without a login (`spec.login`): cyd and dan.\n\n\
             * @ann-example\n\
             /both.yaml @bob-example @ann-example\n\
             /nodes/my\\ nodes\\ \\#1\\ \\[a\\].yaml @bob-example @ann-example\n\
             /users/bob.yaml @bob-example @ann-example\n\
             # No pattern can name \"line\\nbreak.yaml\".\n"
        );
        let mut turned = files;
        turned.reverse();
        assert_eq!(made(&turned, ""), made(&files, ""), "the order of files does not matter");
        let below = made(&files, "my testbed");
        assert!(below.contains("\n/my\\ testbed/ @ann-example\n"), "{below}");
        assert!(below.contains("\n/my\\ testbed/both.yaml @bob-example @ann-example\n"), "{below}");
    }

    #[test]
    fn without_an_admin_nobody_owns_the_rest() {
        let bob = user("bob", "{ login: bob-example }");
        assert_eq!(
            made(&[("b.yaml", &bob)], ""),
            "\n# No admin has a login, so that nobody owns what is not listed.\n/b.yaml @bob-example\n"
        );
    }
}
