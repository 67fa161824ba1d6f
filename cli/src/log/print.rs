//! Shows the lines of a log: what a run wrote to its standard output on standard output, byte by byte, and what it wrote
//! to its standard error on standard error; or as data, an object for each line.

use std::io::{self, Write};

use almanac_proto::log::{Line, Stream};
use serde::Serialize;

use crate::output::{Format, Output};

/// The longest line that is held in memory, in bytes, to be one object; of a longer one, there are several.
const LONGEST: usize = 1 << 20;

/// Shows lines.
#[derive(Debug)]
pub struct Printer {
    /// The one stream that is wanted; absent: both.
    pub stream: Option<Stream>,
    /// Whether lines begin with when they were written.
    pub timestamps: bool,
    /// How data is written.
    pub format: Format,
    /// The lines that have no end yet.
    open: [Open; 2],
    /// What is to be written next, and where to.
    pending: Vec<u8>,
    to_error: bool,
}

/// A line that has no end yet.
#[derive(Debug, Default)]
struct Open {
    is_open: bool,
    time: String,
    text: Vec<u8>,
}

/// A line as data.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    /// When its beginning was written.
    time: Option<&'a str>,
    /// `stdout`, `stderr`, or `almanac` for what Almanac itself says.
    stream: Option<&'a str>,
    /// Without the newline. Bytes that are no UTF-8 are replaced.
    text: &'a str,
    /// Its end did not come.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
}

impl Printer {
    /// Shows the lines of one stream, or of both.
    pub fn new(stream: Option<Stream>, timestamps: bool, format: Format) -> Self {
        let open = <[Open; 2]>::default();
        Self { stream, timestamps, format, open, pending: Vec::new(), to_error: false }
    }

    /// Shows lines.
    ///
    /// # Errors
    ///
    /// When they cannot be written.
    pub fn lines(&mut self, data: &[u8], output: &mut Output<'_>) -> io::Result<()> {
        for raw in data.split_inclusive(|byte| *byte == b'\n') {
            match Line::parse(raw) {
                Some(line) if line.is_ours() => self.ours(Some(line.stamp), &text(line.text), output)?,
                Some(line) if self.stream.is_some_and(|stream| stream != line.stream) => {}
                Some(line) => self.line(&line, output)?,
                // Half a log is of an agent of before.
                None => self.write(false, &[raw], output)?,
            }
        }
        self.flush(output)
    }

