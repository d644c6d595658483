//! Pages of traces and spans that match one condition: the store walks them.

use std::time::Duration;

use futures::StreamExt as _;
use pitviper_store::filter::Filter;
use pitviper_store::questions::walk::{Came, Told, Walk};
use pitviper_store::{Cursor, Order, Search, Store, TimeRange};

use super::out::Out;
use super::{Bound, Mode, RowOrder, cursor, trace_rows};
use crate::QueryError;

/// How long spans are looked at for one page.
pub(super) const WALK_TIME: Duration = Duration::from_secs(20);

/// What to look for, and where the page before ended.
pub(super) struct Task {
    pub(super) range: TimeRange,
    pub(super) filter: Filter,
    pub(super) mode: Mode,
    pub(super) order: RowOrder,
    pub(super) limit: usize,
    pub(super) after: Option<Cursor>,
    /// How long spans are looked at.
    pub(super) time: Duration,
}

/// How a page ended.
#[derive(Debug, Default)]
pub(super) struct End {
    /// Where the next page goes on; `None` when there is none.
    pub(super) next: Option<Cursor>,
    /// The bound that ended it early.
    pub(super) bound: Option<Bound>,
    /// How many rows of the store lie where it has looked.
    pub(super) looked_at: u64,
}

/// One page of what matches.
pub(super) async fn page(store: &dyn Store, task: Task, out: &mut Out) -> Result<End, QueryError> {
    let Task { range, filter, mode, order, limit, after, time } = task;
    // One more than the page tells whether there is another page.
    let search = Search { range, filter, order: Order::from(order), limit: limit + 1, after };
    let every = if out.is_heard() { out.every } else { Duration::MAX };
    let walk = Walk { search, every, time };
    let mut page = Page { limit, ..Page::default() };
    match mode {
        Mode::Spans => {
            let mut telling = store.walk_spans(&walk);
            while let Some(told) = telling.next().await {
                match told? {
                    Told::Rows(spans) => {
                        let spans = page.fit(spans, |span| cursor::of_span(span, order));
                        out.put_spans(spans).await;
                    }
                    Told::Came(came) => page.came(came, out).await,
                    Told::Stopped(place) => page.stopped = Some(place),
                }
                if page.is_full {
                    break;
                }
            }
        }
        Mode::Traces => {
            let mut telling = store.walk_traces(&walk);
            while let Some(told) = telling.next().await {
                match told? {
                    Told::Rows(hits) => {
                        let hits = page.fit(hits, |hit| hit.cursor);
                        out.put(trace_rows(store, hits).await?.into_iter().map(|(_, row)| row).collect()).await;
                    }
                    Told::Came(came) => page.came(came, out).await,
                    Told::Stopped(place) => page.stopped = Some(place),
                }
                if page.is_full {
                    break;
                }
            }
        }
    }
    Ok(page.end())
}

/// A page so far.
#[derive(Default)]
struct Page {
    limit: usize,
    /// How many rows it has.
    count: usize,
    last: Option<Cursor>,
    /// Whether it has all the rows it may have, and there are more.
    is_full: bool,
    stopped: Option<Cursor>,
    looked_at: u64,
}

impl Page {
    /// Those of the next rows that the page has room for.
    fn fit<T>(&mut self, mut rows: Vec<T>, cursor: impl Fn(&T) -> Cursor) -> Vec<T> {
        let room = self.limit - self.count;
        self.is_full = rows.len() > room;
        rows.truncate(room);
        self.count += rows.len();
        self.last = rows.last().map(cursor).or(self.last);
        rows
    }

    async fn came(&mut self, came: Came, out: &mut Out) {
        self.looked_at = came.rows;
        out.came(came).await;
    }

    fn end(self) -> End {
        let stopped = self.stopped.filter(|_| !self.is_full);
        End {
            next: if self.is_full { self.last } else { stopped },
            bound: stopped.map(|_| Bound::Time),
            looked_at: self.looked_at,
        }
    }
}
