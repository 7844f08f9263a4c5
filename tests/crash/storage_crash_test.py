#!/usr/bin/python3
"""Kills the host with SIGKILL at random moments under a load of all storage services, opens the data
again and compares it with what was acknowledged: nothing lost, nothing doubled, numbers without
gaps, all of a write or none of it.

    storage_crash_test.py [--module NAME] [--rounds N] [--seed S] [--threads T] [--power-cut]

With --power-cut (storage-sqlite) the machine loses its power instead: of what was not synced, some blocks or
all are gone when the data is opened again.

With --module storage-postgresql a server of its own is started (postgres_fixture.py), and every
other round stops that one with `pg_ctl stop -m immediate` and starts it again while the host goes on.

All rounds work on one store, so each also looks at what the rounds before left. IMCTL_BUILD names
the build folder.
"""

import argparse
import collections
import itertools
import pathlib
import random
import sys
import threading
import time

import grpc

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "end_to_end"), str(HERE.parent / "conformance")]

from failing_disk import Disk, cut_power  # noqa: E402
from host_fixture import Host  # noqa: E402
from kit import Client, event, message, put_record  # noqa: E402

MAILBOXES = [f"box{n}@example.org" for n in range(8)]
CREATED, COUNTERS, LEFT, RIGHT = (f"crash/{name}" for name in
                                  ("created", "counters", "left", "right"))
SHARED = "shared"
GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
RECOVERY = 60  # seconds until calls succeed again after the database came back


class Known:
    """What was acknowledged, and what was tried without an answer. One a thread, then merged."""

    def __init__(self):
        self.puts = {}        # id -> length: acknowledged
        self.deleted = set()  # acknowledged
        self.asked = {}       # id of an append -> recipients: tried
        self.places = {}      # (mailbox, sequence) -> id: acknowledged
        self.epochs = collections.defaultdict(set)  # mailbox -> epochs in answers
        self.cursors = {}     # (mailbox, device) -> number: acknowledged
        self.lives = {}       # mailbox of one thread -> what it may hold: lists of ids
        self.created = {}     # key -> revision: acknowledged
        self.tried = set()    # keys: tried
        self.counts = {}      # key of a counter -> (count, revision): acknowledged
        self.unsure = collections.Counter()  # key of a counter -> tries without an answer since then
        self.increments = 0   # of the shared counter: acknowledged,
        self.unsure_increments = 0  # and not answered
        self.revisions = collections.defaultdict(set)  # collection -> revisions in answers
        self.wrong = []
        self.answers = 0
        self.refusals = 0

    def merge(self, other):
        for name in ("puts", "asked", "places", "cursors", "created", "counts", "lives"):
            getattr(self, name).update(getattr(other, name))
        self.deleted |= other.deleted
        self.tried |= other.tried
        for mailbox, epochs in other.epochs.items():
            self.epochs[mailbox] |= epochs
        for collection, revisions in other.revisions.items():
            for revision in revisions & self.revisions[collection]:
                other.wrong.append(f"revision {revision} of {collection} was given twice")
            self.revisions[collection] |= revisions
        for key in other.counts:
            self.unsure[key] = 0
        self.unsure.update(other.unsure)
        self.increments += other.increments
        self.unsure_increments += other.unsure_increments


