//! Lists that come in pages, followed up to a limit.

use tonic::Status;

use crate::{args::Limit, output::Listing};

/// The most that the reconciler puts into one page.
pub(crate) const LARGEST_PAGE: usize = 1_000;

impl Limit {
    /// How many items are still wanted when there are so many; `None` when all are.
    pub(crate) fn left(self, found: usize) -> Option<usize> {
        (self.limit > 0).then(|| self.limit.saturating_sub(found))
    }
}

/// Asks for page after page, by size and token, until the limit or the end is reached.
///
/// # Errors
///
/// What the reconciler answers to one of the pages.
pub async fn collect<T>(
    limit: Limit,
    mut page: impl AsyncFnMut(i32, String) -> Result<(Vec<T>, String), Status>,
) -> Result<Listing<T>, Status> {
    let mut items = Vec::new();
    let mut token = String::new();
    loop {
        let size = limit.left(items.len()).unwrap_or(LARGEST_PAGE).min(LARGEST_PAGE);
        let (more, next) = page(i32::try_from(size).unwrap_or(i32::MAX), token.clone()).await?;
        items.extend(more);
        // A token that does not move would be followed for ever.
        let end = next.is_empty() || next == token;
        match limit.left(items.len()) {
            Some(0) => {
                let cut = items.len() > limit.limit;
                items.truncate(limit.limit);
                return Ok(Listing { items, more: cut || !end });
            }
            _ if end => return Ok(Listing { items, more: false }),
            _ => token = next,
        }
    }
}

/// Asks for page after page, by size and token, until the end. Each page is dealt with before the next is asked
/// for, so that no more than one is in memory; what deals with it answers the token of the next.
///
/// # Errors
///
/// What comes of one of the pages.
pub async fn each<E>(mut page: impl AsyncFnMut(i32, String) -> Result<String, E>) -> Result<(), E> {
    let mut token = String::new();
    loop {
        let next = page(i32::try_from(LARGEST_PAGE).unwrap_or(i32::MAX), token.clone()).await?;
        // A token that does not move would be followed for ever.
        if next.is_empty() || next == token {
            return Ok(());
        }
        token = next;
    }
}

impl<T> Listing<T> {
    /// Turns each item into what is shown.
    ///
    /// # Errors
    ///
    /// The first item that cannot be shown.
    pub fn try_map<U, E>(self, item: impl FnMut(T) -> Result<U, E>) -> Result<Listing<U>, E> {
        let items = self.items.into_iter().map(item).collect::<Result<_, E>>()?;
        Ok(Listing { items, more: self.more })
    }
}
