"""`imctl login` and `logout`: against a server that has nothing but imctl.auth.v1.Login, and shows what it was told."""

import concurrent.futures
import json
import os
import pathlib
import stat
import subprocess
import tempfile
import unittest

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from host_fixture import IMCTL, ROOT, Host, clean_environment

SDK = ROOT / "sdk" / "proto"
PASSWORD = "correct horse battery staple"


def login_types():
    with tempfile.NamedTemporaryFile() as file:
        subprocess.run(["protoc", f"-I{SDK}", "--include_imports", f"--descriptor_set_out={file.name}",
                        "imctl/auth/v1/login.proto"], check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(file.name).read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for one in files.file:
        pool.Add(one)
    factory = message_factory.MessageFactory(pool)
    return lambda name: factory.GetPrototype(pool.FindMessageTypeByName(f"imctl.auth.v1.{name}"))


TYPE = login_types()


class Accounts(grpc.GenericRpcHandler):
    """A host as far as the client can tell."""

    def __init__(self):
        self.requests = []
        self.seen = []  # (method, authorization) of each call
        self.tokens = set()
        self.count = 0

    def service(self, details):
        authorization = dict(details.invocation_metadata).get("authorization")
        self.seen.append((details.method, authorization))
        handler = {"/imctl.auth.v1.Login/Login": self.login, "/imctl.auth.v1.Login/Logout": self.logout}.get(
            details.method)
        if handler is None:
            return None
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: handler(request, context, authorization))

    def login(self, request, context, _):
        request = TYPE("LoginRequest").FromString(request)
        self.requests.append(request)
        if request.password != PASSWORD:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "the user or the password is wrong")
        self.count += 1
        token = f"token-{self.count}"
        self.tokens.add(token)
        reply = TYPE("LoginResponse")(token=token, id=f"id-{self.count}", user=f"{request.user}@example.org")
        reply.expires.FromJsonString("2030-01-02T03:04:05Z")
        return reply.SerializeToString()

    def logout(self, _request, context, authorization):
        token = (authorization or "").removeprefix("Bearer ")
        if token not in self.tokens:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token does not hold")
        self.tokens.remove(token)
        return b""


class LoginTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="imctl-login-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.config = self.folder / "config" / "imctl"
        self.accounts, self.address = self.serve()

    def serve(self):
        accounts = Accounts()
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), handlers=[accounts])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.addCleanup(lambda: server.stop(0).wait())
        self.server = server
        return accounts, f"127.0.0.1:{port}"

    def imctl(self, *arguments, code=0, stdin=None):
        run = subprocess.run(
            [IMCTL, *arguments], input=stdin, capture_output=True, text=True, timeout=60, check=False,
            # Without a terminal of its own there is nobody to ask.
            start_new_session=True, cwd=self.folder,
            env=clean_environment({"XDG_CONFIG_HOME": str(self.folder / "config"),
                                   "XDG_CACHE_HOME": str(self.folder / "cache")}))
        self.assertEqual(run.returncode, code, run.stdout + run.stderr)
        self.assertNotIn(PASSWORD, run.stdout + run.stderr)
        return run.stdout if code == 0 else run.stderr

    def log_in(self, *arguments, **options):
        return self.imctl("login", "ann", "--password-file", "-", *arguments, stdin=PASSWORD + "\n", **options)

    def tokens(self):
        return sorted(str(path.relative_to(self.config)) for path in self.config.rglob("*.token*"))

    def sent(self, *arguments):
        """The token that a command sends."""
        before = len(self.accounts.seen)
        self.imctl("api", *arguments, code=1)  # the server has no catalog
        self.assertGreater(len(self.accounts.seen), before)
        return self.accounts.seen[-1][1]

    def context(self, name, address=None, *more):
        self.imctl("context", "add", name, "--server", address or self.address, *more)

    def test_a_context(self):
        self.context("here", None, "--use")
        self.context("other")
        self.assertIsNone(self.sent())
        out = self.log_in()
        self.assertEqual(out, "You are ann@example.org, until 2030-01-02T03:04:05Z.\n")
        request = self.accounts.requests[0]
        self.assertEqual((request.user, request.password), ("ann", PASSWORD))
        self.assertTrue(request.device.startswith("imctl@"))
        self.assertEqual(self.tokens(), ["contexts/here.token"])
        path = self.config / "contexts" / "here.token"
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertEqual(self.sent(), "Bearer token-1")
        self.assertEqual(self.sent("--context", "here"), "Bearer token-1")
        # A context's token is for that context alone.
        self.assertIsNone(self.sent("--context", "other"))
        self.assertIsNone(self.sent("--server", self.address))
        # Once more: the old token is not sent, the new one takes its place.
        shown = json.loads(self.log_in("--device", "phone", "-o", "json"))
        self.assertEqual((shown["user"], shown["id"]), ("ann@example.org", "id-2"))
        self.assertEqual(self.accounts.seen[-1], ("/imctl.auth.v1.Login/Login", None))
        self.assertEqual(self.accounts.requests[1].device, "phone")
        self.assertEqual(self.sent(), "Bearer token-2")
        self.imctl("logout")
        self.assertEqual(self.accounts.tokens, {"token-1"})
        self.assertEqual(self.tokens(), [])
        self.assertIsNone(self.sent())
        self.imctl("logout")  # nobody is

    def test_an_address_without_a_context(self):
        self.log_in("--server", self.address)
        self.assertEqual(self.sent("--server", self.address), "Bearer token-1")
        first = self.accounts
        self.accounts, another = self.serve()
        self.assertIsNone(self.sent("--server", another))
        self.imctl("logout", "--server", self.address)
        self.assertEqual((first.tokens, self.tokens()), (set(), []))

    def test_refusals(self):
        self.context("here", None, "--use")
        self.assertIn("wrong", self.imctl("login", "ann", "--password-file", "-", stdin="no\n", code=4))
        self.assertEqual(self.tokens(), [])
        self.assertIn("--password-file", self.imctl("login", "ann", code=1))  # nobody to ask
        self.assertIn("no such flag", self.imctl("login", "ann", "--password", PASSWORD, code=2))
        self.imctl("login", code=2)
        self.log_in("--embedded", code=1)
        self.log_in("--dry-run")
        self.assertEqual((len(self.accounts.requests), self.tokens()), (1, []))
        # It would be seen on its way.
        self.assertIn("grpcs://", self.log_in("--server", "im.example.org:50051", code=1))

    def test_the_password_from_a_file(self):
        (self.folder / "password").write_text(PASSWORD + "\n", encoding="utf-8")
        self.imctl("login", "ann", "--password-file", "password", "--server", self.address)
        self.assertEqual(self.accounts.requests[0].password, PASSWORD)

    def test_a_token_that_the_host_knows_no_more(self):
        self.context("here", None, "--use")
        self.log_in()
        self.accounts.tokens.clear()
        self.imctl("logout")
        self.assertEqual(self.tokens(), [])
        # If the host cannot be asked it stays, unless it is to be forgotten.
        self.log_in()
        self.server.stop(0).wait()
        self.imctl("logout", code=5)
        self.assertEqual(self.tokens(), ["contexts/here.token"])
        self.imctl("logout", "--forget")
        self.assertEqual(self.tokens(), [])

    def test_a_token_goes_with_its_context(self):
        self.context("here", None, "--use")
        self.log_in()
        self.context("here", None, "--replace")  # maybe another host
        self.assertEqual(self.tokens(), [])
        self.log_in()
        self.imctl("context", "delete", "here")
        self.assertEqual(self.tokens(), [])
        # One that its owner named is left alone.
        (self.folder / "mine").write_text("token-x\n", encoding="utf-8")
        self.context("here", None, "--use", "--token-file", "mine")
        self.assertIn("--token-file", self.log_in(code=6))
        self.assertEqual(self.sent(), "Bearer token-x")
        self.accounts.tokens.add("token-x")
        self.imctl("logout")
        self.assertEqual(self.accounts.tokens & {"token-x"}, set())
        self.assertEqual((self.folder / "mine").read_text(encoding="utf-8"), "token-x\n")


