//! Asking a running thread for its registers and its stack.
//!
//! The thread gets a signal. Its handler copies what is asked for and returns; it waits for nothing, allocates
//! nothing and takes no lock. The signal is SIGURG, which does nothing to a process that has no handler for it:
//! one that arrives late, after an `exec` or when sampling has ended, is harmless. It is used only while nobody
//! else handles it.
#![expect(unsafe_code, reason = "sends and handles a signal, and reads the stack of the thread that it interrupts")]

use std::cell::UnsafeCell;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::layout::Interpreter;
use crate::load;
use crate::walk::{self, innermost};

const SIGNAL: libc::c_int = libc::SIGURG;
/// How much of a stack is copied: that of deep C code. What lies further out is of callers that are Python's.
const STACK_BYTES: usize = 64 * 1_024;
/// It is copied in pieces, as the end of a thread's stack is not known.
const PIECE_BYTES: usize = 4_096;
/// How long an answer is waited for: a thread that has to wait for a processor itself answers late.
const PATIENCE: Duration = Duration::from_millis(2);
/// How long the answer of a thread that runs takes at most, for which the sampler does not sleep.
const SOON: Duration = Duration::from_micros(20);
/// How long it sleeps between two looks for an answer.
const PAUSE: Duration = Duration::from_micros(50);

/// Nobody asks.
const IDLE: u32 = 0;
/// A thread has been asked, and has not begun to answer.
const ASKED: u32 = 1;
/// It answers.
const ANSWERING: u32 = 2;
/// The answer is there.
const ANSWERED: u32 = 3;

static STATE: AtomicU32 = AtomicU32::new(IDLE);
/// Which thread is asked, and where the interpreter keeps what it knows of it.
static THREAD: AtomicU32 = AtomicU32::new(0);
static THREAD_STATE: AtomicUsize = AtomicUsize::new(0);
/// How frames are read: the handler has no other way to know. There is one interpreter in a process.
static INTERPRETER: OnceLock<Interpreter> = OnceLock::new();
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// What the handler writes, and the sampler reads once it is there.
struct Shared(UnsafeCell<Answer>);

// SAFETY: only who moved `STATE` to `ANSWERING` writes, and only the sampler's thread reads, while it is `ANSWERED`.
unsafe impl Sync for Shared {}

static ANSWER: Shared = Shared(UnsafeCell::new(Answer {
    registers: Registers { ip: 0, sp: 0, fp: 0, lr: 0 },
    frame: 0,
    code: 0,
    length: 0,
    stack: [0; STACK_BYTES],
}));

/// Where a thread was interrupted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Registers {
    pub(super) ip: u64,
    pub(super) sp: u64,
    pub(super) fp: u64,
    /// Where a function returns to, on processors that keep that in a register; zero on others.
    #[cfg_attr(target_arch = "x86_64", expect(dead_code, reason = "this processor has no such register"))]
    pub(super) lr: u64,
}

/// What a thread answered.
pub(super) struct Answer {
    pub(super) registers: Registers,
    /// Its innermost frame of Python, and the code of that.
    frame: usize,
    code: usize,
    /// How much of the stack there is.
    length: usize,
    stack: [u8; STACK_BYTES],
}

impl Answer {
    /// The answer that is there.
    pub(super) fn take() -> &'static Self {
        // SAFETY: nobody writes until the sampler's thread, which is the caller, asks again.
        unsafe { &*ANSWER.0.get() }
    }

    /// The word at an address of the stack.
    pub(super) fn word(&self, address: u64) -> Option<u64> {
        let place = usize::try_from(address.checked_sub(self.registers.sp)?).ok()?;
        let word = self.stack[..self.length].get(place..place.checked_add(8)?)?;
        Some(u64::from_ne_bytes(word.try_into().ok()?))
    }
}

/// Why threads cannot be asked.
#[derive(Debug)]
pub(crate) struct NotPossible(&'static str);

impl fmt::Display for NotPossible {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

/// Begins to handle the signal. To be called by one thread at a time.
pub(crate) fn start(interpreter: &Interpreter) -> Result<(), NotPossible> {
    if !INSTALLED.load(Ordering::Relaxed) {
        let there = handler_of_signal();
        if there != libc::SIG_DFL && there != libc::SIG_IGN && there != ours() {
            return Err(NotPossible("the process handles SIGURG itself, so native frames cannot be asked for"));
        }
        INTERPRETER.get_or_init(|| *interpreter);
    }
    // A request that a forked child inherited is nobody's.
    STATE.store(IDLE, Ordering::SeqCst);
    // SAFETY: the structure is plain and set here; the handler does only what a handler may.
    let installed = unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        action.sa_sigaction = ours();
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        libc::sigfillset(&raw mut action.sa_mask);
        // Loads may fault, and that is handled.
        libc::sigdelset(&raw mut action.sa_mask, libc::SIGSEGV);
        libc::sigdelset(&raw mut action.sa_mask, libc::SIGBUS);
        libc::sigaction(SIGNAL, &raw const action, std::ptr::null_mut()) == 0
    };
    INSTALLED.store(installed, Ordering::Relaxed);
    if installed { Ok(()) } else { Err(NotPossible("SIGURG cannot be handled, so native frames cannot be asked for")) }
}

/// Handles the signal no longer.
pub(crate) fn stop() {
    if INSTALLED.swap(false, Ordering::Relaxed) && handler_of_signal() == ours() {
        // SAFETY: the signal then does nothing.
        unsafe { libc::signal(SIGNAL, libc::SIG_DFL) };
    }
}

fn ours() -> usize {
    on_signal as extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) as usize
}

