//! Where the rows of a search go: to the end of a list, or to whoever listens, as soon as they are
//! certain to be in order.

use std::time::{Duration, Instant};

use futures::SinkExt as _;
use futures::channel::mpsc;
use pitviper_store::questions::walk::Came;
use pitviper_store::{Cursor, Order, StoredSpan};
use serde::Serialize;
use utoipa::ToSchema;

use super::candidates::rank;
use super::{Mode, RowOrder, SearchRow, cursor};

/// How often a listener hears how far a search came. Nobody sees more.
const TELL_EVERY: Duration = Duration::from_millis(150);

/// What a listener hears of a search while it runs.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// The next rows, in order.
    Rows(Vec<SearchRow>),
    /// How far it came.
    Progress(Progress),
}

/// How far a search came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SearchProgress)]
pub struct Progress {
    /// What is looked at, one by one.
    pub what: LookedAt,
    /// How many of them were looked at.
    pub looked_at: u64,
    /// How many there are at most; null when that is not known. A search that finds enough looks at
    /// fewer.
    #[schema(required)]
    pub of: Option<u64>,
    /// Of a search by start time: up to where all that matches was told, in microseconds since the
    /// epoch.
    #[schema(required)]
    pub reached_us: Option<i64>,
    /// How many matches were found so far. Those which others may still come before are not told yet.
    pub found: u64,
    /// How many rows were told so far.
    pub rows: u64,
    /// The cursor of what is left, for whoever ends the search here.
    #[schema(required)]
    pub next: Option<String>,
    /// How long the search has taken so far, in milliseconds.
    pub elapsed_ms: u64,
}

/// What a search looks at one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = SearchLookedAt)]
pub enum LookedAt {
    /// Stored spans, where matching ones may lie.
    Spans,
    /// Conditions of a query that relates spans: where each holds is learnt first.
    Conditions,
    /// Traces or spans that such a query may mean.
    Candidates,
}

enum To {
    List(Vec<SearchRow>),
    /// Spans as they are stored.
    Spans(Vec<StoredSpan>),
    Listener(mpsc::Sender<News>),
}

/// Takes the rows of one page.
pub(super) struct Out {
    to: To,
    list: (Mode, RowOrder),
    /// The cursor that the page begins behind.
    after: Option<Cursor>,
    rows: usize,
    /// How often a listener hears how far it came.
    pub(super) every: Duration,
    began: Instant,
    last: Instant,
}

impl Out {
    fn new(to: To, list: (Mode, RowOrder), after: Option<Cursor>) -> Self {
        Self { to, list, after, rows: 0, every: TELL_EVERY, began: Instant::now(), last: Instant::now() }
    }

    /// To a list; see [`Out::into_rows`].
    pub(super) fn list(list: (Mode, RowOrder), after: Option<Cursor>) -> Self {
        Self::new(To::List(Vec::new()), list, after)
    }

    /// To a list of spans as they are stored; see [`Out::into_spans`].
    pub(super) fn spans(order: RowOrder) -> Self {
        Self::new(To::Spans(Vec::new()), (Mode::Spans, order), None)
    }

    /// To a listener. One that went away is no error: the question is dropped then.
    pub(super) fn listener(to: mpsc::Sender<News>, list: (Mode, RowOrder), after: Option<Cursor>) -> Self {
        Self::new(To::Listener(to), list, after)
    }

    pub(super) fn into_rows(self) -> Vec<SearchRow> {
        match self.to {
            To::List(rows) => rows,
            To::Spans(_) | To::Listener(_) => Vec::new(),
        }
    }

    pub(super) fn into_spans(self) -> Vec<StoredSpan> {
        match self.to {
            To::Spans(spans) => spans,
            To::List(_) | To::Listener(_) => Vec::new(),
        }
    }

    /// Whether somebody listens. If not, rows may as well come together at the end.
    pub(super) fn is_heard(&self) -> bool {
        matches!(self.to, To::Listener(_))
    }

    /// How many rows there are so far.
    pub(super) fn count(&self) -> usize {
        self.rows
    }

    /// The next rows. Waits until the listener has room for them.
    pub(super) async fn put(&mut self, rows: Vec<SearchRow>) {
        self.rows += rows.len();
        match &mut self.to {
            To::List(list) => list.extend(rows),
            To::Spans(_) => {}
            To::Listener(_) if rows.is_empty() => {}
            To::Listener(to) => drop(to.send(News::Rows(rows)).await),
        }
    }

    /// The next rows, of spans.
    pub(super) async fn put_spans(&mut self, spans: Vec<StoredSpan>) {
        if let To::Spans(list) = &mut self.to {
            self.rows += spans.len();
            list.extend(spans);
        } else {
            self.put(spans.into_iter().map(|span| SearchRow::Span(span.into())).collect()).await;
        }
    }

    /// How far a walk over stored spans came.
    pub(super) async fn came(&mut self, came: Came) {
        let place = came.until.map(|value| Cursor {
            value,
            trace_id: pitviper_model::TraceId::INVALID,
            span_id: pitviper_model::SpanId::INVALID,
        });
        let found = came.found as u64;
        self.progress(LookedAt::Spans, (came.rows, Some(came.of)), found, place).await;
    }

    /// How many of how many were looked at, how many matches were found, and where it stands. Heard when
    /// it is time.
    pub(super) async fn progress(
        &mut self,
        what: LookedAt,
        (looked_at, of): (u64, Option<u64>),
        found: u64,
        place: Option<Cursor>,
    ) {
        let To::Listener(to) = &mut self.to else { return };
        if self.last.elapsed() < self.every {
            return;
        }
        let (mode, order) = self.list;
        let ranked = |cursor: &Cursor| rank(Order::from(order), cursor.value);
        // What is looked at may begin before the page does.
        let place = match (place, self.after) {
            (Some(place), Some(after)) if ranked(&place) < ranked(&after) => Some(after),
            (place, _) => place,
        };
        let progress = Progress {
            what,
            looked_at,
            of,
            reached_us: place.filter(|_| order != RowOrder::SlowestFirst).map(|place| place.value.div_euclid(1_000)),
            found,
            rows: self.rows as u64,
            next: place.map(|place| cursor::print(place, mode, order)),
            elapsed_ms: self.began.elapsed().as_millis() as u64,
        };
        drop(to.send(News::Progress(progress)).await);
        self.last = Instant::now();
    }
}
