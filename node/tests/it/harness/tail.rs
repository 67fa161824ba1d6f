//! The streams on which an agent sends logs, and what it is asked there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, mpsc as answers},
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use almanac_proto::v1::{LogPiece, StreamLogsRequest, StreamLogsResponse};

use super::record::RunKey;

pub(super) type Asking = ReceiverStream<Result<StreamLogsResponse, Status>>;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The streams.
#[derive(Debug, Default)]
pub(super) struct Lines(Mutex<HashMap<RunKey, Line>>);

#[derive(Debug, Default)]
struct Line {
    opened: usize,
    questions: Option<mpsc::Sender<Result<StreamLogsResponse, Status>>>,
    waiting: HashMap<u64, answers::Sender<LogPiece>>,
    next: u64,
}

impl Lines {
    /// How often a stream was opened.
    pub(super) fn opened(&self, run: &RunKey) -> usize {
        self.0.lock().unwrap().get(run).map_or(0, |line| line.opened)
    }

    /// Asks on the newest stream, if there is one.
    pub(super) fn ask(&self, run: &RunKey, mut question: StreamLogsResponse) -> Option<LogPiece> {
        let (answer, answered) = answers::channel();
        {
            let mut lines = self.0.lock().unwrap();
            let line = lines.get_mut(run)?;
            line.next += 1;
            question.id = line.next;
            line.waiting.insert(line.next, answer);
            line.questions.as_ref()?.try_send(Ok(question)).ok()?;
        }
        answered.recv_timeout(PATIENCE).ok()
    }
}

/// A stream that the agent has opened.
pub(super) fn asking(lines: Arc<Lines>, run: RunKey, mut pieces: Streaming<StreamLogsRequest>) -> Asking {
    let (questions, receiver) = mpsc::channel(64);
    {
        let mut lines = lines.0.lock().unwrap();
        let line = lines.entry(run.clone()).or_default();
        line.opened += 1;
        line.questions = Some(questions);
        line.waiting.clear();
    }
    tokio::spawn(async move {
        while let Ok(Some(message)) = pieces.message().await {
            let Some(piece) = message.piece else { continue };
            let waiting =
                lines.0.lock().unwrap().get_mut(&run).and_then(|line| line.waiting.remove(&piece.id));
            if let Some(answer) = waiting {
                let _ = answer.send(piece);
            }
        }
        // Whoever waits hears that nothing comes.
        if let Some(line) = lines.0.lock().unwrap().get_mut(&run) {
            line.waiting.clear();
        }
    });
    ReceiverStream::new(receiver)
}
