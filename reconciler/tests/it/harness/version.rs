//! A database as a version of before left it: its migrations, and the rows that it wrote.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sqlx::{AssertSqlSafe, Connection, migrate::Migrator};

use super::{Tables, tables::is_file};

/// A version of the database: the migration that made it, by its name, which both engines share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) name: String,
    file: PathBuf,
}

impl Version {
    /// All of an engine, the oldest first.
    pub(crate) fn all(address: &str) -> Vec<Self> {
        let engine = if is_file(address) { "sqlite" } else { "postgres" };
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(engine);
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let name = |file: &Path| file.file_stem()?.to_str()?.split_once('_').map(|(_, name)| name.to_owned());
        files.into_iter().map(|file| Self { name: name(&file).unwrap(), file }).collect()
    }

    /// Brings a database to the last of some versions, one after the other: `rows` are what each wrote before the next
    /// one came.
    pub(crate) async fn write(address: &str, versions: &[Self], rows: impl Fn(&Self) -> Option<String>) {
        for until in 1..=versions.len() {
            let folder = tempfile::tempdir().unwrap();
            for Self { file, .. } in &versions[..until] {
                fs::copy(file, folder.path().join(file.file_name().unwrap())).unwrap();
            }
            let mut database = Tables::connect(address).await;
            let migrator = Migrator::new(folder.path().to_owned()).await.unwrap();
            migrator.run(&mut database).await.unwrap();
            if let Some(rows) = rows(&versions[until - 1]) {
                sqlx::raw_sql(AssertSqlSafe(rows)).execute(&mut database).await.unwrap();
            }
            database.close().await.unwrap();
        }
    }
}
