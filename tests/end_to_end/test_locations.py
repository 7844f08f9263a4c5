"""Locations in memory."""

import unittest

from host_fixture import Host
from locations_cases import Cases


class Memory(Cases, unittest.TestCase):
    module = "locations-memory"

    def host(self):
        if not hasattr(self, "one"):
            self.one = Host(modules=(self.module,)).start()
            self.addCleanup(self.one.discard)
        return self.one

    def test_alone_nobody_needs_to_be_asked(self):
        a = self.service("a")
        answer = a.report_all()
        self.assertTrue(answer.sure)
        self.assertEqual(answer.peers, 0)


if __name__ == "__main__":
    unittest.main()
