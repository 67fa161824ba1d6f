//! What an agent says of itself.

use almanac_proto::{
    client::Signed,
    v1::{HeartbeatRequest, HeartbeatResponse, node_service_client::NodeServiceClient},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// A stream of heartbeats.
pub(crate) struct Heart {
    beats: mpsc::Sender<HeartbeatRequest>,
    answers: Streaming<HeartbeatResponse>,
    /// What the first one was answered.
    pub(crate) first: HeartbeatResponse,
}

impl Heart {
    /// Opens a stream with its first heartbeat.
    pub(crate) async fn open(
        agent: &mut NodeServiceClient<Signed>,
        first: HeartbeatRequest,
    ) -> Result<Self, Status> {
        let (beats, receiver) = mpsc::channel(1);
        beats.try_send(first).unwrap();
        let mut answers = agent.heartbeat(ReceiverStream::new(receiver)).await?.into_inner();
        let first = answers.message().await?.ok_or_else(ended)?;
        Ok(Self { beats, answers, first })
    }

    /// The next heartbeat.
    pub(crate) async fn beat(&mut self, beat: HeartbeatRequest) -> Result<HeartbeatResponse, Status> {
        // A stream that has ended says why.
        let _ = self.beats.send(beat).await;
        self.answers.message().await?.ok_or_else(ended)
    }

    /// How it ends without another word.
    pub(crate) async fn end(&mut self) -> Status {
        match self.answers.message().await {
            Err(status) => status,
            Ok(answer) => panic!("{answer:?}"),
        }
    }
}

/// A single heartbeat on a stream of its own, which ends in good order.
pub(crate) async fn beat(
    agent: &mut NodeServiceClient<Signed>,
    beat: HeartbeatRequest,
) -> Result<HeartbeatResponse, Status> {
    let mut answers = agent.heartbeat(tokio_stream::iter([beat])).await?.into_inner();
    let answer = answers.message().await?.ok_or_else(ended)?;
    assert_eq!(answers.message().await?, None);
    Ok(answer)
}

fn ended() -> Status {
    Status::unknown("the stream ended without an answer")
}
