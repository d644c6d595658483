//! Taking a lock that another thread may hold for long: across a fork.
//!
//! Whoever forks holds all locks of the agent meanwhile, and runs other libraries' hooks, and the
//! interpreter's own preparations. Those may have to wait until every other thread has let go of the
//! interpreter. So nobody waits for a lock of ours without letting go of it, see [`Host::wait`].
//!
//! [`Host::wait`]: crate::Host::wait

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

/// How often a lock is looked at before its thread goes to sleep. Locks are held for the time of a copy,
/// unless there is a fork.
const SPINS: u32 = 100;

/// [`Host::wait`](crate::Host::wait) of the first agent.
static WAIT: OnceLock<fn(&mut (dyn FnMut() + Send))> = OnceLock::new();

/// Says how a thread waits. The first call counts.
pub(crate) fn wait_with(wait: fn(&mut (dyn FnMut() + Send))) {
    let _ = WAIT.set(wait);
}

/// Takes a lock; what it protects is whole even if a thread panicked with it.
#[inline]
pub(crate) fn lock<T: Send>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    match try_lock(mutex) {
        Some(guard) => guard,
        None => wait(mutex),
    }
}

/// Takes a lock for as long as a fork lasts. That is in the C library's `fork`, where the interpreter must stay
/// with the thread that has it; who holds a lock of ours needs nothing of the interpreter to give it back.
pub(crate) fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a lock that nobody holds.
#[inline]
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

#[cold]
fn wait<T: Send>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    for _ in 0..SPINS {
        std::hint::spin_loop();
        if let Some(guard) = try_lock(mutex) {
            return guard;
        }
    }
    loop {
        // The lock is given back before the interpreter is taken again: a thread that waits for that must
        // not keep others waiting.
        let mut until_free = || drop(mutex.lock().unwrap_or_else(PoisonError::into_inner));
        match WAIT.get() {
            Some(wait) => wait(&mut until_free),
            None => until_free(),
        }
        if let Some(guard) = try_lock(mutex) {
            return guard;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    static WAITS: AtomicUsize = AtomicUsize::new(0);

    #[test]
    fn a_thread_that_has_to_wait_says_so_and_gets_the_lock() {
        wait_with(|work| {
            WAITS.fetch_add(1, Ordering::SeqCst);
            work();
        });
        let mutex = Mutex::new(0);
        std::thread::scope(|scope| {
            let guard = lock(&mutex);
            let other = scope.spawn(|| *lock(&mutex) += 1);
            while WAITS.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            assert_eq!(*guard, 0);
            drop(guard);
            other.join().unwrap();
        });
        assert_eq!(*lock(&mutex), 1);
    }
}
