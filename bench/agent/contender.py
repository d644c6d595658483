"""One measurement of one agent: ``contender.py AGENT WORK PORT POSTGRESQL [TIMES]``; prints figures as JSON.

``WORK`` is a row of ``works.ROWS``, ``idle`` or ``soak``; a row's operation is done as often as is usual there, or so
many times.
"""

import json
import os
import sys
import time

from agents import AGENTS
from works import ROWS, WARM_UP, idle, memory, soak

#: How long a process is idle before that counts, and while it does, in seconds. Two collections of metrics
#: lie in it.
IDLE_WARM_UP, IDLE = 12, 20
#: How long the soak lasts, in seconds, and its requests a second.
SOAK, SOAK_RATE = 120, 60


def main() -> None:
    """Measures."""
    name, work, port, postgresql = sys.argv[1:5]
    agent = AGENTS[name]()
    if work == "Django request":
        # Agents want to see the settings before Django is set up.
        applications = " ".join(agent.django_applications())
        os.environ.update(DJANGO_SETTINGS_MODULE="django_settings", BENCH_DJANGO_APPLICATIONS=applications)
    agent.start(port)
    agent.begins(work)
    if work == "idle":
        figures: dict[str, object] = {"spent": idle(agent, IDLE_WARM_UP, IDLE)}
    elif work == "soak":
        figures = {"memory": soak(agent, port, SOAK, SOAK_RATE)}
    else:
        row = ROWS[work]
        usual = row.times_of(name)
        times = int(sys.argv[5]) if len(sys.argv) > 5 else usual
        run = row.begin(agent, port, postgresql)
        run(usual // WARM_UP)
        agent.flush()
        began = time.process_time()
        run(times)
        agent.flush()
        spent = time.process_time() - began
        figures = {"each": spent / max(1, times), "memory": memory("VmHWM")}
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
