#!/usr/bin/python3
"""Puts the storage module's other build in its place again and again, by `imctl module upgrade`, while
64 calls of put and get are in flight. No call may fail, every acknowledged message must be there once,
and the host must not grow.

    swap_test.py [--rounds N] [--isolate no|process]

IMCTL_BUILD names the build folder.
"""

import argparse
import json
import pathlib
import queue
import random
import sqlite3
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "end_to_end"))

import stubs  # noqa: E402
from host_fixture import BUILD, MODULES, Host  # noqa: E402
from stubs import event  # noqa: E402

IN_FLIGHT = 64
CHANNELS = 4
GROWTH = 24 << 20  # bytes of resident memory that allocators may keep from the busiest moment


class Load:
    """Keeps IN_FLIGHT calls in flight: puts of new messages, and gets of what was acknowledged."""

    def __init__(self, host):
        self.clients = [stubs.Client(host.channel()) for _ in range(CHANNELS)]
        self.random = random.Random(7)
        self.done = queue.Queue()
        self.there = []
        self.failures = []
        self.calls = 0
        self.longest = 0.0
        self.stopping = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def start_one(self, number):
        client = self.clients[number % CHANNELS]
        began = time.monotonic()
        if self.there and self.random.random() < 0.5:
            wanted = self.random.choice(self.there)
            future = client.messages.GetBatch.future(
                stubs.service.GetBatchRequest(ids=[wanted]), timeout=60)
            future.add_done_callback(lambda f: self.done.put(("get", wanted, began, f)))
        else:
            id = f"m{number}"
            future = client.messages.PutBatch.future(
                stubs.put_request(event(id, "x" * 500)), timeout=60)
            future.add_done_callback(lambda f: self.done.put(("put", id, began, f)))

    def run(self):
        started = 0
        for _ in range(IN_FLIGHT):
            self.start_one(started)
            started += 1
        for _ in iter(int, 1):
            kind, id, began, future = self.done.get()
            self.calls += 1
            self.longest = max(self.longest, time.monotonic() - began)
            error = future.exception()
            if error is not None:
                self.failures.append(f"{kind} {id}: {error.code()}: {error.details()}")
            elif kind == "put":
                if future.result().ackCount != 1:
                    self.failures.append(f"put {id}: ackCount {future.result().ackCount}")
                self.there.append(id)
            elif [m.id for m in future.result().msgs] != [id]:
                self.failures.append(f"get {id}: not there, though it was acknowledged")
            if not self.stopping:
                self.start_one(started)
                started += 1
            elif self.calls == started:
                return

    def stop(self):
        self.stopping = True
        self.thread.join()


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


def main():
    arguments = argparse.ArgumentParser(description=__doc__,
                                        formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--isolate", choices=("no", "process"), default="no")
    options = arguments.parse_args()

    builds = [BUILD / "tests" / "modules" / "next" / "storage-sqlite.so",
              MODULES / "storage-sqlite.so"]
    config = f"[host]\nswap_watch = 100ms\n[storage-sqlite]\nisolate = {options.isolate}\n"
    paused, memory = [], []
    # A small cache, so that what grows with the data is not taken for what a swap leaves behind.
    with Host(config=config, settings={"storage-sqlite.cache": "1MiB"}) as host:
        load = Load(host)
        for number in range(options.rounds):
            time.sleep(0.5)
            code, out, err = host.imctl("module", "upgrade", "storage-sqlite",
                                        str(builds[number % 2]), "-o", "json")
            if code != 0:
                print(f"upgrade {number}: exit code {code}: {err}\n{host.text()[-3000:]}",
                      file=sys.stderr)
                load.stop()
                return 1
            change = json.loads(out)["changes"][0]
            paused.append(float(change["paused"].rstrip("s")) * 1000)
            memory.append(resident(host.process.pid))
        time.sleep(0.5)
        load.stop()
        count = len(load.there)
        client = stubs.Client(host.channel())
        found = 0
        for start in range(0, count, 500):
            found += len(client.get(*load.there[start:start + 500]))
        end = resident(host.process.pid)
        (database,) = host.files("messages.db")
        host.stop()
        with sqlite3.connect(database) as connection:
            tables = connection.execute(
                "SELECT name FROM sqlite_master WHERE type='table' AND name GLOB 'messages_[0-9]*'")
            # Rows from 2^17 on are the buckets' indexes.
            stored = sum(connection.execute(f"SELECT count(*) FROM {name} WHERE row < 131072").fetchone()[0]
                         for (name,) in tables.fetchall())
        host.start()
    print("memory after each swap, MB:", *[m >> 20 for m in memory], flush=True)
    print(f"{options.rounds} swaps, isolate = {options.isolate}: {load.calls} calls, "
          f"{len(load.failures)} failed; {count} acknowledged, {found} found, {stored} stored; "
          f"calls waited {statistics.median(paused):.0f} ms (median), {max(paused):.0f} ms at most; "
          f"longest call {load.longest * 1000:.0f} ms; memory after the first swap "
          f"{memory[0] >> 20} MB, at the end {end >> 20} MB", flush=True)
    wrong = load.failures[:10]
    if found != count or stored != count:
        wrong.append("messages are lost or doubled")
    if end > memory[0] + GROWTH:
        wrong.append("the host grew")
    if count < 50 * options.rounds:
        wrong.append("too few calls: this tested nothing")
    print("\n".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
