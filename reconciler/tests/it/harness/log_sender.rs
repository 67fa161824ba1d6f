//! A node that sends a log when it is asked to, and somebody who watches it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use almanac_proto::{
    client::Signed,
    log::{self, Lines, Stream},
    v1::{self, node_service_client::NodeServiceClient, testbed_service_client::TestbedServiceClient},
};
use bytes::Bytes;
use chrono::DateTime;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// So many numbered lines of a log, each with as many bytes.
pub(crate) fn lines(range: std::ops::Range<usize>) -> Vec<u8> {
    let mut lines = Vec::new();
    for number in range {
        let at = DateTime::from_timestamp(number as i64, 0).unwrap();
        log::encode(&mut lines, &log::stamp(at), Stream::Stdout, format!("{number:07}\n").as_bytes());
    }
    lines
}

#[derive(Debug, Default)]
struct Log {
    data: Vec<u8>,
    /// What lies before is not kept.
    kept_from: usize,
    ended: bool,
    absent: bool,
}

/// A node's agent, as far as one log is concerned. It connects again by itself.
pub(crate) struct LogSender {
    log: Arc<watch::Sender<Log>>,
    streams: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    sent: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl LogSender {
    /// Watches the node's desired state, and sends the log while it is wanted.
    pub(crate) fn start(agent: NodeServiceClient<Signed>, node: &str, run: &str) -> Self {
        let log = Arc::new(watch::Sender::new(Log::default()));
        let (streams, open, sent) = (Arc::default(), Arc::default(), Arc::default());
        let sender = Sender {
            agent,
            node: node.to_owned(),
            run: run.to_owned(),
            log: Arc::clone(&log),
            streams: Arc::clone(&streams),
            open: Arc::clone(&open),
            sent: Arc::clone(&sent),
        };
        Self { log, streams, open, sent, task: tokio::spawn(sender.run()) }
    }

    /// The run writes something.
    pub(crate) fn write(&self, data: &[u8]) {
        self.log.send_modify(|log| log.data.extend_from_slice(data));
    }

    /// What lies before a place is not kept any more.
    pub(crate) fn forget(&self, place: usize) {
        self.log.send_modify(|log| log.kept_from = place);
    }

    /// The run ends.
    pub(crate) fn end(&self) {
        self.log.send_modify(|log| log.ended = true);
    }

    /// The log is removed, as it is once it is stored.
    pub(crate) fn remove(&self) {
        self.log.send_modify(|log| log.absent = true);
    }

    /// How many streams were opened, and how many are open.
    pub(crate) fn streams(&self) -> (usize, usize) {
        (self.streams.load(Ordering::Relaxed), self.open.load(Ordering::Relaxed))
    }

    /// How many bytes of the log were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for LogSender {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Sender {
    agent: NodeServiceClient<Signed>,
    node: String,
    run: String,
    log: Arc<watch::Sender<Log>>,
    streams: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    sent: Arc<AtomicU64>,
}

/// Counts a stream as long as it is open.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Sender {
    async fn run(self) {
        loop {
            let _ = self.watch().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn watch(&self) -> Result<(), Status> {
        let request = v1::WatchDesiredStateRequest { node: self.node.clone(), ..Default::default() };
        let mut states = self.agent.clone().watch_desired_state(request).await?.into_inner();
        let mut stream: Option<Abort> = None;
        while let Some(state) = states.message().await? {
            let Some(logs) = state.logs else { continue };
            let wanted = logs.logs.iter().any(|log| log.run_id == self.run);
            if !wanted {
                stream = None;
            } else if stream.is_none() {
                let sender = self.clone();
                stream = Some(Abort(tokio::spawn(async move {
                    loop {
                        let _ = sender.stream().await;
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                })));
            }
        }
        Ok(())
    }

    async fn stream(&self) -> Result<(), Status> {
        let (answers, receiver) = mpsc::channel(16);
        let first = v1::StreamLogsRequest {
            node: self.node.clone(),
            run_id: self.run.clone(),
            role: v1::Role::Client.into(),
            piece: None,
        };
        answers.try_send(first).unwrap();
        let mut agent = self.agent.clone();
        let mut questions = agent.stream_logs(ReceiverStream::new(receiver)).await?.into_inner();
        self.streams.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        let _open = Open(Arc::clone(&self.open));
        while let Some(question) = questions.message().await? {
            let (sender, answers) = (self.clone(), answers.clone());
            tokio::spawn(async move {
                let piece = sender.answer(&question).await;
                let size = piece.data.len() as u64;
                let answer = v1::StreamLogsRequest { piece: Some(piece), ..Default::default() };
                // Counted before it can be seen, unless nobody listens any more.
                if let Ok(place) = answers.reserve().await {
                    sender.sent.fetch_add(size, Ordering::Relaxed);
                    place.send(answer);
                }
            });
        }
        Ok(())
    }

    async fn answer(&self, question: &v1::StreamLogsResponse) -> v1::LogPiece {
        let mut log = self.log.subscribe();
        let from = match question.tail_lines {
            None => usize::try_from(question.offset).unwrap(),
            Some(tail) => {
                let log = log.borrow();
                let mut lines = Lines::new(Some(tail as usize), None, None);
                lines.add(0, &log.data);
                usize::try_from(lines.begin(log.data.len() as u64)).unwrap()
            }
        };
        let wait = question.wait.map_or(Duration::ZERO, |wait| wait.try_into().unwrap());
        let _ = timeout(wait, log.wait_for(|log| log.data.len() > from || log.ended || log.absent)).await;
        let log = log.borrow();
        if log.absent {
            return v1::LogPiece { id: question.id, absent: true, ..Default::default() };
        }
        let begin = from.max(log.kept_from).min(log.data.len());
        let end = log.data.len().min(begin + question.max_bytes as usize);
        let mut data = &log.data[begin..end];
        let whole = data.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        data = &data[..whole];
        v1::LogPiece {
            id: question.id,
            begin: begin as u64,
            data: Bytes::copy_from_slice(data),
            written: log.data.len() as u64,
            ended: log.ended && begin + data.len() == log.data.len(),
            absent: false,
        }
    }
}

struct Abort(JoinHandle<()>);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Somebody who watches a log.
pub(crate) struct Tail {
    stream: Streaming<v1::TailLogsResponse>,
    pub(crate) data: Vec<u8>,
    pub(crate) offset: Option<u64>,
    /// How much was left out.
    pub(crate) left_out: u64,
    pub(crate) waiting: Vec<String>,
}

impl Tail {
    pub(crate) async fn start(
        mut client: TestbedServiceClient<Signed>,
        request: v1::TailLogsRequest,
    ) -> Result<Self, Status> {
        let offset = request.offset;
        let stream = client.tail_logs(request).await?.into_inner();
        Ok(Self { stream, data: Vec::new(), offset, left_out: 0, waiting: Vec::new() })
    }

    /// Takes what comes next; whether that was the end.
    pub(crate) async fn next(&mut self) -> Result<bool, Status> {
        let next =
            timeout(Duration::from_secs(30), self.stream.message()).await.expect("something in time")?;
        let answer = next.expect("the stream says when it ends");
        if answer.end {
            return Ok(true);
        }
        if !answer.waiting.is_empty() {
            self.waiting.push(answer.waiting);
            return Ok(false);
        }
        self.left_out += answer.left_out;
        self.data.extend_from_slice(&answer.data);
        assert!(self.offset.is_none_or(|before| answer.offset >= before));
        self.offset = Some(answer.offset);
        Ok(false)
    }

    /// Takes what comes until there is so much of it.
    pub(crate) async fn until(&mut self, bytes: usize) {
        while self.data.len() < bytes {
            assert!(!self.next().await.unwrap(), "it ends after {} of {bytes} bytes", self.data.len());
        }
    }

    /// Takes everything.
    pub(crate) async fn read_all(&mut self) {
        while !self.next().await.unwrap() {}
    }
}
