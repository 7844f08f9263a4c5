"""What the cases stand on: a short-handed client of all storage services, the storage under test,
and the base of all cases."""

import itertools
import os
import re
import subprocess
import unittest

import grpc

import protos
from protos import mailboxes as mb
from protos import records as rec
from protos import snapshots as snap

TIMEOUT = 60  # seconds: of every call, so that what hangs fails

OK = grpc.StatusCode.OK
INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
ALREADY_EXISTS = grpc.StatusCode.ALREADY_EXISTS
RESOURCE_EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
OUT_OF_RANGE = grpc.StatusCode.OUT_OF_RANGE
DATA_LOSS = grpc.StatusCode.DATA_LOSS
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
DEADLINE_EXCEEDED = grpc.StatusCode.DEADLINE_EXCEEDED


# ---- what is sent

def event(id, text="text", **fields):
    values = {"source": "/conformance", "spec_version": "1.0", "type": "example", "text_data": text}
    values.update(fields)
    return protos.events.CloudEvent(id=id, **values)


def message(id, text="text", sender="ann@example.org/phone", to=("bob@example.org",), **fields):
    made = mb.Message(event=event(id, text, **fields), to=to)
    setattr(made, "from", sender)
    return made


def put_record(collection, key, value=b"", indexes=(), **condition):
    entries = [rec.IndexEntry(name=name, value=text) for name, text in indexes]
    return rec.PutRecordRequest(collection=collection, key=key, value=value, indexes=entries,
                                **condition)


def delete_record(collection, key, revision=0):
    return rec.DeleteRecordRequest(collection=collection, key=key, revision=revision)


def write(request):
    if isinstance(request, rec.PutRecordRequest):
        return rec.Write(put=request)
    return rec.Write(delete=request)


