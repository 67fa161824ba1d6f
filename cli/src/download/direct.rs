//! Files from their store itself, by requests that the reconciler signs for one file each.

use std::{
    collections::BTreeSet,
    fs, io,
    io::Write,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use reqwest::{Certificate, Client, StatusCode, header, redirect};
use tokio::time::{sleep, timeout};

use almanac_proto::{limits, v1};

use super::{FileProgress, Hashed};
use crate::{
    call::{CallError, Caller},
    fetch::{FetchError, PART_DEADLINE, Stored},
};

/// How often in a row a store may fail, or a request be refused, with nothing arriving in between.
const TRIES: u32 = 5;

/// How long to wait after the first failure; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// What speaks to stores.
#[derive(Debug)]
pub(super) struct Direct {
    client: Client,
    /// The hosts that cannot be reached from here. Files of theirs come through the reconciler.
    unreachable: Mutex<BTreeSet<String>>,
}

/// What came of a request.
enum Answer {
    /// All that was missing has arrived, or this side cannot write it.
    Ended(io::Result<()>),
    /// The store does not take the request, which has expired or is about something else by now.
    Refused(String),
    /// There is no way to it from here.
    Unreachable,
    /// It failed in a way that may pass.
    Failed(String),
    /// It will never send the file.
    Never(String),
}

impl Direct {
    /// Prepares to speak to stores. Besides the system's certificates, those are trusted that the reconciler's is signed by.
    ///
    /// # Errors
    ///
    /// When there is no HTTP client to be had.
    pub(super) fn new(caller: &Caller) -> Result<Self, FetchError> {
        let unusable = |why: String| FetchError::Store { name: "anything".to_owned(), why, passing: false };
        // Whichever part of the program comes first installs it; that another one did is no error.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("almanac/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(limits::CONNECT_DEADLINE)
            // The signature is for that address: who sends elsewhere sends to somebody else.
            .redirect(redirect::Policy::none());
        if let Some(path) = caller.ca_file() {
            let pem = fs::read(path).map_err(|error| FetchError::Read(path.to_owned(), error))?;
            let certificates =
                Certificate::from_pem_bundle(&pem).map_err(|error| unusable(error.to_string()))?;
            builder = certificates.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate);
        }
        let client = builder.build().map_err(|error| unusable(error.to_string()))?;
        Ok(Self { client, unreachable: Mutex::default() })
    }

    /// The stores' hosts that could not be reached.
    pub(super) fn unreachable(&self) -> BTreeSet<String> {
        self.unreachable.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches what is missing of a file, if its store serves it itself and can be reached; the inner error is that of the writer. What
    /// arrives is added to `arrived` also where the end does not.
    ///
    /// # Errors
    ///
    /// When the store does not send all of it.
    pub(super) async fn stream(
        &self,
        caller: &Caller,
        stored: Stored<'_>,
        arrived: &mut Hashed,
        to: &mut (dyn Write + '_),
        bar: &FileProgress<'_>,
    ) -> Result<Option<io::Result<()>>, FetchError> {
        let name = &stored.artifact.name;
        let mut failures = 0;
        loop {
            let Some(request) = grant(caller, stored).await? else { return Ok(None) };
            let host = host(&request.url);
            if self.unreachable().contains(&host) {
                return Ok(None);
            }
            let before = arrived.size;
            let answer = self.get(&request, stored.artifact.size, arrived, to, bar).await;
            failures = if arrived.size > before { 1 } else { failures + 1 };
            let (why, passing) = match answer {
                Answer::Ended(ended) => return Ok(Some(ended)),
                Answer::Unreachable => {
                    self.unreachable.lock().unwrap_or_else(PoisonError::into_inner).insert(host);
                    return Ok(None);
                }
                Answer::Never(why) => {
                    // Its time may have been over meanwhile: then the reconciler says so better.
                    grant(caller, stored).await?;
                    return Err(FetchError::Store { name: name.clone(), why, passing: false });
                }
                Answer::Refused(why) => (why, false),
                Answer::Failed(why) => (why, true),
            };
            if failures >= TRIES {
                return Err(FetchError::Store { name: name.clone(), why, passing });
            }
            // The next request is a new one, which has not expired.
            sleep(FIRST_WAIT * 2_u32.pow(failures - 1)).await;
        }
    }

    async fn get(
        &self,
        request: &v1::SignedRequest,
        size: u64,
        arrived: &mut Hashed,
        to: &mut (dyn Write + '_),
        bar: &FileProgress<'_>,
    ) -> Answer {
        // The address is a secret until it expires, and no message repeats it.
        let failed = |error: reqwest::Error| Answer::Failed(words(&error.without_url()));
        let silent = || Answer::Failed(format!("it was silent for {} s", PART_DEADLINE.as_secs()));
        let mut asking = self.client.get(&request.url);
        for (name, value) in &request.headers {
            asking = asking.header(name, value);
        }
        if arrived.size > 0 {
            asking = asking.header(header::RANGE, format!("bytes={}-", arrived.size));
        }
        let mut answer = match timeout(PART_DEADLINE, asking.send()).await {
            Ok(Ok(answer)) => answer,
            // Many a store is for its own network alone.
            Ok(Err(error)) if error.is_connect() => return Answer::Unreachable,
            Ok(Err(error)) => return failed(error),
            Err(_) => return silent(),
        };
        let status = answer.status();
        let mut skip = match status {
            // It knows no ranges, and sends all of it.
            StatusCode::OK => arrived.size,
            StatusCode::PARTIAL_CONTENT => 0,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Answer::Refused(status.to_string()),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                return Answer::Failed(status.to_string());
            }
            _ if status.is_server_error() => return Answer::Failed(status.to_string()),
            _ => return Answer::Never(status.to_string()),
        };
        loop {
            let mut data = match timeout(PART_DEADLINE, answer.chunk()).await {
                Ok(Ok(Some(data))) => data,
                Ok(Ok(None)) if arrived.size < size => {
                    return Answer::Failed(format!("it ended after {} of {size} bytes", arrived.size));
                }
                Ok(Ok(None)) => return Answer::Ended(to.flush()),
                Ok(Err(error)) => return failed(error),
                Err(_) => return silent(),
            };
            let known = usize::try_from(skip).unwrap_or(usize::MAX).min(data.len());
            skip -= known as u64;
            let data = data.split_off(known);
            if let Err(error) = to.write_all(&data) {
                return Answer::Ended(Err(error));
            }
            arrived.add(&data);
            bar.is_at(arrived.size);
            // No need to fill the disk with what is wrong already.
            if arrived.size > size {
                return Answer::Ended(to.flush());
            }
        }
    }
}

/// A request for a file, if its store takes any but the reconciler's.
async fn grant(caller: &Caller, stored: Stored<'_>) -> Result<Option<v1::SignedRequest>, CallError> {
    let question = v1::GrantDownloadRequest {
        run_id: stored.run.to_string(),
        role: v1::Role::from(stored.artifact.role).into(),
        name: stored.artifact.name.clone(),
    };
    let asking = caller
        .patiently(async |mut client| client.grant_download(crate::call::request(question.clone())).await);
    match asking.await {
        Ok(answer) => Ok(answer.request),
        Err(CallError::Unimplemented(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The host of an address, for people.
fn host(url: &str) -> String {
    let host = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.unwrap_or_default()
}

/// What an error says, with its causes.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
