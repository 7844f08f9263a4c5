#!/usr/bin/python3
"""Tests the suite itself: the model, served over gRPC, has to pass it, and each of the mutants below,
which break one promise each, has to fail it.

    selftest.py [--mutant NAME] [--group NAME]
"""

import argparse
import io
import os
import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import kit  # noqa: E402
import model  # noqa: E402
import model_server  # noqa: E402
import run  # noqa: E402

# What a Python server does not do: it does not look whether strings are UTF-8.
NOT_OF_THE_MODEL = ("utf8",)


class ModelStorage(kit.Storage):
    def __init__(self, limits):
        self.server = model_server.Server(model.Model(**limits))
        super().__init__(None, f"127.0.0.1:{self.server.port}")

    def sibling(self):
        """Another host on the same storage: here it is the same server."""
        return kit.Storage(None, self.address)

    def restart(self, kill=False):
        raise unittest.SkipTest("the model keeps nothing over a restart")

    def discard(self):
        self.close()
        self.server.stop()


class ModelTarget(kit.Target):
    def fresh(self, settings):
        if "host" in settings or set(settings) - {"watch_history", "max_batch", "max_message",
                                                  "max_recipients"}:
            raise unittest.SkipTest("the model has no such setting")
        sizes = {"10KiB": 10240}
        return ModelStorage({key: sizes.get(value, value) for key, value in settings.items()})


# ---- the mutants: each replaces one function of the model

def lost_index(self, collection, request, original=model.Records.by_index):
    return original(collection, request)[:-1]


def like_prefix(self, request, original=model.Mailboxes.list):
    names = sorted((n for n in self.boxes if n.lower().startswith(request.prefix.lower())),
                   key=str.encode)
    return kit.mb.ListMailboxesResponse(mailboxes=[self.state(n) for n in names])


def cursor_goes_back(self, request, original=model.Mailboxes.ack):
    box = self.boxes.get(request.mailbox)
    if box:
        box.cursors.pop(request.device, None)
    return original(self, request)


def epoch_stays(self, _mailbox):
    return 7


def forgets_duplicates(self, request, original=model.Mailboxes.append):
    key = (request.message.event.source, request.message.event.id)
    known = self.deliveries.get(key)
    if known and known.message == request.message and len(known.positions) > 1:
        self.deliveries[key + ("old",)] = self.deliveries.pop(key)
    return original(self, request)


def half_commit(self, writes, named, original=model.Records.commit_all):
    if named and len(writes) > 1:
        original(self, writes[:1], named)
        return original(self, writes[1:], named)
    return original(self, writes, named)


def watch_skips(self, request, original=model.Records.changes):
    found = original(self, request)
    return [change for change in found if change.revision % 17 != 3] or found


def dump_without_cursors(box):
    return []


def order_of_characters(self, request, original=model.Records.list):
    answer = original(self, request)
    rows = sorted(answer.records, key=lambda r: r.key.encode("utf-16-be"))
    if not request.HasField("index") and not answer.next_page_token:
        del answer.records[:]
        answer.records.extend(rows)
    return answer


def first_conflict_is_no_error(self, request, original=model.Messages.put):
    try:
        return original(self, request)
    except model.Refused as refusal:
        if refusal.code != kit.ALREADY_EXISTS:
            raise
        return model.protos.messages.PutBatchResponse()


def refused_takes_a_revision(self, one, where, original=model.Records.check_condition):
    try:
        original(self, one, where)
    except model.Refused:
        request = getattr(one, one.WhichOneof("write"))
        if request.collection in self.there:
            self.there[request.collection].revision += 1
        raise


def load_keeps_epochs(self, item, keep, original=model.Model.load_mailbox):
    original(self, item, True)


MUTANTS = {
    "lost_index": (model.Records, "by_index", lost_index),
    "like_prefix": (model.Mailboxes, "list", like_prefix),
    "cursor_goes_back": (model.Mailboxes, "ack", cursor_goes_back),
    "epoch_stays": (model.Mailboxes, "next_epoch", epoch_stays),
    "forgets_duplicates": (model.Mailboxes, "append", forgets_duplicates),
    "half_commit": (model.Records, "commit_all", half_commit),
    "watch_skips": (model.Records, "changes", watch_skips),
    "dump_without_cursors": (model.Mailboxes, "sorted_cursors", staticmethod(dump_without_cursors)),
    "order_of_characters": (model.Records, "list", order_of_characters),
    "first_conflict_is_no_error": (model.Messages, "put", first_conflict_is_no_error),
    "refused_takes_a_revision": (model.Records, "check_condition", refused_takes_a_revision),
    "load_keeps_epochs": (model.Model, "load_mailbox", load_keeps_epochs),
}


def cases(groups):
    def flat(suite):
        for one in suite:
            if isinstance(one, unittest.TestSuite):
                yield from flat(one)
            elif not any(word in one.id() for word in NOT_OF_THE_MODEL):
                yield one

    loader = unittest.TestLoader()
    return unittest.TestSuite(
        flat(loader.loadTestsFromName(f"cases_{group}") for group in groups))


def check(groups, stream, failfast):
    options = run.parse(["--module", "model", "--seed", "1", "--shared"])
    kit.target = ModelTarget(options)
    kit.target.restarts = False
    try:
        return unittest.TextTestRunner(stream=stream, failfast=failfast).run(cases(groups))
    finally:
        kit.target.close()


def main():
    arguments = argparse.ArgumentParser(description=__doc__,
                                        formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--mutant", action="append", choices=[*MUTANTS, "none"])
    arguments.add_argument("--group", action="append", choices=run.GROUPS)
    options = arguments.parse_args()
    groups = options.group or run.GROUPS
    wrong = []
    if not options.mutant or "none" in options.mutant:
        result = check(groups, sys.stderr, False)
        print(f"the model: {result.testsRun} cases, {len(result.skipped)} skipped, "
              f"{len(result.failures) + len(result.errors)} failed", flush=True)
        wrong += [] if result.wasSuccessful() else ["the model fails"]
    # A watch that skips is waited for.
    kit.TIMEOUT = 10
    for name in options.mutant or MUTANTS:
        if name == "none":
            continue
        owner, attribute, replacement = MUTANTS[name]
        original = owner.__dict__[attribute]
        setattr(owner, attribute, replacement)
        try:
            result = check(groups, io.StringIO(), True)
        finally:
            setattr(owner, attribute, original)
        caught = [case.id() for case, _ in result.failures + result.errors]
        print(f"{name}: {'caught by ' + caught[0] if caught else 'NOT CAUGHT'}", flush=True)
        wrong += [] if caught else [f"{name} is not caught"]
    print("\n".join(wrong) or "well")
    return 1 if wrong else 0


if __name__ == "__main__":
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    sys.exit(main())
