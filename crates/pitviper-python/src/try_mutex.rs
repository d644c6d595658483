//! A lock that is tried and never waited for. Where the interpreter has a lock, that is all it takes: to try and
//! to give back are plain reads and writes then, which cost a small part of what the processor takes for those
//! that other threads may come between.
#![expect(unsafe_code, reason = "what a lock protects is lent mutably through a shared reference")]

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

use crate::runtime::has_interpreter_lock;

#[derive(Debug)]
pub(crate) struct TryMutex<T> {
    taken: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value is lent to one guard at a time, whatever thread that is in, see `try_lock`.
unsafe impl<T: Send> Sync for TryMutex<T> {}

impl<T> TryMutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { taken: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Takes the lock if nobody has it.
    #[inline]
    pub(crate) fn try_lock<'a, 'py: 'a>(&'a self, py: Python<'py>) -> Option<TryMutexGuard<'a, T>> {
        let was_taken = if has_interpreter_lock() {
            // The calling thread has the interpreter, and keeps it from one line to the next.
            let was_taken = self.taken.load(Ordering::Relaxed);
            self.taken.store(true, Ordering::Relaxed);
            was_taken
        } else {
            self.taken.swap(true, Ordering::SeqCst)
        };
        if was_taken { None } else { Some(TryMutexGuard { mutex: self, _py: py }) }
    }

    /// Whether somebody has it at the moment.
    pub(crate) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::SeqCst)
    }
}

/// Has the lock until it is dropped. Like the interpreter it stays in its thread.
pub(crate) struct TryMutexGuard<'a, T> {
    mutex: &'a TryMutex<T>,
    _py: Python<'a>,
}

impl<T> Deref for TryMutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: there is one guard at a time: whoever makes one has found the flag clear and set it, with no
        // other thread in between, and only its drop clears it.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for TryMutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed mutably.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for TryMutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Without an interpreter lock, what is read after the lock was given back is read after it.
        let order = if has_interpreter_lock() { Ordering::Release } else { Ordering::SeqCst };
        self.mutex.taken.store(false, order);
    }
}