class Client:
    """All storage services over one channel."""

    def __init__(self, channel):
        self.channel = channel
        self.messages = protos.messages_rpc.ServiceStub(channel)
        self.cleaner = protos.cleaner_rpc.ServiceStub(channel)
        self.mailboxes = protos.mailboxes_rpc.MailboxesStub(channel)
        self.records = protos.records_rpc.RecordsStub(channel)
        self.snapshots = protos.snapshots_rpc.SnapshotsStub(channel)

    # -- messages

    def put(self, *events):
        request = protos.messages.PutBatchRequest(msgs=events)
        return self.messages.PutBatch(request, timeout=TIMEOUT).ackCount

    def get(self, *ids):
        request = protos.messages.GetBatchRequest(ids=ids)
        return list(self.messages.GetBatch(request, timeout=TIMEOUT).msgs)

    def delete(self, *ids):
        request = protos.messages.DeleteBatchRequest(ids=ids)
        return self.messages.DeleteBatch(request, timeout=TIMEOUT).ackCount

    def clean(self):
        return self.cleaner.Clean(protos.cleaner.CleanRequest(), timeout=TIMEOUT).count

    # -- mailboxes

    def append(self, message, *recipients):
        return self.mailboxes.Append(
            mb.AppendRequest(message=message, recipients=recipients), timeout=TIMEOUT)

    def read(self, mailbox, after=0, limit=0, epoch=0):
        return self.mailboxes.Read(
            mb.ReadRequest(mailbox=mailbox, after=after, limit=limit, epoch=epoch), timeout=TIMEOUT)

    def read_all(self, mailbox, limit=0):
        """All entries, in as many pages as it takes."""
        found, after = [], 0
        while True:
            page = self.read(mailbox, after, limit)
            if not page.entries:
                return found
            found += page.entries
            after = page.entries[-1].sequence

    def watch(self, mailbox, after=0, epoch=0):
        return self.mailboxes.Watch(
            mb.WatchMailboxRequest(mailbox=mailbox, after=after, epoch=epoch), timeout=TIMEOUT)

    def ack(self, mailbox, device, sequence, epoch=0):
        return self.mailboxes.Ack(
            mb.AckRequest(mailbox=mailbox, device=device, sequence=sequence, epoch=epoch),
            timeout=TIMEOUT)

    def cursors(self, mailbox):
        return self.mailboxes.Cursors(mb.CursorsRequest(mailbox=mailbox), timeout=TIMEOUT)

    def forget(self, mailbox, device):
        return self.mailboxes.DeleteCursor(
            mb.DeleteCursorRequest(mailbox=mailbox, device=device), timeout=TIMEOUT)

    def list_mailboxes(self, prefix="", limit=0, page_token=""):
        return self.mailboxes.List(
            mb.ListMailboxesRequest(prefix=prefix, limit=limit, page_token=page_token),
            timeout=TIMEOUT)

    def all_mailboxes(self, prefix="", limit=0):
        found, token = [], ""
        while True:
            page = self.list_mailboxes(prefix, limit, token)
            assert not limit or len(page.mailboxes) <= limit, "more than the limit"
            found += page.mailboxes
            token = page.next_page_token
            if not token:
                return found

    def delete_mailbox(self, mailbox):
        return self.mailboxes.Delete(mb.DeleteMailboxRequest(mailbox=mailbox), timeout=TIMEOUT)

    # -- records

    def get_record(self, collection, key):
        return self.records.Get(
            rec.GetRecordRequest(collection=collection, key=key), timeout=TIMEOUT)

    def put_record(self, *arguments, **fields):
        return self.records.Put(put_record(*arguments, **fields), timeout=TIMEOUT).revision

    def delete_record(self, collection, key, revision=0):
        return self.records.Delete(
            delete_record(collection, key, revision), timeout=TIMEOUT).revision

    def list_records(self, collection, **fields):
        index = fields.pop("index", None)
        if index is not None:
            fields["index"] = rec.IndexEntry(name=index[0], value=index[1])
        return self.records.List(
            rec.ListRecordsRequest(collection=collection, **fields), timeout=TIMEOUT)

    def all_records(self, collection, **fields):
        found, token = [], ""
        while True:
            page = self.list_records(collection, page_token=token, **fields)
            found += page.records
            token = page.next_page_token
            if not token:
                return found

    def watch_records(self, collection, after=0, prefix=""):
        return self.records.Watch(
            rec.WatchRecordsRequest(collection=collection, after=after, prefix=prefix),
            timeout=TIMEOUT)

    def commit(self, *requests):
        return list(self.records.Commit(
            rec.CommitRequest(writes=[write(r) for r in requests]), timeout=TIMEOUT).revisions)

    def collections(self):
        answer = self.records.Collections(rec.CollectionsRequest(), timeout=TIMEOUT)
        return list(answer.collections)

    # -- snapshots

    def dump(self):
        """All items."""
        chunks = self.snapshots.Dump(snap.DumpRequest(), timeout=TIMEOUT)
        return [item for chunk in chunks for item in chunk.items]

    def load(self, items, at_once=50):
        parts = [items[i:i + at_once] for i in range(0, len(items), at_once)]
        return self.snapshots.Load(
            iter([snap.SnapshotChunk(items=part) for part in parts]), timeout=2 * TIMEOUT).loaded


# ---- what is tested

class Target:
    """The storage under test: a back end that is started here, or a host that runs already."""

    def __init__(self, options):
        self.options = options
        self.module = options.module
        self.numbers = itertools.count(1)
        self.channels = []
        self.main = None
        self.restarts = not options.server

    def shared(self):
        """The storage that all cases share."""
        if self.main is None:
            if self.options.server:
                self.main = Storage(None, self.options.server)
            else:
                self.main = self.fresh({})
        return self.main

    def fresh(self, settings):
        """Another, empty storage, with these settings of the module. discard() it."""
        if self.options.server:
            raise unittest.SkipTest("needs a host that the suite starts: --module")
        from host_fixture import Host  # of the repository: only then  # noqa: PLC0415
        name = f"conformance_{os.getpid()}_{next(self.numbers)}"
        values = {}
        for text in self.options.set:
            key, _, value = text.partition("=")
            values[key] = value.replace("{name}", name)
        for key, value in settings.items():
            values[f"{self.module}.{key}"] = str(value)

        def started():
            host = Host(settings=values, modules=[self.module])
            host.start()
            return host

        self.command(self.options.create, name)
        try:
            host = started()
        except BaseException:
            self.command(self.options.drop, name)
            raise
        storage = Storage(host, None, lambda: self.command(self.options.drop, name))
        storage.sibling = lambda: Storage(started(), None)
        return storage

    @staticmethod
    def command(template, name):
        if callable(template):
            template(name)
        elif template:
            subprocess.run(template.replace("{name}", name), shell=True, check=True,
                           stdin=subprocess.DEVNULL)

    def close(self):
        if self.main is not None:
            self.main.discard()
        self.main = None


