//! What is due when. Instants and chance are arguments.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::{Source, Validator, source::Wanted};
use crate::backoff::Backoff;

/// How many are fetched at once. A service must not be flooded by a testbed of a thousand places.
pub const AT_ONCE: usize = 4;

/// The longest that a service may tell to stay away. Beyond that it is mistaken, or does not mean it.
const LONGEST_REST: Duration = Duration::from_secs(86_400);

/// How often something is fetched.
#[derive(Debug, Clone, Copy)]
struct Pace {
    interval: Duration,
    /// The share of the interval by which it varies, so that places do not fall due together.
    jitter: f64,
    backoff: Backoff,
}

/// Services say something new every ten minutes. One that failed for a moment is asked again soon.
const WEATHER: Pace = Pace {
    interval: Duration::from_secs(600),
    jitter: 0.1,
    backoff: Backoff { first: Duration::from_secs(2), most: Duration::from_secs(1800) },
};

/// CelesTrak shuts out who asks more often for what changes thrice a day, and counts failures, too
/// (<https://celestrak.org/NORAD/documentation/gp-data-formats.php>).
const ORBITS: Pace = Pace {
    interval: Duration::from_secs(4 * 3600),
    jitter: 0.05,
    backoff: Backoff { first: Duration::from_secs(60), most: Duration::from_secs(4 * 3600) },
};

/// A look at when a file changed costs nothing.
const FILE: Pace = Pace {
    interval: Duration::from_secs(60),
    jitter: 0.0,
    backoff: Backoff { first: Duration::from_secs(60), most: Duration::from_secs(60) },
};

/// How fetching something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchRow {
    /// What it is.
    pub source: Source,
    /// A hash of the settings by which it was fetched last.
    pub origin: String,
    /// When what there is was fetched; none when there is nothing.
    pub fetched_at: Option<DateTime<Utc>>,
    /// By what the other side tells whether there is something newer.
    pub validator: Validator,
    /// When it was last tried.
    pub tried_at: DateTime<Utc>,
    /// When it is tried again.
    pub again_at: DateTime<Utc>,
    /// How often it failed since it went well.
    pub failures: u32,
    /// Since when it fails.
    pub failing_since: Option<DateTime<Utc>>,
    /// Why, for people; empty when it went well.
    pub problem: String,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There is something new.
    Fetched(Validator),
    /// What there is is the newest.
    Unchanged,
    /// Nothing was learnt.
    Failed {
        /// Why, for people.
        problem: String,
        /// How long the other side wants to be left in peace.
        rest: Option<Duration>,
        /// Whether it refused whoever asks, and not the question: then others are refused, too.
        refused: bool,
    },
}

impl Outcome {
    /// The word for it, as metrics have it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Fetched(_) => "fetched",
            Self::Unchanged => "unchanged",
            Self::Failed { .. } => "failed",
        }
    }

    /// All of these words.
    pub const WORDS: [&'static str; 3] = ["fetched", "unchanged", "failed"];
}

/// What is to be done now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// What is to be fetched.
    pub start: Vec<Source>,
    /// What nobody wants any more.
    pub forget: Vec<Source>,
    /// When to look again, at the latest.
    pub again_at: Option<DateTime<Utc>>,
}

/// How services stand that refused whoever asked, by the settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rests(BTreeMap<String, Rest>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rest {
    refusals: u32,
    until: DateTime<Utc>,
}

impl Rests {
    /// Takes in what an attempt came to that ended at `now`.
    pub fn learn(&mut self, wanted: &Wanted, outcome: &Outcome, now: DateTime<Utc>, share: f64) {
        let origin = wanted.origin();
        let Outcome::Failed { rest, refused: true, .. } = outcome else {
            if !matches!(outcome, Outcome::Failed { .. }) {
                self.0.remove(&origin);
            }
            return;
        };
        let before = self.0.get(&origin).copied().unwrap_or(Rest { refusals: 0, until: now });
        // Several are asked at once, and refused at once: that is one refusal.
        let refusals = before.refusals + u32::from(before.until <= now);
        let wait = pace(wanted).backoff.wait(refusals, share).max(bounded(*rest));
        self.0.insert(origin, Rest { refusals, until: before.until.max(now + wait) });
    }

    /// Forgets all, as after the exchange of a key.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    fn until(&self, origin: &str) -> Option<DateTime<Utc>> {
        self.0.get(origin).map(|rest| rest.until)
    }
}

/// What is to be done at an instant, given what is under way. What failed for another reason than its settings
/// waits its time, whoever leads and however often it is restarted.
pub fn due(
    wanted: &BTreeMap<Source, Wanted>,
    rows: &BTreeMap<Source, FetchRow>,
    rests: &Rests,
    under_way: &BTreeSet<Source>,
    now: DateTime<Utc>,
) -> Due {
    let mut due = Due {
        forget: rows.keys().filter(|source| !wanted.contains_key(source)).copied().collect(),
        ..Due::default()
    };
    let mut waiting: Vec<(DateTime<Utc>, Source)> = Vec::new();
    for (source, wanted) in wanted.iter().filter(|(source, _)| !under_way.contains(source)) {
        let origin = wanted.origin();
        let at = rows.get(source).map_or(now, |row| at(row, wanted, &origin, now));
        let at = rests.until(&origin).map_or(at, |until| at.max(until));
        if at <= now {
            waiting.push((at, *source));
        } else {
            due.again_at = Some(due.again_at.map_or(at, |before| before.min(at)));
        }
    }
    waiting.sort_unstable();
    // Whatever has no place gets one when what is under way ends, which is a reason to look again.
    let places = AT_ONCE.saturating_sub(under_way.len());
    due.start = waiting.into_iter().map(|(_, source)| source).take(places).collect();
    due
}

