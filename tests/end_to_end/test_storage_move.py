"""From one back end to the other: a dump that is taken while writes go on, loaded into the other,
is what was acknowledged before it began, and of the rest only what was whole at one moment."""

import pathlib
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))

from host_fixture import Host
from kit import Client, event, message
from postgres_fixture import Postgres

BOXES = [f"user{i}@example.org" for i in range(7)]


class Load(threading.Thread):
    """Writes to all services until it is told to stop, and notes what was acknowledged."""

    def __init__(self, host, number):
        super().__init__()
        self.client = Client(host.channel())
        self.number = number
        self.done = threading.Event()
        self.written = 0  # steps that were acknowledged
        self.failure = None

    def run(self):
        try:
            while not self.done.is_set():
                self.step(self.written)
                self.written += 1
        except Exception as failure:  # is reported by the test
            self.failure = failure

    # Step n of a thread always writes the same.
    def step(self, n):
        self.client.put(event(self.id(n), f"text {n}"))
        self.client.append(message(self.id(n), f"body {n}"), *self.boxes(n))
        self.client.put_record("test/counters", f"{self.number}", str(n).encode(),
                               indexes=[("parity", str(n % 2))])

    def id(self, n):
        return f"{self.number}/{n}"

    def boxes(self, n):
        return [BOXES[(self.number + n) % len(BOXES)], BOXES[(self.number + 3 * n + 1) % len(BOXES)]]


class MoveTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Postgres().start()
        cls.addClassCleanup(cls.server.discard)

    def host(self, module):
        settings = {}
        if module == "storage-postgresql":
            settings["storage-postgresql.uri"] = self.server.uri
        host = Host(settings=settings, modules=(module,))
        host.start()
        self.addCleanup(host.stop)
        return host

    def test_from_sqlite_under_load(self):
        source = self.host("storage-sqlite")
        loads = [Load(source, number) for number in range(4)]
        for load in loads:
            load.start()
        reader = Client(source.channel())
        while min(load.written for load in loads) < 50:  # some is there
            self.assertEqual([load.failure for load in loads], [None] * len(loads))
        before = [load.written for load in loads]
        items = reader.dump()
        for load in loads:
            load.done.set()
        for load in loads:
            load.join()
            self.assertIsNone(load.failure)

        target = Client(self.host("storage-postgresql").channel())
        target.load(items)
        entries = {box: target.read_all(box) for box in BOXES}
        delivered = {box: [e.message.event.id for e in entries[box]] for box in BOXES}
        for box in BOXES:
            self.assertEqual([e.sequence for e in entries[box]], list(range(1, len(entries[box]) + 1)))
            self.assertEqual(len(set(delivered[box])), len(delivered[box]))
            # As far as it goes, it is what the source has.
            there = reader.read_all(box)[:len(entries[box])]
            self.assertEqual([(e.sequence, e.message) for e in there],
                             [(e.sequence, e.message) for e in entries[box]])
        for load, acknowledged in zip(loads, before):
            # How far the dump has this thread: steps are in order, so there is one moment.
            upto = acknowledged
            while target.get(load.id(upto)):
                upto += 1
            for n in range(upto):
                self.assertEqual(target.get(load.id(n)), [event(load.id(n), f"text {n}")])
            for n in range(acknowledged):
                for box in load.boxes(n):
                    self.assertIn(load.id(n), delivered[box])
            record = target.get_record("test/counters", str(load.number))
            self.assertGreaterEqual(int(record.value), acknowledged - 1)
            self.assertLessEqual(int(record.value), upto)
        # And it goes on from there.
        again = target.append(message("0/0", "body 0"), *loads[0].boxes(0))
        self.assertTrue(again.duplicate)
        box = BOXES[0]
        fresh = target.append(message("fresh"), box)
        self.assertEqual(fresh.positions[0].sequence, len(entries[box]) + 1)

        # Back again, with nothing lost on the way: epochs and all.
        items = target.dump()
        items[0].begin.keep_epochs = True
        home = Client(self.host("storage-sqlite").channel())
        home.load(items)
        self.assertEqual(home.all_mailboxes(), target.all_mailboxes())
        self.assertEqual(home.all_records("test/counters"), target.all_records("test/counters"))
        for box in BOXES:
            self.assertEqual(home.read_all(box), target.read_all(box))


if __name__ == "__main__":
    unittest.main()
