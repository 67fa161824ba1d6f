//! Databases of versions before. Data of each is in `data/versions`, by the name of its last migration.

mod each;
mod first;
