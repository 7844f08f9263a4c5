"""Locations in a real Redis server."""

import re
import time
import unittest

from host_fixture import ROOT, Host
from locations_cases import ANN, BOB, SharedCases
from redis_fixture import LateProxy, Redis


class InRedis(SharedCases, unittest.TestCase):
    module = "locations-redis"

    @staticmethod
    def make_broker(*options):
        return Redis(*options)

    def test_wrong_password(self):
        self.own_broker("--requirepass", "right one")
        for password in ("a wrong one", None):
            host = self.host(password=password) if password else self.host()
            self.ill(host, "refuses to let this host in", "check username and password")
            self.assertNotIn("a wrong one", host.text())
        a = self.service("a", at=self.host(password="right one"))
        a.report_all()
        self.all_sure(a)

    def test_a_user_with_the_rights_of_the_documentation(self):
        self.own_broker()
        text = (ROOT / "docs" / "locations.md").read_text(encoding="utf-8")
        rights = re.search(r"The ACL user needs `([^`]*)` on `([^`]*)`", text)
        self.broker.cli("ACL", "SETUSER", "im", "on", ">secret", *rights[1].split(), "~" + rights[2].replace("CLUSTER", "*"))
        a, b = (self.service(name, at=self.host(username="im", password="secret")) for name in "ab")
        a.report_all()
        b.report_all()
        self.all_sure(a, b)
        a.add(ANN, "n1", 1)
        self.wait("it is there", lambda: b.found(ANN) and list(b.list()), a, b)
        a.remove("n1", 1)
        self.wait("it is gone", lambda: not b.found(ANN), a, b)

    def test_all_that_is_removed_is_written_again(self):
        self.own_broker()
        a, b = self.two()
        a.add(ANN, "n1", 1)
        self.wait("it is there", lambda: b.found(ANN), a, b)
        self.broker.cli("FLUSHALL")
        self.wait("it is back", lambda: b.found(ANN), a, b)
        self.broker.cli("SCRIPT", "FLUSH")
        a.add(BOB, "n1", 2)
        self.wait("without scripts too", lambda: b.found(ANN, BOB) == {(ANN, "n1", 1, 1), (BOB, "n1", 1, 2)}, a, b)
        self.all_sure(a, b)

    def test_no_key_stays_for_ever(self):
        self.own_broker()
        a, b = self.two()
        a.add(ANN, "n1", 1)
        self.wait("it is there", lambda: b.found(ANN), a, b)
        keys = self.broker.cli("KEYS", "*").split()
        self.assertGreaterEqual(len(keys), 4)
        for key in keys:
            self.assertGreater(int(self.broker.cli("PTTL", key)), 0, key)

    def test_keys_are_written_again_before_they_expire(self):
        self.own_broker()
        a, b = (self.service(name, at=self.host(expiry="10s")) for name in "ab")
        a.sessions[("n1", 1, 1)] = (ANN, "")
        a.report_all()
        b.report_all()
        self.all_sure(a, b)
        end = time.monotonic() + 13
        while time.monotonic() < end:
            a.renew()
            b.renew()
            self.assertEqual(b.found(ANN), {(ANN, "n1", 1, 1)})
            time.sleep(0.2)

    def test_short_leases_hold(self):
        a, b = self.two(lease=1)
        a.add(ANN, "n1", 1)
        self.wait("it is there", lambda: b.found(ANN), a, b)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            a.renew()
            b.renew()
            self.assertEqual(b.found(ANN), {(ANN, "n1", 1, 1)})
            time.sleep(0.2)

    def test_a_lease_that_is_late_is_doubted(self):
        self.own_broker()
        a, b = self.two()
        a.add(ANN, "n1", 1)
        for _ in range(5):
            self.wait("it is there", lambda: b.found(ANN), a, b)
            self.all_sure(a, b)
            (lease,) = self.broker.cli("KEYS", "*lease:a").split()
            self.broker.cli("DEL", lease)
            found, answer = b.find(ANN)
            self.assertTrue(found or not answer.sure, "who is there is said to be nowhere")

    def test_what_arrives_after_a_connection_was_given_up_changes_nothing(self):
        self.own_broker()
        with LateProxy(self.broker.port) as proxy:
            a, b = self.service("a", at=self.host(uri=proxy.uri)), self.service("b")
            a.report_all()
            b.report_all()
            self.all_sure(a, b)
            a.add(ANN, "n1", 1)
            a.add(BOB, "n1", 2)
            self.wait("they are there", lambda: len(b.found(ANN, BOB)) == 2, a, b)
            before = proxy.connections
            proxy.hold()
            a.add("cid@example.org", "n1", 3)
            a.remove("n1", 2)
            self.wait("another connection", lambda: proxy.connections > before, a, b)
            a.add(BOB, "n1", 2)
            wanted = {(ANN, "n1", 1, 1), (BOB, "n1", 1, 2), ("cid@example.org", "n1", 1, 3)}
            self.wait("all is written anew", lambda: b.found(ANN, BOB, "cid@example.org") == wanted, a, b)
            self.all_sure(a, b)
            proxy.release()
            # Looking removes what is left over; this is not.
            list(b.list())
            self.assertEqual(b.found(ANN, BOB, "cid@example.org"), wanted)

    def test_a_full_redis_is_told_and_recovered_from(self):
        self.own_broker("--maxmemory-policy", "noeviction")
        a, b = self.two()
        a.add(ANN, "n1", 1)
        self.wait("it is there", lambda: b.found(ANN), a, b)
        self.broker.cli("CONFIG", "SET", "maxmemory", "1")
        a.add(BOB, "n1", 2)
        self.ill(a.host, "OOM")
        self.assertFalse(a.renew().sure)
        self.broker.cli("CONFIG", "SET", "maxmemory", "0")
        self.wait("it is written", lambda: b.found(ANN, BOB) == {(ANN, "n1", 1, 1), (BOB, "n1", 1, 2)}, a, b)
        self.all_sure(a, b)

    def test_tls_is_refused_in_words(self):
        code, text = Host(settings=self.settings(uri="rediss://localhost:6379"), modules=(self.module,)).fails()
        self.assertNotEqual(code, 0)
        self.assertIn("tunnel", text)


if __name__ == "__main__":
    unittest.main()
