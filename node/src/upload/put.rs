//! One part of a file in one request to a store.

use std::{
    io,
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use almanac_proto::v1;
use futures::{Stream, stream};
use reqwest::{
    Body, Client, Method, StatusCode, Url,
    header::{CONTENT_LENGTH, ETAG},
    redirect,
};
use thiserror::Error;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
    time,
};

use crate::traffic::Traffic;

use super::{direct::SILENCE, part::CHUNK};

/// How long connecting to a store may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// How much of what a store says about a failure is read, in bytes.
const MAX_ANSWER: usize = 4 << 10;

/// The longest name of a content that is taken from a store, in bytes.
const MAX_ETAG: usize = 256;

/// Why a store has not taken a part. The address is left out: until it expires, it is a secret.
#[derive(Debug, Error)]
pub(super) enum PutError {
    /// There is no client.
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
    /// What was granted is no request.
    #[error("what the reconciler granted is not a request that can be made: {0}")]
    Grant(&'static str),
    /// It is not reached, or the connection broke.
    #[error("the store is not reached")]
    Away(#[source] reqwest::Error),
    /// Nothing went on for too long.
    #[error("the store was silent for {} s", SILENCE.as_secs())]
    Silent,
    /// It says that it does not take it.
    #[error("the store answered {status}{}", .code.as_deref().map(|code| format!(": {code}")).unwrap_or_default())]
    Status {
        /// What it answered.
        status: StatusCode,
        /// The word for it, where it has one.
        code: Option<String>,
    },
}

impl PutError {
    /// Whether it may be otherwise in a moment.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Client(_) | Self::Grant(_) => false,
            Self::Away(_) | Self::Silent => true,
            // 400 is for a part that was damaged on its way, and 403 for a grant that has expired.
            Self::Status { status, .. } => {
                status.is_server_error() || [400, 403, 408, 409, 429].contains(&status.as_u16())
            }
        }
    }
}

/// What makes requests to stores. Clones share its connections. It is made when it is first used: an agent whose files go through the
/// reconciler does without the certificates that it reads.
#[derive(Debug, Clone, Default)]
pub(super) struct Putter(Arc<OnceLock<Client>>);

impl Putter {
    fn client(&self) -> Result<&Client, PutError> {
        if let Some(client) = self.0.get() {
            return Ok(client);
        }
        // Whichever part of the program comes first installs it; that another one did is no error.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("almanac-node/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_DEADLINE)
            // A redirect would carry a file to somebody that the reconciler did not name.
            .redirect(redirect::Policy::none())
            .http1_only()
            .build();
        let client = client.map_err(PutError::Client)?;
        Ok(self.0.get_or_init(|| client))
    }

