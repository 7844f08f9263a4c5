"""Watching records: imctl/storage/v1/records.proto."""

import threading

import kit
from kit import OUT_OF_RANGE, delete_record, put_record


class Mirror:
    """What a watcher knows. Checks what has to hold for each change."""

    def __init__(self, case, after=0):
        self.case = case
        self.revision = after
        self.records = {}

    def follow(self, stream, revision):
        """Up to this revision; there has to be a change with it or a later one."""
        while self.revision < revision:
            self.take(next(stream))

    def take(self, change):
        self.case.assertGreater(change.revision, self.revision, "out of order, or twice")
        self.revision = change.revision
        if change.deleted:
            self.case.assertEqual(change.record, kit.rec.Record(key=change.record.key))
            self.records.pop(change.record.key, None)
        else:
            self.case.assertGreaterEqual(change.record.revision, change.revision)
            self.records[change.record.key] = change.record


class WatchTest(kit.Case):
    def setUp(self):
        super().setUp()
        self.at = self.collection()

    def watch(self, collection=None, client=None, **fields):
        call = (client or self.watcher()).watch_records(collection or self.at, **fields)
        self.addCleanup(call.cancel)
        return call

    def watcher(self):
        return self.client

    def put(self, key, value=b"", **fields):
        return self.client.put_record(self.at, key, value, **fields)

    def test_what_was_written_and_what_comes(self):
        for key in "abc":
            self.put(key, key.encode(), indexes=[("n", key)])
        stream = self.watch()
        for number, key in enumerate("abc", 1):
            change = next(stream)
            self.assertEqual(change, kit.rec.Change(
                record=self.client.get_record(self.at, key), revision=number))
        self.put("a", b"new")
        change = next(stream)
        self.assertEqual((change.revision, change.record.key, change.record.value, change.deleted),
                         (4, "a", b"new", False))
        self.client.delete_record(self.at, "b")
        self.assertEqual(next(stream), kit.rec.Change(
            record=kit.rec.Record(key="b"), deleted=True, revision=5))

    def test_after(self):
        for key in "abcde":
            self.put(key)
        streams = {after: self.watch(after=after) for after in range(6)}
        self.put("f")
        for after, stream in streams.items():
            self.assertEqual([c.revision for c in self.take(stream, 6 - after)],
                             list(range(after + 1, 7)))

    def test_a_collection_that_begins(self):
        stream = self.watch()
        other = self.collection()
        self.client.put_record(other, "k")
        next(self.watch(other))
        self.put("k")
        self.assertEqual(next(stream).revision, 1)

    def test_a_revision_that_was_never_given(self):
        self.ends(OUT_OF_RANGE, self.watch(after=1))
        self.put("k")
        for after in (2, 3, 2**63, 2**64 - 1):
            self.ends(OUT_OF_RANGE, self.watch(after=after))

    def test_prefixes(self):
        streams = {prefix: self.watch(prefix=prefix) for prefix in ["", *kit.AWKWARD]}
        self.client.commit(*[put_record(self.at, key) for key in reversed(kit.AWKWARD)])
        for prefix, stream in streams.items():
            with self.subTest(prefix):
                wanted = [key for key in reversed(kit.AWKWARD) if key.startswith(prefix)]
                found = [c.record.key for c in self.take(stream, len(wanted))]
                self.assertEqual(found, wanted)
        # And nothing else: the next is what is written next.
        for prefix in ("a", "\U0010ffff", "%"):
            self.client.commit(put_record(self.at, "X" + prefix), put_record(self.at, prefix, b"2"))
            change = next(streams[prefix])
            self.assertEqual((change.record.key, change.record.value), (prefix, b"2"))

    def test_other_collections_are_not_seen(self):
        stream = self.watch()
        self.client.put_record(self.at + "x", "k")
        self.client.commit(put_record(self.collection(), "k"), put_record(self.at, "k"))
        change = next(stream)
        self.assertEqual((change.record.key, change.revision), ("k", 1))

    def test_of_several_writes_the_last_is_given(self):
        for number in range(20):
            self.put("k", str(number).encode())
            self.put(f"o{number}")
        self.client.delete_record(self.at, "o3")
        mirror = Mirror(self)
        mirror.follow(self.watch(), 41)
        self.assertEqual(mirror.records,
                         {r.key: r for r in self.client.all_records(self.at)})

    def test_a_commit_is_given_in_order(self):
        stream = self.watch()
        self.put("gone")
        self.client.commit(*[put_record(self.at, key) for key in "dbca"],
                           delete_record(self.at, "gone"))
        mirror = Mirror(self)
        mirror.follow(stream, 6)
        self.assertEqual([(r.key, r.revision) for r in mirror.records.values()],
                         [("d", 2), ("b", 3), ("c", 4), ("a", 5)])

    def test_nothing_is_given_for_what_was_refused(self):
        self.put("k")
        stream = self.watch(after=1)
        self.fails(kit.ALREADY_EXISTS, self.put, "k", create=True)
        self.fails(kit.NOT_FOUND, self.client.commit, put_record(self.at, "l"),
                   delete_record(self.at, "none"))
        self.put("m")
        self.assertEqual(next(stream).record.key, "m")

    def test_more_than_fits_in_one_page(self):
        count = 3000
        for start in range(0, count, 500):
            self.client.commit(*[put_record(self.at, f"{n:05}", b"x" * 3000)
                                 for n in range(start, start + 500)])
        mirror = Mirror(self)
        mirror.follow(self.watch(), count)
        self.assertEqual(list(mirror.records), [f"{n:05}" for n in range(count)])

    def test_many_watchers_at_once(self):
        streams = [self.watch(client=self.storage.another() if n % 10 == 0 else None)
                   for n in range(50)]
        for number in range(60):
            self.put(f"k{number % 7}", str(number).encode())
        wanted = {r.key: r for r in self.client.all_records(self.at)}
        for stream in streams:
            mirror = Mirror(self)
            mirror.follow(stream, 60)
            self.assertEqual(mirror.records, wanted)

    def test_a_list_and_a_watch_from_its_revision_miss_nothing(self):
        """While others write."""
        stop = threading.Event()

        def load(client, number):
            turn = 0
            while not stop.is_set():
                turn += 1
                key = f"k{(turn * 7 + number) % 10}"
                if turn % 5 == 0:
                    try:
                        client.delete_record(self.at, key)
                    except kit.grpc.RpcError:
                        pass  # the other one was faster
                else:
                    client.put_record(self.at, key, f"{number} {turn}".encode())

        writers = [threading.Thread(target=load, args=(self.storage.another(), n)) for n in range(3)]
        for writer in writers:
            writer.start()
        watched = []
        try:
            for _ in range(10):
                # Pages of different moments: the first one's revision is the one to watch from.
                first = self.client.list_records(self.at, limit=3)
                mirror = Mirror(self, first.revision)
                records, token = list(first.records), first.next_page_token
                while token:
                    page = self.client.list_records(self.at, limit=3, page_token=token)
                    records, token = records + list(page.records), page.next_page_token
                mirror.records = {r.key: r for r in records}
                watched.append((mirror, self.watch(after=first.revision)))
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        last = self.put("end", b"end")
        wanted = {r.key: r for r in self.client.all_records(self.at)}
        for mirror, stream in watched:
            mirror.follow(stream, last)
            self.assertEqual(mirror.records, wanted)


