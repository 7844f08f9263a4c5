"""Credentials at work: streams that end with them, a storage that is gone, the unix socket, TLS."""

import os
import pathlib
import random
import socket
import ssl
import subprocess
import sys
import threading
import time
import unittest

import grpc

import user_protos as protos
from host_fixture import IMCTL, Host
from postgres_fixture import Postgres, programs
from test_access import CHEAP, MODULES, Certificates, attempt, bearer, in_field, tls
from user_protos import login, mailboxes, tokens, users

CODE = grpc.StatusCode
SOON = 1.0  # how soon what is open has to end
WHO = "imctl.host.v1.Access/WhoAmI"
CATALOG = "imctl.host.v1.Catalog/Get"


class Stream:
    """A user's open watch of their own mailbox."""

    def __init__(self, channel, token, user="ann@localhost"):
        stub = protos.mailboxes_rpc.MailboxesStub(channel)
        self.call = stub.Watch(mailboxes.WatchMailboxRequest(mailbox=user), metadata=bearer(token))
        self.code = None
        self.ended = None
        self.first = threading.Event()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            for _ in self.call:
                self.first.set()
        except grpc.RpcError as error:
            self.code = error.code()
        self.ended = time.monotonic()
        self.first.set()

    def open(self):
        assert self.first.wait(30)
        return self.ended is None

    def end_after(self, since):
        self.thread.join(30)
        assert self.ended is not None, "it is still open"
        return self.ended - since


class CredentialsTest(unittest.TestCase):
    def host(self, settings=None, modules=MODULES, **more):
        host = Host(modules=modules, settings={"host.auth": "required", **CHEAP, **(settings or {})}, **more)
        self.addCleanup(host.discard)
        return host.start()

    def socket_channel(self, host):
        channel = grpc.insecure_channel("unix:" + os.path.join(host.data, "imctl.sock"),
                                        options=[("grpc.use_local_subchannel_pool", 1)])
        self.addCleanup(channel.close)
        return channel

    def verb(self, host, *arguments, code=0, stdin=None):
        run = subprocess.run([str(IMCTL), *arguments, "--server", "unix:" + os.path.join(host.data, "imctl.sock")],
                             env=host.env, capture_output=True, text=True, timeout=60, input=stdin, check=False)
        self.assertEqual(run.returncode, code, run.stdout + run.stderr)
        return run.stdout + run.stderr

    def with_ann(self, host):
        """The administrator's stubs, and a token of a new user."""
        channel = self.socket_channel(host)
        admin = protos.users_rpc.UsersStub(channel)
        maker = protos.tokens_rpc.TokensStub(channel)
        admin.Add(users.AddUserRequest(user="ann"))
        return admin, maker, maker.Create(tokens.CreateTokenRequest(user="ann"))

    def fill(self, host):
        """Something for watchers to read at once."""
        append = '{"message": {"from": "bob@localhost", "event": {"id": "1", "type": "im", "source": "bob", ' \
                 '"spec_version": "1.0", "text_data": "hello"}}}'
        self.verb(host, "mailbox", "append", "ann@localhost", "-f", "-", stdin=append)


