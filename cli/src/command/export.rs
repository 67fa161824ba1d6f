//! `almanac runs export`.

use std::path::Path;

use super::run_pages::RunPages;
use crate::{
    args::Export,
    call::Caller,
    export::{Kind, Table, Target},
    failure::Failure,
    output::Output,
    record::Record,
};

/// What stands for standard output.
const STDOUT: &str = "-";

pub(super) async fn run(wanted: &Export, caller: &Caller, output: &mut Output<'_>) -> Result<(), Failure> {
    let format = wanted.format.unwrap_or(if output.is_structured() { Kind::Json } else { Kind::Csv });
    let pages = RunPages::new(caller, &wanted.filter, wanted.limit.into(), output.look.now);
    if wanted.to == Path::new(STDOUT) {
        // Only on a terminal a width is known.
        if format == Kind::Parquet && output.look.style.width.is_some() {
            return Err(Failure::Terminal);
        }
        let (_, more) = write(pages, Table::begin(format, output.out)?, Failure::Output).await?;
        say_more(more, wanted, output);
        return Ok(());
    }
    let failed = |error| Failure::File(wanted.to.clone(), error);
    let mut target = Target::create(&wanted.to).map_err(failed)?;
    let table = Table::begin(format, target.out()).map_err(failed)?;
    let (rows, more) = write(pages, table, failed).await?;
    target.finish().map_err(failed)?;
    output.note(&format!("wrote {rows} runs to {}", wanted.to.display()));
    say_more(more, wanted, output);
    Ok(())
}

fn say_more(more: bool, wanted: &Export, output: &mut Output<'_>) {
    if more {
        output.note(&format!("these are the latest {}: `--limit 0` exports all", wanted.limit.limit));
    }
}

/// Writes page after page. Says how many rows there were, and whether there are more than the limit lets through.
async fn write(
    mut pages: RunPages<'_>,
    mut table: Table<'_>,
    failed: impl Fn(std::io::Error) -> Failure,
) -> Result<(usize, bool), Failure> {
    let mut rows = 0;
    while let Some(page) = pages.next().await? {
        for part in &page {
            table.add(Record::with_files(part)).map_err(&failed)?;
            rows += 1;
        }
    }
    table.end().map_err(failed)?;
    Ok((rows, pages.more))
}