class HistoryTest(kit.Case):
    def test_writes_that_are_not_known_any_more(self):
        history = 100
        client = self.fresh(watch_history=history).client
        at = "conformance/c"
        client.put_record(at, "old")
        for start in range(0, 400, 50):
            client.commit(*[put_record(at, f"{n:04}") for n in range(start, start + 50)])
        client.delete_record(at, "0399")
        client.put_record("conformance/quiet", "k")
        state = {c.collection: c for c in client.collections()}
        self.assertEqual(state[at].revision, 402)
        known = state[at].watchable_from
        self.assertGreater(known, 0)
        self.assertLessEqual(known, 402 - history)
        for after in (0, 1, known - 1):
            with self.subTest(after):
                self.ends(OUT_OF_RANGE, client.watch_records(at, after=after))
        for after in (known, known + 1, 401):
            stream = client.watch_records(at, after=after)
            mirror = Mirror(self, after)
            mirror.follow(stream, 402)
            stream.cancel()
            # 0399 was deleted: of its two writes the last one may be all that is given.
            wanted = {f"{revision - 2:04}" for revision in range(after + 1, 401)}
            self.assertEqual(set(mirror.records), wanted)
        stream = client.watch_records("conformance/quiet")
        self.assertEqual(next(stream).revision, 1)
        stream.cancel()
        self.assertEqual(len(client.all_records(at)), 400)

    def test_a_watcher_that_is_too_slow(self):
        """It is told, or it misses nothing."""
        client = self.fresh(watch_history=100).client
        at = "conformance/c"
        client.put_record(at, "first")
        stream = client.watch_records(at)
        mirror = Mirror(self)
        mirror.take(next(stream))
        for start in range(0, 4000, 100):
            client.commit(*[put_record(at, f"{n:05}", b"x" * 5000)
                            for n in range(start, start + 100)])
        try:
            mirror.follow(stream, 4001)
            self.assertEqual(len(mirror.records), 4001)
        except kit.grpc.RpcError as error:
            self.assertEqual(error.code(), OUT_OF_RANGE, error.details())
            self.assertEqual(sorted(mirror.records)[:-1],
                             [f"{n:05}" for n in range(len(mirror.records) - 1)])
        stream.cancel()

    def test_deletes_are_known_as_long(self):
        history = 100
        client = self.fresh(watch_history=history).client
        at = "conformance/c"
        for _ in range(150):
            client.put_record(at, "k")
            client.delete_record(at, "k")
        known = {c.collection: c for c in client.collections()}[at].watchable_from
        stream = client.watch_records(at, after=known)
        mirror = Mirror(self, known)
        mirror.follow(stream, 300)
        self.assertEqual(mirror.records, {})
        stream.cancel()