class StreamsEnd(CredentialsTest):
    def ends(self, near, far, what):
        """A stream at `far` ends soon after `what` was done at `near`; another user's stays."""
        admin, maker, mine = self.with_ann(near)
        admin.Add(users.AddUserRequest(user="eve"))
        others = maker.Create(tokens.CreateTokenRequest(user="eve"))
        self.fill(near)
        channel = far.channel()
        stream = Stream(channel, mine.token)
        self.assertTrue(stream.open())
        other = Stream(channel, others.token, "eve@localhost")
        since = time.monotonic()
        what(admin, maker, mine)
        self.assertLess(stream.end_after(since), SOON)
        # With the user their mailbox goes, which ends it too.
        self.assertIn(stream.code, (CODE.UNAUTHENTICATED, CODE.FAILED_PRECONDITION))
        self.assertEqual(attempt(channel, CATALOG, metadata=bearer(mine.token)), CODE.UNAUTHENTICATED)
        self.assertEqual(attempt(channel, CATALOG, metadata=bearer(others.token)), CODE.OK)
        self.assertIsNone(other.ended)
        other.call.cancel()

    WAYS = {
        "revoke": lambda admin, maker, mine: maker.Revoke(tokens.RevokeTokenRequest(user="ann", id=mine.id)),
        "disable": lambda admin, maker, mine: admin.Disable(users.DisableUserRequest(user="ann")),
        "delete": lambda admin, maker, mine: admin.Delete(users.DeleteUserRequest(user="ann")),
    }

    def test_here(self):
        for name, way in self.WAYS.items():
            with self.subTest(name):
                host = self.host()
                self.ends(host, host, way)
                self.assertEqual(host.stop(), 0)

    @unittest.skipUnless(programs(), "there is no PostgreSQL server here")
    def test_on_the_second_host(self):
        for name, way in self.WAYS.items():
            with self.subTest(name), Postgres() as postgres:
                near, far = (self.host(modules=("storage-postgresql", "user"),
                                       settings={"storage-postgresql.uri": postgres.uri}) for _ in range(2))
                self.ends(near, far, way)
                self.assertEqual([near.stop(), far.stop()], [0, 0])

    def test_when_the_module_that_knows_users_is_replaced(self):
        host = self.host()
        admin, maker, mine = self.with_ann(host)
        self.fill(host)
        stream = Stream(host.channel(), mine.token)
        self.assertTrue(stream.open())
        self.verb(host, "module", "reload", "user")
        self.assertEqual(attempt(host.channel(), CATALOG, metadata=bearer(mine.token)), CODE.OK)
        self.assertIsNone(stream.ended)
        since = time.monotonic()
        maker.Revoke(tokens.RevokeTokenRequest(user="ann", id=mine.id))
        self.assertLess(stream.end_after(since), SOON)


class WithoutStorage(CredentialsTest):
    def test_a_database_that_is_gone(self):
        if not programs():
            self.skipTest("there is no PostgreSQL server here")
        with Postgres() as postgres:
            host = self.host(modules=("storage-postgresql", "user"),
                             settings={"storage-postgresql.uri": postgres.uri})
            mine = self.with_ann(host)[2]
            self.assertEqual(attempt(host.channel(), CATALOG, metadata=bearer(mine.token)), CODE.OK)
            postgres.stop("immediate")
            # Only what nobody can take back without being heard is still believed: nothing.
            code = CODE.OK
            deadline = time.monotonic() + 30
            while code == CODE.OK and time.monotonic() < deadline:
                code = attempt(host.channel(), CATALOG, metadata=bearer(mine.token))
            self.assertEqual(code, CODE.UNAVAILABLE)
            self.assertIn("storage-postgresql", self.verb(host, "status"))
            self.verb(host, "config", "set", "host.log_level", "debug")
            self.verb(host, "log", "tail")
            self.verb(host, "module", "list")
            self.verb(host, "audit", "verify")
            self.verb(host, "user", "get", "ann", code=5)

    def test_storage_that_is_switched_off(self):
        host = self.host()
        mine = self.with_ann(host)[2]
        self.verb(host, "module", "disable", "storage-sqlite", "--cascade")
        self.assertEqual(attempt(host.channel(), CATALOG, metadata=bearer(mine.token)), CODE.UNAUTHENTICATED)
        self.verb(host, "status")
        self.verb(host, "module", "enable", "storage-sqlite", "user")
        self.assertEqual(attempt(host.channel(), CATALOG, metadata=bearer(mine.token)), CODE.OK)


