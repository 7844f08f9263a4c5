"""Dump and load: imctl/storage/v1/snapshots.proto."""

import threading
import time

import kit
from kit import (DATA_LOSS, DEADLINE_EXCEEDED, FAILED_PRECONDITION, INVALID_ARGUMENT, OUT_OF_RANGE,
                 UNAVAILABLE, delete_record, event, message, put_record)
from protos import snapshots as snap

ORDER = [field.name for field in snap.SnapshotItem.DESCRIPTOR.fields]
COUNTS = {"message": "messages", "mailbox": "mailboxes", "delivery": "deliveries",
          "collection": "collections", "record": "records"}


def kinds(items):
    return [item.WhichOneof("item") for item in items]


def of_kind(items, kind):
    return [getattr(item, kind) for item in items if item.WhichOneof("item") == kind]


def begin(**fields):
    return snap.SnapshotItem(begin=snap.SnapshotBegin(format=1, **fields))


def end(**counts):
    return snap.SnapshotItem(end=snap.SnapshotEnd(**counts))


def keep_epochs(items):
    copy = snap.SnapshotItem()
    copy.CopyFrom(items[0])
    copy.begin.keep_epochs = True
    return [copy, *items[1:]]


def fill(client):
    """Some of everything; gives the ids of the messages."""
    ids = [f"m{n}" for n in range(30)] + kit.AWKWARD
    client.put(*[event(id, "x" * n) for n, id in enumerate(ids)])
    client.delete("m3")
    boxes = [f"box{n}" for n in range(5)] + kit.AWKWARD
    client.append(message("to all", "Ä\0"), *boxes)
    for n in range(40):
        client.append(message(f"d{n}", "y" * (n * 10)), boxes[n % 5], boxes[(n * 3) % 5])
    client.append(message("gone"), "deleted")
    client.append(message("half gone"), "deleted", "box1")
    client.delete_mailbox("deleted")
    for n, device in enumerate(kit.AWKWARD):
        client.ack("box0", device, 1 + n % 5)
    client.ack("box2", "phone", 2)
    for n in range(60):
        client.put_record(f"conformance/c{n % 3}", f"k{n % 7}", bytes([n]) * n,
                          [("n", f"v{n % 4}"), ("m", "é\0")])
    client.commit(*[put_record("conformance/awkward", key, key.encode(), [("n", key)])
                    for key in kit.AWKWARD])
    client.delete_record("conformance/c0", "k0")
    client.put_record("conformance/empty", "k")
    client.delete_record("conformance/empty", "k")
    return ids


def seen(client, ids, epochs=True):
    """All that a client sees. Without epochs: but what a load changes."""
    found = {"messages": client.get(*ids)}
    for state in client.all_mailboxes():
        entries = client.read_all(state.mailbox)
        cursors = client.cursors(state.mailbox)
        assert cursors.epoch == state.epoch and {e.epoch for e in entries} <= {state.epoch}
        if not epochs:
            state.epoch = 0
            for entry in entries:
                entry.epoch = 0
        found["mailbox", state.mailbox] = (state, entries, list(cursors.cursors))
    for collection in client.collections():
        records = client.all_records(collection.collection)
        for record in records:
            record.revision = record.revision if epochs else 0
            entries = sorted((e.name, e.value) for e in record.indexes)
            del record.indexes[:]
            record.indexes.extend(kit.rec.IndexEntry(name=n, value=v) for n, v in entries)
        found["collection", collection.collection] = (
            collection.revision if epochs else 0, records)
    return found


class SnapshotCase(kit.Case):
    def refused(self, client):
        """While a load has not ended, every other call."""
        for call in (
                lambda: client.put(event("e")), lambda: client.get("e"), lambda: client.delete("e"),
                client.clean, lambda: client.append(message("m"), "b"), lambda: client.read("b"),
                lambda: client.watch("b"), lambda: client.ack("b", "d", 1),
                lambda: client.cursors("b"), lambda: client.forget("b", "d"),
                client.list_mailboxes, lambda: client.delete_mailbox("b"),
                lambda: client.get_record("m/c", "k"), lambda: client.put_record("m/c", "k"),
                lambda: client.delete_record("m/c", "k"), lambda: client.list_records("m/c"),
                lambda: client.watch_records("m/c"),
                lambda: client.commit(put_record("m/c", "k")), client.collections, client.dump):
            self.fails(FAILED_PRECONDITION, call)

    def works(self, client):
        client.put(event("works"))
        self.assertEqual(client.get("works"), [event("works")])
        client.append(message("works"), "works")
        client.put_record("works/works", "works")


