//! Whether this program lives (`/healthz`), and whether it can be relied on (`/readyz`), for those who
//! restart it or send others to it.

use std::{collections::BTreeSet, fmt::Write, time::Duration};

use axum::http::StatusCode;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{metrics::Metrics, store::Store};

/// How long the database may take to answer.
const DATABASE: Duration = Duration::from_secs(2);

/// After how many poll intervals without a look that succeeded the source counts as failed.
const MISSED_LOOKS: u32 = 3;

/// What decides whether the program is ready.
#[derive(Debug, Clone)]
pub struct Readiness {
    /// The database.
    pub store: Store,
    /// What looks at the repository came to.
    pub metrics: Metrics,
    /// How often it is looked at.
    pub poll_interval: Duration,
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
        let answer = timeout(DATABASE, self.metrics.database("ready", self.store.applied_sync())).await;
        let database = match answer {
            Ok(Ok(_)) => None,
            // What exactly is for the log, which has it.
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {} s", DATABASE.as_secs())),
        };
        let revision = self.metrics.revision();
        let source = source(revision.since_look(), revision.ever_looked(), self.poll_interval);
        let stopping = self.stop.is_cancelled().then(|| "the reconciler is stopping".to_owned());
        vec![
            Check { name: "database", failure: database },
            Check { name: "source", failure: source },
            Check { name: "stopping", failure: stopping },
        ]
    }
}

/// Whether the repository was looked at lately: a look that hangs is noticed as one that fails.
fn source(since_look: Duration, ever: bool, poll: Duration) -> Option<String> {
    let seconds = since_look.as_secs();
    if !ever {
        return Some(format!(
            "the repository was not looked at with success in the {seconds} s since the start"
        ));
    }
    (since_look > poll * MISSED_LOOKS)
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
        let minute = Duration::from_secs(60);
        assert!(source(Duration::ZERO, false, minute).is_some());
        assert!(source(minute * 3, true, minute).is_none());
        assert!(source(minute * 3 + Duration::from_secs(1), true, minute).is_some());
    }
}