class Socket(CredentialsTest):
    def test_mode(self):
        host = self.host({"host.socket_mode": "0600"})
        self.assertEqual(os.stat(os.path.join(host.data, "imctl.sock")).st_mode & 0o777, 0o600)

    def whoami(self, host, uid, gid, groups):
        """What the host takes somebody else for."""

        def become():
            os.setgroups(groups)
            os.setgid(gid)
            os.setuid(uid)

        code = ("import grpc, sys\n"
                "channel = grpc.insecure_channel('unix:' + sys.argv[1])\n"
                f"print(channel.unary_unary('/{WHO}')(b'', timeout=20))\n")
        run = subprocess.run([sys.executable, "-c", code, os.path.join(host.data, "imctl.sock")],
                             preexec_fn=become, capture_output=True, text=True, timeout=60, check=True, cwd="/")
        return run.stdout

    @unittest.skipUnless(os.geteuid() == 0, "only root can be somebody else")
    def test_who_connects(self):
        host = self.host({"host.socket_mode": "0666"})
        os.chmod(host.folder, 0o755)
        nobody, somegroup = 65534, 12345
        self.assertIn("unix:root", self.whoami(host, 0, 0, []))
        self.assertIn("nobody", self.whoami(host, nobody, somegroup, []))
        self.assertNotIn("unix:", self.whoami(host, nobody, somegroup, []))
        # In the host's own group, as the main one or another.
        self.assertIn("unix:nobody", self.whoami(host, nobody, 0, []))
        self.assertIn("unix:nobody", self.whoami(host, nobody, somegroup, [7, 0]))
        # Many connections at once, of both kinds: none is taken for another.
        found = []
        threads = [threading.Thread(target=lambda uid=uid: found.append(
            (uid, "unix:root" in self.whoami(host, uid, somegroup, [])))) for uid in (0, nobody) * 6]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(found), 12)
        self.assertTrue(all(is_root == (uid == 0) for uid, is_root in found), found)

    def test_a_token_counts_more(self):
        host = self.host()
        mine = self.with_ann(host)[2]
        channel = self.socket_channel(host)
        self.assertEqual(attempt(channel, "imctl.host.v1.Status/Get"), CODE.OK)
        self.assertEqual(attempt(channel, "imctl.host.v1.Status/Get", metadata=bearer(mine.token)),
                         CODE.PERMISSION_DENIED)
        self.assertEqual(attempt(channel, "imctl.host.v1.Status/Get", metadata=bearer("x")), CODE.UNAUTHENTICATED)
        basic = (("authorization", "Basic YW5uOnNlY3JldA=="),)
        self.assertEqual(attempt(channel, "imctl.host.v1.Status/Get", metadata=basic), CODE.UNAUTHENTICATED)


