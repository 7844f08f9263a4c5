"""Settings from the environment, the file and the command line, and what is said of wrong ones."""

import os
import re
import socket
import sqlite3
import tempfile
import time
import unittest

import grpc

import stubs
from host_fixture import MODULES, Host
from stubs import event


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class EnvironmentTest(unittest.TestCase):
    def test_all_eight_variables_of_the_seed(self):
        port = free_port()
        env = {
            "API_PORT": str(port),
            "DB_URI": "sqlite:",
            "DB_NAME": "other_name",
            "DB_USERNAME": "somebody",
            "DB_PASSWORD": "correct horse",
            "DB_TABLE_NAME": "other_table",
            "DB_RETENTION_PERIOD": "900ms",
            "LOG_LEVEL": "-4",
        }
        # What cleaning removes it tells at the level of debugging.
        settings = {"storage-sqlite.clean_interval": "100ms"}
        with Host(settings=settings, env=env, listen=None) as host:
            self.assertEqual(host.port, port)
            client = stubs.Client(host.channel())
            self.assertEqual(client.put(event("a")), 1)
            self.assertEqual(len(client.get("a")), 1)
            time.sleep(1.1)
            self.assertEqual(client.get("a"), [])
            self.assertEqual(client.put(event("b")), 1)
            self.assertEqual(host.stop(), 0)
            self.assertNotIn("correct horse", host.text())
            self.assertRegex(host.text(), r"debug .*1 messages? .*removed")
            (path,) = host.files("other_name.db")
            with sqlite3.connect(path) as database:
                tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
                names = [name for (name,) in tables if name.startswith("other_table_")]
            self.assertEqual(len(names), 2, names)  # one bucket: its messages and their keys
            host.start()

    def test_uri_names_a_file(self):
        with tempfile.TemporaryDirectory(prefix="imctl-test-") as folder:
            path = f"{folder}/named.db"
            with Host(env={"DB_URI": f"sqlite://{path}"}) as host:
                self.assertEqual(stubs.Client(host.channel()).put(event("a")), 1)
            self.assertTrue(os.path.exists(path))

    def test_scheme_that_nothing_serves(self):
        uri = "mongodb+srv://localhost/?retryWrites=true&w=majority"
        code, text = Host(env={"DB_URI": uri}).fails()
        self.assertNotIn(code, (0, None), text)
        self.assertIn("DB_URI", text)
        self.assertIn("mongodb+srv", text)
        self.assertRegex(text, r"\bsqlite\b")

    def test_bad_values(self):
        for name, value in (("DB_RETENTION_PERIOD", "soon"), ("DB_RETENTION_PERIOD", "0s"),
                            ("DB_RETENTION_PERIOD", "-1h"), ("DB_TABLE_NAME", "a b"),
                            ("DB_NAME", "../x"), ("API_PORT", "seventy"), ("LOG_LEVEL", "loud")):
            with self.subTest(f"{name}={value}"):
                code, text = Host(env={name: value}, listen=None).fails()
                self.assertNotIn(code, (0, None), text)
                self.assertIn(name, text)

    def test_own_variable_wins_over_the_shared_one(self):
        env = {"DB_NAME": "shared", "IMCTL_STORAGE_SQLITE__DB_NAME": "own"}
        with Host(env=env) as host:
            stubs.Client(host.channel()).put(event("a"))
            self.assertTrue(host.files("own.db"))
            self.assertFalse(host.files("shared.db"))


