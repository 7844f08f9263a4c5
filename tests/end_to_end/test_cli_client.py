"""What the client does by itself: contexts, TLS, tokens, many lines at once, call ids, exit codes."""

import concurrent.futures
import json
import os
import re
import signal
import subprocess
import unittest

import grpc

from host_fixture import BUILD, IMCTL, Host

LONGEST = 60


def certificates(folder):
    """A CA and a server's certificate for the name im.example.org."""
    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=LONGEST)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "host.key",
            "-out", "host.csr", "-subj", "/CN=im.example.org")
    with open(os.path.join(folder, "names"), "w", encoding="utf-8") as file:
        file.write("subjectAltName=DNS:im.example.org")
    openssl("x509", "-req", "-in", "host.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-out", "host.pem", "-extfile", "names")


class Front(grpc.GenericRpcHandler):
    """A server with TLS that hands every unary call on to a host, and remembers what came with it."""

    def __init__(self, host, folder):
        def content(name):
            with open(os.path.join(folder, name), "rb") as file:
                return file.read()

        self.metadata = []
        self.channel = host.channel()
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        self.server.add_generic_rpc_handlers((self,))
        key = grpc.ssl_server_credentials([(content("host.key"), content("host.pem"))])
        self.port = self.server.add_secure_port("127.0.0.1:0", key)
        self.server.start()

    def service(self, details):
        self.metadata.append(dict(details.invocation_metadata))
        call = self.channel.unary_unary(details.method)
        return grpc.unary_unary_rpc_method_handler(lambda request, _: call(request, timeout=LONGEST))


class ClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.host = Host(modules=("garden",), settings={"host.module_path": str(BUILD / "tests" / "modules")})
        cls.host.start()
        cls.here = f"127.0.0.1:{cls.host.port}"

    @classmethod
    def tearDownClass(cls):
        code = cls.host.stop()
        cls.host.discard()
        assert code == 0

    def setUp(self):
        for name in self.imctl("context", "list", "-o", "name")[1].split():
            self.imctl("context", "delete", name)

    def imctl(self, *words, code=None, stdin=None, **env):
        run = subprocess.run([str(IMCTL), *words], env=dict(self.host.env, **env), input=stdin,
                             capture_output=True, text=True, timeout=LONGEST, cwd=self.host.folder, check=False)
        if code is not None:
            self.assertEqual(run.returncode, code, f"{words}: {run.stdout}{run.stderr}")
        return run.returncode, run.stdout, run.stderr

    def file(self, name, content):
        path = os.path.join(self.host.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        return path

    # -- contexts

    def test_contexts_come_and_go(self):
        self.imctl("context", "add", "here", "--server", self.here, "--use", code=0)
        self.imctl("context", "add", "here", "--server", self.here, code=6)
        self.imctl("context", "add", "here", "--server", self.here, "--replace", code=0)
        self.imctl("context", "add", "other", "--server", "/nowhere/imctl.sock", code=0)
        self.imctl("context", "add", "no name", "--server", self.here, code=1)
        self.assertIn("--server", self.imctl("context", "add", "third", code=2)[2])
        rows = json.loads(self.imctl("context", "list", "-o", "json", code=0)[1])
        self.assertEqual([(row["name"], row["current"], row["server"]) for row in rows],
                         [("here", True, self.here), ("other", False, "unix:/nowhere/imctl.sock")])
        self.imctl("plant", "list", code=0)
        self.imctl("context", "use", "other", code=0)
        self.assertIn("/nowhere", self.imctl("plant", "list", code=5)[2])
        self.assertIn("did you mean `other`", self.imctl("context", "use", "othr", code=3)[2])
        self.assertIn("unix:/nowhere", self.imctl("context", "show", code=0)[1])
        self.imctl("context", "delete", "other", code=0)
        self.assertNotIn("/nowhere", self.imctl("plant", "list")[2])  # it is in use no more
        self.imctl("context", "delete", "other", code=3)

    def test_which_host_it_is(self):
        self.imctl("context", "add", "good", "--server", self.here, code=0)
        self.imctl("context", "add", "bad", "--server", "/nowhere/a.sock", "--use", code=0)
        bad = "unix:/nowhere/b.sock"
        # Each line beats what the next one adds to it.
        self.imctl("plant", "list", "--server", self.here, IMCTL_SERVER=bad, IMCTL_CONTEXT="bad", code=0)
        self.imctl("plant", "list", "--server", self.here, "--context", "bad", code=0)
        self.imctl("plant", "list", "--context", "good", IMCTL_SERVER=bad, IMCTL_CONTEXT="bad", code=0)
        self.imctl("plant", "list", IMCTL_SERVER=self.here, IMCTL_CONTEXT="bad", code=0)
        self.imctl("plant", "list", IMCTL_CONTEXT="good", code=0)
        self.assertIn("/nowhere/a.sock", self.imctl("plant", "list", code=5)[2])
        self.imctl("plant", "list", "--context", "none", code=3)
        self.imctl("plant", "list", "--context", "good", "--embedded", code=2)

    def test_tls_and_token(self):
        certificates(self.host.folder)
        front = Front(self.host, self.host.folder)
        self.addCleanup(lambda: front.server.stop(0).wait())
        token = self.file("token", "s3cret\n")
        where = f"grpcs://127.0.0.1:{front.port}"
        self.imctl("context", "add", "tls", "--server", where, "--tls-ca", "ca.pem", "--tls-name",
                   "im.example.org", "--token-file", "token", code=0)
        self.imctl("plant", "add", "tulip", "--context", "tls", "--call-id", "my-call", code=0)
        self.assertEqual(front.metadata[-1]["authorization"], "Bearer s3cret")
        self.assertEqual(front.metadata[-1]["imctl-call-id"], "my-call")
        # Another address alone gets no token; a certificate that nobody vouches for is no host.
        front.metadata.clear()
        self.imctl("plant", "list", "--server", where, code=5)
        self.imctl("context", "add", "wrong", "--server", where, "--tls-ca", "ca.pem", code=0)
        self.imctl("plant", "list", "--context", "wrong", code=5)  # the name is another
        self.assertEqual(front.metadata, [])
        os.unlink(token)
        self.assertIn("token", self.imctl("plant", "list", "--context", "tls")[2])

    def test_a_token_is_not_shown_to_the_net(self):
        self.file("token", "s3cret\n")
        _, _, err = self.imctl("context", "add", "x", "--server", "192.0.2.1:1", "--token-file", "token", code=2)
        self.assertIn("grpcs://", err)

    # -- many lines

    def test_run(self):
        lines = self.file("lines", "# what is planted\n\nplant add 'one two' --kind bush  # a bush\n"
                                   "imctl plant add three \\\n  --kind \"tall-tree\"\nplant list -o name\n")
        self.assertIn("one two\nthree\n", self.imctl("run", lines, "--server", self.here, code=0)[1])
        lines = "plant add four\nplant show nobody\nplant add five\n"
        _, _, err = self.imctl("run", "-", "--server", self.here, stdin=lines, code=8)
        self.assertIn("standard input:2: exit code 3", err)
        self.imctl("plant", "show", "five", "--server", self.here, code=3)
        self.imctl("run", "-", "--keep-going", "--server", self.here, stdin="plant show nobody\n" + lines[15:],
                   code=8)
        self.imctl("plant", "show", "five", "--server", self.here, code=0)
        # Nothing went well before: the code is the line's.
        self.imctl("run", "-", "--server", self.here, stdin="plant show nobody\n", code=3)
        self.assertIn("does not end", self.imctl("run", "-", "--server", self.here, stdin="plant 'x\n", code=2)[2])
        # What a line may not do.
        for line in ("plant list --server x:1", "run x", "serve", "plant import -f -"):
            self.imctl("run", "-", "--server", self.here, stdin=line + "\n", code=2)
        self.imctl("run", "-", "--server", self.here, stdin="plant remove three\n", code=2)
        self.imctl("run", "-", "--yes", "--server", self.here, stdin="plant remove three\n", code=0)

    def test_run_is_one_connection(self):
        def catalogs():
            text = self.imctl("metric", "list", "imctl_calls", "-o", "jsonl", "--server", self.here)[1]
            return sum(json.loads(line)["value"] for line in text.splitlines() if "Catalog/Get" in line)

        before = catalogs()
        self.imctl("run", "-", "--server", self.here, stdin="plant list\n" * 20, code=0)
        self.assertEqual(catalogs() - before, 2)  # run's, and that of the second look

    # -- calls

    def test_call_ids(self):
        _, _, err = self.imctl("plant", "fail", "13", "--server", self.here, code=1)
        self.assertRegex(err, r"\(call [0-9a-f]{32}\)\n$")
        _, _, err = self.imctl("plant", "fail", "5", "--server", self.here, "-v", "--call-id", "mine", code=3)
        self.assertIn("(call mine)", err)
        _, _, err = self.imctl("plant", "fail", "5", "--server", self.here, code=3)
        self.assertNotIn("(call", err)
        # Who never got to a host has no id to look for.
        self.assertNotIn("(call", self.imctl("plant", "list", "--server", "/nowhere/imctl.sock", "-v", code=5)[2])
        self.imctl("plant", "list", "--call-id", "a b", "--server", self.here, code=2)

    def test_call_takes_every_kind_of_stream(self):
        def call(method, *words, **more):
            return self.imctl("call", f"garden.v1.Garden/{method}", *words, "--server", self.here, code=0, **more)[1]

        self.assertIn("count", json.loads(call("Count")))
        documents = '{"text": "a"}\n{"text": "b"}\n'
        self.assertEqual(call("Talk", "-f", "-", "-o", "jsonl", stdin=documents), '{"text":"a"}\n{"text":"b"}\n')
        self.assertEqual(call("Grow", "--days", "2", "-o", "jsonl").count("\n"), 2)
        self.assertEqual(json.loads(call("Import", "-f", "-", stdin='{"name": "i1"}{"name": "i2"}')), {"count": 2})

    def test_time_over_and_interrupted(self):
        self.imctl("plant", "sleep", "--timeout", "200ms", "--server", self.here, code=7)
        process = subprocess.Popen([str(IMCTL), "plant", "sleep", "--server", self.here], env=self.host.env,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(process.stdout.readline(), "TEXT\n")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=LONGEST)
        self.assertEqual((process.returncode, err), (130, "imctl: plant sleep: interrupted\n"))

    def test_watch_without_a_terminal(self):
        process = subprocess.Popen([str(IMCTL), "plant", "list", "--watch=10ms", "-o", "json", "--server", self.here],
                                   env=self.host.env, stdout=subprocess.PIPE, text=True)
        seen = ""
        while seen.count("\n}\n") < 3:
            seen += process.stdout.readline()
        process.send_signal(signal.SIGINT)
        self.assertNotIn("\x1b", process.communicate(timeout=LONGEST)[0])
        self.assertEqual(process.returncode, 0)
        # Nobody reads any more.
        run = subprocess.run(["sh", "-c", f"'{IMCTL}' plant list --watch=1ms --server {self.here} | head -n 1"],
                             env=self.host.env, capture_output=True, text=True, timeout=LONGEST, check=False)
        self.assertEqual(run.returncode, 0)

    def test_watch_ends_with_what_fails(self):
        self.imctl("plant", "show", "nobody", "--watch=10ms", "--server", self.here, code=3)
        self.imctl("plant", "list", "--watch=0", "--server", self.here, code=0)
        self.imctl("plant", "add", "x", "--watch", "--server", self.here, code=2)

    def test_data_and_the_rest_are_apart(self):
        _, out, err = self.imctl("plant", "grow", "2", "--server", self.here, code=0)
        self.assertEqual(out, "DONE  STATE\n2     grown\n")
        self.assertTrue(re.fullmatch(r"2 of 2, \S+/s\n", err), err)


if __name__ == "__main__":
    unittest.main()
