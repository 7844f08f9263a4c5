"""Serves the model over gRPC: what the suite itself is tested with (selftest.py). It keeps nothing
over a restart and is slow; as a description of the contract it may be of use to who writes a back end."""

import argparse
import concurrent.futures
import threading
import time

import grpc

import protos
from kit import FAILED_PRECONDITION, OUT_OF_RANGE, UNAVAILABLE
from model import Model, Refused, require
from protos import snapshots as snap


WRITES = ("put", "delete", "append", "ack", "forget", "commit", "clean")


class Server:
    def __init__(self, model=None, port=0):
        self.model = model or Model()
        self.changed = threading.Condition(threading.RLock())
        self.one_load = threading.Lock()
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=256))
        for package, part, calls in (
                (protos.messages_rpc, "messages", {
                    "PutBatch": "put", "GetBatch": "get", "DeleteBatch": "delete"}),
                (protos.mailboxes_rpc, "mailboxes", {
                    "Append": "append", "Read": "read", "Ack": "ack", "Cursors": "cursors",
                    "DeleteCursor": "forget", "List": "list", "Delete": "delete"}),
                (protos.records_rpc, "records", {
                    "Get": "get", "Put": "put", "Delete": "delete", "List": "list",
                    "Commit": "commit", "Collections": "collections"})):
            servicer = type("Servicer", (), {
                method: self.unary(part, call) for method, call in calls.items()})()
            if part == "mailboxes":
                servicer.Watch = self.watch_mailbox
                package.add_MailboxesServicer_to_server(servicer, self.server)
            elif part == "records":
                servicer.Watch = self.watch_records
                package.add_RecordsServicer_to_server(servicer, self.server)
            else:
                package.add_ServiceServicer_to_server(servicer, self.server)
        cleaner = type("Cleaner", (), {"Clean": self.unary("messages", "clean")})()
        protos.cleaner_rpc.add_ServiceServicer_to_server(cleaner, self.server)
        snapshots = type("Snapshots", (), {})()
        snapshots.Dump, snapshots.Load = self.dump, self.load
        protos.snapshots_rpc.add_SnapshotsServicer_to_server(snapshots, self.server)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{port}")
        self.server.start()

    def ready(self):
        require(not self.model.loading, "a load has not ended: load again", FAILED_PRECONDITION)

    def unary(self, part, call):
        def handle(_self, request, context):
            try:
                with self.changed:
                    self.ready()
                    require(call not in WRITES or not self.model.replacing,
                            "what is stored is being replaced", UNAVAILABLE)
                    require(call not in WRITES or not self.model.moved,
                            f"it was moved to {self.model.moved}", UNAVAILABLE)
                    answer = getattr(getattr(self.model, part), call)(request)
                    self.changed.notify_all()
                    copy = type(answer)()
                    copy.CopyFrom(answer)
                    return copy
            except Refused as refusal:
                return context.abort(refusal.code, refusal.text)
        return handle

    def watch_mailbox(self, request, context):
        try:
            epoch, after = request.epoch, request.after
            while context.is_active():
                with self.changed:
                    self.ready()
                    box = self.model.mailboxes.find(request.mailbox, epoch)
                    found = []
                    if box:
                        epoch = box.epoch
                        require(not after or after + 1 >= box.first, "expired", OUT_OF_RANGE)
                        found = [self.model.mailboxes.entry(box, n)
                                 for n in range(max(after + 1, box.first), box.last + 1)]
                    if not found:
                        self.changed.wait(0.5)
                for entry in found:
                    after = entry.sequence
                    yield entry
        except Refused as refusal:
            context.abort(refusal.code, refusal.text)

    def watch_records(self, request, context):
        try:
            at = type(request)()
            at.CopyFrom(request)
            while context.is_active():
                with self.changed:
                    self.ready()
                    found = self.model.records.changes(at)
                    if not found:
                        self.changed.wait(0.5)
                for change in found:
                    at.after = change.revision
                    yield change
        except Refused as refusal:
            context.abort(refusal.code, refusal.text)

    def dump(self, request, context):
        try:
            with self.changed:
                self.ready()
                require(not request.replacing or self.model.replacing,
                        "nothing is being replaced", FAILED_PRECONDITION)
                items = self.model.dump()
        except Refused as refusal:
            context.abort(refusal.code, refusal.text)
        for item in items:
            yield snap.SnapshotChunk(items=[item])

    def load(self, chunks, context):
        if not self.one_load.acquire(blocking=False):
            context.abort(FAILED_PRECONDITION, "there is another load")
        try:
            return self.model.load(item for chunk in chunks for item in chunk.items)
        except Refused as refusal:
            return context.abort(refusal.code, refusal.text)
        finally:
            self.one_load.release()

    def stop(self):
        self.server.stop(0).wait()


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=0)
    server = Server(port=arguments.parse_args().port)
    print(f"serving on 127.0.0.1:{server.port}", flush=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        server.stop()


if __name__ == "__main__":
    main()
