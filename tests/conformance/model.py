"""The contract of the storage services in plain Python, for one thread: what a back end has to
answer. Requests and answers are those of the .proto files; what is refused raises Refused.

Left out: retention, and limits of bytes. The cases that need those look at them directly.
"""

import itertools
import time

from google.protobuf import timestamp_pb2

import protos
from kit import (ALREADY_EXISTS, DATA_LOSS, FAILED_PRECONDITION, INVALID_ARGUMENT, NOT_FOUND,
                 OUT_OF_RANGE)
from protos import mailboxes as mb
from protos import records as rec
from protos import snapshots as snap


class Refused(Exception):
    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


def require(condition, text, code=INVALID_ARGUMENT):
    if not condition:
        raise Refused(code, text)


def timestamp():
    now = time.time_ns() // 1_000_000
    return timestamp_pb2.Timestamp(seconds=now // 1000, nanos=now % 1000 * 1_000_000)


def size(text):
    return len(text.encode())


class Messages:
    def __init__(self, model):
        self.model = model
        self.there = {}  # id -> (event, time)

    def put(self, request):
        require(len(request.msgs) <= self.model.max_batch, "more than max_batch")
        stored = 0
        for index, event in enumerate(request.msgs):
            problem = self.problem(event)
            if problem:
                require(index, f"msgs[{index}] (id \"{event.id}\"): {problem[1]}", problem[0])
                break
            self.there.setdefault(event.id, (event, timestamp()))
            stored += 1
        return protos.messages.PutBatchResponse(ackCount=stored)

    def problem(self, event):
        for field in ("id", "source", "type", "spec_version"):
            if not getattr(event, field):
                return INVALID_ARGUMENT, f"{field} is empty"
        if event.ByteSize() > self.model.max_message:
            return INVALID_ARGUMENT, "larger than max_message"
        if event.id in self.there and self.there[event.id][0] != event:
            return ALREADY_EXISTS, "another message with this id is stored"
        return None

    def get(self, request):
        require(len(request.ids) <= self.model.max_batch, "more than max_batch")
        return protos.messages.GetBatchResponse(
            msgs=[self.there[id][0] for id in request.ids if id in self.there])

    def delete(self, request):
        require(len(request.ids) <= self.model.max_batch, "more than max_batch")
        gone = [self.there.pop(id) for id in request.ids if id in self.there]
        return protos.messages.DeleteBatchResponse(ackCount=len(gone))

    def clean(self, _request):
        return protos.cleaner.CleanResponse()


class Mailbox:
    def __init__(self, epoch):
        self.epoch = epoch
        self.first = 1
        self.last = 0
        self.entries = {}  # sequence -> key of the delivery
        self.cursors = {}  # device -> mb.Cursor


class Delivery:
    def __init__(self, message, time, positions):
        self.message = message
        self.time = time
        self.positions = positions
        self.copies = len(positions)  # mailboxes that have it still


class Mailboxes:
    def __init__(self, model):
        self.model = model
        self.boxes = {}
        self.deliveries = {}  # (source, id) -> Delivery
        # Gives the epoch of a mailbox that begins.
        self.new_epoch = self.next_epoch
        self.last_epoch = 0

    def next_epoch(self, _mailbox):
        self.last_epoch = max(self.last_epoch + 1, time.time_ns() // 1000)
        return self.last_epoch

    @staticmethod
    def check(mailbox):
        require(1 <= size(mailbox) <= 1024, "a mailbox's name has 1 to 1024 bytes")

    def find(self, mailbox, epoch):
        self.check(mailbox)
        box = self.boxes.get(mailbox)
        require(not epoch or (box and box.epoch == epoch), "another epoch", FAILED_PRECONDITION)
        return box

    def append(self, request):
        message = request.message
        require(message.event.id and message.event.source, "a message has a source and an id")
        require(request.recipients, "no recipient")
        names = list(dict.fromkeys(request.recipients))
        require(len(names) <= self.model.max_recipients, "more than max_recipients")
        for name in names:
            self.check(name)
        require(message.ByteSize() <= self.model.max_message, "larger than max_message")
        key = (message.event.source, message.event.id)
        known = self.deliveries.get(key)
        if known:
            require(known.message == message, "other content", ALREADY_EXISTS)
            return mb.AppendResponse(positions=self.there(known), duplicate=True, time=known.time)
        positions = []
        for name in names:
            box = self.boxes.get(name)
            if box is None:
                box = self.boxes[name] = Mailbox(self.new_epoch(name))
            box.last += 1
            box.entries[box.last] = key
            positions.append(mb.Position(mailbox=name, epoch=box.epoch, sequence=box.last))
        when = timestamp()
        require(not request.HasField("time") or request.time.ToNanoseconds() >= 0, "before 1970")
        if request.HasField("time") and request.time.ToNanoseconds() < when.ToNanoseconds():
            when.FromNanoseconds(request.time.ToNanoseconds() // 1_000_000 * 1_000_000)
        delivery = self.deliveries[key] = Delivery(message, when, positions)
        return mb.AppendResponse(positions=positions, time=delivery.time)

    def there(self, delivery):
        """Its positions but those in mailboxes that are gone."""
        return [p for p in delivery.positions
                if p.mailbox in self.boxes and self.boxes[p.mailbox].epoch == p.epoch]

    def entry(self, box, sequence):
        delivery = self.deliveries[box.entries[sequence]]
        return mb.Entry(sequence=sequence, time=delivery.time, message=delivery.message,
                        epoch=box.epoch)

    def read(self, request):
        box = self.find(request.mailbox, request.epoch)
        if box is None:
            return mb.ReadResponse(first=1)
        limit = min(request.limit or self.model.max_batch, self.model.max_batch)
        wanted = range(max(request.after + 1, box.first), box.last + 1)[:limit]
        return mb.ReadResponse(entries=[self.entry(box, n) for n in wanted], epoch=box.epoch,
                               first=box.first, last=box.last)

    def ack(self, request):
        require(1 <= size(request.device) <= 256, "a device's name has 1 to 256 bytes")
        box = self.find(request.mailbox, request.epoch)
        require(box and request.sequence <= box.last, "beyond the end", OUT_OF_RANGE)
        cursor = box.cursors.get(request.device)
        if cursor is None or cursor.sequence < request.sequence:
            cursor = box.cursors[request.device] = mb.Cursor(
                device=request.device, sequence=request.sequence, time=timestamp())
        return cursor

    def cursors(self, request):
        box = self.find(request.mailbox, 0)
        if box is None:
            return mb.CursorsResponse()
        return mb.CursorsResponse(cursors=self.sorted_cursors(box), epoch=box.epoch)

    @staticmethod
    def sorted_cursors(box):
        return [box.cursors[device] for device in sorted(box.cursors, key=str.encode)]

    def forget(self, request):
        require(1 <= size(request.device) <= 256, "a device's name has 1 to 256 bytes")
        box = self.find(request.mailbox, 0)
        require(box and box.cursors.pop(request.device, None), "no cursor", NOT_FOUND)
        return mb.DeleteCursorResponse()

    def state(self, name):
        box = self.boxes[name]
        return mb.MailboxState(mailbox=name, epoch=box.epoch, first=box.first, last=box.last)

    def list(self, request):
        names = sorted((n for n in self.boxes if n.startswith(request.prefix)), key=str.encode)
        names = [n for n in names if n.encode() > request.page_token.encode()]
        limit = min(request.limit or self.model.max_batch, self.model.max_batch)
        more = names[limit - 1] if len(names) > limit else ""
        return mb.ListMailboxesResponse(mailboxes=[self.state(n) for n in names[:limit]],
                                        next_page_token=more)

    def delete(self, request):
        self.check(request.mailbox)
        box = self.boxes.pop(request.mailbox, None)
        require(box, "there is none", NOT_FOUND)
        for key in box.entries.values():
            delivery = self.deliveries[key]
            delivery.copies -= 1
            if not delivery.copies:
                del self.deliveries[key]
        return mb.DeleteMailboxResponse()


class Collection:
    def __init__(self):
        self.revision = 0
        self.compacted = 0
        self.records = {}  # key -> rec.Record
        self.written = {}  # key -> revision of its last write, of deleted ones too


class Records:
    def __init__(self, model):
        self.model = model
        self.there = {}

    @staticmethod
    def check_collection(name):
        require(all(name.partition("/")), "MODULE/COLLECTION")

    def check_key(self, request):
        self.check_collection(request.collection)
        require(1 <= size(request.key) <= 1024, "a key has 1 to 1024 bytes")

    def get(self, request):
        self.check_key(request)
        found = self.there.get(request.collection, Collection()).records.get(request.key)
        require(found, "no such record", NOT_FOUND)
        return found

    def put(self, request):
        (revision,) = self.commit_all([rec.Write(put=request)], named=False)
        return rec.PutRecordResponse(revision=revision)

    def delete(self, request):
        (revision,) = self.commit_all([rec.Write(delete=request)], named=False)
        return rec.DeleteRecordResponse(revision=revision)

    def commit(self, request):
        return rec.CommitResponse(revisions=self.commit_all(request.writes, named=True))

    def commit_all(self, writes, named):
        require(len(writes) <= self.model.max_batch, "more than max_batch")
        targets = []
        for index, one in enumerate(writes):
            require(one.WhichOneof("write"), f"writes[{index}] is empty")
            request = getattr(one, one.WhichOneof("write"))
            self.check_key(request)
            if one.WhichOneof("write") == "put":
                require(len(request.value) <= self.model.max_message, "larger than max_message")
                for entry in request.indexes:
                    require(1 <= size(entry.name) <= 64, "an index's name has 1 to 64 bytes")
                    require(size(entry.value) <= 1024, "an index's value has up to 1024 bytes")
            targets.append((request.collection, request.key))
        require(len(set(targets)) == len(targets), "two writes of one record")
        for index, one in enumerate(writes):
            where = f"writes[{index}]: " if named else ""
            self.check_condition(one, where)
        return [self.apply(one) for one in writes]

    def check_condition(self, one, where):
        request = getattr(one, one.WhichOneof("write"))
        there = self.there.get(request.collection, Collection()).records.get(request.key)
        if one.WhichOneof("write") == "delete":
            require(there, where + "no such record", NOT_FOUND)
        elif request.create:
            require(not there, where + "it is there", ALREADY_EXISTS)
        if request.revision:
            require(there and there.revision == request.revision, where + "another revision",
                    FAILED_PRECONDITION)

    def apply(self, one):
        request = getattr(one, one.WhichOneof("write"))
        collection = self.there.setdefault(request.collection, Collection())
        collection.revision += 1
        collection.written[request.key] = collection.revision
        if one.WhichOneof("write") == "delete":
            del collection.records[request.key]
        else:
            collection.records[request.key] = rec.Record(
                key=request.key, value=request.value, revision=collection.revision,
                indexes=request.indexes)
        collection.compacted = max(collection.compacted,
                                   collection.revision - self.model.watch_history)
        return collection.revision

    def list(self, request):
        self.check_collection(request.collection)
        collection = self.there.get(request.collection, Collection())
        if request.HasField("index"):
            require(not request.prefix, "either a prefix or an index")
            require(1 <= size(request.index.name) <= 64, "an index's name has 1 to 64 bytes")
            found = self.by_index(collection, request)
        else:
            found = [(key.encode(), record) for key, record in collection.records.items()
                     if key.startswith(request.prefix)]
        if request.after:
            require(not request.index_prefix, "either a key to begin behind or a prefix of an index")
            require(not request.page_token, "either a key to begin behind or a page's token")
            found = [(place, record) for place, record in found
                     if record.key.encode() > request.after.encode()]
        # Places are sorted as bytes, and are their own page tokens.
        found = [(place, record) for place, record in sorted(found, key=lambda pair: pair[0])
                 if place.hex() > request.page_token]
        limit = min(request.limit or self.model.max_batch, self.model.max_batch)
        answer = rec.ListRecordsResponse(revision=collection.revision)
        for _, record in found[:limit]:
            answer.records.add().CopyFrom(record)
            if request.keys_only:
                answer.records[-1].value = b""
        if len(found) > limit:
            answer.next_page_token = found[limit - 1][0].hex()
        return answer

    @staticmethod
    def by_index(collection, request):
        found = []
        for key, record in collection.records.items():
            for entry in record.indexes:
                value, wanted = entry.value, request.index.value
                if entry.name == request.index.name and (
                        value == wanted or (request.index_prefix and value.startswith(wanted))):
                    # An end that sorts before whatever follows, so that "a" is before "a\0".
                    escaped = value.encode().replace(b"\0", b"\0\1") + b"\0\0"
                    found.append((escaped + key.encode(), record))
        return found

    def changes(self, request):
        """The last writes after a revision, in order."""
        self.check_collection(request.collection)
        collection = self.there.get(request.collection, Collection())
        require(collection.compacted <= request.after <= collection.revision,
                "not known any more", OUT_OF_RANGE)
        found = []
        for key, revision in sorted(collection.written.items(), key=lambda pair: pair[1]):
            if revision > request.after and key.startswith(request.prefix):
                record = collection.records.get(key)
                found.append(rec.Change(record=record or rec.Record(key=key),
                                        deleted=record is None, revision=revision))
        return found

    def collections(self, _request):
        return rec.CollectionsResponse(collections=[
            rec.Collection(collection=name, revision=self.there[name].revision,
                           watchable_from=self.there[name].compacted)
            for name in sorted(self.there, key=str.encode)])


class Model:
    def __init__(self, max_batch=1000, max_message=1 << 20, max_recipients=1000,
                 watch_history=10000):
        self.max_batch = max_batch
        self.max_message = max_message
        self.max_recipients = max_recipients
        self.watch_history = watch_history
        self.loading = False
        self.replacing = False
        self.moved = ""
        self.clear()

    def clear(self):
        self.messages = Messages(self)
        self.mailboxes = Mailboxes(self)
        self.records = Records(self)

    def empty(self):
        return not (self.messages.there or self.mailboxes.boxes or self.mailboxes.deliveries or
                    self.records.there)

    def dump(self):
        items = [snap.SnapshotItem(begin=snap.SnapshotBegin(format=1, time=timestamp()))]
        end = snap.SnapshotEnd()

        def add(count, **item):
            items.append(snap.SnapshotItem(**item))
            setattr(end, count, getattr(end, count) + 1)

        for event, when in self.messages.there.values():
            add("messages", message=snap.TemporaryMessage(event=event.SerializeToString(),
                                                          time=when))
        for name in sorted(self.mailboxes.boxes, key=str.encode):
            box = self.mailboxes.boxes[name]
            add("mailboxes", mailbox=snap.SnapshotMailbox(
                state=self.mailboxes.state(name), cursors=self.mailboxes.sorted_cursors(box)))
        for delivery in self.mailboxes.deliveries.values():
            add("deliveries", delivery=snap.Delivery(
                message=delivery.message.SerializeToString(), time=delivery.time,
                positions=self.mailboxes.there(delivery)))
        names = sorted(self.records.there, key=str.encode)
        for name in names:
            add("collections", collection=snap.SnapshotCollection(
                collection=name, revision=self.records.there[name].revision))
        for name in names:
            for _, record in sorted(self.records.there[name].records.items(),
                                    key=lambda pair: pair[0].encode()):
                add("records", record=snap.SnapshotRecord(collection=name, record=record))
        return items + [snap.SnapshotItem(end=end)]

    def load(self, items):
        """Takes an iterable of items, which may end too early."""
        items = iter(items)
        first = next(items, None)
        items = itertools.chain([] if first is None else [first], items)
        if first is not None and first.begin.replace:
            self.replace(items)
            return snap.LoadResponse(loaded=self.counts)
        return self.load_into_empty(items)

    def replace(self, items):
        """Into another one, whose parts then take the place of these."""
        require(not self.loading, "a load has not ended", FAILED_PRECONDITION)
        other = Model(self.max_batch, self.max_message, self.max_recipients, self.watch_history)
        self.replacing = True
        try:
            start = next(items)
            second = next(items, None)
            if second is not None and second.HasField("moved"):
                require(next(items, None) is None, "something after the end")
                require(len(second.moved.to.encode()) <= 1000, "too long a name")
                self.moved, self.counts = second.moved.to, snap.SnapshotEnd()
                return
            items = itertools.chain([start], [] if second is None else [second], items)
            self.counts = other.load_into_empty(items).loaded
        finally:
            self.replacing = False
        self.moved = ""
        self.messages, self.mailboxes = other.messages, other.mailboxes
        self.records = other.records
        for part in (self.messages, self.mailboxes, self.records):
            part.model = self

    def load_into_empty(self, items):
        require(self.loading or self.empty(), "not empty", FAILED_PRECONDITION)
        self.loading = True
        self.clear()
        counts, keep, stage = snap.SnapshotEnd(), False, None
        items = iter(items)
        order = [field.name for field in snap.SnapshotItem.DESCRIPTOR.fields]
        for item in items:
            kind = item.WhichOneof("item")
            require(kind and kind != "moved" and (stage is None) == (kind == "begin") and
                    order.index(kind) >= order.index(stage or "begin"), "out of order")
            stage = kind
            if kind == "begin":
                require(item.begin.format == 1, "unknown format")
                keep = item.begin.keep_epochs
            elif kind == "end":
                require(item.end == counts, "wrong counts", DATA_LOSS)
                require(next(items, None) is None, "something after the end")
                self.loading, self.moved = False, ""
                return snap.LoadResponse(loaded=counts)
            else:
                plural = {"mailbox": "mailboxes", "delivery": "deliveries"}.get(kind, kind + "s")
                setattr(counts, plural, getattr(counts, plural) + 1)
                getattr(self, "load_" + kind)(getattr(item, kind), keep)
        raise Refused(DATA_LOSS, "no end")

    def load_message(self, item, _keep):
        event = protos.events.CloudEvent.FromString(item.event)
        self.messages.there[event.id] = (event, item.time)

    def load_mailbox(self, item, keep):
        state = item.state
        self.mailboxes.last_epoch = max(self.mailboxes.last_epoch, state.epoch)
        box = Mailbox(state.epoch if keep else self.mailboxes.new_epoch(state.mailbox))
        box.dumped_epoch = state.epoch
        box.first, box.last = state.first, state.last
        box.cursors = {cursor.device: cursor for cursor in item.cursors}
        self.mailboxes.boxes[state.mailbox] = box

    def load_delivery(self, item, _keep):
        message = mb.Message.FromString(item.message)
        key = (message.event.source, message.event.id)
        delivery = self.mailboxes.deliveries[key] = Delivery(message, item.time,
                                                             list(item.positions))
        delivery.copies = 0
        for position in delivery.positions:
            box = self.mailboxes.boxes.get(position.mailbox)
            if box and box.dumped_epoch == position.epoch and position.sequence >= box.first:
                position.epoch = box.epoch
                box.entries[position.sequence] = key
                delivery.copies += 1

    def load_collection(self, item, keep):
        collection = self.records.there[item.collection] = Collection()
        collection.revision = item.revision
        if not keep:
            collection.revision += time.time_ns() // 1000
        collection.compacted = collection.revision

    def load_record(self, item, _keep):
        require(item.collection in self.records.there, "a record of no collection")
        self.records.there[item.collection].records[item.record.key] = item.record
