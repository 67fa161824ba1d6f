//! A connection to a reconciler.

use std::{fmt, fs, io, path::PathBuf, str::FromStr};

use chrono::Utc;
use thiserror::Error;
use tonic::{
    Request, Status,
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Uri},
};

use crate::{
    Identity, limits,
    v1::{node_service_client::NodeServiceClient, testbed_service_client::TestbedServiceClient},
};

/// Where a reconciler is.
#[derive(Debug, Clone)]
pub struct Endpoint {
    uri: Uri,
    ca_file: Option<PathBuf>,
    window: Option<u32>,
}

/// Why a reconciler cannot be spoken to.
#[derive(Debug, Error)]
pub enum EndpointError {
    /// The text is not an address.
    #[error("`{0}` is not the address of a reconciler: expected `http://HOST:PORT` or `https://HOST:PORT`")]
    Form(String),
    /// Tokens would go over the network in clear.
    #[error(
        "`{0}` is not encrypted and not on this machine: use https://, or say that a plain connection is wanted"
    )]
    Plain(String),
    /// The file with the authority's certificate cannot be read.
    #[error("cannot read the certificates in {}", .0.display())]
    Certificates(PathBuf, #[source] io::Error),
    /// The certificates cannot be used.
    #[error("cannot set up TLS")]
    Tls(#[source] tonic::transport::Error),
}

impl Endpoint {
    /// Reads an address. Without TLS, only this machine's own addresses are accepted, unless
    /// `plaintext` says otherwise.
    ///
    /// # Errors
    ///
    /// [`EndpointError::Form`] and [`EndpointError::Plain`].
    pub fn new(address: &str, plaintext: bool) -> Result<Self, EndpointError> {
        let form = || EndpointError::Form(address.to_owned());
        let uri = Uri::from_str(address).map_err(|_| form())?;
        let host = uri.host().ok_or_else(form)?;
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if plaintext || is_loopback(host) => {}
            Some("http") => return Err(EndpointError::Plain(address.to_owned())),
            _ => return Err(form()),
        }
        Ok(Self { uri, ca_file: None, window: None })
    }

    /// Trusts the certificates in a PEM file instead of the system's.
    #[must_use]
    pub fn with_ca_file(mut self, path: Option<PathBuf>) -> Self {
        self.ca_file = path;
        self
    }

    /// Lets so many bytes be on their way to this side, per call and in all, instead of 64 KiB (RFC 9113, section 6.9.2).
    #[must_use]
    pub fn with_window(mut self, bytes: u32) -> Self {
        self.window = Some(bytes);
        self
    }

    /// Prepares a connection. It is made on first use and again whenever it was lost.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up.
    pub fn connect(&self, identity: Option<Identity>) -> Result<Connection, EndpointError> {
        let mut endpoint = Channel::builder(self.uri.clone())
            .connect_timeout(limits::CONNECT_DEADLINE)
            .http2_keep_alive_interval(limits::KEEPALIVE_INTERVAL)
            .keep_alive_timeout(limits::KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(self.window)
            .initial_connection_window_size(self.window)
            .tcp_nodelay(true);
        if self.uri.scheme_str() == Some("https") {
            let tls = match &self.ca_file {
                None => ClientTlsConfig::new().with_native_roots(),
                Some(path) => {
                    let pem =
                        fs::read(path).map_err(|error| EndpointError::Certificates(path.clone(), error))?;
                    ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))
                }
            };
            endpoint = endpoint.tls_config(tls).map_err(EndpointError::Tls)?;
        }
        Ok(Connection { channel: endpoint.connect_lazy(), sign: Sign(identity) })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A connection to a reconciler. Clones share it.
#[derive(Debug, Clone)]
pub struct Connection {
    channel: Channel,
    sign: Sign,
}

/// A channel that signs every call.
pub type Signed = InterceptedService<Channel, Sign>;

impl Connection {
    /// What people and their tools ask.
    pub fn testbed(&self) -> TestbedServiceClient<Signed> {
        TestbedServiceClient::with_interceptor(self.channel.clone(), self.sign.clone())
            .max_decoding_message_size(limits::MAX_MESSAGE)
    }

    /// What agents ask.
    pub fn node(&self) -> NodeServiceClient<Signed> {
        NodeServiceClient::with_interceptor(self.channel.clone(), self.sign.clone())
            .max_decoding_message_size(limits::MAX_MESSAGE)
    }
}

/// Puts a token on every call.
#[derive(Debug, Clone)]
pub struct Sign(Option<Identity>);

impl Interceptor for Sign {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(identity) = &self.0 {
            let token = identity
                .token(Utc::now())
                .map_err(|error| Status::internal(format!("cannot sign: {error}")))?;
            let value = MetadataValue::try_from(format!("Bearer {token}"))
                .map_err(|_| Status::internal("a token is ASCII, and this one is not"))?;
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_never_leave_the_machine_in_clear_by_accident() {
        for good in
            ["http://127.0.0.1:7600", "http://[::1]:7600", "http://localhost:1", "https://example.org"]
        {
            assert!(Endpoint::new(good, false).is_ok(), "{good}");
        }
        assert!(matches!(Endpoint::new("http://example.org:7600", false), Err(EndpointError::Plain(_))));
        assert!(Endpoint::new("http://example.org:7600", true).is_ok());
        for bad in ["", "example.org:7600", "ftp://example.org", "http://"] {
            assert!(matches!(Endpoint::new(bad, false), Err(EndpointError::Form(_))), "{bad}");
        }
    }
}
