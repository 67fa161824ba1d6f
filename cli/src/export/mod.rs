//! Records of runs as tables for other tools, row by row: no more than a page is in memory.

mod csv;
mod json;
mod parquet;
mod target;

pub use self::csv::Csv;
pub use json::Json;
pub use parquet::Parquet;
pub use target::Target;

use std::io;

use clap::ValueEnum;

use crate::record::Record;

/// A kind of table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Comma-separated values (RFC 4180), with a header
    Csv,
    /// An array of objects, one per line
    Json,
    /// Apache Parquet, with typed columns
    Parquet,
}

/// A table that is being written.
pub enum Table<'a> {
    /// Comma-separated values.
    Csv(Box<Csv<'a>>),
    /// An array of objects.
    Json(Json<'a>),
    /// Apache Parquet.
    Parquet(Box<Parquet<'a>>),
}

impl<'a> Table<'a> {
    /// Begins a table.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn begin(kind: Kind, out: &'a mut dyn io::Write) -> io::Result<Self> {
        Ok(match kind {
            Kind::Csv => Self::Csv(Box::new(Csv::new(out)?)),
            Kind::Json => Self::Json(Json::new(out)),
            Kind::Parquet => Self::Parquet(Box::new(Parquet::new(out)?)),
        })
    }

    /// Adds a row.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn add(&mut self, row: Record) -> io::Result<()> {
        match self {
            Self::Csv(csv) => csv.add(&row),
            Self::Json(json) => json.add(&row),
            Self::Parquet(parquet) => parquet.add(row),
        }
    }

    /// Ends the table.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn end(self) -> io::Result<()> {
        match self {
            Self::Csv(csv) => csv.end(),
            Self::Json(json) => json.end(),
            Self::Parquet(parquet) => parquet.end(),
        }
    }
}
