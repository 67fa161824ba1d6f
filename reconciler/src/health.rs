//! Whether this program lives (`/healthz`), and whether it can be relied on (`/readyz`), for those who
//! restart it or send others to it.

use std::{collections::BTreeSet, fmt::Write, time::Duration};

use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{clock, follow::Follower, metrics::Metrics, store::Store};

/// How long the database may take to answer.
const DATABASE: Duration = Duration::from_secs(2);

/// What decides whether the program is ready.
#[derive(Debug, Clone)]
pub struct Readiness {
    /// The database.
    pub store: Store,
    /// How long the database takes.
    pub metrics: Metrics,
    /// How looks at the repository went, by whichever reconciler.
    pub follower: Follower,
    /// When the program started.
    pub started_at: DateTime<Utc>,
    /// How long looks may fail.
    pub stale_after: TimeDelta,
    /// Cancelled when the program stops.
    pub stop: CancellationToken,
}

/// A check, and why it failed if it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    name: &'static str,
    failure: Option<String>,
}

impl Readiness {
    /// Makes all checks.
    pub async fn checks(&self) -> Vec<Check> {
        let now = clock::now();
        let answer = timeout(DATABASE, self.metrics.database("ready", self.store.intent())).await;
        let (database, suspended) = match answer {
            Ok(Ok(intent)) => (None, intent.at(now).suspended.is_some()),
            // What exactly is for the log, which has it.
            Ok(Err(error)) => (Some(error.to_string()), false),
            Err(_) => (Some(format!("no answer within {} s", DATABASE.as_secs())), false),
        };
        // Looks rest as long as the syncs do.
        let looked_at = self.follower.status().succeeded_at;
        let source = source(looked_at, self.started_at, self.stale_after, now).filter(|_| !suspended);
        let stopping = self.stop.is_cancelled().then(|| "the reconciler is stopping".to_owned());
        vec![
            Check { name: "database", failure: database },
            Check { name: "source", failure: source },
            Check { name: "stopping", failure: stopping },
        ]
    }
}

/// Whether the repository was looked at lately: a look that hangs is noticed as one that fails.
fn source(
    looked_at: Option<DateTime<Utc>>,
    started_at: DateTime<Utc>,
    stale_after: TimeDelta,
    now: DateTime<Utc>,
) -> Option<String> {
    let Some(looked_at) = looked_at else {
        let seconds = (now - started_at).num_seconds();
        return Some(format!(
            "the repository was not looked at with success in the {seconds} s since the start"
        ));
    };
    let seconds = (now - looked_at).num_seconds();
    (now - looked_at > stale_after)
        .then(|| format!("the repository was last looked at with success {seconds} s ago"))
}

/// The answer to `/readyz`, as Kubernetes' own servers give it: a line for each check when one failed,
/// or when `?verbose` asks for it; `?exclude=NAME` leaves a check out.
pub fn answer(checks: &[Check], query: &str) -> (StatusCode, String) {
    let parameters = || query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let excluded: BTreeSet<&str> =
        parameters().filter(|(key, _)| *key == "exclude").map(|(_, name)| name).collect();
    let verbose = parameters().any(|(key, _)| key == "verbose");
    let mut text = String::new();
    let mut failed = false;
    for check in checks {
        // Writing to a string does not fail.
        let _ = match &check.failure {
            _ if excluded.contains(check.name) => writeln!(text, "[+]{} excluded: ok", check.name),
            None => writeln!(text, "[+]{} ok", check.name),
            Some(why) => {
                failed = true;
                writeln!(text, "[-]{} failed: {why}", check.name)
            }
        };
    }
    if failed {
        (StatusCode::SERVICE_UNAVAILABLE, text + "readyz check failed\n")
    } else if verbose {
        (StatusCode::OK, text + "readyz check passed\n")
    } else {
        (StatusCode::OK, "ok\n".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_fails_is_named_unless_it_is_excluded() {
        let failed = Check { name: "source", failure: Some("no".to_owned()) };
        let checks = [Check { name: "database", failure: None }, failed];
        let (status, text) = answer(&checks, "");
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(text, "[+]database ok\n[-]source failed: no\nreadyz check failed\n");
        assert_eq!(answer(&checks, "exclude=source"), (StatusCode::OK, "ok\n".to_owned()));
        let (status, text) = answer(&checks, "verbose&exclude=source");
        assert_eq!((status, text.lines().nth(1)), (StatusCode::OK, Some("[+]source excluded: ok")));
    }

    #[test]
    fn the_source_is_watched() {
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let after = TimeDelta::minutes(3);
        assert!(source(None, start, after, start).is_some());
        assert!(source(Some(start), start, after, start + after).is_none());
        assert!(source(Some(start), start, after, start + after + TimeDelta::seconds(1)).is_some());
    }
}
