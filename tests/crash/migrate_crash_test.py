#!/usr/bin/python3
"""Kills the host with SIGKILL at random moments while `data migrate` moves what is stored from SQLite to PostgreSQL,
and while somebody writes. Then: either the old is written to as before, or it says where all is; a second run ends
it; and all that was ever acknowledged is there, once.

    migrate_crash_test.py [--rounds N] [--seed S]

A round is one kill. IMCTL_BUILD names the build folder.
"""

import argparse
import collections
import pathlib
import random
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "end_to_end"), str(HERE.parent / "conformance")]

import grpc  # noqa: E402
from host_fixture import IMCTL, Host  # noqa: E402
from kit import Client, message  # noqa: E402
from postgres_fixture import Postgres  # noqa: E402

SERVICES = ("awakari.messages.Service", "awakari.messages.cleaner.Service", "imctl.storage.v1.Mailboxes",
            "imctl.storage.v1.Records", "imctl.storage.v1.Snapshots")
MODULES = ("storage-sqlite", "storage-postgresql")


class Round:
    def __init__(self, server, number):
        server.sql(f"CREATE DATABASE round{number}")
        self.host = Host({"storage-postgresql.uri": server.uri, "storage-postgresql.db_name": f"round{number}"},
                         modules=(*MODULES, "backup"))
        self.acknowledged, self.unknown = [], set()
        self.over = threading.Event()

    def start(self, bound):
        self.host.settings.update({f"bind.{service}": bound for service in SERVICES})
        self.host.start()

    def append(self, client, name):
        """Whether it was acknowledged; words if it was refused."""
        try:
            client.append(message(name, "x" * 500), "box")
            self.acknowledged.append(name)
            return ""
        except grpc.RpcError as error:
            self.unknown.add(name)
            return error.details()

    def write(self):
        client = Client(self.host.channel())
        for n in range(1_000_000):
            if self.over.is_set():
                return
            try:
                self.append(client, f"while{n}")
            except ValueError:  # the host is gone, and its channels
                return

    def migrate(self, *more):
        return subprocess.Popen([str(IMCTL), "data", "migrate", "--to", "storage-postgresql", "--yes", *more,
                                 "--server", f"127.0.0.1:{self.host.port}"], env=self.host.env,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, wait):
        """Kills it so many seconds after the start; None: at its end. Gives what that found, and how long it took."""
        self.start("storage-sqlite")
        client = Client(self.host.channel())
        for n in range(500):
            assert self.append(client, f"before{n}") == ""
        writer = threading.Thread(target=self.write)
        writer.start()
        run = self.migrate()
        begun = time.monotonic()
        try:
            try:
                run.wait(wait if wait is not None else 120)  # the moment is what is random
            except subprocess.TimeoutExpired:
                assert wait is not None
            took = time.monotonic() - begun
        finally:
            self.host.kill()
            self.over.set()
            writer.join()
        done = run.communicate(timeout=60)[0].decode()
        self.start("storage-sqlite")
        why = self.append(Client(self.host.channel()), "after")
        assert not why or "was moved to storage-postgresql" in why, why
        found = "as before" if not why else "moved" if run.returncode == 0 else "closed"
        again = self.migrate("--replace")
        said = again.communicate(timeout=120)[0].decode()
        assert again.returncode == 0, (done, said)
        self.host.stop()
        self.start("storage-postgresql")
        there = [entry.message.event.id for entry in Client(self.host.channel()).read_all("box")]
        twice = [name for name, n in collections.Counter(there).items() if n > 1]
        assert not twice, twice
        lost = set(self.acknowledged) - set(there)
        assert not lost, (found, lost)
        assert set(there) <= set(self.acknowledged) | self.unknown
        assert self.append(Client(self.host.channel()), "at last") == ""
        return found, took


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    moments = random.Random(options.seed)
    found, took = collections.Counter(), 0
    with Postgres() as server:
        for number in range(options.rounds):
            this = Round(server, number)
            try:
                state, lasted = this.run(moments.uniform(0.3 * took, 1.1 * took) if number else None)
                found[state] += 1
                took = took or lasted  # the first one shows how long it takes
            except BaseException:
                print(f"round {number}:\n{this.host.text()[-3000:]}", flush=True)
                raise
            finally:
                this.host.discard()
    print(f"{options.rounds} kills: {dict(found)}", flush=True)


if __name__ == "__main__":
    main()
