"""Every method to every caller on every way in, against the list of who may call what.

IMCTL_GOLDEN=update writes the list anew; look at the difference before you commit it.
"""

import json
import os
import pathlib
import subprocess
import tempfile
import time
import unittest

import grpc

import user_protos as protos
from host_fixture import IMCTL, Host
from user_protos import login, tokens, users

CODE = grpc.StatusCode
LIST = pathlib.Path(__file__).with_name("access.txt")
MODULES = ("storage-sqlite", "user", "router", "locations-memory", "backup")
CHEAP = {"user.argon2_memory": "8KiB", "user.argon2_time": "1"}
PASSWORD = "correct horse battery"
# What a call may take that is let in and then waits for news.
WAIT = 0.3
# Let in, it would end the credential that it came with.
WHOAMI = "imctl.host.v1.Access/WhoAmI"
ENDS_ITS_TOKEN = "imctl.auth.v1.Login/Logout"


def tls(folder, *arguments):
    subprocess.run([str(IMCTL), "tls", *arguments, "--dir", folder], check=True, capture_output=True, timeout=60)


class Certificates:
    """An authority, the host's certificate, and those of callers."""

    def __init__(self, folder):
        self.folder = folder
        tls(folder, "init")
        tls(folder, "issue", "host", "--host", "127.0.0.1")
        tls(folder, "issue", "ann", "--user", "ann@localhost")
        tls(folder, "issue", "dan", "--user", "dan@localhost")
        tls(folder, "issue", "ghost", "--user", "ghost@localhost")
        tls(folder, "issue", "n2", "--node", "n2")
        tls(folder, "issue", "ops", "--admin")
        tls(folder, "issue", "plain", "--host", "plain.example.org")

    def path(self, name):
        return os.path.join(self.folder, name)

    def read(self, name):
        return pathlib.Path(self.path(name)).read_bytes()

    def settings(self):
        return {"host.tls_cert": self.path("host.pem"), "host.tls_key": self.path("host-key.pem"),
                "host.tls_client_ca": self.path("ca.pem")}

    def credentials(self, name=None):
        if name is None:
            return grpc.ssl_channel_credentials(self.read("ca.pem"))
        return grpc.ssl_channel_credentials(self.read("ca.pem"), self.read(name + "-key.pem"), self.read(name + ".pem"))


class Callers:
    """Users, tokens, and the ways to a host."""

    def __init__(self, host, certificates=None):
        self.host = host
        self.certificates = certificates
        self.socket = os.path.join(host.data, "imctl.sock")
        self.channels = {}
        self.admin = self.channel("unix")
        self.users = protos.users_rpc.UsersStub(self.admin)
        self.tokens = protos.tokens_rpc.TokensStub(self.admin)
        for name in ("ann", "dan", "sue"):
            self.users.Add(users.AddUserRequest(user=name, password=PASSWORD))
        self.users.GrantRoles(users.GrantRolesRequest(user="sue", roles=["admin"]))
        self.ann = self.token("ann")
        self.sue = self.token("sue")
        revoked = self.tokens.Create(tokens.CreateTokenRequest(user="ann"))
        self.tokens.Revoke(tokens.RevokeTokenRequest(user="ann", id=revoked.id))
        self.revoked = revoked.token
        short = tokens.CreateTokenRequest(user="ann")
        short.lifetime.seconds = 1
        self.expired = self.tokens.Create(short).token
        self.disabled = self.token("dan")
        self.users.Disable(users.DisableUserRequest(user="dan", reason="on leave"))
        deadline = time.monotonic() + 30
        while attempt(self.admin, WHOAMI, metadata=bearer(self.expired)) == CODE.OK:
            assert time.monotonic() < deadline, "a token of a second still holds"

    def token(self, user):
        return self.tokens.Create(tokens.CreateTokenRequest(user=user)).token

    def channel(self, way, certificate=None):
        key = (way, certificate)
        if key not in self.channels:
            options = [("grpc.use_local_subchannel_pool", 1)]
            target = f"unix:{self.socket}" if way == "unix" else f"127.0.0.1:{self.host.port}"
            if way in ("unix", "tcp"):
                made = grpc.insecure_channel(target, options=options)
            else:
                made = grpc.secure_channel(target, self.certificates.credentials(certificate), options=options)
            self.channels[key] = made
        return self.channels[key]

    def close(self):
        for channel in self.channels.values():
            channel.close()