    /// Shows text without stamps, of which nobody knows what it was written to.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn plain(&mut self, data: &[u8], output: &mut Output<'_>) -> io::Result<()> {
        if self.format == Format::Table {
            self.write(false, &[data], output)?;
            return self.flush(output);
        }
        for part in data.split_inclusive(|byte| *byte == b'\n') {
            self.open[0].text.extend_from_slice(part);
            if self.open[0].text.ends_with(b"\n") || self.open[0].text.len() > LONGEST {
                let line = std::mem::take(&mut self.open[0].text);
                let line = line.strip_suffix(b"\n").unwrap_or(&line);
                self.entry(&Entry { time: None, stream: None, text: &text(line), partial: false }, output)?;
            }
        }
        self.flush(output)
    }

    /// Says that something is missing here.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn gap(&mut self, bytes: u64, output: &mut Output<'_>) -> io::Result<()> {
        self.ours(
            None,
            &format!("[almanac: {bytes} bytes are left out here; the node does not keep them]"),
            output,
        )?;
        self.flush(output)
    }

    /// The log has ended: what has no end will get none.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn finish(&mut self, output: &mut Output<'_>) -> io::Result<()> {
        self.close(output)?;
        self.flush(output)
    }

    fn line(&mut self, line: &Line<'_>, output: &mut Output<'_>) -> io::Result<()> {
        let to_error = line.stream == Stream::Stderr;
        let open = &mut self.open[usize::from(to_error)];
        let begins = !open.is_open;
        open.is_open = !line.is_end;
        if self.format == Format::Table {
            let stamp = if begins && self.timestamps { [line.stamp, " "] } else { ["", ""] };
            let end: &[u8] = if line.is_end { b"\n" } else { b"" };
            return self.write(to_error, &[stamp[0].as_bytes(), stamp[1].as_bytes(), line.text, end], output);
        }
        if begins {
            line.stamp.clone_into(&mut open.time);
        }
        open.text.extend_from_slice(line.text);
        if line.is_end || open.text.len() > LONGEST {
            self.take(line.stream, !line.is_end, output)?;
        }
        Ok(())
    }

    /// Gives what is held of a stream's line.
    fn take(&mut self, stream: Stream, partial: bool, output: &mut Output<'_>) -> io::Result<()> {
        let open = &mut self.open[usize::from(stream == Stream::Stderr)];
        let (held, time) = (std::mem::take(&mut open.text), std::mem::take(&mut open.time));
        open.is_open = false;
        let text = text(&held);
        self.entry(&Entry { time: Some(&time), stream: Some(stream.as_str()), text: &text, partial }, output)
    }

    /// Something that Almanac says. What comes after it does not continue what was before.
    fn ours(&mut self, time: Option<&str>, words: &str, output: &mut Output<'_>) -> io::Result<()> {
        if self.format == Format::Table {
            for (to_error, open) in [false, true].into_iter().zip([0, 1]) {
                if std::mem::take(&mut self.open[open].is_open) {
                    self.write(to_error, &[b"\n"], output)?;
                }
            }
            return self.write(true, &[words.as_bytes(), b"\n"], output);
        }
        self.close(output)?;
        self.entry(&Entry { time, stream: Some("almanac"), text: words, partial: false }, output)
    }

    /// Gives the lines that are held, as far as they came.
    fn close(&mut self, output: &mut Output<'_>) -> io::Result<()> {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let open = &self.open[usize::from(stream == Stream::Stderr)];
            if open.is_open && self.format != Format::Table {
                self.take(stream, true, output)?;
            }
        }
        // Of a plain log.
        let rest = std::mem::take(&mut self.open[0].text);
        if !rest.is_empty() {
            self.entry(&Entry { time: None, stream: None, text: &text(&rest), partial: true }, output)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry<'_>, output: &mut Output<'_>) -> io::Result<()> {
        let mut text = match self.format {
            Format::Table | Format::Json => serde_json::to_vec(entry)?,
            Format::Yaml => serde_yaml::to_string(&[entry]).map_err(io::Error::other)?.into_bytes(),
        };
        if !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        self.write(false, &[&text], output)
    }

    /// Writes in the order in which it comes, however the two outputs are buffered: on a terminal they are one.
    fn write(&mut self, to_error: bool, parts: &[&[u8]], output: &mut Output<'_>) -> io::Result<()> {
        if self.to_error != to_error {
            self.flush(output)?;
            self.to_error = to_error;
        }
        for part in parts {
            self.pending.extend_from_slice(part);
        }
        Ok(())
    }

    fn flush(&mut self, output: &mut Output<'_>) -> io::Result<()> {
        let to: &mut dyn Write = if self.to_error { output.err } else { output.out };
        to.write_all(&self.pending)?;
        self.pending.clear();
        to.flush()
    }
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests {
    use almanac_proto::log::{Omission, encode};
    use chrono::DateTime;

    use super::*;
    use crate::{output::Look, table::Style};

    /// What both outputs get of a log, in pieces of one line.
    fn printed(log: &[u8], mut printer: Printer) -> (String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let look = Look { now: DateTime::UNIX_EPOCH, style: Style { width: None, colour: false } };
        let mut output = Output { format: printer.format, look, out: &mut out, err: &mut err };
        for line in log.split_inclusive(|byte| *byte == b'\n') {
            printer.lines(line, &mut output).unwrap();
        }
        printer.finish(&mut output).unwrap();
        (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    fn log() -> Vec<u8> {
        let mut log = Vec::new();
        let mut second = 0;
        let mut add = |stream, text: &str| {
            encode(&mut log, &format!("2026-11-26T04:00:0{second}Z"), stream, text.as_bytes());
            second += 1;
        };
        add(Stream::Stdout, "one\ntw");
        add(Stream::Stderr, "oh\n");
        add(Stream::Stdout, "o\n");
        add(Stream::Stderr, "no end");
        log
    }

    fn printer(stream: Option<Stream>, timestamps: bool, format: Format) -> Printer {
        Printer::new(stream, timestamps, format)
    }

    #[test]
    fn each_stream_goes_to_its_own_byte_by_byte() {
        let both = printed(&log(), printer(None, false, Format::Table));
        assert_eq!(both, ("one\ntwo\n".to_owned(), "oh\nno end".to_owned()));
        let one = printed(&log(), printer(Some(Stream::Stderr), false, Format::Table));
        assert_eq!(one, (String::new(), "oh\nno end".to_owned()));
    }

    #[test]
    fn stamps_are_those_of_the_beginnings_of_lines() {
        let (out, err) = printed(&log(), printer(None, true, Format::Table));
        assert_eq!(out, "2026-11-26T04:00:00Z one\n2026-11-26T04:00:00Z two\n");
        assert_eq!(err, "2026-11-26T04:00:01Z oh\n2026-11-26T04:00:03Z no end");
    }

    #[test]
    fn as_data_there_is_an_object_for_each_line() {
        let (out, err) = printed(&log(), printer(None, false, Format::Json));
        assert_eq!(err, "");
        assert_eq!(
            out.lines().collect::<Vec<_>>(),
            [
                r#"{"time":"2026-11-26T04:00:00Z","stream":"stdout","text":"one"}"#,
                r#"{"time":"2026-11-26T04:00:01Z","stream":"stderr","text":"oh"}"#,
                r#"{"time":"2026-11-26T04:00:00Z","stream":"stdout","text":"two"}"#,
                r#"{"time":"2026-11-26T04:00:03Z","stream":"stderr","text":"no end","partial":true}"#,
            ]
        );
        let (out, _) = printed(&log(), printer(Some(Stream::Stderr), false, Format::Yaml));
        let entries: Vec<serde_yaml::Value> = serde_yaml::from_str(&out).unwrap();
        assert_eq!(entries[0]["text"], "oh");
    }

    #[test]
    fn what_is_left_out_is_said_beside_the_output_and_joins_no_lines() {
        let stamp = "2026-11-26T04:00:00.000000000Z";
        let mut log = Vec::new();
        encode(&mut log, stamp, Stream::Stdout, b"begin");
        log.extend(Omission { bytes: 9, from: 46, limit: 100 }.line(stamp));
        encode(&mut log, stamp, Stream::Stdout, b"end\n");
        let (out, err) = printed(&log, printer(Some(Stream::Stdout), false, Format::Table));
        assert_eq!(out, "begin\nend\n");
        assert!(err.starts_with("[almanac: 9 bytes are left out here"), "{err}");
        let (out, _) = printed(&log, printer(None, false, Format::Json));
        assert!(out.contains(r#""stream":"almanac","text":"[almanac: 9 bytes"#), "{out}");
    }
}
