//! Pages of lists whose rows may be large.

use std::pin::pin;

use almanac_proto::limits;
use futures::{Stream, TryStreamExt};

use super::StoreError;

/// How many bytes of text end a page. A specification has a few MiB at most, since a manifest has 1 MiB and aliases add
/// little to it (`validate/src/places/hazard.rs`); so even a page that a single change with both of its sides fills is far from what a message may have.
const FULL: usize = limits::MAX_MESSAGE / 4;

/// Reads a page: `limit` rows at most, and fewer where they are large, but never none while there is one. Says
/// whether there are more, for which the statement has to ask for one row more than `limit`. No more is read
/// than is needed: not even the database's answer is in memory as a whole.
pub(super) async fn read<T>(
    rows: impl Stream<Item = sqlx::Result<T>>,
    limit: u32,
    size: impl Fn(&T) -> usize,
) -> Result<(Vec<T>, bool), StoreError> {
    let mut rows = pin!(rows);
    let (mut page, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.try_next().await? {
        bytes += size(&row);
        if page.len() >= limit as usize || bytes > FULL && !page.is_empty() {
            return Ok((page, true));
        }
        page.push(row);
    }
    Ok((page, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_page_ends_with_its_rows_or_its_bytes() {
        let read = async |sizes: &[usize], limit| {
            let rows = futures::stream::iter(sizes.iter().map(|size| Ok(*size)));
            read(rows, limit, |size| *size).await.unwrap()
        };
        assert_eq!(read(&[], 2).await, (vec![], false));
        assert_eq!(read(&[1, 2], 2).await, (vec![1, 2], false));
        assert_eq!(read(&[1, 2, 3], 2).await, (vec![1, 2], true));
        assert_eq!(read(&[FULL - 1, 1], 9).await, (vec![FULL - 1, 1], false));
        assert_eq!(read(&[FULL - 1, 2], 9).await, (vec![FULL - 1], true));
        assert_eq!(read(&[FULL + 1, 0], 9).await, (vec![FULL + 1], true), "one that is too large is alone");
        assert_eq!(read(&[FULL + 1], 9).await, (vec![FULL + 1], false));
    }
}