class FileTest(unittest.TestCase):
    GOOD = f"""
# a comment
[host]
auth = none
module_path = {MODULES}
modules = storage-sqlite

[storage-sqlite]
db_name = from_file
max_batch = 5
"""

    def host(self, config, settings=None, env=None):
        host = Host(config=config, env=env)
        host.settings = {"host.data": host.data, "host.listen": "127.0.0.1:0"}
        host.settings.update(settings or {})
        return host

    def test_file(self):
        with self.host(self.GOOD) as host:
            client = stubs.Client(host.channel())
            self.assertEqual(client.put(*[event(str(i)) for i in range(5)]), 5)
            with self.assertRaises(grpc.RpcError) as caught:
                client.put(*[event(str(i)) for i in range(6)])
            self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
            self.assertTrue(host.files("from_file.db"))

    def test_flag_over_environment_over_file(self):
        settings = {"storage-sqlite.db_name": "from_flag"}
        with self.host(self.GOOD, settings, {"DB_NAME": "from_env"}) as host:
            self.assertTrue(host.files("from_flag.db"))
        with self.host(self.GOOD, None, {"DB_NAME": "from_env"}) as host:
            self.assertTrue(host.files("from_env.db"))

    def refused(self, wrong, *parts):
        """`wrong` is added at the end of a good file; the error must name its first line."""
        config = self.GOOD + wrong
        line = self.GOOD.count("\n") + 1
        code, text = self.host(config).fails()
        self.assertNotIn(code, (0, None), text)
        self.assertRegex(text, rf"imctl\.conf:{line}\b")
        for part in parts:
            self.assertIn(part, text)
        self.assertNotIn("serving on", text)

    def test_unknown_key(self):
        self.refused("max_bach = 5\n", "max_bach")

    def test_unknown_section(self):
        self.refused("[storage-sqlit]\nmax_batch = 5\n", "storage-sqlit")

    def test_bad_number(self):
        self.refused("max_message = many\n", "max_message", "many")

    def test_number_out_of_range(self):
        self.refused("queue_bytes = 1\n", "queue_bytes")

    def test_bad_duration(self):
        self.refused("retention = soon\n", "retention", "soon")

    def test_line_that_is_none(self):
        self.refused("what is this\n")

    def test_scheme_that_nothing_serves(self):
        self.refused("uri = postgresql://localhost/\n", "postgresql", "sqlite")

    def test_what_only_the_module_can_see(self):
        code, text = self.host(self.GOOD + "max_reply = 1KiB\n").fails()
        self.assertNotIn(code, (0, None), text)
        self.assertIn("storage-sqlite", text)
        self.assertIn("max_reply", text)

    def test_missing_module(self):
        config = self.GOOD.replace("modules = storage-sqlite", "modules = storage-sqlite, no-such")
        line = config[:config.index("modules = ")].count("\n") + 1
        code, text = self.host(config).fails()
        self.assertNotIn(code, (0, None), text)
        self.assertRegex(text, rf"imctl\.conf:{line}\b")
        self.assertIn("no-such", text)
        self.assertIn(str(MODULES), text)

    def test_file_that_is_not_there(self):
        host = self.host(self.GOOD)
        command = host.command

        def missing():
            return [a.replace("imctl.conf", "none.conf") for a in command()]

        host.command = missing
        code, text = host.fails()
        self.assertNotIn(code, (0, None), text)
        self.assertIn("none.conf", text)

    def test_folder_that_cannot_be_written(self):
        with tempfile.NamedTemporaryFile() as file:
            code, text = self.host(self.GOOD + f"uri = sqlite://{file.name}/m.db\n").fails()
        self.assertNotIn(code, (0, None), text)
        self.assertIn(file.name, text)


class ListenTest(unittest.TestCase):
    def test_no_authentication_is_for_loopback_only(self):
        code, text = Host(listen="0.0.0.0:0").fails()
        self.assertNotIn(code, (0, None), text)
        self.assertIn("auth", text)
        self.assertIn("loopback", text)

    def test_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            code, text = Host(listen=f"127.0.0.1:{port}").fails()
        self.assertNotIn(code, (0, None), text)
        self.assertTrue(re.search(rf"\b{port}\b", text), text)

    def test_data_folder_in_use(self):
        with Host() as host:
            code, text = Host(data=host.data).fails()
            self.assertNotIn(code, (0, None), text)
            self.assertIn(host.data, text)
            self.assertEqual(stubs.Client(host.channel()).put(event("a")), 1)


if __name__ == "__main__":
    unittest.main()
