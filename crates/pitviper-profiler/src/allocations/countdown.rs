//! How far each thread is from its next sample.
//!
//! Samples are a Poisson process over allocated bytes: between two of them lies a number of bytes with an
//! exponential distribution, so each byte is as likely to be sampled as any other, whatever was sampled before.
//! A thread that is started draws a gap with its first allocation; one that still has a gap of other settings when that is
//! over, and what it allocates until then is not sampled.
#![expect(unsafe_code, reason = "the thread's own memory is found by its place")]

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::random::Random;

/// Mean gap between samples in bytes, as bits of an `f64`.
static INTERVAL: AtomicU64 = AtomicU64::new(0);
/// Which settings hold; zero until there are any.
static EPOCH: AtomicU32 = AtomicU32::new(0);

/// What each thread has of its own; all zero at first. Nothing is done with it when the thread ends.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Countdown {
    /// Bytes until the next sample.
    pub(super) left: i64,
    /// The mean gap that the current one was drawn with.
    interval: f64,
    random: Random,
    epoch: u32,
    /// An allocation is under way in a hook: those that are made for it are part of it.
    pub(super) is_inside: bool,
    /// This thread forks, and has the recorder's lock.
    pub(super) is_forking: bool,
    /// Whether allocations of a domain come through the hooks is being tried out: one more than its number.
    pub(super) probed: u8,
}

/// Says how many bytes there are between two samples on average, from now on, in all threads.
pub(super) fn set_interval(bytes: f64) {
    INTERVAL.store(bytes.to_bits(), Ordering::Relaxed);
    EPOCH.fetch_add(1, Ordering::Release);
}

/// The same for gaps that begin from now on; those that are under way end where they would have, and count as drawn.
pub(super) fn change_interval(bytes: f64) {
    INTERVAL.store(bytes.to_bits(), Ordering::Relaxed);
}

/// Ends the calling thread's gap, whatever settings it was drawn with.
pub(super) fn begin_anew() {
    // SAFETY: it is the calling thread's, and no reference is held across a call.
    unsafe { (*own()).left = 0 };
}

impl Countdown {
    /// Where an allocation of this size ended the gap: the mean gap, if that is a sample. It is none when the
    /// gap was drawn before the settings were made that hold; then a new one begins before the allocation.
    #[cold]
    pub(super) fn sampled(&mut self, size: usize) -> Option<f64> {
        let mut ended = self.draw();
        if ended.is_none() {
            self.left = self.left.wrapping_sub(size as i64);
            if self.left < 0 {
                ended = self.draw();
            }
        }
        ended
    }

    /// Draws the next gap. The mean gap of the one that has ended, if that was drawn with the settings that hold.
    fn draw(&mut self) -> Option<f64> {
        let epoch = EPOCH.load(Ordering::Acquire);
        let ended = (self.epoch == epoch).then_some(self.interval);
        self.epoch = epoch;
        self.interval = f64::from_bits(INTERVAL.load(Ordering::Relaxed));
        // A number above zero and up to one.
        let share = 1.0 - self.random.share();
        self.left = (-share.ln() * self.interval) as i64;
        ended
    }
}

/// Whether the calling thread forks.
pub(super) fn is_forking() -> bool {
    // SAFETY: it is the calling thread's, and no reference is held across a call.
    unsafe { (*own()).is_forking }
}

/// Says that the calling thread forks, or does so no more.
pub(super) fn set_forking(is_forking: bool) {
    // SAFETY: as above.
    unsafe { (*own()).is_forking = is_forking };
}

