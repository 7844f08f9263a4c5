"""Two hosts on one storage, for back ends that can (--shared): what holds for many clients of one host
holds for clients of several, and each host sees what the other has done."""

import itertools
import threading

import cases_concurrency
import cases_mailbox_watch
import cases_record_watch
import kit
from kit import FAILED_PRECONDITION, event, message, put_record
from protos import snapshots as snap


class Two:
    """Two hosts that look like one: connections go to each in turn."""

    def __init__(self, storages):
        self.storages = storages
        self.client = storages[0].client
        self.turn = itertools.cycle(storages)

    def another(self):
        return next(self.turn).another()


class SharingMixin:
    def setUp(self):
        if not kit.target.options.shared:
            self.skipTest("the back end is used by one host at a time: else --shared")
        storage = self.fresh()
        other = storage.sibling()
        self.addCleanup(other.discard)
        self.storage = Two([storage, other])
        self.client, self.other = storage.client, other.client
        if hasattr(self, "at"):
            self.at = self.collection()

    def watcher(self):
        """Not the host that writes."""
        return self.other


class MailboxesTest(SharingMixin, cases_concurrency.MailboxesTest):
    pass


class RecordsTest(SharingMixin, cases_concurrency.RecordsTest):
    pass


class AllTest(SharingMixin, cases_concurrency.AllTest):
    pass


class MailboxWatchTest(SharingMixin, cases_mailbox_watch.WatchTest):
    pass


class RecordWatchTest(SharingMixin, cases_record_watch.WatchTest):
    at = None


class BothTest(SharingMixin, kit.Case):
    def test_what_was_acknowledged_is_seen_by_the_other_at_once(self):
        for number in range(1, 60):
            writer, reader = (self.client, self.other)[::1 if number % 2 else -1]
            writer.put(event(f"m{number}"))
            self.assertEqual(reader.get(f"m{number}"), [event(f"m{number}")])
            writer.append(message(f"m{number}"), "box")
            self.assertEqual(reader.read("box").last, number)
            self.assertTrue(reader.append(message(f"m{number}"), "box").duplicate)
            writer.put_record("m/c", "k", str(number).encode())
            self.assertEqual(reader.get_record("m/c", "k").value, str(number).encode())
            writer.ack("box", "phone", number)
            self.assertEqual(reader.cursors("box").cursors[0].sequence, number)
        self.client.delete_mailbox("box")
        self.assertEqual(self.other.read("box").last, 0)

    def test_a_load_closes_it_for_both(self):
        begin = kit.snap.SnapshotItem(begin=kit.snap.SnapshotBegin(format=1))
        end = kit.snap.SnapshotItem(end=kit.snap.SnapshotEnd())
        self.fails(kit.DATA_LOSS, self.client.load, [begin])
        for call in (lambda: self.other.get("a"), lambda: self.other.put(event("a")),
                     lambda: self.other.append(message("a"), "b"), lambda: self.other.read("b"),
                     lambda: self.other.commit(put_record("m/c", "k")), self.other.dump):
            self.fails(FAILED_PRECONDITION, call)
        # Either of them may make it good.
        self.other.load([begin, end])
        for number, client in enumerate((self.client, self.other), 1):
            client.put(event("a"))
            self.assertEqual(client.append(message(str(number)), "b").positions[0].sequence, number)

    def test_a_replacement_is_one_for_both(self):
        """The other host writes all the time: what is acknowledged before it begins is dumped after
        that, what comes meanwhile is refused, and then it writes to the new."""
        source = self.fresh().client
        for n in range(50):
            source.append(message(f"new {n}"), "box")
            source.put_record("conformance/c", f"k{n}", b"new")
        items = source.dump()
        items[0].begin.replace = True
        stop, begun, go = threading.Event(), threading.Event(), threading.Event()
        acknowledged, failures = [], []

        def write():
            n = 0
            while not stop.is_set():
                n += 1
                try:
                    self.other.append(message(f"old {n}"), "box", "old box")
                    self.other.put_record("conformance/c", f"old {n}", b"x")
                    self.other.put(event(f"old {n}"))
                    acknowledged.append(f"old {n}")
                except kit.grpc.RpcError as error:
                    if error.code() != kit.UNAVAILABLE:
                        failures.append(error)
                        return
                    begun.set()

        def parts():
            yield snap.SnapshotChunk(items=items[:-1])
            go.wait(kit.TIMEOUT)
            yield snap.SnapshotChunk(items=items[-1:])

        writer = threading.Thread(target=write)
        writer.start()
        try:
            while len(acknowledged) < 50 and not failures:
                self.other.read("box")
            call = self.client.snapshots.Load.future(parts(), timeout=kit.TIMEOUT)
            self.assertTrue(begun.wait(kit.TIMEOUT))
            old = self.client.dump()
            kept = set(acknowledged)
            dumped = {kit.protos.events.CloudEvent.FromString(i.message.event).id
                      for i in old if i.HasField("message")}
            self.assertEqual(kept - dumped, set())
            go.set()
            self.assertEqual(call.result().loaded, items[-1].end)
            upto = len(acknowledged)
            while len(acknowledged) < upto + 20 and not failures:
                self.other.read("box")
        finally:
            go.set()
            stop.set()
            writer.join()
        self.assertEqual(failures, [])
        for client in (self.client, self.other):
            ids = [e.message.event.id for e in client.read_all("box")]
            self.assertEqual(ids[:50], [f"new {n}" for n in range(50)])
            self.assertEqual(set(ids[50:]) & kept, set())
            self.assertEqual([e.sequence for e in client.read_all("box")],
                             list(range(1, len(ids) + 1)))
            self.assertEqual(len(ids), len(set(ids)))
            self.assertEqual(client.get(*sorted(kept)[:500]), [])
            for id in acknowledged[upto:]:
                self.assertEqual(client.get(id), [event(id)])
