use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, FutureExt};
use tokio::sync::broadcast::Receiver;

use almanac_schemas::trigger::{Provider as Name, Value};

use super::*;

/// What a provider of these tests does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    Measures,
    Fails,
    Hangs,
    HasNoNews,
}

struct Scripted {
    does: Arc<Mutex<Does>>,
    asked: Arc<Mutex<u32>>,
    always_on: bool,
}

impl Provider for Scripted {
    fn name(&self) -> Name {
        Name::Host
    }

    fn every(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn is_always_on(&self) -> bool {
        self.always_on
    }

    fn measure(&mut self) -> BoxFuture<'_, Result<Option<Measured>, MeasureError>> {
        *self.asked.lock().unwrap() += 1;
        let does = *self.does.lock().unwrap();
        async move {
            match does {
                Does::Measures => {
                    let sample = [("load_1m".to_owned(), Value::Number(1.0))].into();
                    Ok(Some(Measured { at: clock::now(), sample }))
                }
                Does::HasNoNews => Ok(None),
                Does::Fails => Err(MeasureError::new("it is broken")),
                Does::Hangs => std::future::pending().await,
            }
        }
        .boxed()
    }
}

struct Driven {
    telemetry: Telemetry,
    readings: Receiver<Reading>,
    does: Arc<Mutex<Does>>,
    asked: Arc<Mutex<u32>>,
    task: tokio::task::JoinHandle<()>,
}

fn driven(always_on: bool) -> Driven {
    let telemetry = Telemetry::new();
    let readings = telemetry.listen();
    let (does, asked) = (Arc::new(Mutex::new(Does::Measures)), Arc::default());
    let provider = Scripted { does: Arc::clone(&does), asked: Arc::clone(&asked), always_on };
    let task = tokio::spawn(drive(Box::new(provider), telemetry.clone()));
    Driven { telemetry, readings, does, asked, task }
}

impl Driven {
    fn set(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    /// Whether the next reading has a sample, and how long it took to come.
    async fn next(&mut self) -> (bool, Duration) {
        let begun = Instant::now();
        let reading = self.readings.recv().await.unwrap();
        (reading.sample.is_some(), begun.elapsed())
    }
}

#[tokio::test(start_paused = true)]
async fn it_measures_by_its_clock_and_is_silent_after_three_of_its_periods() {
    for wrong in [Does::Fails, Does::Hangs, Does::HasNoNews] {
        let mut driven = driven(true);
        assert!(driven.next().await.0);
        for _ in 0..3 {
            assert_eq!(driven.next().await, (true, Duration::from_secs(1)));
        }
        driven.set(wrong);
        let (measured, after) = driven.next().await;
        assert!(!measured, "{wrong:?}: what it measured is forgotten");
        assert_eq!(after, Duration::from_secs(3), "{wrong:?}");
        assert!(driven.telemetry.latest().is_empty());
        time::sleep(Duration::from_secs(30)).await;
        let standing = driven.telemetry.standings()[&Name::Host].clone();
        assert_eq!(standing.measured_at, None);
        assert_eq!(standing.problem.is_some(), wrong != Does::HasNoNews, "{standing:?}");
        assert!(driven.readings.is_empty(), "{wrong:?}: that it is silent is said once");
        driven.set(Does::Measures);
        let (measured, after) = driven.next().await;
        assert!(measured && after <= LONGEST_PAUSE + Duration::from_secs(1), "{wrong:?}: {after:?}");
        assert_eq!(driven.telemetry.standings()[&Name::Host].problem, None);
    }
}

#[tokio::test(start_paused = true)]
async fn what_costs_something_is_measured_while_it_is_wanted() {
    let mut driven = driven(false);
    time::sleep(Duration::from_secs(60)).await;
    assert_eq!(*driven.asked.lock().unwrap(), 0);
    assert!(driven.telemetry.standings()[&Name::Host].idle);
    let wanted = driven.telemetry.want();
    assert_eq!(driven.next().await, (true, Duration::ZERO), "at once");
    assert_eq!(driven.next().await, (true, Duration::from_secs(1)));
    drop(wanted);
    assert_eq!(driven.next().await, (false, Duration::from_secs(3)), "and forgotten when it is old");
    let asked = *driven.asked.lock().unwrap();
    time::sleep(Duration::from_secs(60)).await;
    assert!(*driven.asked.lock().unwrap() <= asked);
}

#[tokio::test(start_paused = true)]
async fn nothing_outlives_a_provider() {
    let mut driven = driven(true);
    assert!(driven.next().await.0);
    driven.task.abort();
    assert!(!driven.next().await.0);
    assert!(driven.telemetry.latest().is_empty());
}
