//! `almanac nodes telemetry`.

use std::{collections::BTreeMap, time::Duration};

use almanac_proto::{limits, v1};
use almanac_schemas::NodeName;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Request, Status};

use crate::{
    call::{CallError, Caller},
    failure::Failure,
    output::{Format, Listing, Look, Output},
    view::{Measured, Reading},
};

/// How long to wait before a lost connection is made again.
const PAUSE: Duration = Duration::from_secs(1);

/// What a terminal does first: the cursor goes to its upper left corner, and what is there is wiped.
const WIPE: &str = "\u{1b}[H\u{1b}[J";

/// What was shown so far.
struct Shown {
    /// By provider.
    latest: BTreeMap<&'static str, Reading>,
    /// Whether the reconciler answered ever.
    is_answered: bool,
    begun: Instant,
    look: Look,
}

pub(super) async fn run(
    node: &NodeName,
    follow: bool,
    caller: &Caller,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let look = output.look;
    let mut shown = Shown { latest: BTreeMap::new(), is_answered: false, begun: Instant::now(), look };
    loop {
        let error = match watch(node, follow, &mut shown, caller, output).await {
            Err(Failure::Call(error)) if follow && shown.is_answered && may_pass(&error) => error,
            ended => return ended,
        };
        output.note(&format!("{error}: trying again until it goes on"));
        sleep(PAUSE).await;
    }
}

/// Whether something that went wrong may go right soon.
fn may_pass(error: &CallError) -> bool {
    matches!(error, CallError::Unreachable { .. } | CallError::Late { .. } | CallError::Busy { .. })
}

/// Shows what comes until nothing does any more.
async fn watch(
    node: &NodeName,
    follow: bool,
    shown: &mut Shown,
    caller: &Caller,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let explain = |status: Status| caller.explain(&status);
    let question = Request::new(v1::WatchTelemetryRequest { node: node.to_string(), follow });
    let mut client = caller.client();
    let call = timeout(limits::CALL_DEADLINE, client.watch_telemetry(question));
    let mut answers = call.await.map_err(|_| caller.silent())?.map_err(explain)?.into_inner();
    let mut problem = String::new();
    // No deadline for one who follows: a connection that died is noticed, and a node may measure rarely.
    while let Some(answer) = answers.message().await.map_err(explain)? {
        shown.is_answered = true;
        let readings = answer.readings.into_iter().map(Reading::try_from);
        let readings: Vec<Reading> = readings.collect::<Result<_, _>>().map_err(CallError::from)?;
        shown.take(&readings);
        if follow {
            shown.follow(&readings, output)?;
        } else {
            shown.list(output)?;
        }
        if follow && !answer.problem.is_empty() {
            output.note(&answer.problem);
        }
        problem = answer.problem;
    }
    match (problem.is_empty(), follow) {
        (true, false) if shown.is_answered => Ok(()),
        // A stream that ends without a word was cut off.
        (true, _) => Err(explain(Status::unavailable("the stream ended early")).into()),
        (false, _) => Err(Failure::Silent(problem)),
    }
}

impl Shown {
    fn take(&mut self, readings: &[Reading]) {
        for reading in readings {
            if reading.sample.is_empty() {
                self.latest.remove(reading.provider);
            } else {
                self.latest.insert(reading.provider, reading.clone());
            }
        }
    }

    /// Everything, as one table.
    fn list(&self, output: &mut Output<'_>) -> Result<(), Failure> {
        let items: Vec<Measured> = self.latest.values().flat_map(Reading::fields).collect();
        Ok(output.list(&Listing { items, more: false })?)
    }

    /// The table anew on a terminal; elsewhere what is new, and nothing twice.
    fn follow(&self, readings: &[Reading], output: &mut Output<'_>) -> Result<(), Failure> {
        match output.format {
            Format::Table if self.look.style.width.is_some() => {
                output.out.write_all(WIPE.as_bytes())?;
                output.look.now = self.look.now + self.begun.elapsed();
                self.list(output)?;
            }
            Format::Table => {
                for reading in readings {
                    writeln!(output.out, "{}", reading.line())?;
                }
            }
            Format::Json => {
                for reading in readings {
                    serde_json::to_writer(&mut *output.out, reading).map_err(std::io::Error::from)?;
                    output.out.write_all(b"\n")?;
                }
            }
            Format::Yaml => {
                for reading in readings {
                    output.out.write_all(b"---\n")?;
                    output.structured(reading)?;
                }
            }
        }
        Ok(output.out.flush()?)
    }
}
