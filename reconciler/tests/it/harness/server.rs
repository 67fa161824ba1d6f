//! A PostgreSQL server of a test's own, to do to it what would disturb others.

use std::{path::PathBuf, process::Command};

/// A server. It is stopped when this goes out of scope.
pub(crate) struct Server {
    address: String,
    folder: String,
}

impl Server {
    /// Starts one, as `scripts/test` does.
    pub(crate) fn start() -> Self {
        let said = script("need_postgres; echo \"$ALMANAC_TEST_POSTGRES $POSTGRES_DIR\"");
        let (address, folder) = said.trim().split_once(' ').unwrap();
        Self { address: address.to_owned(), folder: folder.to_owned() }
    }

    /// The address of a database on it from which others can be made.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Ends it as a crash does.
    pub(crate) fn halt(&self) {
        script(&format!("POSTGRES_DIR={}; halt_postgres", self.folder));
    }

    /// Brings it back at the same port.
    pub(crate) fn resume(&self) {
        script(&format!("POSTGRES_DIR={}; start_postgres", self.folder));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        script(&format!("POSTGRES_DIR={}; stop_postgres", self.folder));
    }
}

/// Runs functions of `scripts/lib/setup.sh`.
fn script(functions: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new("bash")
        .current_dir(root)
        .args(["-euc", &format!("source scripts/lib/setup.sh; {functions}")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{functions}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
