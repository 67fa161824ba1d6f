//! What a command says: data on standard output, everything else on standard error.

use std::io::{self, Write};

use chrono::{DateTime, Utc};
use clap::ValueEnum;
use serde::Serialize;

use crate::table::{Cell, Column, Style, table};

/// How data is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs: stable and complete.
    Json,
    /// The same as JSON, in YAML.
    Yaml,
}

/// Something that is shown by itself.
pub trait View: Serialize {
    /// The form for people.
    fn text(&self, look: Look) -> String;
}

/// Something that is shown in lists.
pub trait Row: Serialize {
    /// What a list of them is called when it is empty: `no runs`.
    const NONE: &'static str;
    /// The columns of the list.
    const COLUMNS: &'static [Column];
    /// The cells, one per column.
    fn cells(&self, now: DateTime<Utc>) -> Vec<Cell>;
}

/// What the form for people depends on.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// The current instant.
    pub now: DateTime<Utc>,
    /// How tables are drawn.
    pub style: Style,
}

/// A part of a list, or the whole of it.
#[derive(Debug)]
pub struct Listing<T> {
    /// The items.
    pub items: Vec<T>,
    /// Whether there are more than was asked for.
    pub more: bool,
}

/// Where a command's words go.
pub struct Output<'a> {
    /// How data is written.
    pub format: Format,
    /// What the form for people depends on.
    pub look: Look,
    /// Data.
    pub out: &'a mut dyn Write,
    /// Everything else.
    pub err: &'a mut dyn Write,
}

impl Output<'_> {
    /// Writes one thing.
    ///
    /// # Errors
    ///
    /// When standard output does not take it.
    pub fn one(&mut self, view: &impl View) -> io::Result<()> {
        match self.format {
            Format::Table => self.out.write_all(view.text(self.look).as_bytes()),
            Format::Json | Format::Yaml => self.structured(view),
        }
    }

    /// Writes a list. An empty one leaves the table out and says so on standard error.
    ///
    /// # Errors
    ///
    /// When standard output does not take it.
    pub fn list<T: Row>(&mut self, listing: &Listing<T>) -> io::Result<()> {
        let items = &listing.items;
        match self.format {
            Format::Json | Format::Yaml => self.structured(items)?,
            Format::Table if items.is_empty() => {}
            Format::Table => {
                let rows = items.iter().map(|item| item.cells(self.look.now)).collect();
                self.out.write_all(table(T::COLUMNS, rows, self.look.style).as_bytes())?;
            }
        }
        if items.is_empty() {
            self.note(T::NONE);
        }
        if listing.more {
            self.note(&format!(
                "there are more than these {}: ask for them with `--limit` (0 for all)",
                items.len()
            ));
        }
        Ok(())
    }

    /// Whether data is written for programs.
    pub fn is_structured(&self) -> bool {
        self.format != Format::Table
    }

    /// Says something that is no data.
    pub fn note(&mut self, text: &str) {
        // On a terminal it is to stand below what it is about.
        let _ = self.out.flush();
        // Where standard error is closed there is nobody to tell.
        let _ = writeln!(self.err, "{text}");
    }

    /// Writes one thing in a form for programs.
    ///
    /// # Errors
    ///
    /// When standard output does not take it.
    pub fn structured(&mut self, value: &impl Serialize) -> io::Result<()> {
        match self.format {
            Format::Yaml => {
                self.out.write_all(serde_yaml::to_string(value).map_err(io::Error::other)?.as_bytes())
            }
            Format::Table | Format::Json => {
                let mut text = serde_json::to_vec_pretty(value)?;
                text.push(b'\n');
                self.out.write_all(&text)
            }
        }
    }
}
