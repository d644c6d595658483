//! The first rows of an order: pages are visited in the order of the best they may hold.
//!
//! What is found is certain as soon as no page that is left can hold anything better, long before the
//! walk has seen all pages. [`Scan::walk`] shows rows when they are certain.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pitviper_model::{SpanId, TraceId};

use super::top::{Key, Top, rank};
use super::{PAGES_AS_SHARE, PAGES_AT_A_TIME, Page, Place, Scan, in_parallel, is_same_group};
use crate::questions::walk::{Came, Walk};
use crate::store::{Order, StoreError};

/// How a walk goes on and when it ends.
#[derive(Debug, Clone, Copy)]
pub(in crate::embedded) struct Pace {
    began: Instant,
    /// How often what is certain is shown; all is shown at the end.
    every: Duration,
    /// How long it may take.
    time: Duration,
}

impl Pace {
    /// From now on, so that waiting for its turn counts.
    pub(in crate::embedded) fn of(walk: &Walk) -> Self {
        Self { began: Instant::now(), every: walk.every, time: walk.time }
    }
}

impl Scan<'_> {
    /// As [`Scan::walk`] to its end, until it is over, which is asked with how many were found and how
    /// many pages were looked at. Returns whether it was not, too; when it was, what was found may not be
    /// the first.
    ///
    /// # Errors
    /// What the file system says, and when the scan is interrupted.
    pub(in crate::embedded) fn first_until(
        &self,
        order: Order,
        after: Option<Key>,
        limit: usize,
        is_over: impl Fn(usize, usize) -> bool + Sync,
    ) -> Result<(Vec<(Key, Place)>, bool), StoreError> {
        let (top, front) = (Mutex::new(Top::new(order, after, limit)), Mutex::new(self.front(order)));
        self.visit_best(&top, &front, || {
            let looked_at = front.lock().next;
            Ok(!is_over(top.lock().len(), looked_at))
        })?;
        let (top, front) = (top.into_inner(), front.into_inner());
        let is_all = left(&top, &front).is_none();
        Ok((top.into_sorted(), is_all))
    }

    /// Shows the first spans that match in this order, behind a key, with the places of their rows: in
    /// order, each once, as soon as it is certain that none comes before them; and how far it came.
    /// Where time is over before it is done, returns the key that all which is left lies behind.
    ///
    /// # Errors
    /// What `show` says, what the file system says, and when the scan is interrupted.
    pub(in crate::embedded) fn walk(
        &self,
        order: Order,
        after: Option<Key>,
        limit: usize,
        pace: Pace,
        show: impl FnMut(&[(Key, Place)], Came) -> Result<(), StoreError> + Send,
    ) -> Result<Option<Key>, StoreError> {
        let (top, front) = (Mutex::new(Top::new(order, after, limit)), Mutex::new(self.front(order)));
        let showing = Mutex::new(Showing { show, shown: 0, last: Instant::now() });
        let came = |front: &Front<'_>, found: usize| Came {
            rows: front.rows,
            of: front.of,
            found,
            until: front.edge().map(|edge| rank(order, edge)),
        };
        self.visit_best(&top, &front, || {
            // One thread shows while the other reads on.
            if let Some(mut showing) = showing.try_lock()
                && showing.last.elapsed() >= pace.every
            {
                // The edge first: what lies before it was offered before.
                let (edge, so_far) = {
                    let front = front.lock();
                    (front.edge(), came(&front, top.lock().len()))
                };
                let certain = edge.map_or_else(Vec::new, |edge| top.lock().before(edge));
                showing.more(&certain, so_far)?;
            }
            // Something is looked at however little time there is.
            Ok(pace.began.elapsed() < pace.time || front.lock().rows == 0)
        })?;
        let (top, front, mut showing) = (top.into_inner(), front.into_inner(), showing.into_inner());
        let so_far = came(&front, top.len());
        let Some(edge) = left(&top, &front) else {
            showing.more(&top.into_sorted(), Came { until: None, ..so_far })?;
            return Ok(None);
        };
        showing.more(&top.before(edge), so_far)?;
        let edge = Key { value: rank(order, edge), trace_id: TraceId::INVALID, span_id: SpanId::INVALID };
        // Pages may begin before the key that everything is behind of.
        Ok(Some(after.filter(|after| after.cmp_in(order, &edge).is_gt()).unwrap_or(edge)))
    }

    /// The pages, the best first; pages of equal worth as they lie, so that neighbours are read together.
    fn front(&self, order: Order) -> Front<'_> {
        let ranks = |page: &Page| {
            let (low, high) = if order == Order::SlowestFirst { page.duration_ns } else { page.start_ns };
            let (one, other) = (rank(order, low), rank(order, high));
            (one.min(other), one.max(other))
        };
        let mut pages: Vec<Ranked<'_>> = self.pages.iter().map(|page| Ranked { ranks: ranks(page), page }).collect();
        pages.sort_by_key(|page| page.ranks.0);
        Front { pages, next: 0, in_work: Vec::new(), rows: 0, of: self.rows() }
    }

    /// Offers rows of pages until no page is left that may hold a better one than were found, or it is not
    /// to go on.
    fn visit_best(
        &self,
        top: &Mutex<Top>,
        front: &Mutex<Front<'_>>,
        goes_on: impl Fn() -> Result<bool, StoreError> + Sync,
    ) -> Result<(), StoreError> {
        in_parallel(self.pages.len(), || {
            loop {
                self.interrupt.check()?;
                if !goes_on()? {
                    return Ok(());
                }
                let Some((low, high)) = top.lock().open_ranks() else { return Ok(()) };
                let Some(taken) = front.lock().take_share(high) else { return Ok(()) };
                let is_open = |page: &&Ranked<'_>| page.ranks.0 <= high && page.ranks.1 >= low;
                let mut pages: Vec<&Page> = taken.iter().filter(is_open).map(|ranked| ranked.page).collect();
                pages.sort_by_key(|page| (page.source, page.rows.start));
                for pages in pages.chunk_by(|left, right| is_same_group(left, right)) {
                    self.offer_all(pages, top)?;
                }
                front.lock().done(&taken);
            }
        })
    }
}

