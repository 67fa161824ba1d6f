//! A database of one's own: a file of SQLite, or one on the PostgreSQL server of `ALMANAC_TEST_POSTGRES`.

use std::{path::Path, thread};

use sqlx::{ConnectOptions, Connection, Executor, PgConnection, postgres::PgConnectOptions};
use uuid::Uuid;

/// A database that nobody else uses. It goes when this goes out of scope.
#[derive(Debug)]
pub(crate) struct Database {
    address: String,
    /// Where to drop it.
    server: Option<PgConnectOptions>,
}

impl Database {
    /// Makes one of the kind that the tests run on.
    pub(crate) fn create(folder: &Path) -> Self {
        if server().is_some() { Self::postgres() } else { Self::sqlite(folder) }
    }

    /// A file, which is made when it is opened.
    pub(crate) fn sqlite(folder: &Path) -> Self {
        Self { address: format!("sqlite://{}", folder.join("almanac.db").display()), server: None }
    }

    /// One on the server of `ALMANAC_TEST_POSTGRES`, without which the test fails.
    pub(crate) fn postgres() -> Self {
        let server = server();
        Self::on(&server.expect("this test needs `ALMANAC_TEST_POSTGRES=postgres://...` (see scripts/test)"))
    }

    /// One on some server.
    pub(crate) fn on(server: &str) -> Self {
        let name = format!("almanac_{}", Uuid::new_v4().simple());
        let options: PgConnectOptions = server.parse().unwrap();
        tell(&options, format!("CREATE DATABASE {name} TEMPLATE template0"));
        let (start, _) = server.rsplit_once('/').unwrap();
        Self { address: format!("{start}/{name}"), server: Some(options) }
    }

    /// Its address.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The same database at another address of its server.
    pub(crate) fn through(&self, port: u16) -> String {
        let options: PgConnectOptions = self.address.parse().unwrap();
        let (user, database) = (options.get_username(), options.get_database().unwrap());
        format!("postgres://{user}@127.0.0.1:{port}/{database}")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            let name = self.address.rsplit('/').next().unwrap();
            tell(server, format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the configuration of the tests")]
fn server() -> Option<String> {
    std::env::var("ALMANAC_TEST_POSTGRES").ok()
}

/// Does something on a server, whether the test is asynchronous or not.
fn tell(server: &PgConnectOptions, statement: String) {
    let server = server.clone();
    let done = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection: PgConnection = server.connect().await?;
            connection.execute(sqlx::AssertSqlSafe(statement)).await?;
            connection.close().await
        })
    });
    let result: Result<(), sqlx::Error> = done.join().unwrap();
    // What goes out of scope while a test fails must not hide why.
    if !thread::panicking() {
        result.unwrap();
    }
}