class Load(threading.Thread):
    """Writes with all services until it is told to stop, whatever the host answers."""

    def __init__(self, host, name, seed):
        super().__init__(daemon=True)
        self.client = Client(host.channel())
        self.name = name
        self.random = random.Random(seed)
        self.stop = threading.Event()
        self.numbers = itertools.count(1)
        self.known = Known()
        self.revision = 0  # of the own counter
        self.count = 0
        self.life = None  # the own mailbox
        self.steps = [self.put, self.put, self.delete, self.append, self.append, self.append,
                      self.ack, self.create, self.own_counter, self.own_counter,
                      self.shared_counter, self.pair, self.own_mailbox,
                      self.own_mailbox]

    def run(self):
        while not self.stop.is_set():
            try:
                self.random.choice(self.steps)()
                self.known.answers += 1
            except grpc.RpcError as error:
                if error.code() not in GONE:
                    self.known.wrong.append(f"{self.name}: {error.code()}: {error.details()}")
                    return
                self.known.refusals += 1
                self.stop.wait(0.02)
            except ValueError:  # the channel was closed
                return

    def new(self):
        return f"{self.name}/{next(self.numbers)}"

    def put(self):
        batch = {self.new(): self.random.choice((10, 500, 5000, 60000))
                 for _ in range(self.random.choice((1, 1, 5, 20)))}
        stored = self.client.put(*[event(id, content(id, n)) for id, n in batch.items()])
        if stored != len(batch):
            self.known.wrong.append(f"{stored} of {len(batch)} new messages were stored")
        self.known.puts.update(batch)

    def delete(self):
        if self.known.puts:
            id = self.random.choice(list(self.known.puts))
            del self.known.puts[id]  # if there is no answer nobody knows
            if self.client.delete(id) != 1:
                self.known.wrong.append(f"{id} was acknowledged, but a delete did not find it")
            self.known.deleted.add(id)

    def append(self):
        id = self.new()
        recipients = self.random.sample(MAILBOXES, self.random.choice((1, 1, 2, 3, 8)))
        self.known.asked[id] = recipients
        answer = self.client.append(sent(id), *recipients)
        if answer.duplicate:
            self.known.wrong.append(f"the new message {id} was called a duplicate")
        note_places(self.known, id, recipients, answer)

    def ack(self):
        if self.known.places:
            mailbox, sequence = self.random.choice(list(self.known.places))
            stands = self.client.ack(mailbox, self.name, sequence).sequence
            before = self.known.cursors.get((mailbox, self.name), 0)
            if stands < max(before, sequence):
                self.known.wrong.append(f"the cursor in {mailbox} went back to {stands}")
            self.known.cursors[mailbox, self.name] = stands

    def create(self):
        key = self.new()
        self.known.tried.add(key)
        revision = self.client.put_record(CREATED, key, key.encode(), [("by", self.name)],
                                          create=True)
        self.known.created[key] = revision
        self.known.revisions[CREATED].add(revision)

    def own_counter(self):
        """Nobody else writes it: a condition that does not hold is a write that was lost or doubled."""
        if self.known.unsure[self.name]:
            self.look()
        condition = {"revision": self.revision} if self.revision else {"create": True}
        self.known.unsure[self.name] += 1
        self.revision = self.client.put_record(COUNTERS, self.name, str(self.count + 1).encode(),
                                               **condition)
        self.count += 1
        self.acknowledged()
        self.known.revisions[COUNTERS].add(self.revision)

    def acknowledged(self):
        self.known.unsure[self.name] = 0
        self.known.counts[self.name] = (self.count, self.revision)

    def look(self):
        """After a write that was not answered."""
        try:
            found = self.client.get_record(COUNTERS, self.name)
            count, revision = int(found.value), found.revision
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise
            count, revision = 0, 0
        # It may have been done, once.
        if count not in (self.count, self.count + 1):
            self.known.wrong.append(f"{self.name} is {count} after {self.count} and one unanswered")
        self.count, self.revision = count, revision
        self.acknowledged()

    def shared_counter(self):
        """Everybody writes it."""
        try:
            found = self.client.get_record(COUNTERS, SHARED)
            value, condition = int(found.value), {"revision": found.revision}
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise
            value, condition = 0, {"create": True}
        try:
            self.known.unsure_increments += 1
            revision = self.client.put_record(COUNTERS, SHARED, str(value + 1).encode(), **condition)
            self.known.unsure_increments -= 1
            self.known.increments += 1
            self.known.revisions[COUNTERS].add(revision)
        except grpc.RpcError as error:
            if error.code() not in (grpc.StatusCode.FAILED_PRECONDITION,
                                    grpc.StatusCode.ALREADY_EXISTS):
                raise
            self.known.unsure_increments -= 1  # somebody was faster

    def own_mailbox(self):
        """Written and deleted by nobody else. After a call that was not answered another one is used."""
        if self.life is None:
            self.life = f"own/{self.new()}"
            self.known.lives[self.life] = ([],)
        mailbox, self.life = self.life, None
        (ids,) = self.known.lives[mailbox]
        if ids and self.random.random() < 0.1:
            self.known.lives[mailbox] = (ids, [])
            self.client.delete_mailbox(mailbox)
            ids = []
        else:
            id = self.new()
            self.known.lives[mailbox] = (ids, [*ids, id])
            sequence = self.client.append(sent(id), mailbox).positions[0].sequence
            ids = [*ids, id]
            if sequence != len(ids):
                self.known.wrong.append(f"{mailbox}: {sequence} was given after {len(ids) - 1}")
        self.known.lives[mailbox] = (ids,)
        self.life = mailbox

    def pair(self):
        value = self.new().encode()
        left, right = self.client.commit(put_record(LEFT, self.name, value),
                                         put_record(RIGHT, self.name, value))
        self.known.revisions[LEFT].add(left)
        self.known.revisions[RIGHT].add(right)