class Tls(CredentialsTest):
    def setUp(self):
        self.folder = os.path.join(Host().folder, "tls")  # removed with it
        self.addCleanup(subprocess.run, ["rm", "-rf", os.path.dirname(self.folder)], check=True)
        self.certificates = Certificates(self.folder)

    def channel(self, host, certificate=None, authority="ca.pem"):
        c = self.certificates
        credentials = (grpc.ssl_channel_credentials(c.read(authority)) if certificate is None else
                       grpc.ssl_channel_credentials(c.read(authority), c.read(certificate + "-key.pem"),
                                                    c.read(certificate + ".pem")))
        channel = grpc.secure_channel(f"127.0.0.1:{host.port}", credentials,
                                      options=[("grpc.use_local_subchannel_pool", 1)])
        self.addCleanup(channel.close)
        return channel

    def serial(self, host):
        """Of the certificate that the host shows to who connects now."""
        context = ssl.create_default_context(cafile=self.certificates.path("ca.pem"))
        context.set_alpn_protocols(["h2"])
        with socket.create_connection(("127.0.0.1", host.port)) as plain, \
                context.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped:
            return wrapped.getpeercert()["serialNumber"]

    def test_renewed_certificates_count_without_a_restart(self):
        host = self.host(self.certificates.settings())
        open_before = self.channel(host)
        self.assertEqual(attempt(open_before, WHO), CODE.OK)
        first = self.serial(host)
        tls(self.folder, "issue", "host", "--host", "127.0.0.1")
        deadline = time.monotonic() + 30
        while self.serial(host) == first:
            self.assertLess(time.monotonic(), deadline, "the old certificate is still shown")
        self.assertEqual(attempt(open_before, WHO), CODE.OK)
        self.assertEqual(attempt(self.channel(host), WHO), CODE.OK)

    def test_users_by_certificate(self):
        host = self.host(self.certificates.settings())
        self.assertEqual(attempt(self.channel(host, "ghost"), CATALOG), CODE.UNAUTHENTICATED)
        admin = self.with_ann(host)[0]
        ann = self.channel(host, "ann")
        self.assertEqual(attempt(ann, CATALOG), CODE.OK)
        get = "imctl.user.v1.Users/Get"
        self.assertEqual(attempt(ann, get, in_field(1, "ann@localhost")), CODE.OK)
        self.assertEqual(attempt(ann, get, in_field(1, "bob@localhost")), CODE.PERMISSION_DENIED)
        admin.Disable(users.DisableUserRequest(user="ann"))
        self.assertEqual(attempt(ann, CATALOG), CODE.PERMISSION_DENIED)

    def test_names_of_section_certificates(self):
        host = self.host(self.certificates.settings())
        plain = self.channel(host, "plain")
        self.assertEqual(attempt(plain, "imctl.host.v1.Status/Get"), CODE.UNAUTHENTICATED)
        self.verb(host, "config", "set", "certificates.plain.example.org", "admin backup-job")
        self.assertEqual(attempt(plain, "imctl.host.v1.Status/Get"), CODE.OK)
        self.verb(host, "config", "set", "certificates.plain.example.org", "nobody")
        self.assertEqual(attempt(plain, "imctl.host.v1.Status/Get"), CODE.UNAUTHENTICATED)
        self.assertIn("is not user", self.verb(host, "config", "set", "certificates.x", "king ann", code=1))

    def test_certificates_of_others(self):
        """Of another authority, without TLS, and bytes that are no TLS at all."""
        foreign = Certificates(os.path.join(self.folder, "foreign"))
        host = self.host(self.certificates.settings())
        credentials = grpc.ssl_channel_credentials(self.certificates.read("ca.pem"), foreign.read("ops-key.pem"),
                                                   foreign.read("ops.pem"))
        with grpc.secure_channel(f"127.0.0.1:{host.port}", credentials) as channel:
            self.assertEqual(attempt(channel, WHO), CODE.UNAVAILABLE)
        with grpc.insecure_channel(f"127.0.0.1:{host.port}") as channel:
            self.assertEqual(attempt(channel, WHO), CODE.UNAVAILABLE)
        generator = random.Random(7)
        for size in (1, 5, 100, 10_000):
            with socket.create_connection(("127.0.0.1", host.port)) as junk:
                junk.settimeout(30)
                try:
                    junk.sendall(generator.randbytes(size))
                    junk.shutdown(socket.SHUT_WR)
                    while junk.recv(4096):
                        pass
                except OSError:  # it was closed before
                    pass
        self.assertEqual(attempt(self.channel(host, "ops"), "imctl.host.v1.Status/Get"), CODE.OK)

    def test_files_that_are_no_good(self):
        settings = self.certificates.settings()
        junk = self.certificates.path("junk.pem")
        pathlib.Path(junk).write_text("-----BEGIN CERTIFICATE-----\nnonsense\n", encoding="ascii")
        for key, path, words in (("host.tls_cert", junk, "host.tls_cert"),
                                 ("host.tls_key", "/no/such.pem", "No such file"),
                                 ("host.tls_key", self.certificates.path("ann-key.pem"), "host.tls_key"),
                                 ("host.tls_client_ca", junk, "host.tls_client_ca"),
                                 ("host.tls_key", None, "go together"),
                                 ("host.tls_cert", None, "go together")):
            with self.subTest(key=key, path=path):
                host = Host(modules=(), settings={"host.auth": "required", **settings, key: path})
                code, text = host.fails()
                self.assertNotIn(code, (0, None))
                self.assertIn(words, text)

    def test_a_node_by_its_certificate(self):
        far = self.host({**self.certificates.settings(), "storage-sqlite.isolate": "no"}, modules=("storage-sqlite",))
        near = self.host({"bind.awakari.messages.Service": f"grpcs://127.0.0.1:{far.port}",
                          "bind.node": "n2", "bind.tls_ca": self.certificates.path("ca.pem"),
                          "bind.tls_cert": self.certificates.path("n2.pem"),
                          "bind.tls_key": self.certificates.path("n2-key.pem"), "host.auth": "none"}, modules=())
        self.verb(near, "message", "put", "-f", str(pathlib.Path(__file__).with_name("seed.json")))
        # Another name than the certificate's is none.
        wrong = self.host({**near.settings, "bind.node": "n3", "host.data": near.data + "-2"}, modules=())
        self.verb(wrong, "message", "get", "x", code=5)


