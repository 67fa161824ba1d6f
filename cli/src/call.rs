//! Calls to the reconciler, and what their failures mean to whoever typed the command.

use std::{
    error::Error as _,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use thiserror::Error;
use tonic::{Code, Request, Response, Status, TimeoutExpired};

use almanac_proto::{
    Endpoint, Identity,
    client::{EndpointError, Signed},
    convert::FieldError,
    identity::IdentityError,
    limits,
    v1::testbed_service_client::TestbedServiceClient,
};

use crate::{exit::Exit, settings::Settings};

/// A reconciler, spoken to as somebody.
#[derive(Debug, Clone)]
pub struct Caller {
    client: TestbedServiceClient<Signed>,
    me: Me,
    ca_file: Option<PathBuf>,
}

/// Who calls whom; errors tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Me {
    server: String,
    user: String,
    key: PathBuf,
    fingerprint: String,
}

/// Why nothing can be asked.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The address cannot be used.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The key cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Why a question was not answered.
#[derive(Debug, Error)]
pub enum CallError {
    /// Nobody is there.
    #[error("nothing answers at {server}: {why}")]
    Unreachable {
        /// The address.
        server: String,
        /// What the system says.
        why: String,
    },
    /// Somebody is there who may be anybody.
    #[error("the certificate of {server} is not trusted: {why}")]
    Untrusted {
        /// The address.
        server: String,
        /// What is wrong with it.
        why: String,
    },
    /// The answer takes too long.
    #[error("{server} did not answer in time")]
    Late {
        /// The address.
        server: String,
    },
    /// The reconciler does not know who asks.
    #[error("{} does not accept you as `{}`: {message}", me.server, me.user)]
    Unknown {
        /// What it says.
        message: String,
        /// Who asked.
        me: Box<Me>,
    },
    /// The reconciler knows who asks and does not answer them.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The question is wrong.
    #[error("{0}")]
    Refused(String),
    /// The question is right, and there is nothing that it could be carried out on.
    #[error("{0}")]
    Inapplicable(String),
    /// The reconciler is there and cannot answer now.
    #[error("{server} cannot answer now: {message}")]
    Busy {
        /// The address.
        server: String,
        /// What it says.
        message: String,
    },
    /// The reconciler is older.
    #[error("{0} does not know this question")]
    Unimplemented(String),
    /// Something is wrong with the reconciler.
    #[error("the reconciler failed ({code:?}): {message}")]
    Internal {
        /// The kind of failure.
        code: Code,
        /// What it says.
        message: String,
    },
    /// The answer makes no sense.
    #[error("the reconciler's answer makes no sense")]
    Answer(#[from] FieldError),
}

impl Caller {
    /// Prepares to speak to a reconciler. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When address, certificates or key cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, ConnectError> {
        let endpoint = Endpoint::new(&settings.server, settings.plaintext)?
            .with_ca_file(settings.ca_file.clone())
            .with_window(WINDOW);
        let identity = Identity::read(&settings.key, settings.user.clone(), &settings.audience)?;
        let me = Me {
            server: endpoint.to_string().trim_end_matches('/').to_owned(),
            user: settings.user.to_string(),
            key: settings.key.clone(),
            fingerprint: identity.public_key().fingerprint(),
        };
        let client = endpoint.connect(Some(identity))?.testbed();
        Ok(Self { client, me, ca_file: settings.ca_file.clone() })
    }

    /// The client to call with. Clones share the connection.
    pub fn client(&self) -> TestbedServiceClient<Signed> {
        self.client.clone()
    }

    /// Calls, and again for as long as the reconciler says when it will take the call: whoever fetches many files makes more
    /// calls than it takes at once.
    ///
    /// # Errors
    ///
    /// What the failure means, if it is another one.
    pub async fn patiently<T>(
        &self,
        mut call: impl AsyncFnMut(TestbedServiceClient<Signed>) -> Result<Response<T>, Status>,
    ) -> Result<T, CallError> {
        loop {
            match call(self.client()).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => match pushback(&status) {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => return Err(self.explain(&status)),
                },
            }
        }
    }

    /// The certificates to trust instead of the system's, where some are named.
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// What a failed call means.
    pub fn explain(&self, status: &Status) -> CallError {
        let server = self.me.server.clone();
        let message = status.message().to_owned();
        // A status with a source was made on this side: the connection failed.
        if let Some(source) = status.source() {
            let cause = root_cause(source);
            if cause.is::<TimeoutExpired>() {
                return CallError::Late { server };
            }
            let why = wording(cause);
            return match why.strip_prefix(CERTIFICATE) {
                Some(why) => CallError::Untrusted { server, why: certificate(why) },
                None => CallError::Unreachable { server, why },
            };
        }
        match status.code() {
            Code::DeadlineExceeded => CallError::Late { server },
            Code::Unauthenticated => CallError::Unknown { message, me: Box::new(self.me.clone()) },
            Code::PermissionDenied => CallError::Forbidden(message),
            Code::NotFound => CallError::NotFound(message),
            Code::InvalidArgument | Code::OutOfRange | Code::AlreadyExists => CallError::Refused(message),
            Code::FailedPrecondition => CallError::Inapplicable(message),
            Code::Unavailable | Code::ResourceExhausted | Code::Aborted | Code::Cancelled => {
                CallError::Busy { server, message }
            }
            Code::Unimplemented => CallError::Unimplemented(server),
            code @ (Code::Ok | Code::Unknown | Code::DataLoss | Code::Internal) => {
                CallError::Internal { code, message }
            }
        }
    }

    /// What silence for longer than a call may take means.
    pub fn silent(&self) -> CallError {
        CallError::Late { server: self.me.server.clone() }
    }
}

