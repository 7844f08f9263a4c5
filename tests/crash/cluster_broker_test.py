#!/usr/bin/python3
"""The broker that shares locations is away, or comes back empty, while everybody talks with everybody: no message is
lost, all are told at once meanwhile, and locations converge by themselves. Prints how long that takes.

    cluster_broker_test.py --broker nats|redis [--seed S]

IMCTL_CLUSTER_SECONDS: how long the broker is away (10).
"""

import argparse
import os
import pathlib
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "end_to_end")]

from cluster_crowd import Crowd  # noqa: E402
from cluster_fixture import Cluster, wait_for  # noqa: E402
from nats_fixture import Nats  # noqa: E402
from redis_fixture import Redis  # noqa: E402

BROKERS = {"nats": Nats, "redis": Redis}


def figure(taken):
    taken = sorted(taken)
    return f"median {taken[len(taken) // 2] * 1000:.0f} ms, worst {taken[-1] * 1000:.0f} ms"


def unsure(cluster):
    """All services know that they do not know."""
    statuses = [cluster.status(service) for service in cluster.services]
    return all(status is not None and not status.services[0].sure for status in statuses)


def spread(cluster):
    """Sessions are registered with more than one service: else nobody would have to be asked."""
    return all(cluster.status(service).services[0].sessions > 0 for service in cluster.services)


def run(options):
    over = threading.Event()
    # A look into the mailboxes in between is not what helps here.
    with Cluster(BROKERS[options.broker](), f"locations-{options.broker}", nodes=4,
                 **{"router.resync_interval": "60s"}) as cluster:
        crowd = Crowd(cluster, seed=options.seed)
        crowd.hush()
        broker, problems = cluster.broker, []
        try:
            wait_for(lambda: spread(cluster), "sessions to be registered with both services", 60)
            crowd.settle()
            print(f"before: live {figure(crowd.live())}", flush=True)
            for name, away, back in (("killed, and empty", broker.kill, broker.start),
                                     ("standing still", broker.pause, broker.resume)):
                crowd.talk()
                begin = time.monotonic()
                away()
                _, noticed = wait_for(lambda: unsure(cluster), "the services to notice", 30)
                crowd.hush()
                # What they passed on before they noticed, they have others look for.
                crowd.settle_messages()
                meanwhile = crowd.live()
                crowd.talk()
                over.wait(max(0, begin + options.seconds - time.monotonic()))
                back()
                _, converged = wait_for(lambda: cluster.joined() and crowd.listed(), crowd.differences, 60)
                crowd.settle()
                print(f"{name} for {options.seconds:.0f} s: noticed after {noticed:.1f} s, live meanwhile "
                      f"{figure(meanwhile)}, converged {converged:.1f} s after it was back, then live "
                      f"{figure(crowd.live())}", flush=True)
                problems += [f"{name}: {problem}" for problem in crowd.check()]
            # As if its machine was started anew.
            crowd.talk()
            broker.kill()
            wait_for(lambda: unsure(cluster), "the services to notice", 30)
            broker.start()
            _, converged = wait_for(lambda: cluster.joined() and crowd.listed(), crowd.differences, 60)
            crowd.settle()
            print(f"restarted empty: converged after {converged:.1f} s, then live {figure(crowd.live())}")
            problems += [f"restarted: {problem}" for problem in crowd.check()]
            print(f"{sum(len(d.sent) for d in crowd.devices)} messages, {sum(len(d.got) for d in crowd.devices)} "
                  f"delivered, {sum(d.connects for d in crowd.devices)} connections")
            # The broker is nothing that clients notice.
            if any(device.connects != 1 for device in crowd.devices):
                problems.append("clients lost their connections")
        except BaseException:
            print(cluster.text(), file=sys.stderr)
            raise
        finally:
            crowd.stop()
    print("\n".join(problems), file=sys.stderr)
    return 1 if problems else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", choices=BROKERS, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("IMCTL_CLUSTER_SECONDS", "10")))
    return run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