class DumpTest(SnapshotCase):
    def test_of_what_is_empty(self):
        items = self.fresh().client.dump()
        self.assertEqual(kinds(items), ["begin", "end"])
        self.assertEqual(items[0].begin.format, 1)
        self.assertFalse(items[0].begin.keep_epochs)
        self.assertGreater(items[0].begin.time.seconds, 1_600_000_000)
        self.assertEqual(items[1].end, snap.SnapshotEnd())

    def test_order_and_counts(self):
        self.client.put(event(self.name()))
        self.client.append(message(self.name()), self.mailbox())
        self.client.put_record(self.collection(), "k")
        items = self.client.dump()
        found = kinds(items)
        self.assertEqual(found, sorted(found, key=ORDER.index))
        self.assertEqual((found.count("begin"), found.count("end")), (1, 1))
        for kind, plural in COUNTS.items():
            self.assertEqual(getattr(items[-1].end, plural), found.count(kind), kind)

    def test_all_that_is_there(self):
        client = self.fresh().client
        ids = fill(client)
        items = client.dump()
        dumped = [kit.protos.events.CloudEvent.FromString(m.event) for m in of_kind(items, "message")]
        self.assertEqual({m.id: m for m in dumped}, {m.id: m for m in client.get(*ids)})
        times = [(m.time.seconds, m.time.nanos) for m in of_kind(items, "message")]
        self.assertEqual(times, sorted(times))
        self.assertEqual({m.state.mailbox: (m.state, list(m.cursors))
                          for m in of_kind(items, "mailbox")},
                         {s.mailbox: (s, list(client.cursors(s.mailbox).cursors))
                          for s in client.all_mailboxes()})
        places = {}
        for delivery in of_kind(items, "delivery"):
            for position in delivery.positions:
                places[position.mailbox, position.epoch, position.sequence] = delivery
        for state in client.all_mailboxes():
            for entry in client.read_all(state.mailbox):
                delivery = places.pop((state.mailbox, state.epoch, entry.sequence))
                self.assertEqual(kit.mb.Message.FromString(delivery.message), entry.message)
                self.assertEqual(delivery.time, entry.time)
        self.assertEqual(places, {})
        self.assertEqual({c.collection: c.revision for c in of_kind(items, "collection")},
                         {c.collection: c.revision for c in client.collections()})
        records = {(r.collection, r.record.key): r.record.value for r in of_kind(items, "record")}
        self.assertEqual(records, {(c.collection, r.key): r.value for c in client.collections()
                                   for r in client.all_records(c.collection)})

    def test_one_moment_while_writes_go_on(self):
        storage = self.fresh()
        stop = threading.Event()
        acknowledged = {"messages": [], "deliveries": [], "records": 0}

        def load(client, number):
            turn = 0
            while not stop.is_set():
                turn += 1
                # Always together: in a dump both or none.
                client.commit(put_record("conformance/a", f"k{number}", str(turn).encode()),
                              put_record("conformance/b", f"k{number}", str(turn).encode()))
                client.append(message(f"{number}/{turn}"), "x", "y", f"own{number}")
                acknowledged["deliveries"].append(f"{number}/{turn}")
                client.put(event(f"{number}/{turn}"))
                acknowledged["messages"].append(f"{number}/{turn}")

        writers = [threading.Thread(target=load, args=(storage.another(), n)) for n in range(3)]
        for writer in writers:
            writer.start()
        dumps = []
        try:
            for _ in range(6):
                before = (len(acknowledged["messages"]), len(acknowledged["deliveries"]))
                dumps.append((before, storage.client.dump()))
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        for (messages, deliveries), items in dumps:
            found = {kit.protos.events.CloudEvent.FromString(m.event).id
                     for m in of_kind(items, "message")}
            self.assertEqual(set(acknowledged["messages"][:messages]) - found, set())
            sent = [kit.mb.Message.FromString(d.message).event.id
                    for d in of_kind(items, "delivery")]
            self.assertEqual(len(sent), len(set(sent)))
            self.assertEqual(set(acknowledged["deliveries"][:deliveries]) - set(sent), set())
            # In the order of one writer: a put that is there had its append before it.
            self.assertEqual(found - set(sent), set())
            states = {m.state.mailbox: m.state for m in of_kind(items, "mailbox")}
            numbers = {box: [] for box in states}
            for delivery in of_kind(items, "delivery"):
                for position in delivery.positions:
                    numbers[position.mailbox].append(position.sequence)
            for box, state in states.items():
                self.assertEqual(sorted(numbers[box]), list(range(1, state.last + 1)))
            values = {"conformance/a": {}, "conformance/b": {}}
            revisions = {c.collection: c.revision for c in of_kind(items, "collection")}
            for record in of_kind(items, "record"):
                values[record.collection][record.record.key] = record.record.value
                self.assertLessEqual(record.record.revision, revisions[record.collection])
            self.assertEqual(values["conformance/a"], values["conformance/b"])

    def test_a_dump_that_nobody_reads_is_ended(self):
        storage = self.fresh(dump_idle_timeout="3s", queue_bytes="256MiB")
        client = storage.client
        # More than what waits in buffers on the way.
        for n in range(60):
            client.put(event(f"m{n}", "x" * 1_000_000))
        stream = client.snapshots.Dump(snap.DumpRequest(), timeout=kit.TIMEOUT)
        next(stream)
        time.sleep(6)
        with self.assertRaises(kit.grpc.RpcError) as caught:
            for _ in stream:
                pass
        self.assertEqual(caught.exception.code(), DEADLINE_EXCEEDED, caught.exception.details())
        self.assertIn("dump_idle_timeout", caught.exception.details())
        # One that is read slowly, but is read, is not.
        count = 0
        for chunk in client.snapshots.Dump(snap.DumpRequest(), timeout=kit.TIMEOUT):
            count += len(chunk.items)
            if count < 15:
                time.sleep(0.4)
        self.assertEqual(count, 62)

    def test_what_expired_is_left_out(self):
        client = self.fresh(retention="1s", mailbox_retention="1s", clean_interval="200ms").client
        client.put(event("old"))
        client.append(message("old"), "box")
        time.sleep(1.1)
        client.put(event("young"))
        items = client.dump()
        self.assertEqual([kit.protos.events.CloudEvent.FromString(m.event).id
                          for m in of_kind(items, "message")], ["young"])
        deadline = time.monotonic() + kit.TIMEOUT
        while of_kind(items, "mailbox")[0].state.first == 1:  # that is cleaned on a schedule
            self.assertLess(time.monotonic(), deadline)
            items = client.dump()
        self.assertEqual(of_kind(items, "delivery"), [])
        (mailbox,) = of_kind(items, "mailbox")
        self.assertEqual((mailbox.state.first, mailbox.state.last), (2, 1))

    def test_a_dump_that_is_cancelled(self):
        client = self.fresh().client
        fill(client)
        for _ in range(10):
            stream = client.snapshots.Dump(snap.DumpRequest(), timeout=kit.TIMEOUT)
            next(stream)
            stream.cancel()
        self.works(client)