class RealTest(unittest.TestCase):
    """The same with a host and its users."""

    def test_a_user(self):
        host = Host(settings={"host.auth": "required"}, modules=("storage-sqlite", "user"))
        self.addCleanup(host.discard)
        host.start()
        password = pathlib.Path(host.folder) / "password"
        password.write_text(PASSWORD, encoding="utf-8")
        socket = ["--server", f"unix:{host.data}/imctl.sock"]

        def imctl(*arguments, code=0):
            run = subprocess.run([IMCTL, *arguments], env=host.env, capture_output=True, text=True, timeout=60,
                                 start_new_session=True, check=False)
            self.assertEqual(run.returncode, code, run.stdout + run.stderr + host.text()[-2000:])
            return run.stdout

        imctl("user", "add", "ann", f"--password=@{password}", *socket)
        imctl("context", "add", "here", "--server", f"127.0.0.1:{host.port}", "--use")
        imctl("whoami", code=4)
        self.assertIn("You are ann@localhost, until ", imctl("login", "ann", "--password-file", str(password)))
        self.assertEqual(json.loads(imctl("whoami", "-o", "json"))["principal"], "ann@localhost")
        imctl("status", code=4)
        token = next(pathlib.Path(host.env["XDG_CONFIG_HOME"]).rglob("*.token")).read_text(encoding="utf-8").strip()
        imctl("logout")
        imctl("whoami", code=4)
        password.write_text("wrong", encoding="utf-8")
        for _ in range(3):
            imctl("login", "ann", "--password-file", str(password), code=4)
        out = imctl("audit", "list", "-o", "jsonl", *socket)
        records = [(r["kind"], r["user"], r["method"].rsplit(".", 1)[-1], r["code"])
                   for r in map(json.loads, out.splitlines())]
        self.assertEqual(records[1:], [
            ("call", "unix:root" if os.getuid() == 0 else records[1][1], "Users/Add", "OK"),
            ("refusal", "", "Catalog/Get", "UNAUTHENTICATED"),
            ("call", "", "Login/Login", "OK"),
            ("refusal", "ann@localhost", "Status/Get", "PERMISSION_DENIED"),
            ("call", "ann@localhost", "Login/Logout", "OK"),
            ("call", "", "Login/Login", "UNAUTHENTICATED"),  # and two that were counted
        ])
        for secret in (token, PASSWORD, "wrong"):
            self.assertNotIn(f'"{secret}', out)
        imctl("audit", "verify", *socket)


if __name__ == "__main__":
    unittest.main()
