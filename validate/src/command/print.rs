//! What a command says: data to standard output, everything else to standard error.

use std::io::{self, BufWriter, Write};

use anyhow::Context;

/// Writes what `write` writes to standard output. Who closes the pipe has read enough: that is no error.
pub(super) fn print<T: Default>(write: impl FnOnce(&mut dyn Write) -> io::Result<T>) -> anyhow::Result<T> {
    let mut out = BufWriter::new(anstream::stdout());
    match write(&mut out).and_then(|value| out.flush().map(|()| value)) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(T::default()),
        result => result.context("cannot write to standard output"),
    }
}

/// Writes a line to standard error. Where that is closed there is nobody to tell.
pub(crate) fn say(line: &str) {
    let _ = writeln!(anstream::stderr(), "{line}");
}