class LoadTest(SnapshotCase):
    def test_what_was_dumped_is_there(self):
        source, copy = self.fresh().client, self.fresh().client
        ids = fill(source)
        items = source.dump()
        before = {s.mailbox: s.epoch for s in source.all_mailboxes()}
        revisions = {c.collection: c.revision for c in source.collections()}
        self.assertEqual(copy.load(items), items[-1].end)
        self.assertEqual(seen(copy, ids, epochs=False), seen(source, ids, epochs=False))
        # Whoever saw the other life notices.
        for state in copy.all_mailboxes():
            self.assertGreater(state.epoch, before[state.mailbox])
            self.fails(FAILED_PRECONDITION, copy.read, state.mailbox, epoch=before[state.mailbox])
        for collection in copy.collections():
            old = revisions[collection.collection]
            self.assertGreater(collection.revision, old)
            self.ends(OUT_OF_RANGE, copy.watch_records(collection.collection, after=old + 1))
            newer = copy.put_record(collection.collection, "new")
            self.assertEqual(newer, collection.revision + 1)
            stream = copy.watch_records(collection.collection, after=collection.revision)
            self.assertEqual(next(stream).record.key, "new")
            stream.cancel()
            for record in copy.all_records(collection.collection):
                self.assertLessEqual(record.revision, newer)
                copy.put_record(collection.collection, record.key, revision=record.revision)

    def test_life_goes_on_after_it(self):
        source, copy = self.fresh().client, self.fresh().client
        fill(source)
        copy.load(source.dump())
        # What was stored is known: messages, appended ones, cursors, indexes.
        self.fails(kit.ALREADY_EXISTS, copy.put, event("m1", "other"))
        self.assertEqual(copy.put(event("m1", "x")), 1)
        self.fails(kit.ALREADY_EXISTS, copy.append, message("d1", "other"), "box0")
        for id, text in (("to all", "Ä\0"), ("d1", "y" * 10), ("half gone", "text")):
            first = source.append(message(id, text), "elsewhere")
            again = copy.append(message(id, text), "elsewhere")
            self.assertTrue(first.duplicate and again.duplicate)
            self.assertEqual([(p.mailbox, p.sequence) for p in again.positions],
                             [(p.mailbox, p.sequence) for p in first.positions])
            epochs = {s.mailbox: s.epoch for s in copy.all_mailboxes()}
            for position in again.positions:
                self.assertEqual(position.epoch, epochs[position.mailbox])
        self.assertFalse(copy.append(message("gone"), "box0").duplicate)
        last = source.read("box1").last
        self.assertEqual(copy.append(message("next"), "box1").positions[0].sequence, last + 1)
        self.assertEqual(copy.ack("box2", "phone", 1).sequence, 2)
        self.assertEqual([r.key for r in copy.all_records("conformance/c1", index=("n", "v1"))],
                         [r.key for r in source.all_records("conformance/c1", index=("n", "v1"))])

    def test_keep_epochs(self):
        source, copy = self.fresh().client, self.fresh().client
        ids = fill(source)
        items = source.dump()
        self.assertEqual(copy.load(keep_epochs(items)), items[-1].end)
        self.assertEqual(seen(copy, ids), seen(source, ids))
        state = source.read("box1")
        self.assertEqual(copy.read("box1", epoch=state.epoch), state)
        revision = source.list_records("conformance/c1").revision
        stream = copy.watch_records("conformance/c1", after=revision)
        self.assertEqual(copy.put_record("conformance/c1", "new"), revision + 1)
        self.assertEqual(next(stream).revision, revision + 1)
        stream.cancel()
        # Known writes end where the dump does: none may be missing without a word.
        for collection in copy.collections():
            for after in (0, collection.watchable_from - 1):
                if 0 <= after < collection.watchable_from:
                    self.ends(OUT_OF_RANGE,
                              copy.watch_records(collection.collection, after=after))

    def test_a_dump_of_the_copy_is_the_same(self):
        source, copy = self.fresh().client, self.fresh().client
        fill(source)
        items = source.dump()
        copy.load(keep_epochs(items), at_once=1)

        def bytes_of(found):
            return sorted(item.SerializeToString(deterministic=True) for item in found[1:])

        again = copy.dump()
        self.assertEqual(again[-1], items[-1])
        self.assertEqual(bytes_of(again), bytes_of(items))

    def test_a_large_one(self):
        source, copy = self.fresh().client, self.fresh().client
        calls = [source.mailboxes.Append.future(
            kit.mb.AppendRequest(message=message(f"m{n}", "x" * 2000),
                                 recipients=[f"b{n % 10}", "all"]), timeout=kit.TIMEOUT)
            for n in range(3000)]
        for call in calls:
            call.result()
        for start in range(0, 3000, 500):
            source.put(*[event(f"m{n}", "x" * 2000) for n in range(start, start + 500)])
            source.commit(*[put_record("conformance/c", f"k{n}", b"x" * 2000)
                            for n in range(start, start + 500)])
        items = source.dump()
        self.assertEqual(items[-1].end, snap.SnapshotEnd(
            messages=3000, mailboxes=11, deliveries=3000, collections=1, records=3000))
        self.assertEqual(copy.load(items), items[-1].end)
        ids = [f"m{n}" for n in range(0, 3000, 10)]
        self.assertEqual(seen(copy, ids, epochs=False), seen(source, ids, epochs=False))

    def test_an_empty_dump(self):
        client = self.fresh().client
        self.assertEqual(client.load([begin(), end()]), snap.SnapshotEnd())
        self.works(client)

    def test_numbers_from_the_future(self):
        """Clocks are not to be trusted: what was given before is what counts."""
        later = (int(time.time()) + 10 * 365 * 86400) * 1_000_000
        items = [snap.SnapshotItem(mailbox=snap.SnapshotMailbox(state=kit.mb.MailboxState(
                     mailbox="box", epoch=later, first=4, last=3))),
                 snap.SnapshotItem(collection=snap.SnapshotCollection(
                     collection="conformance/c", revision=later)),
                 end(mailboxes=1, collections=1)]
        for keep in (False, True):
            with self.subTest(keep_epochs=keep):
                client = self.fresh().client
                client.load([begin(keep_epochs=keep), *items])
                epoch, revision = client.read("box").epoch, client.collections()[0].revision
                if keep:
                    self.assertEqual((epoch, revision), (later, later))
                else:
                    self.assertGreater(epoch, later)
                    self.assertGreater(revision, later)
                self.assertEqual(client.append(message("m"), "box").positions[0].sequence, 4)
                client.delete_mailbox("box")
                self.assertGreater(client.append(message("n"), "box").positions[0].epoch, epoch)
                self.assertEqual(client.put_record("conformance/c", "k"), revision + 1)

    def test_times_are_those_of_the_dump(self):
        source = self.fresh().client
        copy = self.fresh(retention="1s", mailbox_retention="1s", clean_interval="200ms").client
        source.put(event("old"))
        source.append(message("old"), "box")
        time.sleep(1.1)
        items = source.dump()
        self.assertEqual(copy.load(items), items[-1].end)
        self.assertEqual(copy.get("old"), [])
        deadline = time.monotonic() + kit.TIMEOUT
        while copy.read("box").first == 1:
            self.assertLess(time.monotonic(), deadline)


