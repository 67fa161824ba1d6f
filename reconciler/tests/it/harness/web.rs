//! A service outside that the reconciler asks, which may behave in any way.

use std::{
    io,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Request, Response},
};
use futures::{StreamExt, stream};
use tokio::{net::TcpListener, task::JoinHandle};

/// How a service answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// With a status, headers and a body.
    Says(u16, Vec<(&'static str, String)>, String),
    /// With a body under a tag, or that it is still the same.
    Tagged(&'static str, String),
    /// With a body that has no end.
    Endless,
    /// With the beginning of a body, after which the connection is closed.
    Closes,
    /// With the beginning of a body, and nothing more.
    Stalls,
}

/// What it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
}

/// A service. It ends when this goes out of scope.
pub(crate) struct Web {
    port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    answer: Mutex<Answer>,
    asked: Mutex<Vec<Asked>>,
}

impl Web {
    pub(crate) async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared { answer: Mutex::new(answer), asked: Mutex::default() });
        let router = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { port, shared, task }
    }

    /// An address of it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Answers so from now on.
    pub(crate) fn answers(&self, answer: Answer) {
        *self.shared.answer.lock().unwrap() = answer;
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response<Body> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let headers = request.headers().clone();
    let known = headers.get("if-none-match").and_then(|tag| tag.to_str().ok()).map(str::to_owned);
    shared.asked.lock().unwrap().push(Asked { query, headers });
    let answer = shared.answer.lock().unwrap().clone();
    let beginning = || stream::iter([Ok::<_, io::Error>(Bytes::from_static(b"{\"main\":"))]);
    let (status, headers, body) = match answer {
        Answer::Says(status, headers, body) => (status, headers, Body::from(body)),
        Answer::Tagged(tag, _) if known.as_deref() == Some(tag) => (304, Vec::new(), Body::empty()),
        Answer::Tagged(tag, body) => (200, vec![("etag", tag.to_owned())], Body::from(body)),
        Answer::Endless => (
            200,
            Vec::new(),
            Body::from_stream(stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from_static(&[b' '; 4096])))),
        ),
        Answer::Closes => {
            let end = stream::iter([Err(io::Error::other("closed"))]);
            (200, Vec::new(), Body::from_stream(beginning().chain(end)))
        }
        Answer::Stalls => (200, Vec::new(), Body::from_stream(beginning().chain(stream::pending()))),
    };
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(body).unwrap()
}
