//! Asks services and files. What it shows never carries an address: that may have a key in it.

use std::{io, path::Path, time::Duration};

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, RETRY_AFTER},
    redirect,
};
use thiserror::Error;
use tokio::{fs::File, io::AsyncReadExt, time::timeout};

use super::{
    Place, Source, Validator,
    orbits::{self, OrbitsError},
    schedule::Outcome,
    source::Wanted,
    weather::{self, WeatherError},
};
use crate::{
    causes::chain,
    secret::{Secret, SecretError},
};

/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// How long the weather may take, from the first byte to the last.
const WEATHER: Duration = Duration::from_secs(20);

/// How long orbits may take: a megabyte over a slow line.
const ORBITS: Duration = Duration::from_secs(120);

/// The longest header by which a service tells its versions apart. A longer one is not kept.
const MAX_VALIDATOR: usize = 512;

/// Asks. Clones share connections.
#[derive(Debug, Clone)]
pub struct Fetcher(Client);

/// What was fetched, as it is kept.
#[derive(Debug)]
pub struct Fetched {
    /// What it came to.
    pub outcome: Outcome,
    /// What is new.
    pub content: Option<Bytes>,
}

/// Why nothing was fetched.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The key is not there.
    #[error("cannot read the key")]
    Secret(#[from] SecretError),
    /// The address cannot be used.
    #[error("its address cannot be used: expected `https://` or `http://`, without a password")]
    Address,
    /// The service was not reached, or did not end its answer.
    #[error("the request failed")]
    Request(#[source] reqwest::Error),
    /// It took too long.
    #[error("the answer took longer than {0} s")]
    Slow(u64),
    /// It is not there any more.
    #[error(
        "the service says that it is elsewhere ({0}); redirects are not followed, as they would carry the key away: name the new address"
    )]
    Moved(StatusCode),
    /// It refused.
    #[error("the service answered {status}{advice}", advice = advice(*.status))]
    Status {
        /// How.
        status: StatusCode,
        /// How long it wants to be left in peace.
        rest: Option<Duration>,
    },
    /// It says too much.
    #[error("the answer is longer than {0} bytes")]
    Large(usize),
    /// It is not the weather.
    #[error(transparent)]
    Weather(#[from] WeatherError),
    /// They are no orbits.
    #[error("it is not made of two-line element sets")]
    Orbits(#[from] OrbitsError),
    /// The file is not there.
    #[error("cannot read the file")]
    File(#[source] io::Error),
    /// The path is of something else.
    #[error("it is not a file")]
    NotAFile,
}

/// An answer in full.
struct Answer {
    body: Bytes,
    validator: Validator,
}

impl Fetcher {
    /// Prepares to ask.
    ///
    /// # Errors
    ///
    /// When there is no HTTP client.
    pub fn new() -> Result<Self, reqwest::Error> {
        // Whichever part of the program comes first installs it; that another one did is no error.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("almanac-reconciler/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            // A redirect would carry the key to somebody else.
            .redirect(redirect::Policy::none())
            .http1_only()
            .build()?;
        Ok(Self(client))
    }

    /// Fetches something by its settings, where there may be something already.
    pub async fn fetch(
        &self,
        source: Source,
        wanted: &Wanted,
        key: Option<Result<Secret, SecretError>>,
        known: &Validator,
    ) -> Fetched {
        let fetched = match (source, wanted) {
            (Source::Weather(place), Wanted::Weather { url, .. }) => match key {
                Some(Ok(key)) => self.weather(place, url, &key).await,
                Some(Err(error)) => Err(error.into()),
                None => Err(FetchError::Address),
            },
            (Source::Orbits, Wanted::Url(url)) => self.orbits(url, known).await,
            (Source::Orbits, Wanted::File(path)) => file(path, known).await,
            _ => Err(FetchError::Address),
        };
        match fetched {
            Ok(Some((content, validator))) => {
                Fetched { outcome: Outcome::Fetched(validator), content: Some(content) }
            }
            Ok(None) => Fetched { outcome: Outcome::Unchanged, content: None },
            Err(error) => {
                let (rest, refused) = (error.rest(), error.is_of_the_caller());
                Fetched { outcome: Outcome::Failed { problem: chain(&error), rest, refused }, content: None }
            }
        }
    }

    async fn weather(
        &self,
        place: Place,
        url: &str,
        key: &Secret,
    ) -> Result<Option<(Bytes, Validator)>, FetchError> {
        let url = weather::address(address(url)?, place, key);
        let none = Validator::default();
        let ask = self.get(url, &none, weather::MAX_ANSWER);
        let Some(answer) = within(WEATHER, ask).await? else { return Ok(None) };
        let text = weather::read(&answer.body, key)?;
        Ok(Some((text.into(), none)))
    }

    async fn orbits(&self, url: &str, known: &Validator) -> Result<Option<(Bytes, Validator)>, FetchError> {
        let ask = self.get(address(url)?, known, orbits::MAX_TEXT);
        let Some(Answer { body, validator }) = within(ORBITS, ask).await? else { return Ok(None) };
        Ok(Some((checked(body).await?, validator)))
    }

    /// What an address answers; nothing when it is as it was.
    async fn get(&self, url: Url, known: &Validator, most: usize) -> Result<Option<Answer>, FetchError> {
        let mut request = self.0.get(url);
        for (name, value) in [(IF_NONE_MATCH, &known.tag), (IF_MODIFIED_SINCE, &known.modified)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        match status {
            // Whoever has nothing yet did not ask whether it changed.
            StatusCode::NOT_MODIFIED if *known != Validator::default() => return Ok(None),
            StatusCode::OK => {}
            _ if status.is_redirection() => return Err(FetchError::Moved(status)),
            _ => {
                return Err(FetchError::Status { status, rest: rest(answer.headers(), crate::clock::now()) });
            }
        }
        let header = |name: HeaderName| {
            let value = answer.headers().get(name)?.to_str().ok()?;
            (value.len() <= MAX_VALIDATOR).then(|| value.to_owned())
        };
        let validator = Validator { tag: header(ETAG), modified: header(LAST_MODIFIED), file: None };
        Ok(Some(Answer { body: body(answer, most).await?, validator }))
    }
}

/// Reads an answer to its end, or to a bound.
async fn body(mut answer: Response, most: usize) -> Result<Bytes, FetchError> {
    if answer.content_length().is_some_and(|length| length > most as u64) {
        return Err(FetchError::Large(most));
    }
    let mut body = BytesMut::new();
    while let Some(part) = answer.chunk().await.map_err(failed)? {
        if body.len() + part.len() > most {
            return Err(FetchError::Large(most));
        }
        body.extend_from_slice(&part);
    }
    Ok(body.freeze())
}

/// Reads a file that has changed.
async fn file(path: &Path, known: &Validator) -> Result<Option<(Bytes, Validator)>, FetchError> {
    // Before it is opened: to open a pipe would wait for whoever writes to it.
    let seen = tokio::fs::metadata(path).await.map_err(FetchError::File)?;
    if !seen.is_file() {
        return Err(FetchError::NotAFile);
    }
    let changed = seen.modified().ok().map(DateTime::<Utc>::from);
    let changed = changed.and_then(|at| at.timestamp_nanos_opt()).unwrap_or_default();
    let validator = Validator { file: Some((changed.into(), seen.len())), ..Validator::default() };
    if validator == *known {
        return Ok(None);
    }
    let mut text = Vec::new();
    let file = File::open(path).await.map_err(FetchError::File)?;
    file.take(orbits::MAX_TEXT as u64 + 1).read_to_end(&mut text).await.map_err(FetchError::File)?;
    if text.len() > orbits::MAX_TEXT {
        return Err(FetchError::Large(orbits::MAX_TEXT));
    }
    Ok(Some((checked(text.into()).await?, validator)))
}

/// Checks and packs on a thread of its own: it takes seconds for the largest.
async fn checked(text: Bytes) -> Result<Bytes, FetchError> {
    let work = move || {
        orbits::check(&text)?;
        orbits::pack(&text)
    };
    let packed = tokio::task::spawn_blocking(work).await;
    Ok(packed.map_err(|error| OrbitsError::Pack(io::Error::other(error)))??)
}

async fn within<T>(
    most: Duration,
    asking: impl Future<Output = Result<T, FetchError>>,
) -> Result<T, FetchError> {
    timeout(most, asking).await.unwrap_or(Err(FetchError::Slow(most.as_secs())))
}

fn failed(error: reqwest::Error) -> FetchError {
    FetchError::Request(error.without_url())
}

fn address(text: &str) -> Result<Url, FetchError> {
    let url = Url::parse(text).map_err(|_| FetchError::Address)?;
    let is_good = matches!(url.scheme(), "http" | "https") && url.password().is_none() && url.has_host();
    if is_good { Ok(url) } else { Err(FetchError::Address) }
}

/// What one can do about an answer.
fn advice(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            ": check the key, and that it is valid for this service"
        }
        StatusCode::TOO_MANY_REQUESTS => ": it is asked less often for a while",
        StatusCode::NOT_FOUND => ": check the address",
        _ => "",
    }
}

/// How long a service wants to be left in peace: seconds, or a date.
fn rest(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    (DateTime::parse_from_rfc2822(text).ok()?.to_utc() - now).to_std().ok()
}

impl FetchError {
    fn rest(&self) -> Option<Duration> {
        if let Self::Status { rest, .. } = self { *rest } else { None }
    }

    /// Whether a service refused whoever asks: others are refused as well.
    fn is_of_the_caller(&self) -> bool {
        match self {
            Self::Secret(_) | Self::Address | Self::Moved(_) => true,
            Self::Status { status, .. } => matches!(
                *status,
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS
            ),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_says_how_long_to_stay_away() {
        let now = DateTime::parse_from_rfc3339("2027-01-10T12:00:00Z").unwrap().to_utc();
        for (text, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 10 Jan 2027 12:01:30 GMT", Some(90)),
            ("Sun, 10 Jan 2027 11:00:00 GMT", None),
            ("soon", None),
            ("-1", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(rest(&headers, now), seconds.map(Duration::from_secs), "{text}");
        }
        assert_eq!(rest(&HeaderMap::new(), now), None);
    }

    #[test]
    fn only_addresses_of_the_web_are_asked() {
        for good in ["https://example.org/a?b=c", "http://127.0.0.1:8080"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in ["", "example.org", "file:///etc/passwd", "https://a:b@example.org", "ftp://example.org"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_file_is_read_when_it_changed_and_only_a_file() {
        const ISS: &str = "1 25544U 98067A   08264.51782528 -.00002182  00000-0 -11606-4 0  2927\n\
            2 25544  51.6416 247.4627 0006703 130.5360 325.0288 15.72125391563537\n";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tle");
        let none = Validator::default();
        assert!(matches!(file(&path, &none).await, Err(FetchError::File(_))));
        assert!(matches!(file(folder.path(), &none).await, Err(FetchError::NotAFile)));
        std::fs::write(&path, ISS).unwrap();
        let (_, validator) = file(&path, &none).await.unwrap().unwrap();
        assert!(file(&path, &validator).await.unwrap().is_none());
        std::fs::write(&path, ISS.repeat(2)).unwrap();
        assert!(file(&path, &validator).await.unwrap().is_some());
        std::fs::write(&path, "no").unwrap();
        assert!(matches!(file(&path, &validator).await, Err(FetchError::Orbits(_))));
        let large = std::fs::File::create(&path).unwrap();
        large.set_len(orbits::MAX_TEXT as u64 + 1).unwrap();
        assert!(matches!(file(&path, &validator).await, Err(FetchError::Large(_))));
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(matches!(file(&path, &validator).await, Err(FetchError::NotAFile)));
    }
}
