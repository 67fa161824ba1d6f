//! Writing data to standard output.

use std::io::{self, BufWriter, Write};

use anyhow::Context;

/// Writes what `write` writes. Who closes the pipe has read enough: that is no error.
pub(super) fn print<T: Default>(write: impl FnOnce(&mut dyn Write) -> io::Result<T>) -> anyhow::Result<T> {
    let mut out = BufWriter::new(anstream::stdout());
    match write(&mut out).and_then(|value| out.flush().map(|()| value)) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(T::default()),
        result => result.context("cannot write to standard output"),
    }
}
