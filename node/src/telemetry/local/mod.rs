//! What nobody foresaw: commands and files of the host that yield JSON. The agent's own configuration names them, and
//! nothing in Git can.

mod settings;
mod source;

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use tokio::{
    task::JoinSet,
    time::{self, Instant},
};
use tracing::{info, warn};

use almanac_schemas::trigger::{Provider as Name, samples::Sample};

use crate::{clock, runtime::chain};

pub use settings::{LocalName, LocalSettings, SourceSettings};

use self::source::SourceError;
use super::provider::{MeasureError, Measured, Provider};

/// How many of its periods what a source said last is good for.
const PERIODS: u32 = 3;

/// The sources of the host. Each is asked by itself, so that a slow one does not hold up the others.
pub struct Local {
    sources: Vec<Source>,
    asked: JoinSet<(usize, Result<Sample, SourceError>)>,
    every: Duration,
    patience: Duration,
}

struct Source {
    name: LocalName,
    settings: SourceSettings,
    due_at: Instant,
    is_asked: bool,
    /// What it said last, and when.
    latest: Option<(Instant, Sample)>,
    problem: Option<String>,
}

impl Local {
    /// These sources; nothing where there are none.
    pub fn new(settings: &LocalSettings) -> Option<Self> {
        let now = Instant::now();
        let source = |(name, settings): (&LocalName, &SourceSettings)| Source {
            name: name.clone(),
            settings: settings.clone(),
            due_at: now,
            is_asked: false,
            latest: None,
            problem: None,
        };
        let sources: Vec<Source> = settings.iter().map(source).collect();
        let every = sources.iter().map(|source| source.settings.every()).min()?;
        let slowest = sources.iter().map(|source| source.settings.every()).max()?;
        Some(Self { sources, asked: JoinSet::new(), every, patience: slowest * PERIODS })
    }

    /// Asks those that are due, and puts together what is known of all.
    async fn ask(&mut self) -> Result<Sample, MeasureError> {
        // They are asked by one clock, which may be a little early.
        let soon = Instant::now() + self.every / 10;
        for (index, source) in self.sources.iter_mut().enumerate() {
            if !source.is_asked && source.due_at <= soon {
                source.is_asked = true;
                source.due_at = Instant::now() + source.settings.every();
                let (name, settings) = (source.name.clone(), source.settings.clone());
                self.asked.spawn(async move { (index, source::ask(&name, &settings).await) });
            }
        }
        let answers = async {
            while let Some(answered) = self.asked.join_next().await {
                if let Ok((index, answer)) = answered {
                    self.sources[index].hear(answer);
                }
            }
        };
        // Cancel-safe: whoever has not answered yet is heard the next time.
        let _ = time::timeout(self.every.mul_f64(0.8), answers).await;
        self.known()
    }

    fn known(&mut self) -> Result<Sample, MeasureError> {
        let now = Instant::now();
        let mut sample = Sample::new();
        let mut problems = Vec::new();
        for source in &mut self.sources {
            let old = source.settings.every() * PERIODS;
            source.latest.take_if(|(taken, _)| now - *taken > old);
            sample.extend(source.latest.iter().flat_map(|(_, sample)| sample.clone()));
            problems.extend(source.problem.iter().map(|problem| format!("`{}`: {problem}", source.name)));
        }
        if !sample.is_empty() {
            return Ok(sample);
        }
        Err(MeasureError(if problems.is_empty() {
            "nothing is known yet".to_owned()
        } else {
            problems.join("; ")
        }))
    }
}

impl Source {
    fn hear(&mut self, answer: Result<Sample, SourceError>) {
        self.is_asked = false;
        match answer {
            Ok(sample) => {
                if self.problem.take().is_some() {
                    info!(source = %self.name, "it measures again");
                }
                self.latest = Some((Instant::now(), sample));
            }
            Err(error) => {
                let problem = chain(&error);
                // Once, and not every second.
                if self.problem.as_ref() != Some(&problem) {
                    warn!(source = %self.name, problem, "a source of `[telemetry.local]` yields nothing");
                }
                self.problem = Some(problem);
            }
        }
    }
}

impl Provider for Local {
    fn name(&self) -> Name {
        Name::Local
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn is_always_on(&self) -> bool {
        false
    }

    fn measure(&mut self) -> BoxFuture<'_, Result<Option<Measured>, MeasureError>> {
        async {
            let sample = self.ask().await?;
            Ok(Some(Measured { at: clock::now(), sample }))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