    /// Makes a granted request with a part of a file, at the pace of the link, and returns what the store calls the content. Little
    /// of the part is in memory at a time.
    pub(super) async fn put(
        &self,
        granted: &v1::SignedRequest,
        path: &Path,
        offset: u64,
        length: u64,
        traffic: &Traffic,
    ) -> Result<String, PutError> {
        let url: Url = granted.url.parse().map_err(|_| PutError::Grant("it has no address"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(PutError::Grant("its address is neither https:// nor http://"));
        }
        if granted.method != Method::PUT.as_str() {
            return Err(PutError::Grant("it does not put anything"));
        }
        let sent = Arc::new(AtomicU64::new(0));
        let body = Body::wrap_stream(paced(
            path.to_owned().into(),
            offset,
            length,
            traffic.clone(),
            Arc::clone(&sent),
        ));
        let mut request = self.client()?.put(url).header(CONTENT_LENGTH, length).body(body);
        for (name, value) in &granted.headers {
            request = request.header(name, value);
        }
        let making = async {
            let away = |error: reqwest::Error| PutError::Away(error.without_url());
            let answer = request.send().await.map_err(away)?;
            let status = answer.status();
            if status.is_success() {
                let etag = answer.headers().get(ETAG).and_then(|etag| etag.to_str().ok());
                return Ok(etag.filter(|etag| etag.len() <= MAX_ETAG).unwrap_or_default().to_owned());
            }
            Err(PutError::Status { status, code: code(answer).await })
        };
        tokio::select! {
            // Cancel-safe: a part that is given up is sent again as a whole.
            made = making => made,
            () = stalled(&sent) => Err(PutError::Silent),
        }
    }
}

/// Ends when nothing was sent for too long, or nothing was answered for as long after the end.
async fn stalled(sent: &AtomicU64) {
    let mut before = None;
    loop {
        let now = sent.load(Ordering::Relaxed);
        if before.replace(now) == Some(now) {
            return;
        }
        time::sleep(SILENCE).await;
    }
}

/// A part of a file, piece by piece, each at its turn.
fn paced(
    path: Arc<Path>,
    offset: u64,
    length: u64,
    traffic: Traffic,
    sent: Arc<AtomicU64>,
) -> impl Stream<Item = io::Result<bytes::Bytes>> {
    stream::try_unfold((None, length), move |(file, left)| {
        let (path, traffic, sent) = (Arc::clone(&path), traffic.clone(), Arc::clone(&sent));
        async move {
            if left == 0 {
                return Ok(None);
            }
            let mut file = match file {
                Some(file) => file,
                None => {
                    let mut file = File::open(&path).await?;
                    file.seek(io::SeekFrom::Start(offset)).await?;
                    file
                }
            };
            let mut piece = vec![0; usize::try_from(left).unwrap_or(CHUNK).min(CHUNK)];
            file.read_exact(&mut piece).await?;
            traffic.turn(piece.len()).await;
            let count = piece.len() as u64;
            sent.fetch_add(count, Ordering::Relaxed);
            Ok(Some((bytes::Bytes::from(piece), (Some(file), left - count))))
        }
    })
}

/// The word for what went wrong, as Azure and S3 say it: `<Code>SlowDown</Code>`.
async fn code(mut answer: reqwest::Response) -> Option<String> {
    let mut said = Vec::new();
    while said.len() < MAX_ANSWER
        && let Ok(Some(part)) = answer.chunk().await
    {
        said.extend_from_slice(&part);
    }
    word(&String::from_utf8_lossy(&said))
}

fn word(said: &str) -> Option<String> {
    let (_, rest) = said.split_once("<Code>")?;
    let (word, _) = rest.split_once("</Code>")?;
    let plain = word.len() <= 64 && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain.then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_says_in_a_word_what_is_wrong() {
        let said = "<?xml version=\"1.0\"?><Error><Code>AuthenticationFailed</Code><Message>sig=abc</Message></Error>";
        assert_eq!(word(said).as_deref(), Some("AuthenticationFailed"));
        for none in ["", "<Code>", "<Code>a b</Code>", "<html>503</html>"] {
            assert_eq!(word(none), None, "{none}");
        }
    }

    #[tokio::test]
    async fn what_is_granted_must_be_a_request_over_http() {
        let putter = Putter::default();
        let traffic = Traffic::new(None);
        for (method, url) in
            [("PUT", "file:///etc/passwd"), ("PUT", "nonsense"), ("DELETE", "http://127.0.0.1:1/a")]
        {
            let granted =
                v1::SignedRequest { method: method.to_owned(), url: url.to_owned(), ..Default::default() };
            let error = putter.put(&granted, Path::new("/dev/null"), 0, 0, &traffic).await.unwrap_err();
            assert!(matches!(error, PutError::Grant(_)), "{error:?}");
            assert!(!error.to_string().contains(url));
        }
    }

    #[tokio::test]
    async fn an_error_does_not_say_where_to() {
        let putter = Putter::default();
        let url = "http://127.0.0.1:1/a?sig=canary".to_owned();
        let granted = v1::SignedRequest { method: "PUT".to_owned(), url, ..Default::default() };
        let error =
            putter.put(&granted, Path::new("/dev/null"), 0, 0, &Traffic::new(None)).await.unwrap_err();
        let said = format!("{error:?} {}", crate::runtime::chain(&error));
        assert!(matches!(error, PutError::Away(_)) && !said.contains("canary"), "{said}");
    }
}
