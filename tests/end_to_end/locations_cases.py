"""What every module that serves imctl.cluster.v1.Locations has to do, on the real servers, over gRPC, without
a router."""

import json
import signal
import time

import grpc

from host_fixture import Host
from locations_protos import Service, duration, pb
from test_fuzz import AT_ONCE, Maker

CODE = grpc.StatusCode
ANN = "ann@example.org"
BOB = "bob@example.org"
LEASE = 3.0
# What comes on top of a lease: two beats and the clock's steps, on a machine that is busy.
SLACK = 3.0
PATIENCE = 40.0
MANY = 100_000
RANDOM = 2048  # requests to each method


def resident(process):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) << 10
    raise AssertionError("no VmRSS")


def mib(count):
    return f"{count / (1 << 20):.1f} MiB"


class Cases:
    """For every module. `host()` gives a host that shares with the others; `service()` a service on one."""

    module = None

    def service(self, name, at=None, **fields):
        return Service(at or self.host(), name, **fields)

    def wait(self, what, until, *renewed):
        """Waits until `until()`, while services renew what they reported; gives the seconds."""
        begun = time.monotonic()
        while True:
            for service in renewed:
                service.renew()
            if until():
                return time.monotonic() - begun
            if time.monotonic() - begun > PATIENCE:
                self.fail(f"not within {PATIENCE} s: {what}\n" + "\n".join(
                    str(service.status()) for service in renewed))
            time.sleep(0.05)

    def two(self, **fields):
        """Services that know each other."""
        a, b = self.service("a", **fields), self.service("b", **fields)
        a.report_all()
        b.report_all()
        self.all_sure(a, b)
        return a, b

    def all_sure(self, *services):
        def sure():
            answers = [service.report() for service in services]
            return all(answer.sure and answer.peers == len(services) - 1 for answer in answers)
        return self.wait("all are sure", sure, *services)

    # -- cases

    def test_what_one_reports_others_find(self):
        a, b = self.two()
        a.add(ANN, "n1", 1)
        a.add(BOB, "n1", 2, device="")
        a.add(ANN, "n2", 7, device="desk")
        self.wait("three locations", lambda: len(b.found(ANN, BOB, "nobody")) == 3, a, b)
        self.assertEqual(b.found(ANN), {(ANN, "n1", 1, 1), (ANN, "n2", 1, 7)})
        answer = b.find(ANN)[1]
        self.assertTrue(answer.sure)
        self.assertEqual(answer.peers, 1)
        self.assertEqual({(l.device, l.service) for l in answer.locations}, {("phone", "a"), ("desk", "a")})
        self.assertEqual(a.found(ANN, BOB), set(), "its own are not answered")
        b.add(ANN, "n3", 5)
        self.wait("the other way", lambda: a.found(ANN) == {(ANN, "n3", 1, 5)}, a, b)
        a.remove("n1", 1)
        self.wait("one is gone", lambda: b.found(ANN) == {(ANN, "n2", 1, 7)}, a, b)

    def test_values_cross_as_they_are(self):
        a, b = self.two()
        odd = "o%41\x1f\x01ä@example.org"
        location = pb.Location(user=odd, device="d%\x1f\x02", node="n%\x1fö", boot=2**64 - 1, session=2**64 - 2)
        location.since.FromJsonString("2026-01-02T03:04:05.678Z")
        a.report(add=[location])
        location.service = "a"
        self.wait("it is found", lambda: b.find(odd)[1].locations[:] == [location], a, b)

    def test_only_the_whole_key_is_taken_away(self):
        a, b = self.two()
        a.add(ANN, "n1", 1, boot=5)
        self.wait("it is there", lambda: b.found(ANN), a, b)
        for node, boot, session in (("n1", 4, 1), ("n1", 6, 1), ("n1", 5, 2), ("n2", 5, 1)):
            a.report(remove=[pb.LocationKey(node=node, boot=boot, session=session)])
        b.report(remove=[pb.LocationKey(node="n1", boot=5, session=1)])  # not what b reported
        a.report(gone=[pb.NodeBoot(node="n1", boot=4)])
        a.add(BOB, "n1", 9, boot=5)
        self.wait("all of it came through", lambda: b.found(BOB), a, b)
        self.assertEqual(b.found(ANN), {(ANN, "n1", 5, 1)})
        a.report(gone=[pb.NodeBoot(node="n1", boot=5)])
        self.wait("the node is gone", lambda: not b.found(ANN, BOB), a, b)

    def test_a_newer_boot_of_a_node_hides_the_older(self):
        a, b = self.two()
        c = self.service("c")
        c.report_all()
        a.add(ANN, "n1", 1, boot=1)
        self.wait("the old one", lambda: c.found(ANN), a, b, c)
        b.add(BOB, "n1", 1, boot=2)
        self.wait("the new one", lambda: c.found(BOB) == {(BOB, "n1", 2, 1)}, a, b, c)
        self.assertEqual(c.found(ANN), set())

    def test_a_newer_process_replaces_the_older(self):
        a, b = self.two()
        a.add(ANN, "n1", 1)
        self.wait("the old one", lambda: b.found(ANN), a, b)
        newer = self.service("a", boot=2)
        newer.sessions[("n1", 1, 2)] = (BOB, "")
        self.wait("the new one is heard", lambda: newer.renew() and b.found(BOB), b)
        self.assertEqual(b.found(ANN), set())

        def refused():
            try:
                a.report()
            except grpc.RpcError as error:
                self.assertEqual(error.code(), CODE.FAILED_PRECONDITION)
                self.assertIn("newer process", error.details())
                return True
            return False
        self.wait("the old one is told", refused, newer, b)
        self.assertEqual(b.found(ANN, BOB), {(BOB, "n1", 1, 2)})

    def test_reports_count_once_and_in_order(self):
        a, b = self.two()
        a.add(ANN, "n1", 1)
        a.remove("n1", 1)
        again = pb.ReportRequest(service="a", boot=1, number=a.number - 1, lease=duration(15),
                                 add=[pb.Location(user=ANN, node="n1", boot=1, session=1)])
        self.assertFalse(a.calls.Report(again).report_all)
        a.number += 1
        self.assertTrue(a.report(add=again.add).report_all, "a number is missing")
        a.number -= 2
        a.add(BOB, "n1", 2)
        self.wait("the last one", lambda: b.found(BOB), b)
        self.assertEqual(b.found(ANN), set())
        a.sessions = {("n1", 1, 3): (ANN, "")}
        a.report_all()
        self.wait("all anew", lambda: b.found(ANN, BOB) == {(ANN, "n1", 1, 3)}, a, b)

    def test_one_that_leaves_is_gone_at_once(self):
        a, b = self.two(lease=60)
        a.add(ANN, "n1", 1)
        self.wait("it is there", lambda: b.found(ANN), a, b)
        a.report(leave=True)
        took = self.wait("it left", lambda: b.report().peers == 0 and not b.found(ANN), b)
        self.assertLess(took, 10)
        self.assertTrue(a.report().report_all)

    def test_what_is_not_renewed_ends_with_its_lease(self):
        a, b = self.two(lease=LEASE)
        a.add(ANN, "n1", 1)
        self.wait("it is there", lambda: b.found(ANN), a, b)
        a.report()
        took = self.wait("its lease is over", lambda: not b.found(ANN), b)
        self.assertGreater(took, LEASE - 1.5)
        self.assertLess(took, LEASE + SLACK)
        self.assertEqual(b.report().peers, 0)
        self.assertTrue(a.report().report_all)

    def test_lists_and_verbs(self):
        a, b = self.two()
        for i in range(2500):
            a.sessions[(f"n{i % 3}", 1, i)] = (f"u{i:05}@example.org", "")
        a.report_all()
        b.add(ANN, "n1", 9000)
        self.wait("all are listed", lambda: len({l.session for l in b.list()}) == 2501, a, b)
        self.assertEqual(len({l.session for l in b.list(node="n1")}), 834)
        self.assertEqual({l.user for l in b.list(service="b")}, {ANN})
        self.assertEqual(len({l.user for l in b.list(prefix="u0123")}), 10)
        self.assertEqual(list(b.list(prefix="*")), [])
        code, out, error = b.host.imctl("location", "find", ANN, "-o", "json")
        self.assertEqual(code, 0, error)
        self.assertEqual(json.loads(out)["locations"][0]["node"], "n1")
        self.wait("all are counted", lambda: sum(s.locations for s in b.status().services) == 2501, a, b)
        code, out, error = b.host.imctl("location", "status")
        self.assertEqual(code, 0, error)
        self.assertIn("2500", out)
        status = b.status()
        self.assertTrue(status.sure, status)
        self.assertEqual({(s.service, s.in_sync) for s in status.services}, {("a", True), ("b", True)})

    def test_requests_that_are_none(self):
        a, _ = self.two()
        good = {"service": "x", "boot": 1, "number": 1}
        where = {"user": "u", "node": "n"}
        for fields in ({"service": ""}, {"service": "x" * 257}, {"boot": 0}, {"number": 0},
                       {"lease": duration(0.05)}, {"lease": duration(4000)},
                       {"add": [pb.Location(node="n")]}, {"add": [pb.Location(user="u")]},
                       {"add": [pb.Location(user="u" * 1025, node="n")]},
                       {"add": [pb.Location(device="d" * 257, **where)]},
                       {"remove": [pb.LocationKey()]}, {"gone": [pb.NodeBoot()]}):
            with self.assertRaises(grpc.RpcError) as caught:
                a.calls.Report(pb.ReportRequest(**{**good, **fields}))
            self.assertEqual(caught.exception.code(), CODE.INVALID_ARGUMENT, fields)
        with self.assertRaises(grpc.RpcError) as caught:
            a.find(*(["u"] * 10_001))
        self.assertEqual(caught.exception.code(), CODE.INVALID_ARGUMENT)