class RefusedLoadTest(SnapshotCase):
    def test_not_into_what_is_not_empty(self):
        for write in (lambda c: c.put(event("e")), lambda c: c.append(message("m"), "b"),
                      lambda c: c.put_record("m/c", "k")):
            client = self.fresh().client
            write(client)
            before = client.dump()[1:]
            self.fails(FAILED_PRECONDITION, client.load, [begin(), end()])
            self.assertEqual(client.dump()[1:], before)
            self.works(client)

    def test_a_dump_that_is_cut_off_and_then_the_whole(self):
        source, storage = self.fresh().client, self.fresh()
        ids = fill(source)
        items = source.dump()
        for length in (1, len(items) // 2, len(items) - 1):
            with self.subTest(length):
                self.fails(DATA_LOSS, storage.client.load, items[:length])
                self.refused(storage.client)
        storage.restart()
        self.refused(storage.client)
        self.assertEqual(storage.client.load(items), items[-1].end)
        self.assertEqual(seen(storage.client, ids, epochs=False), seen(source, ids, epochs=False))
        self.works(storage.client)
        storage.restart()
        self.works(storage.client)
        self.fails(FAILED_PRECONDITION, storage.client.load, items)

    def test_counts_that_are_wrong(self):
        source, client = self.fresh().client, self.fresh().client
        fill(source)
        items = source.dump()
        for plural in COUNTS.values():
            wrong = snap.SnapshotItem()
            wrong.CopyFrom(items[-1])
            setattr(wrong.end, plural, getattr(wrong.end, plural) + 1)
            self.fails(DATA_LOSS, client.load, [*items[:-1], wrong])
        without = [item for item in items if item.WhichOneof("item") != "message"]
        self.fails(DATA_LOSS, client.load, without)
        self.fails(DATA_LOSS, client.load, [*items[:-2], items[-1]])
        self.refused(client)
        self.assertEqual(client.load(items), items[-1].end)

    def test_what_is_no_dump(self):
        client = self.fresh().client
        unknown = snap.SnapshotItem(begin=snap.SnapshotBegin(format=2))
        record = snap.SnapshotItem(record=snap.SnapshotRecord(
            collection="m/c", record=kit.rec.Record(key="k", revision=1)))
        collection = snap.SnapshotItem(collection=snap.SnapshotCollection(
            collection="m/c", revision=1))
        for what, items in (
                ("nothing", []), ("an unknown format", [unknown, end()]),
                ("no begin", [collection, record, end(collections=1, records=1)]),
                ("two begins", [begin(), begin(), end()]), ("an empty item",
                                                            [begin(), snap.SnapshotItem(), end()]),
                ("out of order", [begin(), record, collection, end(collections=1, records=1)]),
                ("something after the end", [begin(), end(), collection])):
            with self.subTest(what):
                self.fails((INVALID_ARGUMENT, DATA_LOSS, FAILED_PRECONDITION), client.load, items)
        client.load([begin(), end()])
        self.works(client)

    def test_meanwhile_others_are_refused(self):
        source, storage = self.fresh().client, self.fresh()
        client = storage.client
        ids = fill(source)
        items = source.dump()
        go = threading.Event()

        def parts():
            yield snap.SnapshotChunk(items=items[:-1])
            go.wait(kit.TIMEOUT)
            yield snap.SnapshotChunk(items=items[-1:])

        call = client.snapshots.Load.future(parts(), timeout=kit.TIMEOUT)
        try:
            self.until_refused(storage.another())
            self.refused(client)
            self.fails(FAILED_PRECONDITION, client.load, [begin(), end()])
        finally:
            go.set()
        self.assertEqual(call.result().loaded, items[-1].end)
        self.assertEqual(seen(client, ids, epochs=False), seen(source, ids, epochs=False))
        self.works(client)

    def until_refused(self, client):
        """Until a load has begun."""
        deadline = time.monotonic() + kit.TIMEOUT
        while time.monotonic() < deadline:
            try:
                client.get("e")
            except kit.grpc.RpcError as error:
                self.assertEqual(error.code(), FAILED_PRECONDITION)
                return
        self.fail("the load never began")

    def test_one_that_is_cancelled(self):
        source, storage = self.fresh().client, self.fresh()
        client = storage.client
        ids = fill(source)
        items = source.dump()
        go = threading.Event()
        self.addCleanup(go.set)

        def parts():
            yield snap.SnapshotChunk(items=items[:-1])
            go.wait(kit.TIMEOUT)

        call = client.snapshots.Load.future(parts(), timeout=kit.TIMEOUT)
        self.until_refused(client)
        call.cancel()
        # It ends some time after that; until then there is no other.
        deadline = time.monotonic() + kit.TIMEOUT
        while True:
            try:
                loaded = client.load(items)
                break
            except kit.grpc.RpcError as error:
                self.assertEqual(error.code(), FAILED_PRECONDITION, error.details())
                self.assertLess(time.monotonic(), deadline, error.details())
        self.assertEqual(loaded, items[-1].end)
        self.assertEqual(seen(client, ids, epochs=False), seen(source, ids, epochs=False))

    def test_one_that_was_killed(self):
        source, storage = self.fresh().client, self.fresh()
        ids = fill(source)
        items = source.dump()
        go = threading.Event()

        def parts():
            yield snap.SnapshotChunk(items=items[:-1])
            go.wait(kit.TIMEOUT)

        call = storage.client.snapshots.Load.future(parts(), timeout=kit.TIMEOUT)
        self.until_refused(storage.client)
        storage.restart(kill=True)
        go.set()
        self.assertIsNotNone(call.exception())
        self.refused(storage.client)
        self.assertEqual(storage.client.load(items), items[-1].end)
        self.assertEqual(seen(storage.client, ids, epochs=False), seen(source, ids, epochs=False))

    def test_removed_records_leave_it_not_empty(self):
        """A collection with writes is something: its revisions were given."""
        client = self.fresh().client
        client.put_record("m/c", "k")
        client.commit(delete_record("m/c", "k"))
        self.fails(FAILED_PRECONDITION, client.load, [begin(), end()])


class ReplaceTest(SnapshotCase):
    """`replace` in `begin`: what is there stays until the new is whole."""

    def replaced(self, items):
        copy = snap.SnapshotItem()
        copy.CopyFrom(items[0])
        copy.begin.replace = True
        return [copy, *items[1:]]

    def read_only(self, client):
        """What is there is read, and nothing is written."""
        for write in (
                lambda: client.put(event("e")), lambda: client.delete("e"), client.clean,
                lambda: client.append(message("m"), "b"), lambda: client.ack("b", "d", 0),
                lambda: client.forget("b", "d"), lambda: client.delete_mailbox("b"),
                lambda: client.put_record("m/c", "k"), lambda: client.delete_record("m/c", "k"),
                lambda: client.commit(put_record("m/c", "k"))):
            self.fails(UNAVAILABLE, write)

    def until_replacing(self, client, call=None):
        """FutureTimeoutError: the call was refused meanwhile, there is another."""
        deadline = time.monotonic() + kit.TIMEOUT
        while time.monotonic() < deadline:
            if call is not None and call.done():
                self.assertEqual(call.code(), FAILED_PRECONDITION, call.details())
                raise kit.grpc.FutureTimeoutError
            try:
                client.delete("there is no such message")
            except kit.grpc.RpcError as error:
                self.assertEqual(error.code(), UNAVAILABLE, error.details())
                return
        self.fail("the load never began")

    def load_in_its_turn(self, client, items):
        """One that was cancelled ends some time after that; until then there is no other."""
        deadline = time.monotonic() + kit.TIMEOUT
        while True:
            try:
                return client.load(items)
            except kit.grpc.RpcError as error:
                self.assertEqual(error.code(), FAILED_PRECONDITION, error.details())
                self.assertLess(time.monotonic(), deadline, error.details())

    def begin_in_its_turn(self, client, parts):
        deadline = time.monotonic() + kit.TIMEOUT
        while True:
            call = client.snapshots.Load.future(parts(), timeout=kit.TIMEOUT)
            try:
                self.until_replacing(client, call)
                return call
            except kit.grpc.FutureTimeoutError:
                self.assertLess(time.monotonic(), deadline)

    def old(self, storage):
        """What is to be replaced: more mailboxes and records than the new has, and other ones."""
        client = storage.client
        client.put(event("old"), event("m1", "another"))
        client.append(message("old"), "box0", "old box")
        client.append(message("old 2"), "box0")
        client.ack("box0", "phone", 1)
        client.put_record("conformance/c0", "old", b"old", [("n", "v1")])
        client.put_record("old/old", "old", b"old")
        return ["old", "m1"]

    def test_into_what_is_not_empty(self):
        source, storage = self.fresh().client, self.fresh()
        client = storage.client
        ids = fill(source) + self.old(storage)
        epochs = {s.mailbox: s.epoch for s in client.all_mailboxes()}
        watcher = client.watch("box0")
        next(watcher), next(watcher)
        items = source.dump()
        self.assertEqual(client.load(self.replaced(items)), items[-1].end)
        self.fails(FAILED_PRECONDITION, lambda: next(watcher))
        self.assertEqual(seen(client, ids, epochs=False), seen(source, ids, epochs=False))
        for state in client.all_mailboxes():
            self.assertGreater(state.epoch, epochs.get(state.mailbox, 0))
        self.works(client)
        client.delete("works")
        client.delete_mailbox("works")
        # Life goes on: nothing of the other is in the way of what is new.
        for n in range(30):
            client.append(message(f"new {n}"), "box0", f"new box {n}", "old box")
            client.put_record("conformance/c0", f"new {n}", b"x", [("n", "v1")])
        self.assertEqual(client.read("old box").first, 1)
        # And again, over what was put there by one.
        items = self.replaced(source.dump())
        self.assertEqual(client.load(items), items[-1].end)
        self.assertEqual(seen(client, ids, epochs=False), seen(source, ids, epochs=False))
        storage.restart()
        self.assertEqual(seen(storage.client, ids, epochs=False),
                         seen(source, ids, epochs=False))
        self.works(storage.client)

    def test_into_what_is_empty(self):
        source, client = self.fresh().client, self.fresh().client
        ids = fill(source)
        client.load(self.replaced(source.dump()))
        self.assertEqual(seen(client, ids, epochs=False), seen(source, ids, epochs=False))
        client.load(self.replaced([begin(), end()]))
        self.assertEqual(kinds(client.dump()), ["begin", "end"])
        self.works(client)

    def test_meanwhile_the_old_is_read(self):
        source, storage = self.fresh().client, self.fresh()
        client = storage.client
        ids = fill(source) + self.old(storage)
        before = seen(client, ids)
        items = source.dump()
        go = threading.Event()
        self.ends(FAILED_PRECONDITION, client.snapshots.Dump(snap.DumpRequest(replacing=True)))

        def parts():
            yield snap.SnapshotChunk(items=self.replaced(items)[:-1])
            go.wait(kit.TIMEOUT)
            yield snap.SnapshotChunk(items=items[-1:])

        call = client.snapshots.Load.future(parts(), timeout=kit.TIMEOUT)
        try:
            self.until_replacing(storage.another())
            self.read_only(client)
            self.assertEqual(seen(client, ids), before)
            exact = client.snapshots.Dump(snap.DumpRequest(replacing=True), timeout=kit.TIMEOUT)
            self.assertEqual(sum(len(chunk.items) for chunk in exact), 12)
            self.assertEqual(client.dump()[-1].end, snap.SnapshotEnd(
                messages=2, mailboxes=2, deliveries=2, collections=2, records=2))
            self.fails(FAILED_PRECONDITION, client.load, self.replaced(items))
        finally:
            go.set()
        self.assertEqual(call.result().loaded, items[-1].end)
        self.assertEqual(seen(client, ids, epochs=False), seen(source, ids, epochs=False))
        self.works(client)

    def test_one_that_does_not_end(self):
        source, storage = self.fresh().client, self.fresh()
        client = storage.client
        ids = fill(source) + self.old(storage)
        before = seen(client, ids)
        items = self.replaced(source.dump())
        wrong = snap.SnapshotItem(end=snap.SnapshotEnd(messages=1))
        for what, part in (("begin", items[:1]), ("half", items[:len(items) // 2]),
                           ("no end", items[:-1]), ("wrong counts", [*items[:-1], wrong])):
            with self.subTest(what):
                self.fails(DATA_LOSS, client.load, part)
                self.assertEqual(seen(client, ids), before)
        self.assertEqual(client.load(items), items[-1].end)
        self.assertEqual(seen(client, ids, epochs=False), seen(source, ids, epochs=False))

    def test_one_that_is_cancelled_or_killed(self):
        source, storage = self.fresh().client, self.fresh()
        ids = fill(source) + self.old(storage)
        before = seen(storage.client, ids)
        items = self.replaced(source.dump())
        for kill in (False, True):
            with self.subTest(kill=kill):
                go = threading.Event()

                def parts():
                    yield snap.SnapshotChunk(items=items[:-1])
                    go.wait(kit.TIMEOUT)

                call = self.begin_in_its_turn(storage.client, parts)
                if kill:
                    storage.restart(kill=True)
                else:
                    call.cancel()
                go.set()
                # The end of a cancelled one takes a moment.
                deadline = time.monotonic() + kit.TIMEOUT
                while True:
                    try:
                        storage.client.delete("there is no such message")
                        break
                    except kit.grpc.RpcError as error:
                        self.assertEqual(error.code(), UNAVAILABLE, error.details())
                        self.assertLess(time.monotonic(), deadline)
                self.assertEqual(seen(storage.client, ids), before)
        self.load_in_its_turn(storage.client, items)
        self.assertEqual(seen(storage.client, ids, epochs=False), seen(source, ids, epochs=False))

    def test_one_that_says_where_all_is(self):
        """`moved`: what is there stays, is read and dumped, and is not written to, after a restart either."""
        source, storage = self.fresh().client, self.fresh()
        ids = fill(source) + self.old(storage)

        def moved(to, *more):
            return [begin(replace=True), snap.SnapshotItem(moved=snap.SnapshotMoved(to=to)), *more]

        for wrong in (moved("x", end()), moved("x" * 1001), self.replaced(source.dump())[:2] + moved("x")[1:]):
            self.fails(INVALID_ARGUMENT, storage.client.load, wrong)
        for wrong in (moved("x")[1:], [begin(), moved("x")[1]]):
            self.fails((INVALID_ARGUMENT, FAILED_PRECONDITION), storage.client.load, wrong)
        self.works(storage.client)
        before = seen(storage.client, ids)
        for _ in range(2):
            self.assertEqual(storage.client.load(moved("the Ä moon")), snap.SnapshotEnd())
            self.read_only(storage.client)
            self.assertIn("the Ä moon", self.fails(UNAVAILABLE, storage.client.put, event("e")))
            self.assertEqual(seen(storage.client, ids), before)
            storage.restart(kill=True)
        self.read_only(storage.client)
        self.assertEqual(seen(storage.client, ids), before)
        self.assertEqual(storage.client.dump()[-1].end.messages, 3)
        storage.client.load(moved(""))
        self.works(storage.client)
        # What replaces all of it is written to, too.
        storage.client.load(moved("elsewhere"))
        storage.client.load(self.replaced(source.dump()))
        self.works(storage.client)
        storage.restart()
        self.works(storage.client)

    def test_a_dump_that_is_open(self):
        """Is ended, or is of the old to its end."""
        source, storage = self.fresh().client, self.fresh()
        client = storage.client
        for n in range(30):
            client.put(event(f"m{n}", "x" * 1_000_000))
        stream = client.snapshots.Dump(snap.DumpRequest(), timeout=kit.TIMEOUT)
        next(stream)
        client.load(self.replaced(source.dump()))
        try:
            items = [item for chunk in stream for item in chunk.items]
            self.assertEqual(items[-1].end, snap.SnapshotEnd(messages=30))
        except kit.grpc.RpcError as error:
            self.assertEqual(error.code(), kit.grpc.StatusCode.ABORTED)
