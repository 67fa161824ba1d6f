//! `telemetry.csv` of a run: what was measured while it went on, a row for each value, written as it comes.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::File,
    io::{self, BufRead, BufReader, Seek, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use chrono::{DateTime, SecondsFormat, Utc};
use tokio::{
    sync::broadcast::{
        Receiver,
        error::{RecvError, TryRecvError},
    },
    task::{self, JoinHandle},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use almanac_schemas::trigger::{Value, samples::Sample};

use super::{Latest, Reading, Telemetry, Wanted};

/// Its first line.
const HEADER: &str = "at,provider,field,value\n";

/// The most bytes of it: with a terminal and nothing else, more than half a day of each second.
pub const LIMIT: u64 = 64 << 20;

/// The recording of a run that goes on. It is cut off when this is dropped, and taken up where it was by the next.
#[derive(Debug)]
pub struct Recording {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Recording {
    /// Records what is measured from now on, and what is known already, in a file. Samples are wanted as long.
    pub fn start(telemetry: &Telemetry, path: PathBuf, limit: u64) -> Self {
        let stop = CancellationToken::new();
        // What comes from here on follows what is known here: a sample that is both is one.
        let source =
            Source { readings: telemetry.listen(), known: telemetry.latest(), _wanted: telemetry.want() };
        let task = tokio::spawn(record(source, path, limit, stop.clone()));
        Self { task, stop }
    }

    /// Ends it. What was measured until now is in the file then.
    pub async fn finish(mut self) {
        self.stop.cancel();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What there is to record.
struct Source {
    readings: Receiver<Reading>,
    known: Latest,
    _wanted: Wanted,
}

async fn record(source: Source, path: PathBuf, limit: u64, stop: CancellationToken) {
    let Source { mut readings, known, _wanted } = source;
    let shown = path.display().to_string();
    let opened = task::spawn_blocking(move || Table::open(path, limit)).await;
    let mut table = match opened.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(table) => table,
        Err(error) => {
            warn!(file = shown, %error, "what is measured during a run is not recorded");
            return;
        }
    };
    let known =
        known.into_iter().map(|(provider, (at, sample))| Reading { provider, at, sample: Some(sample) });
    let mut batch: Vec<Reading> = known.collect();
    loop {
        // What waits goes with it, so that a disk that was busy for a while is caught up with.
        while let Ok(reading) = readings.try_recv() {
            batch.push(reading);
        }
        let written = task::spawn_blocking(move || {
            let written = table.add(&batch);
            (table, written)
        });
        match written.await {
            Ok((back, Ok(()))) => table = back,
            Ok((_, Err(error))) => {
                warn!(file = shown, %error, "the rest of what is measured during a run is not recorded");
                return;
            }
            Err(error) => {
                warn!(file = shown, %error, "recording ended early");
                return;
            }
        }
        batch = Vec::new();
        // Cancel-safe: a reading stays in its channel until it is taken.
        let received = tokio::select! {
            biased;
            received = readings.recv() => received,
            () = stop.cancelled() => match readings.try_recv() {
                Ok(reading) => Ok(reading),
                Err(TryRecvError::Lagged(count)) => Err(RecvError::Lagged(count)),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            },
        };
        match received {
            Ok(reading) => batch.push(reading),
            Err(RecvError::Lagged(count)) => warn!(file = shown, count, "samples are missing in a recording"),
            Err(RecvError::Closed) => return,
        }
    }
}

/// The file, and what is in it.
struct Table {
    path: PathBuf,
    /// Made with the first row: where nothing is measured there is no file.
    file: Option<File>,
    size: u64,
    limit: u64,
    /// Of which instant the latest rows of each provider are. A provider has one sample of an instant.
    latest: BTreeMap<String, String>,
}

impl Table {
    /// Goes on where an agent before this one was cut off, perhaps within a line.
    fn open(path: PathBuf, limit: u64) -> io::Result<Self> {
        let mut table = Self { path, file: None, size: 0, limit, latest: BTreeMap::new() };
        let file = match File::options().read(true).write(true).open(&table.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(table),
            Err(error) => return Err(error),
        };
        let mut lines = BufReader::new(&file);
        let mut line = String::new();
        loop {
            line.clear();
            if lines.read_line(&mut line)? == 0 || !line.ends_with('\n') {
                break;
            }
            table.size += line.len() as u64;
            let mut fields = line.split(',');
            if let (Some(at), Some(provider)) = (fields.next(), fields.next()) {
                table.latest.insert(provider.to_owned(), at.to_owned());
            }
        }
        file.set_len(table.size)?;
        (&file).seek(SeekFrom::Start(table.size))?;
        table.file = Some(file).filter(|_| table.size > 0);
        Ok(table)
    }

    /// Adds what is new of readings.
    fn add(&mut self, readings: &[Reading]) -> io::Result<()> {
        let mut rows = String::new();
        for Reading { provider, at, sample } in readings {
            let Some(sample) = sample else { continue };
            let (at, provider) = (written(*at), provider.as_str());
            if self.latest.get(provider) == Some(&at) {
                continue;
            }
            put(&mut rows, &at, provider, sample);
            self.latest.insert(provider.to_owned(), at);
        }
        if rows.is_empty() || self.size >= self.limit {
            return Ok(());
        }
        let mut text = if self.size == 0 { HEADER.to_owned() } else { String::new() };
        text.push_str(&rows);
        if self.size + text.len() as u64 >= self.limit {
            // What would not fit whole is left out, and the last row says so.
            let at = written(readings.last().map(|reading| reading.at).unwrap_or_default());
            text = format!("{at},almanac,recording_ended,true\n");
            warn!(file = %self.path.display(), bytes = self.limit, "the telemetry of a run is longer than it may be; the rest is not recorded");
            self.limit = self.size;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(create(&self.path)?),
        };
        file.write_all(text.as_bytes())?;
        self.size += text.len() as u64;
        Ok(())
    }
}

fn create(path: &Path) -> io::Result<File> {
    File::options().create(true).truncate(true).write(true).open(path)
}

fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn put(rows: &mut String, at: &str, provider: &str, sample: &Sample) {
    for (field, value) in sample {
        // Writing to a string does not fail.
        let _ = match value {
            Value::Truth(truth) => writeln!(rows, "{at},{provider},{field},{truth}"),
            Value::Number(number) => writeln!(rows, "{at},{provider},{field},{number}"),
            Value::Text(text) => writeln!(rows, "{at},{provider},{field},{}", quoted(text)),
        };
    }
}

/// A text as RFC 4180 has it, on one line.
fn quoted(text: &str) -> String {
    let text: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    format!("\"{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use chrono::TimeDelta;

    use almanac_schemas::trigger::Provider;

    use super::*;

    fn reading(second: i64, values: &[(&str, Value)]) -> Reading {
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::seconds(second);
        let sample = values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Reading { provider: Provider::Dish, at, sample: Some(sample) }
    }

    fn latency(second: i64) -> Reading {
        reading(second, &[("pop_ping_latency_ms", Value::Number(40.5))])
    }

    #[test]
    fn a_row_is_a_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("telemetry.csv");
        let mut table = Table::open(path.clone(), LIMIT).unwrap();
        table.add(&[]).unwrap();
        table.add(&[Reading { sample: None, ..latency(0) }]).unwrap();
        assert!(!path.exists(), "nothing was measured");
        let values = [
            ("currently_obstructed", Value::Truth(false)),
            ("software_version", Value::Text("v1, \"x\"\nend".to_owned())),
            ("uplink_throughput_bps", Value::Number(1e6)),
        ];
        table.add(&[reading(0, &values), latency(1)]).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "at,provider,field,value\n\
             2027-01-15T08:00:00.000000Z,dish,currently_obstructed,false\n\
             2027-01-15T08:00:00.000000Z,dish,software_version,\"v1, \"\"x\"\" end\"\n\
             2027-01-15T08:00:00.000000Z,dish,uplink_throughput_bps,1000000\n\
             2027-01-15T08:00:01.000000Z,dish,pop_ping_latency_ms,40.5\n"
        );
    }

    #[test]
    fn it_goes_on_after_it_was_cut_off_and_no_row_is_there_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("telemetry.csv");
        let all = {
            let mut table = Table::open(path.clone(), LIMIT).unwrap();
            table.add(&[latency(0), latency(1)]).unwrap();
            table.add(&[latency(1)]).unwrap();
            fs::read_to_string(&path).unwrap()
        };
        assert_eq!(all.lines().count(), 3);
        for cut in 0..=all.len() {
            fs::write(&path, &all[..cut]).unwrap();
            let mut table = Table::open(path.clone(), LIMIT).unwrap();
            table.add(&[latency(1), latency(2)]).unwrap();
            let whole = all[..cut].lines().count().saturating_sub(usize::from(!all[..cut].ends_with('\n')));
            let kept: String = all.split_inclusive('\n').take(whole.max(1)).collect();
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.starts_with(&kept), "cut at {cut}: {text}");
            let last: Vec<&str> = text.lines().rev().take(2).collect();
            assert!(
                last[0].starts_with("2027-01-15T08:00:02") && last[1].starts_with("2027-01-15T08:00:01"),
                "cut at {cut}: {text}"
            );
            assert_eq!(text.matches("08:00:01").count(), 1, "cut at {cut}: {text}");
        }
    }

    #[test]
    fn it_ends_within_a_bound_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("telemetry.csv");
        for _ in 0..2 {
            let mut table = Table::open(path.clone(), 300).unwrap();
            for second in 0..20 {
                table.add(&[latency(second)]).unwrap();
            }
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.len() < 400, "{text}");
        assert_eq!(text.matches("almanac,recording_ended,true").count(), 1, "{text}");
    }

    #[tokio::test]
    async fn what_is_known_and_what_comes_is_recorded_and_wanted_as_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("telemetry.csv");
        let telemetry = Telemetry::new();
        telemetry.record(latency(0));
        let recording = Recording::start(&telemetry, path.clone(), LIMIT);
        telemetry.wanted().wait_for(|count| *count == 1).await.unwrap();
        for second in 1..40 {
            telemetry.record(latency(second));
            task::yield_now().await;
        }
        telemetry.record(latency(40));
        recording.finish().await;
        assert_eq!(*telemetry.wanted().borrow(), 0);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 42);
        assert!(
            text.contains("08:00:00.000000Z")
                && text.ends_with("08:00:40.000000Z,dish,pop_ping_latency_ms,40.5\n"),
            "{text}"
        );
    }
}