def content(id, length):
    """What message `id` holds: known from its id and length alone."""
    pattern = f"{id}|"
    return (pattern * (length // len(pattern) + 1))[:length]


def sent(id):
    return message(id, content(id, 20 + sum(id.encode()) * 37 % 3000))


def note_places(known, id, recipients, answer):
    if [p.mailbox for p in answer.positions] != list(recipients):
        known.wrong.append(f"{id} to {recipients} got {answer.positions}")
    for position in answer.positions:
        known.places[position.mailbox, position.sequence] = id
        known.epochs[position.mailbox].add(position.epoch)


class Check:
    """Compares a store with what is known of it."""

    def __init__(self, client, known):
        self.client = client
        self.known = known
        self.wrong = []

    def messages(self, ids):
        ids = [id for id in ids if id in self.known.puts]
        for start in range(0, len(ids), 40):
            part = ids[start:start + 40]
            found = {m.id: m for m in self.client.get(*part)}
            for id in part:
                if id not in found:
                    self.wrong.append(f"{id} was acknowledged and is missing")
                elif found[id] != event(id, content(id, self.known.puts[id])):
                    self.wrong.append(f"{id} was acknowledged and is not whole")
        gone = list(self.known.deleted)
        for start in range(0, len(gone), 500):
            self.wrong += [f"{m.id} was deleted and is back"
                           for m in self.client.get(*gone[start:start + 500])]

    def mailboxes(self):
        """Gives the ids that are there."""
        where = collections.defaultdict(list)
        for mailbox in MAILBOXES:
            page = self.client.read(mailbox, limit=1)
            entries = self.client.read_all(mailbox)
            numbers = [e.sequence for e in entries]
            if numbers != list(range(1, page.last + 1)):
                self.wrong.append(f"{mailbox}: numbers up to {page.last} are not without gaps")
            epochs = self.known.epochs[mailbox] | {page.epoch for _ in numbers[:1]}
            if len(epochs) > 1:
                self.wrong.append(f"{mailbox} had epochs {epochs}")
            for entry in entries:
                id = entry.message.event.id
                where[id].append(mailbox)
                expected = self.known.places.get((mailbox, entry.sequence), id)
                if expected != id:
                    self.wrong.append(f"{mailbox}: {entry.sequence} is {id}, was {expected}")
                if entry.message != sent(id):
                    self.wrong.append(f"{mailbox}: {entry.sequence} ({id}) is not whole")
            missing = {n for box, n in self.known.places if box == mailbox} - set(numbers)
            if missing:
                self.wrong.append(f"{mailbox}: {sorted(missing)[:5]} were acknowledged, are missing")
            self.cursors(mailbox, page.last)
        for id, mailboxes in where.items():
            if sorted(mailboxes) != sorted(self.known.asked.get(id, ())):
                self.wrong.append(f"{id}, to {self.known.asked.get(id)}, is in {mailboxes}")
        return where

    def cursors(self, mailbox, last):
        stand = {c.device: c.sequence for c in self.client.cursors(mailbox).cursors}
        for (box, device), sequence in self.known.cursors.items():
            if box == mailbox and stand.get(device, 0) < sequence:
                self.wrong.append(f"{mailbox}: {device} had {sequence}, has {stand.get(device)}")
        for device, sequence in stand.items():
            if sequence > last:
                self.wrong.append(f"{mailbox}: {device} is at {sequence}, beyond {last}")

    def records(self):
        everything = {}
        for collection in (CREATED, COUNTERS, LEFT, RIGHT):
            revision = self.client.list_records(collection, limit=1).revision
            records = {r.key: r for r in self.client.all_records(collection)}
            everything[collection] = records
            revisions = [r.revision for r in records.values()]
            if len(set(revisions)) != len(revisions) or max(revisions, default=0) > revision:
                self.wrong.append(f"{collection}: revisions are not its own")
            if max(self.known.revisions[collection], default=0) > revision:
                self.wrong.append(f"{collection} is at {revision}, which was passed")
            self.watch(collection, records, revision)
        for key, revision in self.known.created.items():
            found = everything[CREATED].get(key)
            if not found or found.revision != revision or found.value != key.encode():
                self.wrong.append(f"{key} was created as {revision}, is {found}")
        for key in set(everything[CREATED]) - self.known.tried:
            self.wrong.append(f"{key} was never created")
        left, right = ({key: r.value for key, r in everything[name].items()}
                       for name in (LEFT, RIGHT))
        if left != right:
            self.wrong.append("half of a commit is missing")
        self.counters({key: (int(r.value), r.revision) for key, r in everything[COUNTERS].items()})

    def counters(self, found):
        value, _ = found.pop(SHARED, (0, 0))
        least = self.known.increments
        if not least <= value <= least + self.known.unsure_increments:
            self.wrong.append(f"the shared counter is {value} after {least} increments and "
                              f"{self.known.unsure_increments} unanswered")
        for key, (count, revision) in self.known.counts.items():
            now = found.get(key, (0, 0))
            if now == (count, revision):
                continue
            # The one that was not answered may have been done.
            if not (self.known.unsure[key] and now[0] == count + 1 and now[1] > revision):
                self.wrong.append(f"counter {key} was {count} at {revision}, is {now}")

    def watch(self, collection, records, revision):
        """Watching from as early as possible leads to what a list gives."""
        known = {c.collection: c for c in self.client.collections()}.get(collection)
        if known is None:
            return
        mirror, after = {}, known.watchable_from
        stream = self.client.watch_records(collection, after=after)
        last = after
        while last < revision:
            change = next(stream)
            if change.revision <= last:
                self.wrong.append(f"{collection}: {change.revision} was given after {last}")
            last = change.revision
            mirror[change.record.key] = change.record
        stream.cancel()
        expected = {key: r for key, r in records.items() if r.revision > after}
        if mirror != expected:
            self.wrong.append(f"{collection}: a watch gives other records than a list")

    def lives(self, mailboxes):
        for mailbox in mailboxes:
            page = self.client.read(mailbox)
            ids = [e.message.event.id for e in self.client.read_all(mailbox)]
            may_be = self.known.lives[mailbox]
            if ids not in may_be or (page.first, page.last) != (1, len(ids)):
                self.wrong.append(f"{mailbox}, {page.first} to {page.last}, holds {ids}, "
                                  f"not one of {may_be}")
            self.known.lives[mailbox] = (ids,)

    def repeat(self, where):
        """What was appended without an answer, again: then it is there once."""
        placed = set(self.known.places.values())
        for id, recipients in list(self.known.asked.items()):
            if id in placed:
                continue
            answer = self.client.append(sent(id), *recipients)
            if answer.duplicate != (id in where):
                self.wrong.append(f"{id} is there: {id in where}; repeated: {answer.duplicate}")
            note_places(self.known, id, recipients, answer)
        for key in self.known.tried - set(self.known.created):
            try:
                self.client.put_record(CREATED, key, key.encode(), create=True)
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.ALREADY_EXISTS:
                    raise
            found = self.client.get_record(CREATED, key)
            self.known.created[key] = found.revision
            self.known.revisions[CREATED].add(found.revision)
        self.wrong += self.known.wrong
        self.known.wrong = []


class Store:
    """The host, and the database behind it if it is a server."""

    def __init__(self, module, power_cut):
        self.database = self.disk = None
        settings = {}
        if power_cut:
            self.disk = Disk(shadow=True)
        if module == "storage-postgresql":
            from postgres_fixture import Postgres  # only then  # noqa: PLC0415
            self.database = Postgres()
            self.database.start()
            settings[f"{module}.uri"] = self.database.uri
        self.host = Host(settings=settings, modules=[module],
                         env=self.disk.env if self.disk else None)

    def crash(self, chance):
        """Gives what that was, in words."""
        self.host.kill()
        if self.disk is None:
            return "host killed"
        return f"power cut, {cut_power(self.host.data, chance)} blocks lost,"

    def discard(self):
        self.host.discard()
        if self.database is not None:
            self.database.discard()

    def database_crashes(self):
        self.database.stop(mode="immediate")
        self.database.start()
        # The host has to find it again by itself.
        client, deadline = Client(self.host.channel()), time.monotonic() + RECOVERY
        while True:
            try:
                client.get("none")
                return
            except grpc.RpcError as error:
                if error.code() not in GONE or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


def run_round(store, number, chance, threads, known):
    """Gives what went wrong, in words."""
    loads = [Load(store.host, f"r{number}t{t}", chance.random()) for t in range(threads)]
    for load in loads:
        load.start()
    # Mostly in the middle of work, sometimes before there was any.
    delay = chance.choice((0.01, 0.1, 0.5, 1.5)) * chance.random()
    time.sleep(delay)
    what = None
    if store.database is not None and number % 2 == 0:
        what = "database stopped"
        store.database_crashes()
        time.sleep(0.3)  # of load on what came back
    for load in loads:
        load.stop.set()
    crashed = what is None
    if crashed:
        what = store.crash(chance)
    for load in loads:
        load.join(120)
        if load.is_alive():
            known.wrong.append("a client did not end")
        known.merge(load.known)
        known.wrong += load.known.wrong
    if crashed:
        store.host.start()
    check = Check(Client(store.host.channel()), known)
    old = [id for id in known.puts if not id.startswith(f"r{number}t")]
    new = [id for id in known.puts if id.startswith(f"r{number}t")]
    check.messages(new + chance.sample(old, min(len(old), 400)))
    check.lives(box for load in loads for box in load.known.lives)
    where = check.mailboxes()
    check.records()
    check.repeat(where)
    print(f"round {number}: {what} after {delay * 1000:.0f} ms, "
          f"{sum(load.known.answers for load in loads)} answered, "
          f"{sum(load.known.refusals for load in loads)} not; in all {len(known.puts)} messages, "
          f"{len(known.places)} places, {len(known.created)} records; {len(check.wrong)} wrong",
          flush=True)
    return check.wrong


def main():
    arguments = argparse.ArgumentParser(description=__doc__,
                                        formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--module", default="storage-sqlite")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--threads", type=int, default=6)
    arguments.add_argument("--power-cut", action="store_true")
    options = arguments.parse_args()

    chance = random.Random(options.seed)
    known = Known()
    store = Store(options.module, options.power_cut)
    try:
        store.host.start()
        for number in range(1, options.rounds + 1):
            wrong = run_round(store, number, chance, options.threads, known)
            if wrong:
                print("\n".join(wrong[:20]), file=sys.stderr)
                print(store.host.text()[-3000:], file=sys.stderr)
                print(f"failed in round {number} of --seed {options.seed}", file=sys.stderr)
                return 1
        check = Check(Client(store.host.channel()), known)
        check.messages(list(known.puts))
        check.lives(known.lives)
        check.mailboxes()
        check.records()
        if check.wrong:
            print("\n".join(check.wrong[:20]), file=sys.stderr)
            return 1
        if store.host.stop() != 0:
            print(f"the host did not stop well:\n{store.host.text()}", file=sys.stderr)
            return 1
        if not (known.puts and known.places and known.created and known.cursors):
            print("nothing was ever acknowledged: this tested nothing", file=sys.stderr)
            return 1
        return 0
    finally:
        store.discard()


if __name__ == "__main__":
    sys.exit(main())