/// When the reconciler takes a call again that it refused because there were too many (gRFC A6).
fn pushback(status: &Status) -> Option<Duration> {
    let says = status
        .metadata()
        .get("grpc-retry-pushback-ms")
        .filter(|_| status.code() == Code::ResourceExhausted)?;
    Some(Duration::from_millis(says.to_str().ok()?.parse().ok()?).min(MAX_PUSHBACK))
}

/// How many bytes may be on their way. With 64 KiB, which is the default, a link with a round trip of 50 ms carries
/// 1.3 MB/s at most, and one to a satellite and back less.
const WINDOW: u32 = 4 << 20;

/// The longest that is waited between two calls that are refused because there were too many.
const MAX_PUSHBACK: Duration = Duration::from_secs(10);

/// How `rustls` begins when it does not accept a server's certificate.
const CERTIFICATE: &str = "invalid peer certificate: ";

/// What is wrong with a certificate, where `rustls` gives no more than the name of its error.
fn certificate(why: &str) -> String {
    match why {
        "UnknownIssuer" => "no authority that is trusted here has signed it".to_owned(),
        "Other(OtherError(CaUsedAsEndEntity))" => {
            "it is that of an authority, which no server may show as its own; make one with `CA:FALSE`"
                .to_owned()
        }
        other => other.to_owned(),
    }
}

/// A call that has to be answered within [`limits::CALL_DEADLINE`].
pub fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(limits::CALL_DEADLINE);
    request
}

/// What made a connection fail; the layers above only say that it did.
fn root_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause
}

fn wording(cause: &(dyn std::error::Error + 'static)) -> String {
    match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => "the connection is refused".to_owned(),
        _ => cause.to_string(),
    }
}

impl ConnectError {
    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Identity(IdentityError::Read(path, error)) if error.kind() == io::ErrorKind::NotFound => {
                Some(format!(
                    "make a key with `ssh-keygen -t ed25519 -N '' -f {0}` and put {0}.pub into your User manifest, or name another with `--key FILE` or ALMANAC_KEY",
                    path.display()
                ))
            }
            Self::Endpoint(EndpointError::Plain(_)) => {
                Some("`--plaintext` says that a plain connection is wanted".to_owned())
            }
            Self::Identity(_) | Self::Endpoint(_) => None,
        }
    }
}

impl CallError {
    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        let help = match self {
            Self::Unreachable { .. } => {
                "start a reconciler there (`almanac-reconciler serve`), or name another with `--server URL` or ALMANAC_SERVER"
            }
            Self::Untrusted { .. } => {
                "name the certificate of the authority that signed it with `--ca-file FILE`, and the server by a name that is in its certificate"
            }
            Self::Unknown { me, .. } => {
                return Some(format!(
                    "the token was signed with {} ({}); that key must be among the `keys` of the manifest of `{}`. Name another key with `--key FILE`, another user with `--user NAME` before the command",
                    me.key.display(),
                    me.fingerprint,
                    me.user
                ));
            }
            Self::Late { .. } | Self::Busy { .. } => "try again later",
            Self::Unimplemented(_) | Self::Answer(_) => {
                "is its version the same as yours? `almanac --version` says yours"
            }
            Self::Internal { .. } => "its log says more",
            Self::Forbidden(_) | Self::NotFound(_) | Self::Inapplicable(_) | Self::Refused(_) => {
                return None;
            }
        };
        Some(help.to_owned())
    }

    /// How a command that meets it ends.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } | Self::Untrusted { .. } | Self::Late { .. } | Self::Busy { .. } => {
                Exit::Unavailable
            }
            Self::Unknown { .. } | Self::Forbidden(_) => Exit::Unauthorised,
            Self::NotFound(_) | Self::Inapplicable(_) => Exit::Negative,
            Self::Refused(_) => Exit::Usage,
            Self::Unimplemented(_) | Self::Internal { .. } | Self::Answer(_) => Exit::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller() -> Caller {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        almanac_proto::identity::generate(&key, "").unwrap();
        let settings = Settings {
            server: "http://127.0.0.1:1".to_owned(),
            user: "alice".parse().unwrap(),
            key,
            audience: "almanac".to_owned(),
            ca_file: None,
            plaintext: false,
        };
        Caller::new(&settings).unwrap()
    }

    /// A deadline that passes on this side comes as an error of the connection.
    #[tokio::test]
    async fn a_deadline_is_told_from_a_lost_connection() {
        let caller = caller();
        let explain = |cause| caller.explain(&Status::from_error(cause));
        assert!(matches!(explain(Box::new(TimeoutExpired(()))), CallError::Late { .. }));
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert!(matches!(explain(Box::new(reset)), CallError::Unreachable { .. }));
    }

    #[tokio::test]
    async fn a_certificate_that_is_not_trusted_is_no_silence() {
        let error = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let error = caller().explain(&Status::from_error(Box::new(io::Error::other(error))));
        assert_eq!(
            error.to_string(),
            "the certificate of http://127.0.0.1:1 is not trusted: no authority that is trusted here has signed it"
        );
        assert_eq!(error.exit(), Exit::Unavailable);
    }
}