def attempt(channel, method, payload=b"", metadata=()):
    """How a call ends, or OK as soon as it gives something."""
    call = channel.stream_stream("/" + method)(iter([payload]), timeout=WAIT if waits(method) else 20,
                                               metadata=metadata)
    try:
        for _ in call:
            call.cancel()
            return CODE.OK
    except grpc.RpcError as error:
        return error.code()
    return CODE.OK


def waits(method):
    return method.rsplit("/", 1)[1] in ("Watch", "Tail", "Top", "Read", "Import", "ServerReflectionInfo", "Bundle",
                                        "Put", "Dump", "Load")


def bearer(token):
    return (("authorization", f"Bearer {token}"),)


def in_field(number, text):
    value = text.encode()
    return bytes([number << 3 | 2, len(value)]) + value


def rows_of(host):
    run = subprocess.run([str(IMCTL), "access", "list", "-o", "json", "--server",
                          "unix:" + os.path.join(host.data, "imctl.sock")],
                         env=host.env, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(run.stdout)["methods"]


class Matrix(unittest.TestCase):
    """One host with plain TCP, one with TLS."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="imctl-access-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.certificates = Certificates(os.path.join(cls.folder.name, "tls"))
        cls.callers = []
        for extra in ({}, cls.certificates.settings()):
            host = Host(modules=MODULES, settings={"host.auth": "required", **CHEAP, **extra})
            cls.addClassCleanup(host.discard)
            host.start()
            callers = Callers(host, cls.certificates)
            cls.addClassCleanup(callers.close)
            cls.callers.append(callers)
        cls.rows = rows_of(cls.callers[0].host)

    def test_the_list(self):
        """A method that is not in the list, or is open to others than it says, fails here."""
        text = "".join("{:60} {:7} {:6} {}\n".format(row["method"], row["access"], row["effect"],
                                                     row.get("owner", "")).replace(" \n", "\n")
                       for row in self.rows)
        text = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
        if os.environ.get("IMCTL_GOLDEN") == "update":
            LIST.write_text(text, encoding="utf-8")
        self.assertEqual(text, LIST.read_text(encoding="utf-8"))

    def test_every_method_is_in_the_list(self):
        """The list is what the host serves, not what it says of itself: reflection and modules agree."""
        listed = {row["method"].rsplit("/", 1)[0] for row in self.rows}
        run = subprocess.run([str(IMCTL), "module", "list", "-o", "json", "--server",
                              "unix:" + self.callers[0].socket],
                             env=self.callers[0].host.env, capture_output=True, text=True, timeout=60, check=True)
        served = {service for module in json.loads(run.stdout)["modules"] if module["state"] == "active"
                  for service in module["services"]}
        self.assertEqual(listed, served)

    def expected(self, row, who, own):
        """What the table in docs/access.md says: the refusal, or None if the call is let in."""
        access = row["access"]
        if who in ("wrong", "expired", "revoked", "disabled"):
            return CODE.UNAUTHENTICATED
        if who == "admin" or access == "public":
            return None
        if who == "nobody":
            return CODE.UNAUTHENTICATED
        if who == "user" and (access == "user" or (access == "self" and own)):
            return None
        if who == "node" and access in ("user", "node"):
            return None
        return CODE.PERMISSION_DENIED

    def check(self, callers, way, who, metadata=(), certificate=None):
        for row in self.rows:
            method = row["method"]
            channel = callers.channel(way, certificate)
            for own in (True, False) if row["access"] == "self" else (False,):
                payload = b""
                if row["access"] == "self":
                    payload = in_field(self.owner_number(row), "ann@localhost" if own else "bob@localhost")
                wanted = self.expected(row, who, own)
                if wanted is None and method == ENDS_ITS_TOKEN:
                    if who == "user" and certificate is None:
                        metadata_here = bearer(callers.token("ann"))
                    elif who == "admin" and metadata:
                        metadata_here = bearer(callers.token("sue"))
                    else:
                        metadata_here = metadata
                else:
                    metadata_here = metadata
                got = attempt(channel, method, payload, metadata_here)
                with self.subTest(method=method, way=way, who=who, own=own, got=got):
                    if wanted is None:
                        refusals = (CODE.UNAUTHENTICATED, CODE.PERMISSION_DENIED)
                        self.assertTrue(got not in refusals or got == HANDLERS_THAT_REFUSE.get(method), got)
                    else:
                        self.assertEqual(got, wanted)

    def owner_number(self, row):
        if not hasattr(self, "_numbers"):
            type(self)._numbers = owner_numbers()
        return self._numbers[row["method"]]

    def test_matrix(self):
        plain, with_tls = self.callers
        for callers, ways in ((plain, ("unix", "tcp")), (with_tls, ("unix", "tls"))):
            for way in ways:
                if way == "unix":
                    # Whoever runs the tests runs the host.
                    self.check(callers, way, "admin")
                else:
                    self.check(callers, way, "nobody")
                self.check(callers, way, "wrong", bearer("imctl_nonsense_nonsense"))
                self.check(callers, way, "expired", bearer(callers.expired))
                self.check(callers, way, "revoked", bearer(callers.revoked))
                self.check(callers, way, "disabled", bearer(callers.disabled))
                self.check(callers, way, "user", bearer(callers.ann))
                self.check(callers, way, "admin", bearer(callers.sue))
        self.check(with_tls, "tls", "user", certificate="ann")
        self.check(with_tls, "tls", "node", certificate="n2")
        self.check(with_tls, "tls", "admin", certificate="ops")
        self.check(with_tls, "tls", "nobody", certificate="plain")


# These look at who calls themselves, once they are called.
HANDLERS_THAT_REFUSE = {
    "imctl.auth.v1.Authenticator/Authenticate": CODE.UNAUTHENTICATED,
    "imctl.auth.v1.Login/Login": CODE.UNAUTHENTICATED,
    "imctl.user.v1.Users/SetPassword": CODE.PERMISSION_DENIED,
    # It is for modules alone.
    "imctl.host.v1.Secrets/List": CODE.PERMISSION_DENIED,
    # Nodes are let in where users are, but have no messages.
    "imctl.message.v1.Messages/Chat": CODE.PERMISSION_DENIED,
    "imctl.message.v1.Messages/History": CODE.PERMISSION_DENIED,
    "imctl.message.v1.Messages/Send": CODE.PERMISSION_DENIED,
    "imctl.message.v1.Messages/Watch": CODE.PERMISSION_DENIED,
    "imctl.session.v1.Sessions/Connect": CODE.PERMISSION_DENIED,
}


def owner_numbers():
    from google.protobuf import descriptor_pool  # noqa: PLC0415: after the generated code was imported

    pool = descriptor_pool.Default()
    numbers = {}
    for service, field in (("imctl.user.v1.Users", "user"), ("imctl.user.v1.Tokens", "user"),
                           ("imctl.storage.v1.Mailboxes", "mailbox")):
        for method in pool.FindServiceByName(service).methods:
            found = method.input_type.fields_by_name.get(field)
            if found is not None:
                numbers[f"{service}/{method.name}"] = found.number
    return numbers


if __name__ == "__main__":
    unittest.main()
