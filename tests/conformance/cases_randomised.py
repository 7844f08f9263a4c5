"""Random operations on all services, on the storage and on the model (model.py): every answer has
to be the same, and from time to time all that is stored. --seed repeats a run."""

import random

import kit
import protos
from cases_snapshots import keep_epochs
from kit import AWKWARD, put_record, write
from model import Model, Refused
from protos import mailboxes as mb
from protos import records as rec

RESTART_AFTER = 400  # operations
MOVE_AFTER = 1200
MOVES = 5


class Run:
    """One run: makes requests, and does each in both places."""

    def __init__(self, case, storage, seed):
        self.case = case
        self.storage = storage
        self.random = random.Random(seed)
        self.model = Model()
        self.model.mailboxes.new_epoch = self.adopt_epoch
        self.step = 0
        # Names of this run's own: the storage may hold others.
        self.own = case.name("run")
        chosen = self.random.sample(AWKWARD, 12)
        self.texts = chosen + ["a", "ab", "abc", "b"]
        self.boxes = [self.own + text for text in self.texts[:10]]
        self.collections = [f"conformance/{self.own}{n}" for n in range(3)]
        self.epochs = {}   # mailbox -> the last that was seen
        self.answer = None
        self.times = {}    # of entries, when they were first seen
        self.actions = [
            (8, self.put), (4, self.get), (3, self.delete), (14, self.append), (6, self.read),
            (8, self.ack), (2, self.cursors), (2, self.forget), (2, self.list_mailboxes),
            (1, self.delete_mailbox), (12, self.put_record), (5, self.delete_record),
            (5, self.get_record), (4, self.list_records), (6, self.commit), (1, self.collections_),
            (2, self.watch_mailbox), (2, self.watch_records)]

    # -- both places

    def adopt_epoch(self, mailbox):
        """The storage chooses the epoch of a mailbox that begins; it has to be larger."""
        epoch = next(p.epoch for p in self.answer.positions if p.mailbox == mailbox)
        self.case.assertGreater(epoch, self.epochs.get(mailbox, 0), "not a larger epoch")
        self.epochs[mailbox] = epoch
        return epoch

    def both(self, call, of_model, request):
        """Gives the answer, or None if it was refused."""
        client = self.storage.client
        what = f"operation {self.step}: {call}\n{request}"
        try:
            service, method = call.split(".")
            self.answer = getattr(getattr(client, service), method)(request, timeout=kit.TIMEOUT)
            code = kit.OK
        except kit.grpc.RpcError as error:
            self.answer, code = None, error.code()
            what += f"\n{error.details()}"
        try:
            expected, expected_code = of_model(request), kit.OK
        except Refused as refusal:
            expected, expected_code = None, refusal.code
            what += f"\n(model: {refusal})"
        except StopIteration:
            self.case.fail(f"a mailbox should have begun: {what}\n{self.answer}")
        self.case.assertEqual(code, expected_code, what)
        self.case.assertEqual(self.plain(self.answer), self.plain(expected), what)
        return self.answer

    def plain(self, answer):
        """Without what the model cannot know."""
        if answer is None:
            return None
        copy = type(answer)()
        copy.CopyFrom(answer)
        if isinstance(copy, mb.ReadResponse):
            for entry in copy.entries:
                entry.ClearField("time")
        elif isinstance(copy, mb.CursorsResponse):
            for cursor in copy.cursors:
                cursor.ClearField("time")
        elif isinstance(copy, mb.Cursor):
            copy.ClearField("time")
        elif isinstance(copy, (rec.ListRecordsResponse, mb.ListMailboxesResponse)):
            copy.next_page_token = "there" if copy.next_page_token else ""
        elif isinstance(copy, mb.AppendResponse):
            copy.ClearField("time")
        for record in getattr(copy, "records", [copy] if isinstance(copy, rec.Record) else []):
            sort_indexes(record)
        return copy

    # -- texts

    def one(self, *choices):
        return self.random.choice(choices)

    def id(self):
        return self.own + self.one(*self.texts) + str(self.random.randrange(8))

    def event(self, id=None):
        return kit.event(self.id() if id is None else id, self.one("x", "y", "y", "z" * 3000))

    def box(self):
        return self.random.choice(self.boxes)

    def some_epoch(self, box):
        known = self.epochs.get(box, 0)
        return self.one(0, 0, 0, known, known, known + 1)

    # -- messages

    def put(self):
        events = [self.event("" if self.random.random() < 0.02 else None)
                  for _ in range(self.one(0, 1, 1, 2, 5))]
        self.both("messages.PutBatch", self.model.messages.put,
                  protos.messages.PutBatchRequest(msgs=events))

    def get(self):
        ids = [self.id() for _ in range(self.random.randrange(10))]
        self.both("messages.GetBatch", self.model.messages.get,
                  protos.messages.GetBatchRequest(ids=ids))

    def delete(self):
        ids = [self.id() for _ in range(self.random.randrange(4))]
        self.both("messages.DeleteBatch", self.model.messages.delete,
                  protos.messages.DeleteBatchRequest(ids=ids))

    # -- mailboxes

    def append(self):
        id = self.own + self.one("s", f"r{self.step}", f"r{self.step}") + str(self.random.randrange(20))
        sent = kit.message(id, self.one("x", "x", "x", "x", "y"),
                           source=self.one("/a", "/a", "/a", "/b", ""))
        recipients = [self.box() for _ in range(self.one(0, 1, 1, 1, 2, 3, 6))]
        self.both("mailboxes.Append", self.model.mailboxes.append,
                  mb.AppendRequest(message=sent, recipients=recipients))

    def read(self):
        box = self.box()
        answer = self.both("mailboxes.Read", self.model.mailboxes.read, mb.ReadRequest(
            mailbox=box, after=self.one(0, 0, self.random.randrange(200)),
            limit=self.one(0, 1, 3, 50), epoch=self.some_epoch(box)))
        for entry in answer.entries if answer else ():
            first = self.times.setdefault((box, entry.epoch, entry.sequence), entry.time)
            self.case.assertEqual(entry.time, first, "a message's time changed")

    def ack(self):
        box = self.box()
        last = self.model.mailboxes.boxes[box].last if box in self.model.mailboxes.boxes else 0
        epoch = self.some_epoch(box)
        # One thing wrong at a time: which of two is said is not defined.
        right = epoch in (0, self.epochs.get(box)) and last
        sequence = self.random.randint(1, last + (2 if right else 0)) if last else 1
        if not last:
            epoch = 0
        self.both("mailboxes.Ack", self.model.mailboxes.ack, mb.AckRequest(
            mailbox=box, device=self.one("phone", *self.texts[:3]), sequence=sequence, epoch=epoch))

    def cursors(self):
        self.both("mailboxes.Cursors", self.model.mailboxes.cursors,
                  mb.CursorsRequest(mailbox=self.box()))

    def forget(self):
        self.both("mailboxes.DeleteCursor", self.model.mailboxes.forget, mb.DeleteCursorRequest(
            mailbox=self.box(), device=self.one("phone", *self.texts[:3])))

    def list_mailboxes(self):
        prefix = self.own + self.one("", *self.texts)
        request = mb.ListMailboxesRequest(prefix=prefix, limit=self.one(0, 1, 2, 5))
        self.pages("mailboxes.List", self.model.mailboxes.list, request)

    def delete_mailbox(self):
        self.both("mailboxes.Delete", self.model.mailboxes.delete,
                  mb.DeleteMailboxRequest(mailbox=self.box()))

    def pages(self, call, of_model, request):
        """All pages, each place with tokens of its own."""
        tokens = {"theirs": "", "ours": ""}

        def model(asked):
            copy = type(asked)()
            copy.CopyFrom(asked)
            copy.page_token = tokens["ours"]
            answer = of_model(copy)
            tokens["ours"] = answer.next_page_token
            return answer

        while True:
            request.page_token = tokens["theirs"]
            answer = self.both(call, model, request)
            if answer is None or not answer.next_page_token:
                return
            tokens["theirs"] = answer.next_page_token

    def watch_mailbox(self):
        name = self.box()
        box = self.model.mailboxes.boxes.get(name)
        if box is None:
            return
        after = self.random.randint(0, box.last)
        stream = self.storage.client.watch(name, after, self.one(0, box.epoch))
        for number in range(after + 1, box.last + 1):
            entry, expected = next(stream), self.model.mailboxes.entry(box, number)
            entry.ClearField("time")
            expected.ClearField("time")
            self.case.assertEqual(entry, expected)
        stream.cancel()

    # -- records

    def key(self):
        return self.random.choice(self.texts)

    def put_request(self, collection=None, key=None):
        collection = collection or self.random.choice(self.collections)
        key = self.key() if key is None else key
        pairs = {(self.one("n", "m"), self.key()) for _ in range(self.one(0, 0, 1, 2))}
        fields = {}
        kind = self.random.random()
        if kind < 0.2:
            fields["create"] = True
        elif kind < 0.6:
            fields["revision"] = self.revision(collection, key) or 1
        return put_record(collection, key, self.one(b"", b"v", bytes(2000)), sorted(pairs), **fields)

    def revision(self, collection, key):
        """Mostly the right one."""
        there = self.model.records.there.get(collection)
        record = there and there.records.get(key)
        right = record.revision if record else 0
        return right if self.random.random() < 0.8 else right + self.random.randint(1, 3)

    def put_record(self):
        self.both("records.Put", self.model.records.put, self.put_request())

    def delete_request(self):
        collection, key = self.random.choice(self.collections), self.key()
        revision = self.one(0, self.revision(collection, key))
        return kit.delete_record(collection, key, revision)

    def delete_record(self):
        self.both("records.Delete", self.model.records.delete, self.delete_request())

    def get_record(self):
        self.both("records.Get", self.model.records.get, rec.GetRecordRequest(
            collection=self.random.choice(self.collections), key=self.key()))

    def list_records(self):
        request = rec.ListRecordsRequest(
            collection=self.random.choice(self.collections), limit=self.one(0, 1, 3),
            keys_only=self.one(True, False))
        if self.random.random() < 0.5:
            request.prefix = self.one("", *self.texts)
        else:
            request.index.name = self.one("n", "m")
            request.index.value = self.one("", *self.texts)
            request.index_prefix = self.one(True, False)
            if request.index_prefix and self.twice(request):
                return  # whether it is then listed twice is not defined
        self.pages("records.List", self.model.records.list, request)

    def twice(self, request):
        """Does a record have two such entries?"""
        there = self.model.records.there.get(request.collection)
        return there and any(
            sum(e.name == request.index.name and e.value.startswith(request.index.value)
                for e in record.indexes) > 1 for record in there.records.values())

    def commit(self):
        writes, taken = [], set()
        for _ in range(self.one(1, 2, 2, 5)):
            request = self.put_request() if self.random.random() < 0.7 else self.delete_request()
            if (request.collection, request.key) not in taken:
                taken.add((request.collection, request.key))
                writes.append(write(request))
        self.both("records.Commit", self.model.records.commit, rec.CommitRequest(writes=writes))

    def collections_(self):
        found = {c.collection: c.revision for c in self.storage.client.collections()}
        self.case.assertEqual(
            {name: revision for name, revision in found.items() if name in self.collections},
            {name: c.revision for name, c in self.model.records.there.items()})

    def watch_records(self):
        name = self.random.choice(self.collections)
        there = self.model.records.there.get(name)
        if there is None:
            return
        request = rec.WatchRecordsRequest(
            collection=name, prefix=self.one("", "", *self.texts),
            after=self.random.randint(max(there.compacted, there.revision - 30), there.revision))
        expected = self.model.records.changes(request)
        if not expected:
            return
        stream = self.storage.client.records.Watch(request, timeout=kit.TIMEOUT)
        found, last = {}, request.after
        while last < expected[-1].revision:
            change = next(stream)
            self.case.assertGreater(change.revision, last, request)
            self.case.assertTrue(change.record.key.startswith(request.prefix), request)
            last = change.revision
            sort_indexes(change.record)
            found[change.record.key] = change
        stream.cancel()
        for change in expected:
            sort_indexes(change.record)
        self.case.assertEqual(found, {c.record.key: c for c in expected}, request)

    # -- all of it

    def everything(self):
        for box in self.boxes:
            self.both("mailboxes.Read", self.model.mailboxes.read, mb.ReadRequest(mailbox=box))
            self.both("mailboxes.Cursors", self.model.mailboxes.cursors,
                      mb.CursorsRequest(mailbox=box))
        self.pages("mailboxes.List", self.model.mailboxes.list,
                   mb.ListMailboxesRequest(prefix=self.own))
        for name in self.collections:
            self.pages("records.List", self.model.records.list,
                       rec.ListRecordsRequest(collection=name))
        self.collections_()
        ids = [self.own + text + str(n) for text in self.texts for n in range(8)]
        self.both("messages.GetBatch", self.model.messages.get,
                  protos.messages.GetBatchRequest(ids=ids))

    def move(self):
        """To another storage, by a dump that keeps the epochs. What it cannot carry are old writes."""
        items = self.storage.client.dump()
        self.storage = self.case.fresh()
        self.case.assertEqual(self.storage.client.load(keep_epochs(items)), items[-1].end)
        for collection in self.model.records.there.values():
            collection.compacted = collection.revision

    def run(self, operations):
        actions = [action for weight, action in self.actions for _ in range(weight)]
        for self.step in range(1, operations + 1):
            self.random.choice(actions)()
            if self.step % RESTART_AFTER == 0:
                if kit.target.restarts:
                    self.storage.restart(kill=self.step // RESTART_AFTER % 2 == 0)
                    if self.step % MOVE_AFTER == 0 and self.step <= MOVE_AFTER * MOVES:
                        self.move()
                self.everything()
        self.everything()


def sort_indexes(record):
    entries = sorted((e.name, e.value) for e in record.indexes)
    del record.indexes[:]
    record.indexes.extend(rec.IndexEntry(name=n, value=v) for n, v in entries)


class ModelTest(kit.Case):
    def test_like_the_model(self):
        options = kit.target.options
        storage = self.fresh() if kit.target.restarts else self.storage
        run = Run(self, storage, options.seed)
        try:
            run.run(options.operations)
        except BaseException:
            print(f"\nafter {run.step} operations of --seed {options.seed}")
            raise
