//! An array of objects, one per line.

use std::io::{self, Write};

use crate::record::Record;

/// An array that is being written.
pub struct Json<'a> {
    out: &'a mut dyn Write,
    is_empty: bool,
}

impl<'a> Json<'a> {
    /// Nothing is written yet.
    pub fn new(out: &'a mut dyn Write) -> Self {
        Self { out, is_empty: true }
    }

    /// Adds a row.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn add(&mut self, row: &Record) -> io::Result<()> {
        self.out.write_all(if self.is_empty { b"[\n" } else { b",\n" })?;
        self.is_empty = false;
        Ok(serde_json::to_writer(&mut *self.out, row)?)
    }

    /// Ends the array.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn end(self) -> io::Result<()> {
        self.out.write_all(if self.is_empty { b"[]\n" } else { b"\n]\n" })?;
        self.out.flush()
    }
}
