//! `almanac-validate schema`.

use almanac_schemas::{Kind, json_schema};
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::print::print;
use crate::exit::{Exit, PRINTING};

/// Print the JSON Schema of manifests, for editors and other tools.
///
/// It is JSON Schema of draft 2020-12, whole and without references to other files.
#[derive(Debug, clap::Args)]
#[command(after_help = PRINTING)]
pub(crate) struct Schema {
    /// The kind of manifest; all of them when it is not given.
    #[arg(value_parser = kind(), ignore_case = true)]
    kind: Option<Kind>,
}

impl Schema {
    /// Prints it.
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        let schema = self.kind.map_or_else(json_schema::bundled, json_schema::of);
        print(|out| writeln!(out, "{:#}", schema.as_value()))?;
        Ok(Exit::Clean)
    }
}

fn kind() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(Kind::ALL.map(Kind::as_str)).try_map(|word| {
        let mut kinds = Kind::ALL.into_iter();
        kinds.find(|kind| kind.as_str().eq_ignore_ascii_case(&word)).ok_or("not a kind")
    })
}