fn handler_of_signal() -> usize {
    // SAFETY: the structure is plain and filled by the call before it is read.
    unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        libc::sigaction(SIGNAL, std::ptr::null(), &raw mut action);
        action.sa_sigaction
    }
}

/// Asks the thread with this number in the kernel, and with this state; whether it answered.
pub(super) fn ask(native_id: i32, state: usize) -> bool {
    // Whoever handles the signal now would be surprised by ours.
    if !INSTALLED.load(Ordering::Relaxed) || handler_of_signal() != ours() {
        return false;
    }
    THREAD.store(native_id as u32, Ordering::Relaxed);
    THREAD_STATE.store(state, Ordering::Relaxed);
    STATE.store(ASKED, Ordering::SeqCst);
    // SAFETY: a call of the kernel; a thread that is not there is an error.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), native_id, SIGNAL) == 0 };
    if sent && answers_in_time() {
        return true;
    }
    // One that begins now is waited for: it does not take long.
    while STATE.compare_exchange(ASKED, IDLE, Ordering::SeqCst, Ordering::SeqCst).is_err() {
        if STATE.load(Ordering::SeqCst) == ANSWERED {
            return true;
        }
        std::thread::sleep(PAUSE);
    }
    false
}

/// Waits for an answer.
fn answers_in_time() -> bool {
    let began = Instant::now();
    loop {
        match (STATE.load(Ordering::SeqCst), began.elapsed()) {
            (ANSWERED, _) => return true,
            (_, waited) if waited < SOON => std::hint::spin_loop(),
            (ASKED, waited) if waited > PATIENCE => return false,
            _ => std::thread::sleep(PAUSE),
        }
    }
}

/// Whether there is an answer, given while this was the innermost frame of Python.
pub(super) fn answered_in(frame: usize, code: usize) -> bool {
    let answer = Answer::take();
    STATE.load(Ordering::SeqCst) == ANSWERED && answer.frame == frame && answer.code == code && frame != 0
}

extern "C" fn on_signal(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives the interrupted thread's registers. The answer is written by who moved the state, and
    // only by it.
    unsafe {
        if libc::syscall(libc::SYS_gettid) as u32 != THREAD.load(Ordering::Relaxed)
            || STATE.compare_exchange(ASKED, ANSWERING, Ordering::SeqCst, Ordering::SeqCst).is_err()
        {
            return;
        }
        let answer = &mut *ANSWER.0.get();
        answer.registers = registers(&*context.cast::<libc::ucontext_t>());
        let state = THREAD_STATE.load(Ordering::Relaxed);
        let read = |interpreter| walk::read_frame(interpreter, innermost(interpreter, state)?);
        let frame = INTERPRETER.get().and_then(read);
        (answer.frame, answer.code) = frame.map_or((0, 0), |frame| (frame.at, frame.code));
        answer.length = 0;
        while answer.length < STACK_BYTES {
            let from = answer.registers.sp as usize + answer.length;
            // Up to the next page at first, as the one after it may be none of the stack.
            let piece = (PIECE_BYTES - from % PIECE_BYTES).min(STACK_BYTES - answer.length);
            if !load::copy(from, &mut answer.stack[answer.length..answer.length + piece]) {
                break;
            }
            answer.length += piece;
        }
        STATE.store(ANSWERED, Ordering::SeqCst);
    }
}

#[cfg(target_arch = "x86_64")]
fn registers(context: &libc::ucontext_t) -> Registers {
    let register = |number: libc::c_int| context.uc_mcontext.gregs[number as usize] as u64;
    Registers { ip: register(libc::REG_RIP), sp: register(libc::REG_RSP), fp: register(libc::REG_RBP), lr: 0 }
}

#[cfg(target_arch = "aarch64")]
fn registers(context: &libc::ucontext_t) -> Registers {
    let machine = &context.uc_mcontext;
    Registers { ip: machine.pc, sp: machine.sp, fp: machine.regs[29], lr: machine.regs[30] }
}