/// When something is due that was tried before.
fn at(row: &FetchRow, wanted: &Wanted, origin: &str, now: DateTime<Utc>) -> DateTime<Utc> {
    if row.origin != origin {
        return now;
    }
    // A clock that went back must not put it off for as long as it was ahead.
    let Pace { interval, jitter, .. } = pace(wanted);
    let longest = if row.failures > 0 { LONGEST_REST } else { interval.mul_f64(1.0 + jitter) };
    row.again_at.min(now + longest)
}

fn bounded(rest: Option<Duration>) -> Duration {
    rest.unwrap_or_default().min(LONGEST_REST)
}

/// How it stands after an attempt, which ended at `now`. `share` is a random number from 0 to 1.
pub fn after(
    before: Option<&FetchRow>,
    source: Source,
    wanted: &Wanted,
    outcome: &Outcome,
    now: DateTime<Utc>,
    share: f64,
) -> FetchRow {
    let origin = wanted.origin();
    let pace = pace(wanted);
    let same = before.filter(|row| row.origin == origin);
    let next = now + pace.interval.mul_f64(1.0 + pace.jitter * (2.0 * share - 1.0));
    let mut row = FetchRow {
        source,
        origin,
        fetched_at: before.and_then(|row| row.fetched_at),
        validator: same.map(|row| row.validator.clone()).unwrap_or_default(),
        tried_at: now,
        again_at: next,
        failures: 0,
        failing_since: None,
        problem: String::new(),
    };
    match outcome {
        Outcome::Fetched(validator) => {
            row.fetched_at = Some(now);
            row.validator = validator.clone();
        }
        Outcome::Unchanged => {}
        Outcome::Failed { problem, rest, .. } => {
            row.failures = same.map_or(0, |row| row.failures).saturating_add(1);
            row.failing_since = before.and_then(|row| row.failing_since).or(Some(now));
            row.problem.clone_from(problem);
            row.again_at = now + pace.backoff.wait(row.failures, share).max(bounded(*rest));
        }
    }
    row
}

