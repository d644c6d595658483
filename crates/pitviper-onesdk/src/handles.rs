//! Numbers for what C holds on to: descriptions of services, and tracers.
//!
//! A number that was never given out, or whose object is gone, leads nowhere. The table's lock is held for
//! a look-up and across a fork, never while anything else runs.
#![expect(unsafe_code, reason = "fork handlers are registered with a C call")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, Once, PoisonError};

use crate::describe::{Database, Messaging, WebApplication};
use crate::tracer::Tracer;

/// What a function returns when there is nothing to hold on to.
pub(crate) const NONE: u64 = 0;
/// Most objects that are held at once; beyond it somebody forgets to let go, and gets none.
pub(crate) const MAX_HANDLES: usize = 65_536;

/// What a handle may stand for.
#[derive(Debug, Clone)]
pub(crate) enum Object {
    Database(Arc<Database>),
    WebApplication(Arc<WebApplication>),
    Messaging(Arc<Messaging>),
    Tracer(Arc<Mutex<Tracer>>),
}

#[derive(Debug, Default)]
struct Table {
    objects: HashMap<u64, Object>,
    last: u64,
}

static TABLE: LazyLock<Mutex<Table>> = LazyLock::new(Mutex::default);

thread_local! {
    /// The table, held by the thread that forks: the child has no other thread that could let go of it.
    static FORKING: RefCell<Option<MutexGuard<'static, Table>>> = const { RefCell::new(None) };
}

fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

extern "C" fn before_fork() {
    let held = table();
    FORKING.with(|slot| *slot.borrow_mut() = Some(held));
}

extern "C" fn after_fork() {
    FORKING.with(|slot| slot.borrow_mut().take());
}

/// Runs `work` with the table, which the calling thread may hold already because it is forking.
fn with_table<T>(work: impl FnOnce(&mut Table) -> T) -> T {
    FORKING.with(|slot| match &mut *slot.borrow_mut() {
        Some(held) => work(held),
        None => work(&mut table()),
    })
}

/// Sees to it that a fork finds the table at rest.
pub(crate) fn follow_forks() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handlers live as long as the process, and only lock and unlock. Where there is no
        // memory for them, forks in the middle of a look-up stay a risk.
        unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork), Some(after_fork)) };
    });
}

/// A number for an object; [`NONE`] when there are too many.
pub(crate) fn add(object: Object) -> u64 {
    with_table(|table| {
        if table.objects.len() >= MAX_HANDLES {
            return NONE;
        }
        table.last += 1;
        table.objects.insert(table.last, object);
        table.last
    })
}

/// The object of a number.
pub(crate) fn get(handle: u64) -> Option<Object> {
    with_table(|table| table.objects.get(&handle).cloned())
}

/// Takes an object out, if the number is of its kind.
pub(crate) fn remove(handle: u64, is_kind: impl FnOnce(&Object) -> bool) -> Option<Object> {
    with_table(|table| if is_kind(table.objects.get(&handle)?) { table.objects.remove(&handle) } else { None })
}

/// The tracer of a number.
pub(crate) fn tracer(handle: u64) -> Option<Arc<Mutex<Tracer>>> {
    match get(handle)? {
        Object::Tracer(tracer) => Some(tracer),
        _ => None,
    }
}
