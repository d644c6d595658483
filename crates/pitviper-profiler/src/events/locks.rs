//! Which kind of lock a thread waits for, by the functions of the standard library that wait.

use pitviper_model::Frame;

/// What waits in C, called by somebody's own code: a lock, or what C code waits for otherwise.
const PLAIN: &str = "lock";
/// What most others are made of.
const CONDITION: &str = "threading.Condition";

/// Files of the standard library whose functions wait for locks, and what those of each name wait for. The last
/// part of names, as versions before 3.11 have no other.
const WAITS: &[(&str, &[(&str, &str)])] = &[
    (
        "/threading.py",
        &[
            ("wait", CONDITION),
            ("wait_for", CONDITION),
            ("__enter__", CONDITION),
            ("acquire", "threading.Semaphore"),
            ("_wait", "threading.Barrier"),
            ("join", "threading.Thread"),
            ("start", "threading.Thread"),
            ("_wait_for_tstate_lock", "threading.Thread"),
            ("_shutdown", "threading.Thread"),
        ],
    ),
    ("/queue.py", &[("get", "queue.Queue"), ("put", "queue.Queue"), ("join", "queue.Queue")]),
    (
        "/concurrent/futures/_base.py",
        &[
            ("result", "concurrent.futures.Future"),
            ("exception", "concurrent.futures.Future"),
            ("wait", "concurrent.futures.Future"),
            ("as_completed", "concurrent.futures.Future"),
        ],
    ),
    (
        "/multiprocessing/synchronize.py",
        &[("__enter__", "multiprocessing.Lock"), ("wait", "multiprocessing.Condition")],
    ),
    ("/logging/__init__.py", &[("acquire", "logging.Handler"), ("handle", "logging.Handler")]),
    ("<frozen importlib._bootstrap>", &[("acquire", "import lock"), ("__enter__", "import lock")]),
    ("/asyncio/queues.py", &[("get", "asyncio.Queue"), ("put", "asyncio.Queue"), ("join", "asyncio.Queue")]),
    (
        "/asyncio/locks.py",
        &[
            ("wait", "asyncio.Event"),
            ("wait_for", "asyncio.Condition"),
            ("acquire", "asyncio.Lock"),
            ("_wait", "asyncio.Barrier"),
            ("__aenter__", "asyncio.Lock"),
        ],
    ),
];

/// What a stack, the innermost frame first, waits for.
pub(crate) fn kind_of<'a>(frames: impl Iterator<Item = &'a Frame>) -> &'static str {
    kind_around(None, frames).unwrap_or(PLAIN)
}

/// The name of a lock that was told as one of `threading.Condition`, by a stack that called its `wait`: it may be
/// part of something else.
pub(crate) fn name_around<'a>(name: &str, frames: impl Iterator<Item = &'a Frame>) -> String {
    match name.strip_prefix(CONDITION) {
        Some(place) => format!("{}{place}", kind_around(Some(CONDITION), frames).unwrap_or(CONDITION)),
        None => name.to_owned(),
    }
}

/// Whether what waits here is part of a wait that is told as a whole: for a condition, whose lock is then taken again.
pub(crate) fn is_part(innermost: &Frame) -> bool {
    let name = innermost.function.rsplit('.').next().unwrap_or_default();
    let is_in = |ending| innermost.file.ends_with(ending);
    name == "_acquire_restore" && is_in("/threading.py") || name == "wait" && is_in("/asyncio/locks.py")
}

fn kind_around<'a>(mut kind: Option<&'static str>, frames: impl Iterator<Item = &'a Frame>) -> Option<&'static str> {
    let mut inner = kind.map_or("", |_| "wait");
    for frame in frames {
        let (class, name) = frame.function.rsplit_once('.').unwrap_or(("", &frame.function));
        let Some(found) = known(&frame.file, class, name) else { break };
        kind = Some(match (kind, name) {
            // A barrier's `wait` calls its `_wait`, an event's its condition's `wait`.
            (Some(barrier @ ("threading.Barrier" | "asyncio.Barrier")), "wait") => barrier,
            (Some(CONDITION), "wait") if inner == "wait" => "threading.Event",
            _ => found,
        });
        inner = name;
    }
    kind
}

/// What a function of the standard library waits for.
fn known(file: &str, class: &str, name: &str) -> Option<&'static str> {
    let (ending, waits) = WAITS.iter().find(|(ending, _)| file.ends_with(ending))?;
    // Where names are qualified they tell asyncio's apart.
    let of_class = match (*ending, class) {
        ("/asyncio/locks.py", "Condition") => Some("asyncio.Condition"),
        ("/asyncio/locks.py", "Semaphore" | "BoundedSemaphore") => Some("asyncio.Semaphore"),
        _ => None,
    };
    let found = waits.iter().find(|(known, _)| *known == name)?.1;
    Some(of_class.unwrap_or(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(frames: &[(&str, &str)]) -> &'static str {
        let frames: Vec<Frame> = frames
            .iter()
            .map(|(function, file)| Frame {
                function: (*function).to_owned(),
                file: (*file).to_owned(),
                ..Frame::default()
            })
            .collect();
        kind_of(frames.iter())
    }

    #[test]
    fn functions_that_wait_say_for_what() {
        let threading = "/usr/lib/python3.12/threading.py";
        let (queue, app) = ("/usr/lib/python3.12/queue.py", "/srv/app.py");
        assert_eq!(kind(&[("work", app)]), "lock");
        assert_eq!(kind(&[]), "lock");
        assert_eq!(kind(&[("Condition.wait", threading), ("wait", app)]), "threading.Condition");
        assert_eq!(kind(&[("wait", threading), ("wait", threading), ("wait", app)]), "threading.Event");
        assert_eq!(kind(&[("wait", threading), ("acquire", threading), ("work", app)]), "threading.Semaphore");
        assert_eq!(
            kind(&[("wait", threading), ("wait_for", threading), ("_wait", threading), ("wait", threading)]),
            "threading.Barrier"
        );
        assert_eq!(kind(&[("wait", threading), ("get", queue), ("work", app)]), "queue.Queue");
        assert_eq!(kind(&[("wait", threading), ("wait", threading), ("start", threading)]), "threading.Thread");
        assert_eq!(kind(&[("Thread.join", threading), ("work", app)]), "threading.Thread");
        assert_eq!(kind(&[("Semaphore.acquire", "/lib/asyncio/locks.py")]), "asyncio.Semaphore");
    }
}
