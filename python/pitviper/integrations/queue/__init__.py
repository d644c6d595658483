"""queue: who takes an item from a queue continues the trace of who put it there, when asked to.

Switch it on when `queue.Queue` and `queue.LifoQueue` hand tasks from producers to consumers, and a
consumer works on one item until it gets the next. Leave it off when consumers do unrelated work after
`get`. The trace is that of the item until the same thread calls `get` or `task_done` again. A thread
that has a span of its own when it gets an item keeps it. Items, their order, and `Queue.queue` stay as
they are; `PriorityQueue`, `SimpleQueue` and subclasses that store items in their own way are not linked.
"""

from pitviper.instrument import Integration, Patch
from pitviper.integrations._linking import linking

INTEGRATION = Integration(
    "queue",
    patches=(
        Patch("queue:Queue._init", "init"),
        Patch("queue:Queue._put", "put_item"),
        Patch("queue:Queue._get", "get_item"),
        Patch("queue:LifoQueue._init", "init"),
        Patch("queue:LifoQueue._put", "put_item"),
        Patch("queue:LifoQueue._get", "get_last_item"),
        Patch("queue:Queue.get", "leave_item"),
        Patch("queue:Queue.task_done", "leave_item"),
    ),
    options=(linking("queue"),),
)
