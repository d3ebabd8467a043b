"""Who is to blame when ranks no longer meet: every rank writes down where it is, several times a timeout.

A collective that fails says that a connection was closed or that time is up, never whose fault it is. So
each rank has a thread, its ``Heartbeat``, which writes a record into a common store and reads those of the
others: how often it has beaten, how many collectives the rank has begun, and the failure that ended it. A
rank that died or was stopped beats no more; one that hangs elsewhere beats on but begins no collective. The
rank that waits does no input or output of its own, so a store that hangs cannot make it hang.

PyTorch's ``monitored_barrier``, tried in its place, lets rank 0 alone name a rank, and only one that still
lives: of a dead rank it says that a connection was closed, and of rank 0 that its log should be read.
"""

import json
import threading
import time

from torch.distributed import Store

MISSED = 3  # beats that a rank may miss before it counts as silent


class Heartbeat(threading.Thread):
    """The records of all ``world`` ranks, read and written every ``interval`` seconds until ``close``.

    ``host`` is the rank whose process holds the store, or None for a launcher's. The owner sets ``count``
    before each collective. ``diagnose`` and ``close`` are called by the owner, the rest by the thread.
    """

    def __init__(self, store: Store, rank: int, world: int, interval: float, host: int | None = None):
        super().__init__(name="heartbeat", daemon=True)
        self.store, self.rank, self.interval, self.host = store, rank, interval, host
        self.keys = [f"heartbeat/{r}" for r in range(world)]
        self.count, self.beats = 0, 0
        self.end: str | None = None
        self.blame: dict[int, str] = {}
        self.stopping = threading.Event()
        self.records: dict[int, dict] = {}
        self.heard = time.monotonic()
        self.changed = dict.fromkeys(range(world), self.heard)

    def write(self) -> None:
        """Put this rank's record into the store."""
        self.beats += 1
        blame = list(self.blame.items())  # JSON would make strings of a dict's ranks
        record = {"beats": self.beats, "count": self.count, "end": self.end, "blame": blame}
        self.store.set(self.keys[self.rank], json.dumps(record))

    def exchange(self) -> None:
        """Write this rank's record, read those of all ranks, and note which have changed."""
        self.write()
        records = dict(enumerate(map(json.loads, self.store.multi_get(self.keys))))
        now = time.monotonic()
        self.changed |= {r: now for r, record in records.items() if record != self.records.get(r)}
        self.records, self.heard = records, now  # ``heard`` last: a rank is silent if it is much newer

    def run(self) -> None:
        try:
            while not self.stopping.wait(self.interval):
                self.exchange()
            self.exchange()
            for _ in range(MISSED):  # a failure of its own waits whether rank 0 has the same
                if self.end == "done" or self.blame or self.records.get(0, {}).get("end"):
                    break
                time.sleep(self.interval)
                self.exchange()
        except RuntimeError:  # the store is gone, and with it its host: ``heard`` grows old
            return

    def close(self, end: str, blame: dict[int, str]) -> bool:
        """Stop, having ended with ``end``; whether rank 0 has ended with the same, as far as it is known.

        Waits for a few beats at most.
        """
        self.end, self.blame = end, blame
        self.stopping.set()
        self.join(2 + (MISSED + 1) * self.interval)
        return self.records.get(0, {}).get("end") == end

    def diagnose(self) -> dict[int, str]:
        """Whose fault it is that a collective failed: ranks, and why. Empty if nothing speaks against any.

        Waits for a few beats, since a rank that has just died looks alive.
        """
        until = time.monotonic() + (MISSED + 1) * self.interval
        while not (found := self.failed()) and time.monotonic() < until:
            time.sleep(self.interval / 4)
        return found or self.unresponsive() or self.finished() or self.behind()

    def failed(self) -> dict[int, str]:
        """The ranks that ended with a failure of their own, or those that a rank which gave up has blamed."""
        ended = {r: record for r, record in self.others().items() if record["end"] not in (None, "done")}
        own = {r: f"ended with {record['end']}" for r, record in ended.items() if not record["blame"]}
        return own or next((dict(record["blame"]) for record in ended.values()), {})

    def unresponsive(self) -> dict[int, str]:
        """The ranks that no longer beat; if the store is silent itself, its host."""
        patience = MISSED * self.interval
        running = [r for r, record in self.others().items() if not record["end"]]
        silent = [r for r in running if self.heard - self.changed[r] > patience]
        if time.monotonic() - self.heard > patience:
            silent = [] if self.host is None else [self.host]
        return dict.fromkeys(silent, "is silent, it died or was stopped")

    def finished(self) -> dict[int, str]:
        """The ranks that have finished without a failure while this one has not."""
        return {r: "has finished already" for r, record in self.others().items() if record["end"] == "done"}

    def behind(self) -> dict[int, str]:
        """The ranks that are alive but have begun fewer collectives than this one."""
        late = {r: record["count"] for r, record in self.others().items() if record["count"] < self.count}
        own = f"rank {self.rank} at {self.count}"
        return {r: f"is late: it is at collective {count}, {own}" for r, count in late.items()}

    def others(self) -> dict[int, dict]:
        """The last records of all ranks but this one."""
        return {r: record for r, record in sorted(self.records.items()) if r != self.rank}
