"""What the page's main thread did in each frame, from the browser's own trace."""

import statistics
from dataclasses import dataclass, field
from typing import Any

#: What the browser has to trace.
CATEGORIES = ["devtools.timeline", "disabled-by-default-devtools.timeline", "toplevel", "v8"]
#: Events in which the page's own code runs; they nest. What they cause at once, such as layout, counts.
SCRIPTING = {"EvaluateScript", "EventDispatch", "FunctionCall", "TimerFire", "v8.callFunction"}
#: What the main thread's scheduler calls a piece of work.
TASK = {"RunTask", "ThreadControllerImpl::RunTask"}
#: The end of what the main thread does for a frame that shows something new.
FRAME = "Commit"


@dataclass
class Frames:
    """Milliseconds of the main thread for each frame that showed something new."""

    #: The page's own code.
    scripting: "list[float]" = field(default_factory=list)
    #: The same by the thread's own clock, which stands still while another process has the core.
    scripting_cpu: "list[float]" = field(default_factory=list)
    #: Everything: code, style, layout, and the canvas's pixels, for there is no GPU here.
    main_thread: "list[float]" = field(default_factory=list)


def union(spans: "list[tuple[float, float]]") -> "list[tuple[float, float]]":
    """Joins spans that overlap."""
    joined: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def within(spans: "list[tuple[float, float]]", start: float, end: float) -> float:
    """Milliseconds of the spans between two moments."""
    return sum(max(0.0, min(end, to) - max(start, since)) for since, to in spans) / 1000


def read(events: "list[dict[str, Any]]") -> Frames:
    """Sorts the events of a trace into frames."""
    busiest: dict[tuple[int, int], int] = {}
    for event in events:
        if event["name"] == FRAME:
            busiest[event["pid"], event["tid"]] = busiest.get((event["pid"], event["tid"]), 0) + 1
    if not busiest:
        return Frames()
    thread = max(busiest, key=lambda key: busiest[key])
    own = [event for event in events if (event["pid"], event["tid"]) == thread]

    def spans(names: "set[str]", start: str = "ts", length: str = "dur") -> "list[tuple[float, float]]":
        timed = [event for event in own if event["name"] in names and start in event]
        return union([(event[start], event[start] + event.get(length, 0)) for event in timed])

    def of_frames(work: "list[tuple[float, float]]", ends: "list[float]") -> "list[float]":
        return [within(work, before, end) for before, end in zip(ends, ends[1:])]

    ends = [end for _, end in spans({FRAME})]
    frames = Frames()
    frames.scripting = of_frames(spans(SCRIPTING), ends)
    frames.scripting_cpu = of_frames(spans(SCRIPTING, "tts", "tdur"), [end for _, end in spans({FRAME}, "tts", "tdur")])
    frames.main_thread = of_frames(spans(TASK), ends)
    return frames


def figures(values: "list[float]") -> "tuple[float, float, float]":
    """Median, 95th percentile and maximum."""
    if not values:
        return (0.0, 0.0, 0.0)
    ordered = sorted(values)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))], ordered[-1]
