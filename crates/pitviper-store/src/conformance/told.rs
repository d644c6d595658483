//! A walk that tells early, and one that time ends, say what the search as a whole says.

use std::time::Duration;

use futures::StreamExt as _;

use crate::questions::walk::{Telling, Told, Walk};
use crate::store::{Search, StoreError};

/// The rows of a search in two parts, of which the first is ended by time as soon as it can be, told as
/// often as they can be.
pub(super) async fn in_two_parts<T>(
    search: &Search,
    start: impl Fn(&Walk) -> Telling<T>,
) -> Result<Vec<T>, StoreError> {
    let mut rows = Vec::new();
    let mut walk = Walk { search: search.clone(), every: Duration::ZERO, time: Duration::ZERO };
    loop {
        let mut telling = start(&walk);
        let mut stopped = None;
        while let Some(told) = telling.next().await {
            assert_eq!(stopped, None, "{walk:?} tells more behind its end");
            match told? {
                Told::Rows(more) => rows.extend(more),
                Told::Came(came) => assert!(came.rows <= came.of, "{walk:?} came too far: {came:?}"),
                Told::Stopped(place) => stopped = Some(place),
            }
        }
        let Some(place) = stopped else { return Ok(rows) };
        assert_eq!(walk.time, Duration::ZERO, "{walk:?} had all the time");
        let limit = search.limit - rows.len();
        walk = Walk { search: Search { after: Some(place), limit, ..walk.search }, time: Duration::MAX, ..walk };
    }
}
