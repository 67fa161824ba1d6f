//! What a target is told, as the HTTP request that tells it. Nothing is sent here.
//!
//! The forges' interfaces: [GitHub](https://docs.github.com/en/rest/commits/statuses),
//! [GitLab](https://docs.gitlab.com/api/commits/#set-commit-pipeline-status),
//! [Gitea](https://docs.gitea.com/api/) (`repoCreateStatus`), which Forgejo shares.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{Event, Outcome, Target, TargetKind};
use crate::{hex, secret::Secret};

/// Where GitHub's own interface is.
const GITHUB: &str = "https://api.github.com";

/// The longest description that GitHub takes, in characters.
const DESCRIPTION: usize = 140;

/// A request with a body in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where it goes, by POST.
    pub url: String,
    /// Its headers; their values may be secret.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: String,
}

/// Whom an event is about.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The reconciler's name.
    pub reconciler: &'a str,
    /// The repository, as people name it.
    pub repository: &'a str,
    /// The branch that is followed.
    pub branch: &'a str,
}

/// The request that tells a target an event; none when the target is not concerned. `id` is that of the
/// notice: by it a receiver can tell what it was told before.
pub fn request(
    target: &Target,
    event: &Event,
    about: About<'_>,
    id: i64,
    secret: &Secret,
) -> Option<Request> {
    if target.kind == TargetKind::Webhook {
        return Some(webhook(target, event, about, id, secret));
    }
    let Event::Sync { commit, outcome, message, .. } = event else { return None };
    let repository = target.repository.as_deref()?.trim_matches('/');
    let base = target.url.as_deref().unwrap_or(GITHUB).trim_end_matches('/');
    let context = format!("almanac/{}", about.reconciler);
    let description = shortened(message);
    let token = secret.reveal();
    let json = |value: Value| value.to_string();
    Some(match target.kind {
        TargetKind::Github => Request {
            url: format!("{base}/repos/{repository}/statuses/{commit}"),
            headers: vec![
                ("accept", "application/vnd.github+json".to_owned()),
                ("x-github-api-version", "2022-11-28".to_owned()),
                ("authorization", format!("Bearer {token}")),
            ],
            body: json(json!({ "state": state(*outcome), "context": context, "description": description })),
        },
        TargetKind::Gitea => Request {
            url: format!("{base}/api/v1/repos/{repository}/statuses/{commit}"),
            headers: vec![("authorization", format!("token {token}"))],
            body: json(json!({ "state": state(*outcome), "context": context, "description": description })),
        },
        TargetKind::Gitlab => Request {
            url: format!("{base}/api/v4/projects/{}/statuses/{commit}", repository.replace('/', "%2F")),
            headers: vec![("private-token", token.to_owned())],
            body: json(json!({
                "state": match outcome {
                    Outcome::Applied => "success",
                    Outcome::Rejected => "failed",
                    Outcome::Waiting => "pending",
                },
                "name": context,
                "description": description,
            })),
        },
        TargetKind::Webhook => return None,
    })
}

fn webhook(target: &Target, event: &Event, about: About<'_>, id: i64, secret: &Secret) -> Request {
    let mut body = serde_json::to_value(event).expect("an event has text keys and no failing fields");
    body["reconciler"] = about.reconciler.into();
    body["repository"] = about.repository.into();
    body["branch"] = about.branch.into();
    let body = body.to_string();
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body.as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    Request {
        url: target.url.clone().unwrap_or_default(),
        headers: vec![
            ("x-almanac-event", event.name().to_owned()),
            ("x-almanac-delivery", id.to_string()),
            ("x-almanac-signature-256", format!("sha256={signature}")),
        ],
        body,
    }
}

