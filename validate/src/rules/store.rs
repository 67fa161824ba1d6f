//! `store`: artifacts go to a store that Almanac knows, and what is said of it fits it.

use almanac_schemas::{config::ArtifactStore, store_credentials::StoreCredentials};

use super::{Context, Draft, Place, address::Address};
use crate::Rule;

/// What kind of store an address is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    File,
    Azure,
    S3,
}

pub(super) fn check(context: &Context<'_>, drafts: &mut Vec<Draft>) {
    let Some((config, place)) = context.declared_config() else { return };
    let settings = &config.spec.artifacts;
    let place = place.key("spec").key("artifacts");
    // Where the reconciler is told the store on its command line, the rest may belong to that one.
    if let Some(store) = &settings.store {
        match scheme(store) {
            Ok(scheme) => misfits(scheme, settings, &place, drafts),
            Err(message) => {
                let help = "write `file:///absolute/path`, `az://container/prefix` or `s3://bucket/prefix`";
                drafts.push(Draft::new(Rule::Store, place.key("store"), message).help(help));
            }
        }
    }
    if let Some(endpoint) = &settings.endpoint
        && let Err((message, help)) = endpoint_problem(endpoint, settings.allow_http)
    {
        drafts.push(Draft::new(Rule::Store, place.key("endpoint"), message).help(help));
    }
    if let Some(StoreCredentials::WorkloadIdentity { identity, .. }) = &settings.credentials
        && let Some(path) = identity.token_file.as_ref().filter(|path| !path.starts_with('/'))
    {
        let place = place.key("credentials").key("workloadIdentity").key("tokenFile");
        let message = format!("the path `{path}` is not absolute");
        drafts.push(Draft::new(Rule::Store, place, message).help("name a file of the reconciler's host"));
    }
}

fn scheme(store: &str) -> Result<Scheme, String> {
    let bucket = |rest: &str| {
        let name = rest.split('/').next().unwrap_or_default();
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
    };
    let leaves = |rest: &str| rest.split('/').any(|part| part == "." || part == "..");
    match store.split_once("://") {
        Some(("file", path)) if path.starts_with('/') && !path.split('/').any(|part| part == "..") => {
            Ok(Scheme::File)
        }
        Some(("az" | "s3", rest)) if leaves(rest) => Err(format!("`{store}` has `.` or `..` in its path")),
        Some(("az", rest)) if bucket(rest) => Ok(Scheme::Azure),
        Some(("s3", rest)) if bucket(rest) => Ok(Scheme::S3),
        Some(("file", _)) => Err(format!("`{store}` does not name an absolute path without `..`")),
        Some(("az", _)) => Err(format!("`{store}` does not name a container")),
        Some(("s3", _)) => Err(format!("`{store}` does not name a bucket")),
        _ => Err(format!("`{store}` is not the address of a store")),
    }
}

/// What is said of a store that is of another kind.
fn misfits(scheme: Scheme, settings: &ArtifactStore, place: &Place, drafts: &mut Vec<Draft>) {
    let mut report = |key: &str, message: String, help: &str| {
        let draft = Draft::new(Rule::Store, place.key(key).on_key(), message).help(help);
        drafts.push(draft.related("the store is this one", place.key("store")));
    };
    if scheme == Scheme::File {
        let given = [
            ("endpoint", settings.endpoint.is_some()),
            ("allowHttp", settings.allow_http),
            ("credentials", settings.credentials.is_some()),
        ];
        for (key, _) in given.into_iter().filter(|(_, given)| *given) {
            report(
                key,
                format!("a folder has no `{key}`"),
                "leave it out, or write an `az://` or `s3://` store",
            );
        }
    }
    if scheme != Scheme::S3 && settings.region.is_some() {
        report("region", "`region` is of S3 stores alone".to_owned(), "leave it out");
    }
    let Some(credentials) = &settings.credentials else { return };
    let (of, word) = match credentials {
        StoreCredentials::ConnectionString(_) => (Scheme::Azure, "a connection string"),
        StoreCredentials::AccountKey { .. } => (Scheme::Azure, "an account's key"),
        StoreCredentials::WorkloadIdentity { .. } => (Scheme::Azure, "a workload identity"),
        StoreCredentials::Environment { account: Some(_) } => (Scheme::Azure, "a storage account"),
        StoreCredentials::Environment { account: None } => return,
        StoreCredentials::AccessKey { .. } => (Scheme::S3, "an access key"),
    };
    match (scheme, of) {
        (Scheme::S3, Scheme::Azure) => report(
            "credentials",
            format!("{word} is for Azure, and the store is an S3 bucket"),
            "write `accessKeyId` and `secretAccessKey`, or leave `credentials` out to use those of the reconciler's environment",
        ),
        (Scheme::Azure, Scheme::S3) => report(
            "credentials",
            format!("{word} is for S3, and the store is an Azure container"),
            "write `connectionString`, `account` with `accountKey`, or `workloadIdentity`",
        ),
        _ => {}
    }
    if matches!(credentials, StoreCredentials::ConnectionString(_)) && settings.endpoint.is_some() {
        report(
            "endpoint",
            "a connection string names its own endpoint".to_owned(),
            "leave `endpoint` out, or write `account` and `accountKey` in place of the connection string",
        );
    }
}

/// What is wrong with the address of a service, and what to do.
fn endpoint_problem(endpoint: &str, allow_http: bool) -> Result<(), (String, &'static str)> {
    let no_address = || {
        let help = "write, for example, `https://minio.example.org:9000`";
        // Not repeated where there may be a password in it.
        let named = if endpoint.contains('@') { "this".to_owned() } else { format!("`{endpoint}`") };
        (format!("{named} is not the address of a service"), help)
    };
    let is_unfit = |c: char| c.is_whitespace() || "?#".contains(c);
    let address = Address::parse(endpoint).filter(|_| !endpoint.contains(is_unfit));
    let address = address.filter(Address::is_of_web).ok_or_else(no_address)?;
    if address.names_user {
        // Not repeated: it may be a password.
        let help = "leave it out; `credentials` says where secrets are";
        return Err(("the endpoint carries a user or password".to_owned(), help));
    }
    if !address.scheme.eq_ignore_ascii_case("https") && !address.is_loopback() && !allow_http {
        let message =
            format!("`{endpoint}` is not https://, so whoever listens in could read files and grants");
        return Err((message, "write `https://`, or `allowHttp: true` where the network is one's own"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_that_nobody_listens_in_on() {
        for good in [
            "https://minio.example.org:9000",
            "https://store.example.org/path",
            "http://127.0.0.1:10000/devstoreaccount1",
            "http://localhost",
            "http://[::1]:9000",
        ] {
            assert_eq!(endpoint_problem(good, false), Ok(()), "{good}");
        }
        let open = "http://minio.example.org";
        assert!(endpoint_problem(open, false).is_err() && endpoint_problem(open, true).is_ok());
        for bad in [
            "minio.example.org",
            "ftp://minio.example.org",
            "https://",
            "https://:9000",
            "https://a b",
            "https://a?b",
            "https://a#b",
            "https://user:secret@a",
        ] {
            let (message, _) = endpoint_problem(bad, true).unwrap_err();
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
