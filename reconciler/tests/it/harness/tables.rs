//! Everything that a database holds, whichever it is: what tests compare, and where they look for what must not be there.

use std::collections::BTreeMap;

use sqlx::{AnyConnection, AssertSqlSafe, Connection, any::install_default_drivers};

/// Where the migrations keep their accounts.
const ACCOUNTS: &str = "_sqlx_migrations";

/// The tables of a database, as texts.
#[derive(Debug)]
pub(crate) struct Tables(BTreeMap<String, Table>);

/// A table.
#[derive(Debug)]
struct Table {
    columns: Vec<String>,
    rows: Vec<String>,
}

impl Tables {
    /// Reads all.
    pub(crate) async fn read(address: &str) -> Self {
        let mut database = Self::connect(address).await;
        let tables = texts(&mut database, if is_file(address) {
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        } else {
            "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'"
        })
        .await;
        let mut all = BTreeMap::new();
        for name in tables.into_iter().filter(|name| name != ACCOUNTS) {
            let columns = texts(
                &mut database,
                &if is_file(address) {
                    format!("SELECT name FROM pragma_table_info('{name}') ORDER BY cid")
                } else {
                    format!(
                        "SELECT column_name::text FROM information_schema.columns
                     WHERE table_schema = 'public' AND table_name = '{name}' ORDER BY ordinal_position"
                    )
                },
            )
            .await;
            let rows = rows(&mut database, address, &name, &columns).await;
            all.insert(name, Table { columns, rows });
        }
        assert!(!all.is_empty(), "{address} holds nothing");
        database.close().await.unwrap();
        Self(all)
    }

    /// A connection of one's own to a database. A file that is not there is made.
    pub(crate) async fn connect(address: &str) -> AnyConnection {
        install_default_drivers();
        let address = if is_file(address) { &format!("{address}?mode=rwc") } else { address };
        let mut database = AnyConnection::connect(address).await.unwrap();
        if is_file(address) {
            sqlx::query("PRAGMA foreign_keys = ON").execute(&mut database).await.unwrap();
        }
        database
    }

    /// The tables in which some text is, be it in bytes.
    pub(crate) fn with(&self, text: &str) -> Vec<&str> {
        let bytes: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        let holds = |row: &String| row.contains(text) || row.to_lowercase().contains(&bytes);
        let found = self.0.iter().filter(|(_, table)| table.rows.iter().any(holds));
        found.map(|(name, _)| name.as_str()).collect()
    }

    /// What is here and not in the same database as it is now, row by row, as far as its columns were there before.
    pub(crate) async fn lost(&self, address: &str) -> Vec<String> {
        let mut database = Self::connect(address).await;
        let mut lost = Vec::new();
        for (name, Table { columns, rows: before }) in &self.0 {
            let mut now = rows(&mut database, address, name, columns).await;
            for row in before {
                match now.iter().position(|other| other == row) {
                    Some(position) => drop(now.swap_remove(position)),
                    None => lost.push(format!("{name}: {row}")),
                }
            }
        }
        database.close().await.unwrap();
        lost
    }

    /// How many rows a table has.
    pub(crate) fn count(&self, table: &str) -> usize {
        self.0.get(table).map_or(0, |table| table.rows.len())
    }
}

/// Whether it is a file of SQLite.
pub(crate) fn is_file(address: &str) -> bool {
    address.starts_with("sqlite:")
}

async fn rows(database: &mut AnyConnection, address: &str, table: &str, columns: &[String]) -> Vec<String> {
    let row = if is_file(address) {
        columns.iter().map(|column| format!("quote(\"{column}\")")).collect::<Vec<_>>().join(" || ', ' || ")
    } else {
        format!("ROW(\"{}\")::text", columns.join("\", \""))
    };
    texts(database, &format!("SELECT {row} FROM {table}")).await
}

async fn texts(database: &mut AnyConnection, query: &str) -> Vec<String> {
    sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_all(database).await.unwrap()
}