class Storage:
    """One store and the host that serves it."""

    def __init__(self, host, address, drop=lambda: None):
        self.host = host
        self.address = address
        self.drop = drop
        self.channels = []
        self.client = self.another()

    def another(self):
        """A client with a connection of its own."""
        address = self.address or f"127.0.0.1:{self.host.port}"
        channel = grpc.insecure_channel(address, options=[
            ("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 64 << 20)])
        self.channels.append(channel)
        return Client(channel)

    def close(self):
        for channel in self.channels:
            channel.close()
        self.channels = []

    def restart(self, kill=False):
        self.close()
        if kill:
            self.host.kill()
            self.host.start()
        else:
            self.host.restart()
        self.client = self.another()

    def discard(self):
        self.close()
        if self.host is not None:
            try:
                if self.host.alive():
                    code = self.host.stop()
                    assert code == 0, f"exit code {code} after SIGTERM:\n{self.host.text()}"
                else:
                    raise AssertionError(f"the host ended by itself:\n{self.host.text()}")
            finally:
                self.host.discard()
                self.drop()


target = None  # the Target; set by run.py
_numbers = itertools.count(1)


class Case(unittest.TestCase):
    """A case on the shared storage. What it makes has names of its own, from name()."""

    maxDiff = 4000

    def setUp(self):
        self.storage = target.shared()
        self.client = self.storage.client

    def name(self, what="n"):
        """A name that no other case and no run before uses."""
        return f"{what}_{os.getpid()}_{os.urandom(3).hex()}_{next(_numbers)}"

    def mailbox(self):
        return self.name("box") + "@example.org"

    def collection(self):
        return "conformance/" + self.name("c")

    def fresh(self, **settings):
        """An empty storage for this case alone."""
        storage = target.fresh(settings)
        self.addCleanup(storage.discard)
        return storage

    def fails(self, code, call, *arguments, **fields):
        """The call has to fail with this code (or one of these); gives the error's text."""
        codes = code if isinstance(code, tuple) else (code,)
        with self.assertRaises(grpc.RpcError) as caught:
            answer = call(*arguments, **fields)
            if isinstance(answer, grpc.Call) and hasattr(answer, "__next__"):
                next(answer)
        self.assertIn(caught.exception.code(), codes, caught.exception.details())
        return caught.exception.details()

    def invalid(self, call, *arguments, **fields):
        return self.fails(INVALID_ARGUMENT, call, *arguments, **fields)

    def ends(self, code, stream):
        """The stream has to give nothing more but this code."""
        with self.assertRaises(grpc.RpcError) as caught:
            surplus = next(stream)
            self.fail(f"instead of the end: {surplus}")
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        return caught.exception.details()

    def take(self, stream, count):
        return [next(stream) for _ in range(count)]


def names_index(text, index):
    """Does an error's text name this index?"""
    return re.search(rf"(?<![0-9]){index}(?![0-9])", text) is not None


# Names that databases like to get wrong, in the order of their bytes: case, collation, wildcards,
# composed and decomposed letters, NUL, the ends of ranges, UTF-8 against UTF-16.
AWKWARD = sorted(
    ["\0", "\0\0", "\0a", " ", "  ", "%", "%a", "'", "''; --", "*", "-", "/", "0", "10", "2", "A",
     "AB", "Z", "[a]", "\\", "\\%", "_", "_a", "a", "a ", "a\0", "a\0b", "a%", "aB", "a_b", "ab", "aé",
     "b", "z", "zz", "\x7f", "\x7fa", "\x80", "é", "e\u0301", "ß", "ss", "ı", "I", "i", "İ", "\u07ff",
     "\u07ffa", "\u0800", "\ud7ff", "\ue000", "\uffff", "\uffffa", "\U00010000", "\U0001f600",
     "\U0010ffff", "\U0010ffff\U0010ffff", "\U0010ffffa", "{}", "$1", "\n", "\r\n", "\t", "null"],
    key=lambda text: text.encode())