class SharedCases(Cases):
    """For those with a broker: each service on a host of its own."""

    @classmethod
    def setUpClass(cls):
        cls.broker = cls.make_broker().start()
        cls.addClassCleanup(cls.broker.discard)
        cls.clusters = 0

    def setUp(self):
        type(self).clusters += 1
        self.cluster = f"c{self.clusters}"

    def settings(self, **more):
        values = {"uri": self.broker.uri, "cluster": self.cluster, **more}
        return {f"{self.module}.{key}": value for key, value in values.items()}

    def host(self, **more):
        host = Host(settings=self.settings(**more), modules=(self.module,)).start()
        self.addCleanup(host.discard)
        return host

    def reason(self, host):
        """State and reason in `imctl module list`."""
        code, out, error = host.imctl("module", "list", "-o", "json")
        self.assertEqual(code, 0, error)
        for module in json.loads(out)["modules"]:
            if module["name"] == self.module:
                return module["state"], module.get("reason", "")
        raise AssertionError(out)

    def ill(self, host, *words):
        def told():
            state, reason = self.reason(host)
            return state == "ill" and all(word in reason for word in words)
        self.wait(f"module list says {words}: {self.reason(host)}", told)

    def own_broker(self, *options):
        self.broker = self.make_broker(*options).start()
        self.addCleanup(self.broker.discard)

    def test_another_cluster_is_not_seen(self):
        a, b = self.two()
        a.add(ANN, "n1", 1)
        self.wait("it is there", lambda: b.found(ANN), a, b)
        self.cluster += "x"
        c = self.service("c")
        c.report_all()
        self.all_sure(c)
        self.assertEqual(c.found(ANN), set())

    def test_a_broker_that_is_killed_and_comes_back_empty(self):
        self.own_broker()
        a, b = self.two()
        c = self.service("c")
        c.report_all()
        self.all_sure(a, b, c)
        for i in range(1000):
            a.sessions[("n1", 1, i)] = (f"u{i}", "")
        a.report_all()
        self.wait("all are there", lambda: len(b.found("u0", "u999")) == 2, a, b, c)
        self.broker.kill()
        self.ill(b.host, "cannot be reached" if self.module == "locations-redis" else "NATS server at")
        self.wait("nobody is sure", lambda: not any([service.renew().sure for service in (a, b, c)]))
        for service in (a, b, c):
            service.slowest = 0
        end = time.monotonic() + 5
        while time.monotonic() < end:
            for service in (a, b, c):
                self.assertFalse(service.renew().sure)
                self.assertFalse(service.find("u0", "nobody")[1].sure)
        a.remove("n1", 0)
        a.add(ANN, "n1", 5000)
        self.assertLess(max(s.slowest for s in (a, b, c)), 2, "calls wait for a broker that is away")
        self.broker.start()
        begun = time.monotonic()
        self.all_sure(a, b, c)
        print(f"\n{self.module}: sure again {time.monotonic() - begun:.1f} s after the broker is back, empty")
        for service in (b, c):
            self.assertEqual(service.found("u0", "u999", ANN), {("u999", "n1", 1, 999), (ANN, "n1", 1, 5000)})
        self.assertEqual(self.reason(b.host)[0], "active")

    def test_a_broker_that_hangs(self):
        self.own_broker()
        a, b = self.two(lease=LEASE)
        a.add(ANN, "n1", 1)
        self.wait("it is there", lambda: b.found(ANN), a, b)
        self.broker.pause()
        a.slowest = b.slowest = 0
        self.wait("nobody is sure", lambda: not (a.renew().sure or b.renew().sure))
        end = time.monotonic() + LEASE + SLACK
        while time.monotonic() < end:
            a.renew()
            self.assertFalse(b.find(ANN)[1].sure)
        self.assertEqual(b.found(ANN), set(), "shown beyond its lease")
        self.ill(b.host, self.broker.uri)
        self.assertLess(max(a.slowest, b.slowest), 3, "calls wait for a broker that hangs")
        self.broker.resume()
        took = self.all_sure(a, b)
        print(f"\n{self.module}: sure again {took:.1f} s after the broker goes on")
        self.assertEqual(b.found(ANN), {(ANN, "n1", 1, 1)})

    def test_a_host_that_is_killed_takes_its_locations_with_it(self):
        a, b = self.two(lease=LEASE)
        a.add(ANN, "n1", 1)
        self.wait("it is there", lambda: b.found(ANN), a, b)
        a.host.kill()
        took = self.wait("its lease is over", lambda: not b.found(ANN), b)
        self.assertLess(took, LEASE + SLACK)
        self.wait("the others are sure without it", lambda: b.report().sure and b.report().peers == 0, b)

    def test_a_host_that_hangs_beyond_its_lease_brings_nothing_back(self):
        a, b = self.two(lease=LEASE)
        a.add(ANN, "n1", 1)
        self.wait("it is there", lambda: b.found(ANN), a, b)
        a.host.process.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        self.wait("its lease is over", lambda: not b.found(ANN), b)
        # What it knows of its lease is newer than what it told the other.
        self.wait("over there as well", lambda: time.monotonic() > stopped + LEASE, b)
        a.host.process.send_signal(signal.SIGCONT)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            self.assertEqual(b.found(ANN), set())
            b.renew()
        self.assertTrue(a.report().report_all)
        a.report_all()
        self.wait("it is back", lambda: b.found(ANN), a, b)

    def test_a_host_that_is_started_again_is_told_everything(self):
        a, b = self.two()
        b.add(BOB, "n2", 1)
        a.add(ANN, "n1", 1)
        self.wait("it is there", lambda: b.found(ANN), a, b)
        a.host.restart()
        again = Service(a.host, "a", boot=2)
        again.sessions[("n1", 1, 2)] = (ANN, "")
        again.report_all()
        self.all_sure(again, b)
        self.assertEqual(again.found(BOB), {(BOB, "n2", 1, 1)})
        self.assertEqual(b.found(ANN), {(ANN, "n1", 1, 2)})

    def test_a_module_that_is_replaced_asks_for_everything(self):
        a, b = self.two()
        a.add(ANN, "n1", 1)
        b.add(BOB, "n2", 1)
        self.wait("it is there", lambda: b.found(ANN), a, b)
        code, _, error = a.host.imctl("module", "reload", self.module)
        self.assertEqual(code, 0, error)
        a.sessions[("n1", 1, 2)] = a.sessions.pop(("n1", 1, 1))
        self.assertTrue(a.report().report_all)
        a.report_all()
        self.wait("the new copy's", lambda: b.found(ANN) == {(ANN, "n1", 1, 2)}, a, b)
        self.all_sure(a, b)
        self.assertEqual(a.found(BOB), {(BOB, "n2", 1, 1)})
        for verb in ("disable", "enable"):
            code, _, error = a.host.imctl("module", verb, self.module)
            self.assertEqual(code, 0, error)
        a.report_all()
        self.all_sure(a, b)

    def test_random_requests(self):
        a, b = self.two()
        a.add(ANN, "n1", 1)
        maker = Maker(7)
        for name, kind in (("Report", pb.ReportRequest), ("Find", pb.FindRequest),
                           ("List", pb.ListLocationsRequest), ("Status", pb.LocationsStatusRequest)):
            method = a.host.channel().unary_unary(f"/imctl.cluster.v1.Locations/{name}")
            for _ in range(RANDOM // AT_ONCE):
                requests = [maker.request(kind, []) for _ in range(AT_ONCE)]
                for request, call in [(r, method.future(r, timeout=30)) for r in requests]:
                    self.assertIn(call.code(), (CODE.OK, CODE.INVALID_ARGUMENT, CODE.FAILED_PRECONDITION),
                                  f"{name} {request.hex()}")
        self.wait("nothing is disturbed", lambda: b.found(ANN) == {(ANN, "n1", 1, 1)}, a, b)

    def test_one_that_leaves_and_stops_at_once_is_gone(self):
        a, b = self.two(lease=60)
        a.add(ANN, "n1", 1)
        self.wait("it is there", lambda: b.found(ANN), a, b)
        a.report(leave=True)
        a.host.stop()
        self.assertLess(self.wait("it left", lambda: not b.found(ANN), b), 10)

    def test_wrong_addresses(self):
        port = self.broker.uri.rsplit(":", 1)[0]
        nobody = self.host(uri=f"{port}:1")
        self.ill(nobody, f"{port}:1", "cannot be reached")
        for uri, words in (("http://x", "is not where"), (self.broker.uri.replace("//", "//me:secret@"), "do not belong")):
            code, text = Host(settings=self.settings(uri=uri), modules=(self.module,)).fails()
            self.assertNotEqual(code, 0, text)
            self.assertIn(words, text)
            self.assertNotIn("secret", text)

    def test_many(self):
        a, b = self.two(lease=60)
        own_before, before = resident(a.host.process), resident(b.host.process)
        broker_before = resident(self.broker.process)
        for i in range(MANY):
            a.sessions[(f"node-{i % 20}", 1, i)] = (f"user{i:06}@example.org", "phone")
        begun = time.monotonic()
        a.report_all()
        reported = time.monotonic() - begun

        def there():
            return any(s.service == "a" and s.locations == MANY and s.in_sync for s in b.status().services)
        self.wait("all are there", there)
        converged = time.monotonic() - begun
        users = [f"user{i:06}@example.org" for i in range(0, MANY, 100)]
        b.slowest = 0
        self.assertEqual(len(b.found(*users)), len(users))
        print(f"\n{self.module}: {MANY} locations: reported in {reported:.1f} s, there after {converged:.1f} s; "
              f"their host grew by {mib(resident(a.host.process) - own_before)}, "
              f"the other by {mib(resident(b.host.process) - before)}, "
              f"the broker by {mib(resident(self.broker.process) - broker_before)}; "
              f"1,000 users found in {b.slowest * 1000:.1f} ms")
        c = self.service("c", lease=60)
        begun = time.monotonic()
        c.report_all()
        self.all_sure(a, b, c)
        print(f"{self.module}: a host that comes later is sure after {time.monotonic() - begun:.1f} s")
        self.assertEqual(len(c.found(*users)), len(users))
