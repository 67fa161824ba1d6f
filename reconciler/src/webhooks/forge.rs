//! How each forge says what it delivers, and how it proves that it is the one who does.

use axum::http::HeaderMap;

use super::Proof;

/// A kind of sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Forge {
    /// GitHub.
    Github,
    /// GitLab.
    Gitlab,
    /// Gitea and Forgejo.
    Gitea,
    /// Whoever can compute an HMAC, such as a `post-receive` hook with `openssl` and `curl`.
    Generic,
}

/// What the headers of a delivery say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Delivery<'a> {
    /// What tells it from others.
    pub(super) id: Option<&'a str>,
    /// What happened, where the forge says it.
    pub(super) event: Option<&'a str>,
    /// What shows that the forge sent it.
    pub(super) proof: Option<Proof<'a>>,
}

/// What a delivery asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// Somebody pushed.
    Push,
    /// Whether anybody is there.
    Ping,
    /// Something that does not move a branch.
    Other,
}

impl Forge {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Github, Self::Gitlab, Self::Gitea, Self::Generic];

    /// Its name in paths.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Gitea => "gitea",
            Self::Generic => "generic",
        }
    }

    /// The setting that says where its secret is.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Github => "webhook-github",
            Self::Gitlab => "webhook-gitlab",
            Self::Gitea => "webhook-gitea",
            Self::Generic => "webhook-generic",
        }
    }

    /// The headers that this forge proves itself with, for people.
    pub(super) const fn proves_with(self) -> &'static str {
        match self {
            Self::Github => "`X-Hub-Signature-256: sha256=` and the HMAC-SHA256 of the body in hexadecimal",
            Self::Gitlab => {
                "`X-Gitlab-Token` with the secret token; or, with a signing token `whsec_...`, `webhook-id`, `webhook-timestamp` and `webhook-signature`"
            }
            Self::Gitea => {
                "`X-Gitea-Signature` or `X-Forgejo-Signature` with the HMAC-SHA256 of the body in hexadecimal"
            }
            Self::Generic => {
                "`X-Almanac-Signature-256: sha256=` and the HMAC-SHA256 of the body in hexadecimal"
            }
        }
    }

    /// The headers that tell one delivery from another, for people.
    pub(super) const fn tells_apart_with(self) -> &'static str {
        match self {
            Self::Github => "`X-GitHub-Delivery`",
            Self::Gitlab => {
                "`Idempotency-Key`, `webhook-id`, `X-Gitlab-Webhook-UUID` or `X-Gitlab-Event-UUID`"
            }
            Self::Gitea => "`X-Gitea-Delivery` or `X-Forgejo-Delivery`",
            Self::Generic => "`X-Almanac-Delivery`",
        }
    }

    /// Reads the headers of a delivery.
    pub(super) fn delivery(self, headers: &HeaderMap) -> Delivery<'_> {
        let get = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let first = |names: &[&str]| names.iter().find_map(|name| get(name));
        let sha256 = |name: &str| get(name).and_then(|value| value.strip_prefix("sha256=")).map(Proof::Hex);
        match self {
            Self::Github => Delivery {
                id: get("x-github-delivery"),
                event: get("x-github-event"),
                proof: sha256("x-hub-signature-256"),
            },
            // What is signed comes first. Of the others, `X-Gitlab-Event-UUID` is shared by all hooks that
            // one event sets off.
            Self::Gitlab => match (get("webhook-signature"), get("webhook-id"), get("webhook-timestamp")) {
                (Some(signatures), Some(id), Some(timestamp)) => Delivery {
                    id: Some(id),
                    event: get("x-gitlab-event"),
                    proof: Some(Proof::Standard { id, timestamp, signatures, token: get("x-gitlab-token") }),
                },
                _ => Delivery {
                    id: first(&["idempotency-key", "x-gitlab-webhook-uuid", "x-gitlab-event-uuid"]),
                    event: get("x-gitlab-event"),
                    proof: get("x-gitlab-token").map(Proof::Token),
                },
            },
            Self::Gitea => Delivery {
                id: first(&["x-gitea-delivery", "x-forgejo-delivery"]),
                event: first(&["x-gitea-event", "x-forgejo-event"]),
                proof: first(&["x-gitea-signature", "x-forgejo-signature"]).map(Proof::Hex),
            },
            Self::Generic => Delivery {
                id: get("x-almanac-delivery"),
                event: Some("push"),
                proof: sha256("x-almanac-signature-256"),
            },
        }
    }

    /// What an event asks for.
    pub(super) fn event(event: &str) -> Event {
        match event {
            "push" | "Push Hook" => Event::Push,
            "ping" => Event::Ping,
            _ => Event::Other,
        }
    }
}
