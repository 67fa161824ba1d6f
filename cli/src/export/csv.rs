//! Comma-separated values (RFC 4180), with a header.

use std::io::{self, Write};

use crate::record::{COLUMNS, Record};

/// A table that is being written.
pub struct Csv<'a>(csv::Writer<&'a mut dyn Write>);

impl<'a> Csv<'a> {
    /// Writes the header.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn new(out: &'a mut dyn Write) -> io::Result<Self> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(COLUMNS)?;
        Ok(Self(writer))
    }

    /// Adds a row.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn add(&mut self, row: &Record) -> io::Result<()> {
        Ok(self.0.write_record(row.fields())?)
    }

    /// Ends the table.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn end(mut self) -> io::Result<()> {
        self.0.flush()
    }
}