fn pace(wanted: &Wanted) -> Pace {
    match wanted {
        Wanted::Weather { .. } => WEATHER,
        Wanted::Url(_) => ORBITS,
        Wanted::File(_) => FILE,
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn at_second(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn url(text: &str) -> Wanted {
        Wanted::Url(text.to_owned())
    }

    fn weather() -> Wanted {
        Wanted::Weather { url: "https://example.org".to_owned(), key: "env:KEY".parse().unwrap() }
    }

    fn place(number: i32) -> Source {
        format!("weather {number} 0").parse().unwrap()
    }

    fn failed(rest: Option<u64>) -> Outcome {
        Outcome::Failed { problem: "no".to_owned(), rest: rest.map(Duration::from_secs), refused: false }
    }

    fn step(row: Option<&FetchRow>, wanted: &Wanted, outcome: &Outcome, now: i64) -> FetchRow {
        after(row, Source::Orbits, wanted, outcome, at_second(now), 1.0)
    }

    fn starts(wanted: &Wanted, row: &FetchRow, now: i64) -> bool {
        let wanted = BTreeMap::from([(row.source, wanted.clone())]);
        let rows = BTreeMap::from([(row.source, row.clone())]);
        !due(&wanted, &rows, &Rests::default(), &BTreeSet::new(), at_second(now)).start.is_empty()
    }

    #[test]
    fn what_went_well_is_left_in_peace_for_its_interval() {
        let validator = Validator { tag: Some("\"1\"".to_owned()), ..Validator::default() };
        let row = step(None, &url("a"), &Outcome::Fetched(validator.clone()), 0);
        assert_eq!((row.fetched_at, row.failures), (Some(at_second(0)), 0));
        assert!(!starts(&url("a"), &row, 4 * 3600) && starts(&url("a"), &row, 4 * 3600 + 720));
        let again = step(Some(&row), &url("a"), &Outcome::Unchanged, 20_000);
        assert_eq!((again.fetched_at, &again.validator), (Some(at_second(0)), &validator));
        assert!(again.again_at > at_second(20_000 + 4 * 3600));
        let row = step(None, &weather(), &Outcome::Unchanged, 0);
        assert!(!starts(&weather(), &row, 600) && starts(&weather(), &row, 660));
    }

    #[test]
    fn other_settings_count_at_once_and_their_failures_anew() {
        let row = step(None, &url("a"), &failed(Some(3600)), 0);
        assert!(!starts(&url("a"), &row, 3599) && starts(&url("a"), &row, 3600));
        assert!(starts(&url("b"), &row, 1));
        let validator = Validator { tag: Some("1".to_owned()), ..Validator::default() };
        let row = step(None, &url("a"), &Outcome::Fetched(validator), 0);
        let other = step(Some(&row), &url("b"), &failed(None), 1);
        assert_eq!(other.validator, Validator::default(), "another service knows nothing of it");
        assert_eq!((other.fetched_at, other.failures), (Some(at_second(0)), 1), "what there is stays");
    }

    #[test]
    fn failures_are_tried_more_and_more_rarely_and_as_a_service_says() {
        let mut row = step(None, &weather(), &failed(None), 0);
        let since = row.failing_since;
        let mut waits = vec![row.again_at - row.tried_at];
        for now in 1..12 {
            row = step(Some(&row), &weather(), &failed(None), now);
            waits.push(row.again_at - row.tried_at);
        }
        let seconds: Vec<i64> = waits.iter().map(TimeDelta::num_seconds).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1800, 1800]);
        assert_eq!(row.failing_since, since);
        let rests = step(Some(&row), &weather(), &failed(Some(7200)), 20);
        assert_eq!(rests.again_at, at_second(20 + 7200));
        let mistaken = step(Some(&row), &weather(), &failed(Some(u64::MAX)), 20);
        assert_eq!(mistaken.again_at, at_second(20 + 86_400));
        let well = step(Some(&row), &weather(), &Outcome::Unchanged, 30);
        assert_eq!((well.failures, well.failing_since, well.problem.as_str()), (0, None, ""));
    }

    #[test]
    fn few_are_fetched_at_once_and_what_waits_longest_first() {
        let wanted: BTreeMap<Source, Wanted> = (0..9).map(|number| (place(number), weather())).collect();
        let row = |number: i32| {
            let row = after(None, place(number), &weather(), &Outcome::Unchanged, at_second(0), 0.5);
            (row.source, FetchRow { again_at: at_second(100 - i64::from(number)), ..row })
        };
        let rows: BTreeMap<Source, FetchRow> = (0..9).map(row).collect();
        let under_way = BTreeSet::from([place(8)]);
        let now = due(&wanted, &rows, &Rests::default(), &under_way, at_second(200));
        assert_eq!(now.start, [place(7), place(6), place(5)]);
        let now = due(&wanted, &rows, &Rests::default(), &under_way, at_second(93));
        assert_eq!((now.start, now.again_at), (vec![place(7)], Some(at_second(94))));
    }

    #[test]
    fn what_nobody_wants_is_forgotten_and_not_fetched() {
        let row = step(None, &url("a"), &Outcome::Unchanged, 0);
        let rows = BTreeMap::from([(Source::Orbits, row)]);
        let now = due(&BTreeMap::new(), &rows, &Rests::default(), &BTreeSet::new(), at_second(1_000_000));
        assert_eq!(now, Due { forget: vec![Source::Orbits], ..Due::default() });
    }

    #[test]
    fn a_clock_that_went_back_does_not_put_it_off() {
        let row = step(None, &url("a"), &Outcome::Unchanged, 1_000_000);
        let wanted = BTreeMap::from([(Source::Orbits, url("a"))]);
        let rows = BTreeMap::from([(Source::Orbits, row)]);
        let now = due(&wanted, &rows, &Rests::default(), &BTreeSet::new(), at_second(0));
        assert!(now.again_at.unwrap() <= at_second(4 * 3600 + 720));
    }

    #[test]
    fn a_service_that_refuses_whoever_asks_is_not_asked_for_other_places() {
        let wanted: BTreeMap<Source, Wanted> = (0..99).map(|number| (place(number), weather())).collect();
        let (rows, none) = (BTreeMap::new(), BTreeSet::new());
        let starts = |rests: &Rests, now| due(&wanted, &rows, rests, &none, at_second(now)).start.len();
        let refused = Outcome::Failed { problem: "no".to_owned(), rest: None, refused: true };
        let mut rests = Rests::default();
        assert_eq!(starts(&rests, 0), AT_ONCE);
        for _ in 0..AT_ONCE {
            rests.learn(&weather(), &refused, at_second(0), 1.0);
        }
        assert_eq!((starts(&rests, 1), starts(&rests, 2)), (0, AT_ONCE), "they count as one");
        rests.learn(&weather(), &refused, at_second(2), 1.0);
        assert_eq!((starts(&rests, 5), starts(&rests, 6)), (0, AT_ONCE));
        let told =
            Outcome::Failed { problem: "no".to_owned(), rest: Some(Duration::from_secs(900)), refused: true };
        rests.learn(&weather(), &told, at_second(6), 1.0);
        assert_eq!((starts(&rests, 905), starts(&rests, 906)), (0, AT_ONCE));
        rests.learn(&weather(), &failed(None), at_second(7), 1.0);
        assert_eq!(starts(&rests, 8), 0, "a failure says nothing about it");
        rests.learn(&weather(), &Outcome::Unchanged, at_second(7), 1.0);
        assert_eq!(starts(&rests, 8), AT_ONCE);
    }
}
