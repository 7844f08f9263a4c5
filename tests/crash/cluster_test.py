#!/usr/bin/python3
"""Nodes, Cluster Management Services and the broker are killed and stand still at random moments, in the middle
of a conversation of everybody with everybody. Then all are healed, and what everybody got is compared with what
was acknowledged and with the mailboxes.

    cluster_test.py --broker nats|redis [--seed S] [--seconds N]

IMCTL_CLUSTER_SECONDS: for how long things go wrong (45). IMCTL_BUILD names the build folder.
"""

import argparse
import os
import pathlib
import random
import signal
import sys
import threading
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "end_to_end")]

from cluster_crowd import Crowd  # noqa: E402
from cluster_fixture import Cluster, wait_for  # noqa: E402
from nats_fixture import Nats  # noqa: E402
from redis_fixture import Redis  # noqa: E402

BROKERS = {"nats": Nats, "redis": Redis}
AT_ONCE = 2  # faults
LEASE = 2


class Faults:
    """A plan made from the seed alone, and its execution."""

    def __init__(self, cluster, seed, seconds):
        self.cluster = cluster
        self.over = threading.Event()
        self.counts = {}
        self.problems = []
        dice = random.Random(seed)
        # A node by its number: it may be another process by then.
        targets = [(cluster.nodes, n) for n in range(len(cluster.nodes))]
        targets += [(cluster.services, n) for n in range(len(cluster.services))] + [([cluster.broker], 0)]
        self.plan, at = [], 0
        while at < seconds:
            at += dice.uniform(0.3, 2)
            number = dice.randrange(len(targets))
            among, index = targets[number]
            ways = [self.kill, self.still] + [self.replace] * (among is cluster.nodes)
            # Beyond the lease or not.
            long = dice.uniform(0.1, LEASE / 2) if dice.random() < 0.5 else dice.uniform(LEASE, 3 * LEASE)
            self.plan.append((at, dice.choice(ways), number, among, index, long))

    def run(self):
        begin, running = time.monotonic(), {}
        for at, way, number, among, index, long in self.plan:
            self.over.wait(max(0, begin + at - time.monotonic()))
            running = {n: thread for n, thread in running.items() if thread.is_alive()}
            if len(running) >= AT_ONCE or number in running:
                continue
            self.counts[way.__name__] = self.counts.get(way.__name__, 0) + 1
            running[number] = threading.Thread(target=self.guarded, args=(way, among[index], long))
            running[number].start()
        for thread in running.values():
            thread.join()

    def guarded(self, way, target, long):
        try:
            way(target, long)
        except Exception:  # noqa: BLE001: told at the end
            self.problems.append(f"{way.__name__}: {traceback.format_exc()}")

    def kill(self, target, long):
        target.kill()
        self.over.wait(long)
        target.start()

    def still(self, target, long):
        target.pause()
        self.over.wait(long)
        target.resume()

    def replace(self, node, long):
        """A node stands still, is started anew elsewhere under the same name, and the first one wakes up."""
        nodes = self.cluster.nodes
        fresh = self.cluster.member(node.name, "node")
        node.pause()
        try:
            fresh.start()
        except BaseException:
            fresh.discard()
            raise
        nodes[nodes.index(node)] = fresh
        self.over.wait(long)
        # It notices that it is over, and has whoever is still there go.
        node.process.send_signal(signal.SIGCONT)
        try:
            wait_for(lambda: self.says(node, "a later start") or not node.alive(), "the older node to give up", 30)
        finally:
            node.discard()

    @staticmethod
    def says(node, words):
        return any(words in line for line in node.log)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", choices=BROKERS, required=True)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("IMCTL_CLUSTER_SECONDS", "45")))
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"broker {options.broker}, seed {seed}, {options.seconds:.0f} s", flush=True)
    with Cluster(BROKERS[options.broker](), f"locations-{options.broker}") as cluster:
        crowd = Crowd(cluster, seed=seed)
        try:
            faults = Faults(cluster, seed, options.seconds)
            faults.run()
            print(f"faults: {faults.counts}", flush=True)
            figures = crowd.settle()
            print("healed, then after seconds: " + ", ".join(f"{k} {v:.1f}" for k, v in figures.items()))
            live = sorted(crowd.live())
            print(f"live: median {live[len(live) // 2] * 1000:.0f} ms, worst {live[-1] * 1000:.0f} ms")
            problems = crowd.check() + faults.problems
            print(f"{sum(len(d.sent) for d in crowd.devices)} messages, {sum(len(d.got) for d in crowd.devices)} "
                  f"delivered, {sum(d.connects for d in crowd.devices)} connections, "
                  f"{sum(d.duplicates for d in crowd.devices)} doubles dropped by clients")
        except BaseException:
            print(cluster.text(), file=sys.stderr)
            raise
        finally:
            crowd.stop()
        if problems:
            print(cluster.text(), file=sys.stderr)
            print("\n".join(problems), f"\nseed {seed}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
