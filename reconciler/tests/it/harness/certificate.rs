//! Certificates, made by `openssl`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::Ended;

/// A certificate for this machine, and the authority that signed it.
pub(crate) struct Certificate {
    pub(crate) authority: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

fn openssl(args: &[&str]) {
    let ended = Ended::of(Command::new("openssl").args(args));
    assert_eq!(ended.code, Some(0), "openssl {args:?}: {}", ended.stderr);
}

impl Certificate {
    /// Makes them in a folder; files of different names do not belong together.
    pub(crate) fn make(folder: &Path, name: &str) -> Self {
        let path = |part: &str| folder.join(format!("{name}.{part}"));
        let text = |part: &str| path(part).to_str().unwrap().to_owned();
        let new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let authority = ["-x509", "-subj", "/CN=authority", "-days", "2", "-keyout", &text("ca.key")];
        openssl(&[&new[..], &authority, &["-out", &text("ca.pem")]].concat());
        openssl(
            &[&new[..], &["-subj", "/CN=reconciler", "-keyout", &text("key"), "-out", &text("csr")]].concat(),
        );
        std::fs::write(path("ext"), "subjectAltName = IP:127.0.0.1, DNS:localhost\n").unwrap();
        let sign =
            ["x509", "-req", "-in", &text("csr"), "-days", "2", "-CAcreateserial", "-extfile", &text("ext")];
        let by = ["-CA", &text("ca.pem"), "-CAkey", &text("ca.key"), "-out", &text("pem")];
        openssl(&[&sign[..], &by].concat());
        Self { authority: path("ca.pem"), certificate: path("pem"), key: path("key") }
    }

    /// The flags that serve it.
    pub(crate) fn flags(&self) -> [&str; 4] {
        ["--tls-cert", self.certificate.to_str().unwrap(), "--tls-key", self.key.to_str().unwrap()]
    }
}