class OwnAccount(CredentialsTest):
    def setUp(self):
        self.running = self.host()
        self.admin, self.maker, self.mine = self.with_ann(self.running)
        self.admin.Add(users.AddUserRequest(user="bob"))
        self.admin.SetPassword(users.SetPasswordRequest(user="ann", password="first password", keep_tokens=True))
        channel = self.running.channel()
        self.users = protos.users_rpc.UsersStub(channel)
        self.tokens = protos.tokens_rpc.TokensStub(channel)
        self.login = protos.login_rpc.LoginStub(channel)

    def code(self, call, request, token=None):
        try:
            call(request, timeout=30, metadata=bearer(token or self.mine.token))
        except grpc.RpcError as error:
            return error.code()
        return CODE.OK

    def test_password(self):
        def change(old, new, user="ann@localhost"):
            return self.code(self.users.SetPassword,
                             users.SetPasswordRequest(user=user, password=new, old_password=old))

        other = self.maker.Create(tokens.CreateTokenRequest(user="ann")).token
        self.assertEqual(change("wrong password", "second password"), CODE.PERMISSION_DENIED)
        self.assertEqual(change("", "second password"), CODE.PERMISSION_DENIED)
        self.assertEqual(change("first password", "second password", "bob@localhost"), CODE.PERMISSION_DENIED)
        self.assertEqual(change("first password", "second password"), CODE.OK)
        # What was open elsewhere ends, and not what the change was made with.
        self.assertEqual(self.code(self.users.Get, users.GetUserRequest(user="ann@localhost"), other),
                         CODE.UNAUTHENTICATED)
        self.assertEqual(self.code(self.users.Get, users.GetUserRequest(user="ann@localhost")), CODE.OK)
        for password, wanted in (("first password", CODE.UNAUTHENTICATED), ("second password", CODE.OK)):
            request = login.LoginRequest(user="ann", password=password)
            self.assertEqual(self.code(lambda r, **more: self.login.Login(r, timeout=30), request), wanted)

    def test_tokens(self):
        create = tokens.CreateTokenRequest(user="ann@localhost", scope=["imctl.user.v1.Tokens/*"])
        narrow = self.tokens.Create(create, metadata=bearer(self.mine.token))
        get = users.GetUserRequest(user="ann@localhost")
        self.assertEqual(self.code(self.users.Get, get, narrow.token), CODE.PERMISSION_DENIED)
        # A narrow token makes no wider one.
        for scope in ([], ["*"], ["imctl.user.v1.Users/Get"]):
            create.scope[:] = scope
            try:
                wide = self.tokens.Create(create, metadata=bearer(narrow.token)).token
            except grpc.RpcError as error:
                self.assertEqual(error.code(), CODE.PERMISSION_DENIED)
            else:
                self.assertEqual(self.code(self.users.Get, get, wide), CODE.PERMISSION_DENIED, scope)
        create.user = "bob@localhost"
        self.assertEqual(self.code(self.tokens.Create, create), CODE.PERMISSION_DENIED)
        revoke = tokens.RevokeTokenRequest(user="ann@localhost", id=narrow.id)
        self.assertEqual(self.code(self.tokens.Revoke, revoke), CODE.OK)
        self.assertEqual(self.code(self.tokens.List, tokens.ListTokensRequest(user="ann@localhost"), narrow.token),
                         CODE.UNAUTHENTICATED)
        # Another's token is not to be found under one's own name.
        theirs = self.maker.Create(tokens.CreateTokenRequest(user="bob"))
        self.assertEqual(self.code(self.tokens.Revoke,
                                   tokens.RevokeTokenRequest(user="ann@localhost", id=theirs.id)), CODE.NOT_FOUND)
        self.assertEqual(self.code(self.users.Get, users.GetUserRequest(user="bob@localhost"), theirs.token), CODE.OK)

    def test_logout(self):
        # From the answer on, however soon one comes again.
        for _ in range(200):
            token = self.maker.Create(tokens.CreateTokenRequest(user="ann")).token
            self.assertEqual(self.code(self.login.Logout, login.LogoutRequest(), token), CODE.OK)
            self.assertEqual(self.code(self.login.Logout, login.LogoutRequest(), token), CODE.UNAUTHENTICATED)


