//! Documents: what is common to all kinds, and how YAML becomes one of them.

use std::{fmt, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::{Config, Job, Node, User};

/// The largest file, in bytes.
pub const MAX_FILE: usize = 1 << 20;

/// The version of the manifests that this program reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// The first version.
    #[serde(rename = "almanac/v1")]
    V1,
}

/// What every document has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Envelope<K, M, S> {
    /// The version of the format.
    pub api_version: ApiVersion,
    /// The kind of the document.
    pub kind: K,
    /// What identifies it.
    pub metadata: M,
    /// What it says.
    // Shared by whoever works with it, since one commit differs little from the next.
    pub spec: Arc<S>,
}

/// What identifies a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Metadata<N> {
    /// Its name.
    pub name: N,
}

/// An enumeration of one word, so that `kind` is checked like any other field.
macro_rules! constant_kind {
    ($(#[$doc:meta])* $type:ident, $word:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
        )]
        pub enum $type {
            $(#[$doc])*
            $word,
        }
    };
}
pub(crate) use constant_kind;

/// The kinds of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    User,
    Node,
    Job,
    Config,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::User, Self::Node, Self::Job, Self::Config];

    /// The word after `kind:`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Node => "Node",
            Self::Job => "Job",
            Self::Config => "Config",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One document.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Manifest {
    User(User),
    Node(Node),
    Job(Job),
    Config(Config),
}

/// Why a document is not a manifest: where in it, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ManifestError {
    /// The way from the document's root to the value: keys and indices.
    pub path: Vec<PathStep>,
    /// What is wrong, as serde says it.
    pub message: String,
}

/// A step from a value to a part of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathStep {
    /// Into a mapping, by key.
    Key(String),
    /// Into a sequence, by position from 0.
    Index(usize),
}

impl Manifest {
    /// Reads a document that YAML was already parsed from. The fields `apiVersion` and `kind`
    /// decide what it is.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong. `path` is empty when it is the document as a whole.
    pub fn from_value(value: serde_yaml::Value) -> Result<Self, ManifestError> {
        let kind = value.get("kind").and_then(|kind| kind.as_str());
        let wrong = |step: &str, message: String| {
            Err(ManifestError { path: vec![PathStep::Key(step.to_owned())], message })
        };
        match kind {
            Some("User") => typed(value).map(Self::User),
            Some("Node") => typed(value).map(Self::Node),
            Some("Job") => typed(value).map(Self::Job),
            Some("Config") => typed(value).map(Self::Config),
            Some(other) => {
                wrong("kind", format!("unknown kind `{other}`, expected `User`, `Node`, `Job` or `Config`"))
            }
            None if !value.is_mapping() => Err(ManifestError {
                path: vec![],
                message: "a manifest is a mapping with `apiVersion`, `kind`, `metadata` and `spec`"
                    .to_owned(),
            }),
            None if value.get("kind").is_some() => wrong("kind", "`kind` is not a string".to_owned()),
            None => Err(ManifestError { path: vec![], message: "missing field `kind`".to_owned() }),
        }
    }

    /// The same for a document that is right, as almost all are: about twice as fast, and without a reason
    /// when it is not.
    pub fn if_right(value: serde_yaml::Value) -> Option<Self> {
        let kind = value.get("kind")?.as_str()?;
        let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind)?;
        match kind {
            Kind::User => serde_yaml::from_value(value).map(Self::User),
            Kind::Node => serde_yaml::from_value(value).map(Self::Node),
            Kind::Job => serde_yaml::from_value(value).map(Self::Job),
            Kind::Config => serde_yaml::from_value(value).map(Self::Config),
        }
        .ok()
    }

    /// The kind of the document.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::User(_) => Kind::User,
            Self::Node(_) => Kind::Node,
            Self::Job(_) => Kind::Job,
            Self::Config(_) => Kind::Config,
        }
    }

    /// The name in its metadata.
    pub fn name(&self) -> &str {
        match self {
            Self::User(user) => user.metadata.name.as_str(),
            Self::Node(node) => node.metadata.name.as_str(),
            Self::Job(job) => job.metadata.name.as_str(),
            Self::Config(config) => config.metadata.name.as_str(),
        }
    }
}

fn typed<T: DeserializeOwned>(value: serde_yaml::Value) -> Result<T, ManifestError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        use serde_path_to_error::Segment;
        let step = |segment: &Segment| match segment {
            Segment::Seq { index } => Some(PathStep::Index(*index)),
            Segment::Map { key } => Some(PathStep::Key(key.clone())),
            Segment::Enum { variant } => Some(PathStep::Key(variant.clone())),
            Segment::Unknown => None,
        };
        let path = error.path().iter().filter_map(step).collect();
        ManifestError { path, message: error.into_inner().to_string() }
    })
}