/// How likely it was that an allocation was sampled.
pub(super) fn likelihood(size: usize, interval: f64) -> f64 {
    -(-(size as f64) / interval).exp_m1()
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod place {
    use std::sync::atomic::{AtomicIsize, Ordering};

    use super::Countdown;
    use crate::task::with_signals_blocked;

    const BYTES: usize = size_of::<Countdown>();
    const _: () = assert!(std::mem::offset_of!(Countdown, left) == 0, "it is counted down where the rest begins");

    // As `#[thread_local]`, but found through a descriptor (TLSDESC): that costs a third of the C library's
    // function, and where there is no room beside the threads' first memory, it works all the same.
    std::arch::global_asm!(
        ".pushsection .tbss, \"awT\", @nobits",
        ".balign 8",
        ".hidden pitviper_allocations_countdown",
        ".globl pitviper_allocations_countdown",
        ".type pitviper_allocations_countdown, @object",
        ".size pitviper_allocations_countdown, {bytes}",
        "pitviper_allocations_countdown:",
        ".zero {bytes}",
        ".popsection",
        bytes = const BYTES,
    );

    /// How far from a thread's pointer its own is, once that is known to be the same for all.
    static OFFSET: AtomicIsize = AtomicIsize::new(0);
    /// Below a thread's pointer lies the memory that it was started with, and below that its stack.
    const STARTED_WITH_BYTES: isize = 64 * 1_024;

    /// Finds out whether all threads have theirs at one distance; then [`near`] may be called.
    pub(in super::super) fn is_near() -> bool {
        if OFFSET.load(Ordering::Acquire) == 0 {
            // Of a thread that was not started by the C library nobody knows what lies below its pointer.
            let look = || std::thread::Builder::new().spawn(|| (own() as isize).wrapping_sub(pointer()));
            let offset = with_signals_blocked(look);
            let offset = offset.ok().and_then(|thread| thread.join().ok()).unwrap_or(0);
            if (-STARTED_WITH_BYTES..=-(BYTES as isize)).contains(&offset) {
                OFFSET.store(offset, Ordering::Release);
            }
        }
        OFFSET.load(Ordering::Acquire) != 0
    }

    fn pointer() -> isize {
        let pointer: isize;
        // SAFETY: the word that a thread's segment begins with is where that is.
        unsafe {
            std::arch::asm!("mov {}, fs:[0]", out(reg) pointer, options(pure, readonly, nostack, preserves_flags));
        }
        pointer
    }

    /// As [`own`], in two instructions, where that can be done.
    #[inline(always)]
    pub(in super::super) fn near() -> *mut Countdown {
        pointer().wrapping_add(OFFSET.load(Ordering::Relaxed)) as *mut Countdown
    }

    /// Counts bytes down; whether the gap goes on. Where [`near`] may be called.
    #[inline(always)]
    pub(in super::super) fn count_near(bytes: usize) -> bool {
        // SAFETY: what is changed is the calling thread's, and the first that it has there; no reference to it is held
        // across a call.
        unsafe {
            std::arch::asm!(
                "sub qword ptr fs:[{offset}], {bytes}",
                "js {over}",
                offset = in(reg) OFFSET.load(Ordering::Relaxed),
                bytes = in(reg) bytes,
                over = label { return false },
                options(nostack),
            );
        }
        true
    }

    /// Where that of the calling thread is.
    pub(in super::super) fn own() -> *mut Countdown {
        let place: *mut Countdown;
        // SAFETY: the sequence that the ABI prescribes. The function that it calls keeps all registers but the
        // result's and the flags; older C libraries forget the vector registers, so those are given up.
        unsafe {
            std::arch::asm!(
                "lea rax, [rip + pitviper_allocations_countdown@tlsdesc]",
                "call [rax + pitviper_allocations_countdown@tlscall]",
                "add rax, fs:[0]",
                out("rax") place,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
            );
        }
        place
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
mod place {
    use std::cell::UnsafeCell;

    use super::{Countdown, Random};

    thread_local! {
        // Without anything to drop, so it is there as long as the thread is.
        static COUNTDOWN: UnsafeCell<Countdown> = const {
            UnsafeCell::new(Countdown {
                left: 0, interval: 0.0, random: Random::new(), epoch: 0, is_inside: false, is_forking: false, probed: 0,
            })
        };
    }

    /// The one way that there is here is the usual one.
    pub(in super::super) fn is_near() -> bool {
        false
    }

    /// As [`own`].
    pub(in super::super) fn near() -> *mut Countdown {
        own()
    }

    /// Counts bytes down; whether the gap goes on.
    pub(in super::super) fn count_near(bytes: usize) -> bool {
        // SAFETY: it is the calling thread's, and no reference is held across a call.
        unsafe {
            (*own()).left = (*own()).left.wrapping_sub(bytes as i64);
            (*own()).left >= 0
        }
    }

    /// Where that of the calling thread is.
    #[inline(always)]
    pub(in super::super) fn own() -> *mut Countdown {
        COUNTDOWN.with(UnsafeCell::get)
    }
}

pub(super) use place::{count_near, is_near, near, own};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_has_its_own_and_gaps_have_the_mean_that_is_set() {
        let countdown = own();
        // SAFETY: it is this thread's, and nobody else has a reference to it.
        let countdown = unsafe { &mut *countdown };
        assert_eq!((countdown.left, countdown.is_inside, countdown.probed), (0, false, 0));
        set_interval(1_000.0);
        assert_eq!(countdown.draw(), None);
        let gaps: Vec<i64> = (0..100_000)
            .map(|_| {
                assert_eq!(countdown.draw(), Some(1_000.0));
                countdown.left
            })
            .collect();
        let mean = gaps.iter().sum::<i64>() as f64 / gaps.len() as f64;
        // Five times the standard error of the mean.
        assert!((mean - 999.5).abs() < 16.0, "{mean}");
        let over = gaps.iter().filter(|gap| **gap >= 1_000).count() as f64 / gaps.len() as f64;
        assert!((over - (-1.0_f64).exp()).abs() < 0.01, "{over}");
        let here = std::ptr::from_ref(countdown) as usize;
        let there = std::thread::spawn(|| own() as usize).join().expect("it ends");
        assert_ne!(here, there);
        assert_eq!(is_near(), cfg!(target_arch = "x86_64"));
        if is_near() {
            assert_eq!(near() as usize, here);
            countdown.left = 1_000;
            assert_eq!([1_000, 1, usize::MAX / 2].map(count_near), [true, false, false]);
            assert_eq!(countdown.left, -1 - i64::MAX);
            assert!(std::thread::spawn(|| near() == own()).join().expect("it ends"));
        }
        // What a thread allocates first, or after a change, is sampled as anything else.
        set_interval(10.0);
        assert_eq!(countdown.sampled(1_000), Some(10.0));
        let sampled = (0..100_000).filter(|_| {
            set_interval(1_000.0);
            countdown.sampled(1_000).is_some()
        });
        let share = sampled.count() as f64 / 100_000.0;
        assert!((share - likelihood(1_000, 1_000.0)).abs() < 0.01, "{share}");
        // A gap that is under way when another distance is set ends as it was drawn.
        set_interval(1_000.0);
        countdown.draw();
        change_interval(5_000.0);
        assert_eq!([countdown.draw(), countdown.draw()], [Some(1_000.0), Some(5_000.0)]);
    }

    #[test]
    fn large_allocations_are_sampled_for_certain_and_small_ones_by_their_size() {
        assert!((likelihood(1 << 30, 1_024.0) - 1.0).abs() < 1e-12);
        assert!((likelihood(16, 1e9) / 16e-9 - 1.0).abs() < 1e-6);
    }
}
