#!/usr/bin/python3
"""Partitions of a cluster: each process has a network of its own, and links between them are cut, in both directions
or in one, while everybody talks with everybody. After each heal all is compared with what was acknowledged and with
the mailboxes.

    cluster_partition_test.py --broker nats|redis [--seed S] [--seconds N]

Ends with 77 (skipped) where the machine allows no network namespaces. IMCTL_CLUSTER_SECONDS: how long each partition
lasts (6).
"""

import argparse
import os
import pathlib
import random
import sys
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "end_to_end")]

import netns_fixture  # noqa: E402

SKIPPED = 77


def partitions(network):
    """What is cut, by name: none of it keeps clients from any node."""
    both, one = network.part, network.cut

    def each(cut, sources, targets):
        for source in sources:
            for target in targets:
                cut(source, target)

    nodes, services = ("node-0", "node-1", "node-2"), ("service-0", "service-1")
    return {
        "a node from all services": lambda: each(both, ["node-0"], services),
        "a node from one service": lambda: each(both, ["node-1"], ["service-0"]),
        "a node to services, one way": lambda: each(one, ["node-2"], services),
        "services to a node, one way": lambda: each(one, services, ["node-0"]),
        "services from the broker": lambda: each(one, services, ["broker"]),
        "one service from the broker": lambda: each(one, ["service-1"], ["broker"]),
        "nodes of two kinds, a service each, no broker": lambda: (
            each(both, nodes[:1], services[1:]), each(both, nodes[1:], services[:1]),
            each(one, services, ["broker"])),
        "a node from the storage": lambda: each(one, ["node-1"], ["storage"]),
        "everybody from the storage": lambda: each(one, nodes + services, ["storage"]),
        "a node from services and storage": lambda: (
            each(both, ["node-2"], services), each(one, ["node-2"], ["storage"])),
    }


def run(options, network):
    # Here, since they are used in the namespace only.
    from cluster_crowd import Crowd
    from cluster_fixture import Cluster
    from nats_fixture import Nats
    from redis_fixture import Redis

    broker = {"nats": lambda: Nats(), "redis": lambda: Redis("--protected-mode", "no")}[options.broker]()
    broker.listen = "0.0.0.0"
    over, problems = threading.Event(), []
    with Cluster(broker, f"locations-{options.broker}", network=network) as cluster:
        plan = list(partitions(network).items())
        random.Random(options.seed).shuffle(plan)
        crowd = Crowd(cluster, seed=options.seed)
        crowd.hush()
        try:
            for name, cut in plan:
                if options.only and options.only not in name:
                    continue
                crowd.talk()
                cut()
                over.wait(options.seconds)
                network.heal()
                try:
                    figures = crowd.settle()
                    live = sorted(crowd.live())
                    found = crowd.check()
                except AssertionError as error:
                    print(f"{name}: {error}\n{cluster.text()}", file=sys.stderr)
                    raise
                print(f"{name}: {', '.join(f'{k} {v:.1f}' for k, v in figures.items())}; then live: median "
                      f"{live[len(live) // 2] * 1000:.0f} ms, worst {live[-1] * 1000:.0f} ms", flush=True)
                problems += [f"{name}: {problem}" for problem in found]
            print(f"{sum(len(d.sent) for d in crowd.devices)} messages, "
                  f"{sum(len(d.got) for d in crowd.devices)} delivered, "
                  f"{sum(d.connects for d in crowd.devices)} connections")
        finally:
            crowd.stop()
        if problems:
            print(cluster.text(), file=sys.stderr)
            print("\n".join(problems), f"\nseed {options.seed}", file=sys.stderr)
    return 1 if problems else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", choices=("nats", "redis"), required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("IMCTL_CLUSTER_SECONDS", "6")))
    parser.add_argument("--only", help="partitions whose names have this")
    options = parser.parse_args()
    reason = netns_fixture.why_not()
    if reason:
        print(f"skipped: {reason}")
        return SKIPPED
    netns_fixture.enter()
    network = netns_fixture.Network()
    try:
        return run(options, network)
    finally:
        network.discard()


if __name__ == "__main__":
    sys.exit(main())
