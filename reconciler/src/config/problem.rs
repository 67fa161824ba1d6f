//! What can be wrong with a configuration.

use std::{fmt, io, net::SocketAddr, path::PathBuf};

use thiserror::Error;

use crate::{causes::chain, data::DataError, notify::TargetError, tls::CertificateError};

/// Something that is wrong with the configuration.
#[derive(Debug, Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// The file is not TOML. The line itself is not shown: it may hold a secret.
    #[error("{}:{line}:{column}: {message}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// The file has a key that means nothing.
    #[error("{}: unknown key `{key}`{}", file.display(), did_you_mean(meant.as_deref()))]
    UnknownKey {
        /// The file.
        file: PathBuf,
        /// The key.
        key: String,
        /// The key that was perhaps meant.
        meant: Option<String>,
    },
    /// A table of the file is wrong.
    #[error("{}: `{table}` is wrong: {message}{}", file.display(), did_you_mean(meant.as_deref()))]
    Table {
        /// The file.
        file: PathBuf,
        /// The table.
        table: String,
        /// What is wrong.
        message: String,
        /// The key that was perhaps meant.
        meant: Option<String>,
    },
    /// A setting that must be given is not.
    #[error(
        "`--{name}` is missing; give it as a flag, as the variable {variable}, or as `{name}` in the file of `--config`"
    )]
    Missing {
        /// The setting.
        name: &'static str,
        /// Its variable.
        variable: &'static str,
    },
    /// A value cannot be used.
    #[error("{place} is wrong: {message}")]
    Value {
        /// Where it was given.
        place: String,
        /// Why not.
        message: String,
    },
    /// A secret where every process of the machine can read it.
    #[error(
        "`--{name}` holds a password, and every process can read a command line; give it as the variable {variable}, or in the file of `--config`"
    )]
    Exposed {
        /// The setting.
        name: &'static str,
        /// Its variable.
        variable: &'static str,
    },
    /// Half of what TLS needs.
    #[error("`--tls-cert` and `--tls-key` go together; only one of them is given")]
    HalfTls,
    /// Tokens would go over the network in clear.
    #[error(
        "{0} can be reached by other machines: give `--tls-cert` and `--tls-key`, or `--plaintext` to serve without TLS all the same"
    )]
    Plain(SocketAddr),
    /// Somebody cannot be told anything.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// There is no place for files.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Everything that is wrong with the configuration; at least one problem.
#[derive(Debug)]
pub struct Problems(pub Vec<Problem>);

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\nerror: ")?;
            }
            f.write_str(&chain(problem))?;
        }
        Ok(())
    }
}

fn did_you_mean(meant: Option<&str>) -> String {
    meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default()
}