fn state(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Applied => "success",
        Outcome::Rejected => "failure",
        Outcome::Waiting => "pending",
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= DESCRIPTION {
        return text.to_owned();
    }
    text.chars().take(DESCRIPTION - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretSource;

    const ABOUT: About<'_> =
        About { reconciler: "surrey", repository: "ssh://git@example.org/t", branch: "main" };

    fn target(kind: TargetKind, url: Option<&str>) -> Target {
        Target {
            name: "t".to_owned(),
            kind,
            url: url.map(str::to_owned),
            repository: (kind != TargetKind::Webhook).then(|| "surrey/testbed".to_owned()),
            secret: SecretSource::Env("T".to_owned()),
            ca_file: None,
        }
    }

    fn sync(outcome: Outcome) -> Event {
        Event::Sync {
            sync: 7,
            commit: "c0ffee".to_owned(),
            outcome,
            cause: "commit".to_owned(),
            message: "1 added, 0 changed, 0 removed".to_owned(),
            author: "Alice <alice@example.org>".to_owned(),
            subject: "a job".to_owned(),
            at: "2027-01-10T12:00:00Z".to_owned(),
        }
    }

    fn secret() -> Secret {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("s"), "word\n").unwrap();
        SecretSource::File(folder.path().join("s")).read().unwrap()
    }

    fn told(kind: TargetKind, url: Option<&str>, event: &Event) -> Option<Request> {
        request(&target(kind, url), event, ABOUT, 42, &secret())
    }

    #[test]
    fn each_forge_is_told_in_its_own_way() {
        let github = told(TargetKind::Github, None, &sync(Outcome::Applied)).unwrap();
        assert_eq!(github.url, "https://api.github.com/repos/surrey/testbed/statuses/c0ffee");
        assert!(github.headers.contains(&("authorization", "Bearer word".to_owned())));
        let body: Value = serde_json::from_str(&github.body).unwrap();
        assert_eq!(
            body,
            json!({ "state": "success", "context": "almanac/surrey", "description": "1 added, 0 changed, 0 removed" })
        );
        let gitlab =
            told(TargetKind::Gitlab, Some("https://git.example.org/"), &sync(Outcome::Rejected)).unwrap();
        assert_eq!(gitlab.url, "https://git.example.org/api/v4/projects/surrey%2Ftestbed/statuses/c0ffee");
        assert_eq!(gitlab.headers, [("private-token", "word".to_owned())]);
        assert!(gitlab.body.contains("\"failed\""), "{}", gitlab.body);
        let gitea =
            told(TargetKind::Gitea, Some("https://git.example.org"), &sync(Outcome::Waiting)).unwrap();
        assert_eq!(gitea.url, "https://git.example.org/api/v1/repos/surrey/testbed/statuses/c0ffee");
        assert!(gitea.body.contains("\"pending\""), "{}", gitea.body);
    }

    #[test]
    fn a_webhook_is_told_everything_and_signed() {
        let condition = Event::Condition {
            condition: "Stale".to_owned(),
            status: true,
            reason: "NotLooked".to_owned(),
            message: String::new(),
            at: "2027-01-10T12:00:00Z".to_owned(),
        };
        assert_eq!(told(TargetKind::Github, None, &condition), None);
        let told = told(TargetKind::Webhook, Some("https://example.org/hook"), &condition).unwrap();
        let body: Value = serde_json::from_str(&told.body).unwrap();
        assert_eq!((body["event"].as_str(), body["branch"].as_str()), (Some("condition"), Some("main")));
        let header = |name| told.headers.iter().find(|(header, _)| *header == name).unwrap().1.clone();
        assert_eq!(header("x-almanac-delivery"), "42");
        let mut mac = Hmac::<Sha256>::new_from_slice(b"word").unwrap();
        mac.update(told.body.as_bytes());
        let signature = header("x-almanac-signature-256");
        let bytes: Vec<u8> = (0..32)
            .map(|n| u8::from_str_radix(&signature["sha256=".len()..][2 * n..2 * n + 2], 16).unwrap())
            .collect();
        mac.verify_slice(&bytes).unwrap();
    }

    #[test]
    fn a_long_message_is_cut_for_forges() {
        assert_eq!(shortened(&"ü".repeat(140)), "ü".repeat(140));
        assert_eq!(shortened(&"ü".repeat(141)).chars().count(), 140);
    }
}
