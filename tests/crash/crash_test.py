#!/usr/bin/python3
"""Kills the host with SIGKILL at random moments under a put load, opens the data again, and looks
for every message that was ever acknowledged: it must be there, whole. What was deleted with an
acknowledgement must be gone.

    crash_test.py [--rounds N] [--seed S] [--threads T]

All rounds work on one data folder, so each also looks at what the rounds before left. IMCTL_BUILD
names the build folder.
"""

import argparse
import pathlib
import random
import sys
import threading
import time

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "end_to_end"))

import stubs  # noqa: E402
from host_fixture import Host  # noqa: E402
from stubs import event  # noqa: E402


def content(id, length):
    """What message `id` holds: known from its id and length alone."""
    pattern = f"{id}|"
    return (pattern * (length // len(pattern) + 1))[:length]


class Load(threading.Thread):
    """Puts, and sometimes deletes, until the host is gone. Remembers what was acknowledged."""

    def __init__(self, host, name, seed):
        super().__init__(daemon=True)
        self.client = stubs.Client(host.channel())
        self.name = name
        self.random = random.Random(seed)
        self.there = {}       # id -> length: acknowledged
        self.gone = set()     # deleted, acknowledged
        self.unknown = set()  # a delete was not answered
        self.failure = None
        self.number = 0

    def run(self):
        while True:
            try:
                self.step()
            except grpc.RpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                    self.failure = f"{error.code()}: {error.details()}"
                return
            except ValueError:  # the channel was closed
                return

    def step(self):
        if self.there and self.random.random() < 0.1:
            id = self.random.choice(list(self.there))
            del self.there[id]
            self.unknown.add(id)
            if self.client.delete(id) != 1:
                self.failure = f"{id} was acknowledged, but a delete did not find it"
            self.unknown.discard(id)
            self.gone.add(id)
            return
        batch = {}
        for _ in range(self.random.choice((1, 1, 1, 5, 20))):
            self.number += 1
            batch[f"{self.name}/{self.number}"] = self.random.choice((10, 500, 5000, 60000))
        stored = self.client.put(*[event(i, content(i, n)) for i, n in batch.items()])
        if stored != len(batch):
            self.failure = f"{stored} of {len(batch)} new messages were stored"
        self.there.update(batch)


def verify(client, there, gone):
    """What is wrong, in words."""
    wrong = []
    ids = list(there)
    for start in range(0, len(ids), 40):
        part = ids[start:start + 40]
        found = {m.id: m for m in client.get(*part)}
        for id in part:
            if id not in found:
                wrong.append(f"{id} was acknowledged and is missing")
            elif found[id] != event(id, content(id, there[id])):
                wrong.append(f"{id} was acknowledged and is not whole")
    ids = list(gone)
    for start in range(0, len(ids), 500):
        wrong += [f"{m.id} was deleted and is back" for m in client.get(*ids[start:start + 500])]
    return wrong


def run_round(host, number, chance, threads, there, gone):
    """Gives what went wrong, in words."""
    loads = [Load(host, f"r{number}t{t}", chance.random()) for t in range(threads)]
    for load in loads:
        load.start()
    # Mostly in the middle of work, sometimes before there was any.
    delay = chance.choice((0.01, 0.1, 0.3, 1.0)) * chance.random()
    time.sleep(delay)
    host.kill()
    wrong = []
    for load in loads:
        load.join(60)
        if load.is_alive():
            wrong.append("a client did not end")
        if load.failure:
            wrong.append(load.failure)
        there.update(load.there)
        gone |= load.gone
    host.start()
    wrong += verify(stubs.Client(host.channel()), there, gone)
    count = sum(len(load.there) for load in loads)
    print(f"round {number}: killed after {delay * 1000:.0f} ms, {count} acknowledged, "
          f"{len(there)} in all, {len(wrong)} wrong", flush=True)
    return wrong


def main():
    arguments = argparse.ArgumentParser(description=__doc__,
                                        formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--threads", type=int, default=6)
    options = arguments.parse_args()

    chance = random.Random(options.seed)
    there, gone = {}, set()
    host = Host()
    try:
        host.start()
        for number in range(1, options.rounds + 1):
            wrong = run_round(host, number, chance, options.threads, there, gone)
            if wrong:
                print("\n".join(wrong[:20]), file=sys.stderr)
                print(host.text()[-3000:], file=sys.stderr)
                print(f"failed in round {number} of --seed {options.seed}", file=sys.stderr)
                return 1
        if host.stop() != 0:
            print(f"the host did not stop well:\n{host.text()}", file=sys.stderr)
            return 1
        if not there:
            print("nothing was ever acknowledged: this tested nothing", file=sys.stderr)
            return 1
        return 0
    finally:
        host.discard()


if __name__ == "__main__":
    sys.exit(main())
