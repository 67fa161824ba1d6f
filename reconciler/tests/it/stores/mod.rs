//! Files that nodes send to a store themselves, with grants of the reconciler: to Azurite and to a server of S3, both real.

mod failures;
mod grants;
mod sending;
mod world;

/// Both stores, one after the other.
macro_rules! on_each_store {
    ($($name:ident)*) => {$(
        mod $name {
            #[tokio::test]
            #[ignore = "needs azurite"]
            async fn azure() {
                super::super::$name(super::super::super::world::World::azure().await).await;
            }

            #[tokio::test]
            async fn s3() {
                super::super::$name(super::super::super::world::World::s3().await).await;
            }
        }
    )*};
}

use on_each_store;