class Nonsense(CredentialsTest):
    def test_tokens_of_all_kinds(self):
        host = self.host()
        mine = self.with_ann(host)[2].token
        channel = host.channel()
        generator = random.Random(1)
        letters = "".join(chr(c) for c in range(33, 127))
        made = [mine[:-1], mine + "x", mine.swapcase(), mine.split("_")[0], "_".join(mine.split("_")[:2]),
                "imctl__", "imctl_" + "a" * 1000 + "_" + "b" * 1000, "'; --", "../../etc/passwd", "%00", "a" * 4000]
        made += ["".join(generator.choices(letters, k=generator.randint(1, 200))) for _ in range(300)]
        # A right one with one letter wrong, at each place.
        made += [mine[:i] + ("x" if mine[i] != "x" else "y") + mine[i + 1:] for i in range(len(mine))]
        words = set()
        for token in made:
            with self.assertRaises(grpc.RpcError) as caught:
                channel.unary_unary("/" + CATALOG)(b"", timeout=20, metadata=bearer(token))
            self.assertEqual(caught.exception.code(), CODE.UNAUTHENTICATED, token)
            words.add(caught.exception.details())
        self.assertEqual(len(words), 1, words)
        for value in ("Bearer", "Bearer ", "bearer", "", mine, "Bearer " + "a" * 7000):
            self.assertEqual(attempt(channel, CATALOG, metadata=(("authorization", value),)), CODE.UNAUTHENTICATED)
        self.assertEqual(attempt(channel, CATALOG, metadata=(("authorization", "bEARER " + mine),)), CODE.OK)
        self.assertEqual(attempt(channel, CATALOG, metadata=bearer(mine)), CODE.OK)

    def test_metadata_that_is_the_hosts_own(self):
        """What a host tells its modules cannot come from a client."""
        host = self.host()
        mine = self.with_ann(host)[2].token
        forged = (("imctl-principal", "root"), ("imctl-principal-kind", "admin"), ("imctl-peer", "unix:"),
                  ("imctl-credential", "other"))
        self.assertEqual(attempt(host.channel(), "imctl.host.v1.Status/Get", metadata=forged), CODE.UNAUTHENTICATED)
        self.assertEqual(attempt(host.channel(), "imctl.host.v1.Status/Get", metadata=forged + bearer(mine)),
                         CODE.PERMISSION_DENIED)

    def test_users_of_all_kinds(self):
        host = self.host({"host.max_request": "16MiB"})
        admin, _, mine = self.with_ann(host)
        get = "imctl.user.v1.Users/Get"
        for name in ("a\nb@localhost", "\u202eann@localhost", "аnn@localhost", "ann@localhost\0", "@", "",
                     "a" * 10_000_000 + "@localhost", "ann@" + "x" * 5000, "\ud7ff@localhost", "ann/phone@localhost"):
            with self.subTest(name[:40]):
                with self.assertRaises(grpc.RpcError) as caught:
                    admin.Get(users.GetUserRequest(user=name), timeout=60)
                self.assertIn(caught.exception.code(), (CODE.INVALID_ARGUMENT, CODE.NOT_FOUND))
                self.assertLess(len(caught.exception.details()), 1000)
                payload = users.GetUserRequest(user=name).SerializeToString()
                self.assertEqual(attempt(host.channel(), get, payload, bearer(mine.token)), CODE.PERMISSION_DENIED)


if __name__ == "__main__":
    unittest.main()
