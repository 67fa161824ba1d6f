//! Gets a log, and goes on where it stopped when the connection is lost: nothing is missing, and nothing comes twice.

use std::time::Duration;

use almanac_proto::{limits, log::Stream, v1};
use chrono::{DateTime, Utc};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Request, Status};

use crate::{
    call::{CallError, Caller},
    failure::Failure,
    output::Output,
};

use super::Printer;

/// How long to wait before the next attempt, at first and at most.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// After how long somebody is told that the connection is lost.
const SILENT: Duration = Duration::from_secs(3);

/// How long one who does not follow goes on trying.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which log, and how much of it.
#[derive(Debug)]
pub struct Tail {
    /// The run's id, or the beginning of it.
    pub id: String,
    /// Which part of the job.
    pub role: v1::Role,
    /// Whether to go on until the run ends.
    pub follow: bool,
    /// The last so many lines.
    pub lines: Option<u32>,
    /// The lines from an instant on.
    pub since: Option<DateTime<Utc>>,
    /// Which lines count.
    pub stream: Option<Stream>,
}

/// How far it has come.
#[derive(Debug, Default)]
struct Progress {
    /// Where to go on.
    offset: Option<u64>,
    /// Whether the reconciler said anything.
    answered: bool,
    /// Whether anything came since the last attempt.
    moved: bool,
    warned: bool,
}

impl Tail {
    /// Prints the log until it ends.
    ///
    /// # Errors
    ///
    /// When there is none, when it may not be seen, and when the reconciler cannot be reached at first, or without
    /// following for longer than a moment.
    pub async fn print(
        &self,
        printer: &mut Printer,
        caller: &Caller,
        output: &mut Output<'_>,
    ) -> Result<(), Failure> {
        let mut progress = Progress::default();
        let mut pause = SHORTEST;
        let mut lost_at = None;
        loop {
            progress.moved = false;
            let error = match self.attempt(&mut progress, printer, caller, output).await {
                Ok(()) => return Ok(printer.finish(output)?),
                Err(Failure::Call(error)) if self.is_worth_another(&error, &progress) => error,
                Err(failure) => return Err(failure),
            };
            if progress.moved {
                (pause, lost_at) = (SHORTEST, None);
            }
            let lost_for = lost_at.get_or_insert_with(Instant::now).elapsed();
            if !self.follow && lost_for >= PATIENCE {
                return Err(error.into());
            }
            if lost_for >= SILENT && !progress.warned {
                output.note(&format!("{error}: trying again until it goes on"));
                progress.warned = true;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// Whether something that went wrong may go right soon.
    fn is_worth_another(&self, error: &CallError, progress: &Progress) -> bool {
        let may_pass =
            matches!(error, CallError::Unreachable { .. } | CallError::Late { .. } | CallError::Busy { .. });
        may_pass && (progress.offset.is_some() || (self.follow && progress.answered))
    }

    /// Prints until the log ends or the connection is lost.
    async fn attempt(
        &self,
        progress: &mut Progress,
        printer: &mut Printer,
        caller: &Caller,
        output: &mut Output<'_>,
    ) -> Result<(), Failure> {
        let explain = |status: Status| caller.explain(&status);
        let mut client = caller.client();
        let call = timeout(limits::CALL_DEADLINE, client.tail_logs(Request::new(self.question(progress))));
        let call = call.await.map_err(|_| caller.silent())?;
        let mut answers = call.map_err(explain)?.into_inner();
        // No deadline: a run may be silent for as long as it goes on, and a connection that died is noticed.
        while let Some(answer) = answers.message().await.map_err(explain)? {
            progress.answered = true;
            if std::mem::take(&mut progress.warned) {
                output.note("connected again");
            }
            if answer.end {
                return Ok(());
            }
            if !answer.waiting.is_empty() {
                output.note(&answer.waiting);
                progress.moved = true;
                continue;
            }
            if answer.left_out > 0 {
                printer.gap(answer.left_out, output)?;
            }
            if answer.plain {
                printer.plain(&answer.data, output)?;
            } else {
                printer.lines(&answer.data, output)?;
            }
            progress.offset = Some(answer.offset);
            progress.moved = true;
        }
        // A stream that ends without a word was cut off.
        Err(explain(Status::unavailable("the stream ended early")).into())
    }

    fn question(&self, progress: &Progress) -> v1::TailLogsRequest {
        v1::TailLogsRequest {
            run_id: self.id.clone(),
            role: self.role.into(),
            offset: progress.offset,
            follow: self.follow,
            tail_lines: self.lines,
            since: self.since.map(almanac_proto::convert::timestamp),
            stream: Stream::message(self.stream).into(),
        }
    }
}
