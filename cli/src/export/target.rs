//! Where a table goes.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

/// A file that has its name once it is whole.
#[derive(Debug)]
pub struct Target {
    out: BufWriter<File>,
    path: PathBuf,
    /// What it is called until then; absent for what cannot be replaced, such as a pipe.
    part: Option<PathBuf>,
}

impl Target {
    /// Begins a file, beside the one that is there.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        let part = match fs::metadata(path) {
            Ok(there) if !there.is_file() => None,
            _ => {
                let mut part = OsString::from(path);
                part.push(".part");
                Some(PathBuf::from(part))
            }
        };
        let out = match &part {
            Some(part) => File::create(part)?,
            None => File::options().write(true).open(path)?,
        };
        Ok(Self { out: BufWriter::new(out), path: path.to_owned(), part })
    }

    /// Where to write.
    pub fn out(&mut self) -> &mut dyn Write {
        &mut self.out
    }

    /// Gives the file its name.
    ///
    /// # Errors
    ///
    /// When not all of it could be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()?;
        if let Some(part) = self.part.take() {
            let renamed = self.out.get_ref().sync_all().and_then(|()| fs::rename(&part, &self.path));
            if renamed.is_err() {
                self.part = Some(part);
            }
            renamed?;
        }
        Ok(())
    }
}

impl Drop for Target {
    /// What is not whole is of no use to anybody.
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            let _ = fs::remove_file(part);
        }
    }
}