/// The best rank that a page may hold which was not read and is wanted, once nothing is being read any
/// more; `None` when nothing is left to be found.
fn left(top: &Top, front: &Front<'_>) -> Option<i64> {
    front.edge().filter(|edge| top.open_ranks().is_some_and(|(_, worst)| *edge <= worst))
}

/// What is shown of a walk.
struct Showing<F> {
    show: F,
    /// How many of the first have been shown.
    shown: usize,
    last: Instant,
}

impl<F: FnMut(&[(Key, Place)], Came) -> Result<(), StoreError>> Showing<F> {
    /// `certain` has what was shown before, and what was not.
    fn more(&mut self, certain: &[(Key, Place)], came: Came) -> Result<(), StoreError> {
        let new = certain.get(self.shown..).unwrap_or(&[]);
        self.shown += new.len();
        (self.show)(new, came)?;
        self.last = Instant::now();
        Ok(())
    }
}

/// A page and the best and the worst rank that it may hold.
#[derive(Debug, Clone, Copy)]
struct Ranked<'a> {
    ranks: (i64, i64),
    page: &'a Page,
}

impl Ranked<'_> {
    fn rows(&self) -> u64 {
        self.page.rows.end - self.page.rows.start
    }
}

/// How far pages were taken, the best first.
struct Front<'a> {
    pages: Vec<Ranked<'a>>,
    next: usize,
    /// The best rank of what each thread is reading.
    in_work: Vec<i64>,
    /// Rows of pages that were looked at.
    rows: u64,
    /// Rows of all pages.
    of: u64,
}

impl<'a> Front<'a> {
    /// The next pages, of any row groups: the more, the more were taken before. None when nothing in them
    /// can be as good as this.
    fn take_share(&mut self, worst: i64) -> Option<Vec<Ranked<'a>>> {
        let best = self.pages.get(self.next)?.ranks.0;
        if best > worst {
            return None;
        }
        let count = (self.next / PAGES_AS_SHARE).clamp(1, PAGES_AT_A_TIME);
        let taken: Vec<Ranked<'a>> = self.pages[self.next..].iter().copied().take(count).collect();
        self.next += taken.len();
        self.in_work.push(best);
        Some(taken)
    }

    /// These pages were read.
    fn done(&mut self, taken: &[Ranked<'a>]) {
        self.rows += taken.iter().map(Ranked::rows).sum::<u64>();
        let best = taken.first().map(|page| page.ranks.0);
        if let Some(place) = self.in_work.iter().position(|rank| Some(*rank) == best) {
            self.in_work.swap_remove(place);
        }
    }

    /// The best rank that a page may hold which was not looked at; `None` when all were.
    fn edge(&self) -> Option<i64> {
        let next = self.pages.get(self.next).map(|page| page.ranks.0);
        self.in_work.iter().copied().chain(next).min()
    }
}
