//! Answers that are cut off when the reconciler stops, and say so.

use futures::{Stream, StreamExt, stream};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// What is sent until the reconciler stops. Then it ends with an error: otherwise what was sent so far would pass for all of it.
pub(super) fn until_stopped<T>(
    messages: impl Stream<Item = Result<T, Status>>,
    stop: CancellationToken,
    to_do: &'static str,
) -> impl Stream<Item = Result<T, Status>> {
    stream::unfold(Some((Box::pin(messages), stop)), move |going| async move {
        let (mut messages, stop) = going?;
        // Cancel-safe: a message that was taken from the stream is sent. A stop comes first, so that a store that always has
        // more does not put it off.
        match stop.run_until_cancelled(messages.next()).await {
            Some(message) => Some((message?, Some((messages, stop)))),
            None => Some((Err(Status::unavailable(format!("the reconciler is stopping; {to_do}"))), None)),
        }
    })
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn answer(
        messages: impl Stream<Item = u32>,
        stop: &CancellationToken,
    ) -> impl Stream<Item = Result<u32, Status>> {
        until_stopped(messages.map(Ok), stop.clone(), "try again")
    }

    #[tokio::test]
    async fn what_is_cut_off_does_not_end_well() {
        let stop = CancellationToken::new();
        let mut answer = Box::pin(answer(stream::iter([1, 2]).chain(stream::pending()), &stop));
        assert_eq!(answer.next().await.unwrap().unwrap(), 1);
        assert_eq!(answer.next().await.unwrap().unwrap(), 2);
        assert!(answer.next().now_or_never().is_none());
        stop.cancel();
        let end = answer.next().await.unwrap().unwrap_err();
        assert_eq!(
            (end.code(), end.message()),
            (tonic::Code::Unavailable, "the reconciler is stopping; try again")
        );
        assert!(answer.next().await.is_none());
    }

    #[tokio::test]
    async fn a_store_that_always_has_more_does_not_put_it_off() {
        let stop = CancellationToken::new();
        let mut answer = Box::pin(answer(stream::repeat(1), &stop));
        assert!(answer.next().await.unwrap().is_ok());
        stop.cancel();
        assert!(answer.next().await.unwrap().is_err());
    }

    #[tokio::test]
    async fn what_is_whole_ends_well() {
        let stop = CancellationToken::new();
        let whole: Vec<_> = answer(stream::iter([1, 2]), &stop).map(Result::unwrap).collect().await;
        assert_eq!(whole, [1, 2]);
    }
}
