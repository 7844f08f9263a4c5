#!/usr/bin/python3
"""Runs the cases that every storage back end has to pass, through a stock gRPC client.

    run.py --module NAME [--set KEY=VALUE ...]   starts hosts with that module, and stops them
    run.py --server HOST:PORT                    a running host whose storage is empty

README.md says more.
"""

import argparse
import collections
import contextlib
import os
import pathlib
import random
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "end_to_end")]

import kit  # noqa: E402

GROUPS = ("messages", "mailboxes", "mailbox_watch", "records", "record_watch", "limits", "snapshots",
          "concurrency", "restarts", "sharing", "randomised")


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--module", help="the back end's name")
    where.add_argument("--server", metavar="HOST:PORT", help="a running host, its storage empty")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="a setting of the host; {name} becomes another name for each storage")
    parser.add_argument("--create", metavar="COMMAND",
                        help="run by a shell before a storage is used first, e.g. 'createdb {name}'")
    parser.add_argument("--drop", metavar="COMMAND", help="run when a storage is done with")
    parser.add_argument("--postgres", action="store_true",
                        help="start a PostgreSQL server, with a database for each storage; sets MODULE.uri")
    parser.add_argument("--shared", action="store_true",
                        help="several hosts may use one storage at a time: tests that, too")
    parser.add_argument("--group", action="append", choices=GROUPS, help="only these; all by default")
    parser.add_argument("-k", dest="pattern", action="append", help="only cases whose name contains this")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32),
                        help="of the randomised cases; printed")
    parser.add_argument("--operations", type=int, default=3000, help="of the randomised cases")
    parser.add_argument("-f", "--failfast", action="store_true", help="stop at the first failure")
    parser.add_argument("-v", "--verbose", action="store_true", help="name each case")
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse(arguments)
    print(f"seed {options.seed}", file=sys.stderr, flush=True)
    loader = unittest.TestLoader()
    if options.pattern:
        loader.testNamePatterns = [p if "*" in p else f"*{p}*" for p in options.pattern]
    with contextlib.ExitStack() as stack:
        if options.postgres:
            use_postgres(options, stack)
        return run(options, loader)


def use_postgres(options, stack):
    from postgres_fixture import Postgres  # of the repository: only then  # noqa: PLC0415
    # What it is asked for is nothing special but for the number of hosts.
    server = stack.enter_context(Postgres({"max_connections": 300}))
    options.set.append(f"{options.module}.uri=postgresql://im@127.0.0.1:{server.port}/{{name}}")
    options.create = lambda name: server.sql(f"CREATE DATABASE {name}", database="postgres")
    options.drop = lambda name: server.sql(f"DROP DATABASE {name} WITH (FORCE)", database="postgres")


def run(options, loader):
    kit.target = kit.Target(options)
    suite = unittest.TestSuite(
        loader.loadTestsFromName(f"cases_{group}") for group in options.group or GROUPS)
    try:
        result = unittest.TextTestRunner(verbosity=2 if options.verbose else 1,
                                         failfast=options.failfast).run(suite)
    finally:
        kit.target.close()
    failed = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - failed - len(result.skipped)} passed, {failed} failed, "
          f"{len(result.skipped)} skipped; seed {options.seed}", file=sys.stderr)
    reasons = collections.Counter(reason for _, reason in result.skipped)
    for reason, count in reasons.items():
        print(f"  {count} skipped: {reason}", file=sys.stderr)
    if result.testsRun == 0:
        print("no case has such a name", file=sys.stderr)
        return 2
    return 1 if failed or result.unexpectedSuccesses else 0


if __name__ == "__main__":
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    sys.exit(main())
