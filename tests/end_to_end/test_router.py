"""Messages between users: one node, and two that share a storage."""

import contextlib
import hashlib
import json
import re
import secrets
import subprocess
import time
import unittest

import grpc

from host_fixture import IMCTL, Host
from im_client import CODE, Client, Session, message
from router_protos import cluster, cluster_rpc, events, link, mailboxes, messages, messages_rpc, sessions, sessions_rpc
from user_protos import login, login_rpc, users, users_rpc

MODULES = ("storage-sqlite", "user", "router")
QUICK = {
    "user.argon2_memory": "8KiB", "user.argon2_time": "1", "user.credentials": "argon2id",
    "user.address_attempts": "100000", "user.last_seen": "0s",
}


def add_users(host, *names):
    stub = users_rpc.UsersStub(host.channel())
    for name in names:
        stub.Add(users.AddUserRequest(user=name, password="a good password"))


def login_token(host, name, device=""):
    return login_rpc.LoginStub(host.channel()).Login(
        login.LoginRequest(user=name, password="a good password", device=device)).token


@contextlib.contextmanager
def node(**settings):
    with Host(modules=MODULES, settings={**QUICK, "router.name": "one", **settings}) as host:
        yield host


@contextlib.contextmanager
def pair(roles="node", **settings):
    """Two nodes; the second has neither storage nor cluster service of its own."""
    key = secrets.token_hex(16)
    with Host(modules=MODULES, settings={
            **QUICK, "router.name": "one", **settings,
            "nodes.two": "sha256:" + hashlib.sha256(key.encode()).hexdigest()}) as one:
        there = f"grpc://127.0.0.1:{one.port}"
        with Host(modules=("user", "router"), settings={
                **QUICK, "router.name": "two", "router.roles": roles, "router.services": there, **settings,
                "bind.node": "two", "bind.node_key": key,
                "bind.imctl.storage.v1.Mailboxes": there, "bind.imctl.storage.v1.Records": there}) as two:
            wait_for(lambda: len(nodes_of(one)) == 2, "both nodes to join")
            yield one, two


def nodes_of(host):
    return {n.node: n for n in cluster_rpc.NodesStub(host.channel()).List(cluster.ListNodesRequest()).nodes
            if n.link == "up"}


def wait_for(condition, what, timeout=30):
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.02)


class RouterCase(unittest.TestCase):
    def session(self, host, user, device="", **hello):
        session = Session(host.channel(), user=user, device=device, **hello)
        self.addCleanup(session.close)
        self.assertIsNotNone(session.next("welcome"), session.details)
        return session


class OneNodeTest(RouterCase):
    @classmethod
    def setUpClass(cls):
        cls.context = node()
        cls.host = cls.context.__enter__()
        add_users(cls.host, "ann", "bob", "eve")

    @classmethod
    def tearDownClass(cls):
        cls.context.__exit__(None, None, None)

    def test_there_and_back(self):
        ann, bob = self.session(self.host, "ann", "phone", only_new=True), self.session(self.host, "bob", only_new=True)
        ann.send(7, message("m1", "bob", "hello"))
        sent = ann.next("sent")
        self.assertEqual((sent.reference, sent.id, sent.duplicate), (7, "m1", False))
        got = bob.next("deliver")
        self.assertEqual(got.message.event.text_data, "hello")
        # Who it is from is the node's to say.
        self.assertEqual(getattr(got.message, "from"), "ann@localhost/phone")
        self.assertEqual(got.message.event.source, "im:ann@localhost")
        self.assertEqual([(p.mailbox, p.sequence) for p in sent.positions], [("bob@localhost", got.sequence)])
        self.assertEqual(got.time, sent.time)
        # Sent again it is the same.
        ann.send(8, message("m1", "bob", "hello"))
        again = ann.next("sent")
        self.assertTrue(again.duplicate)
        self.assertEqual(list(again.positions), list(sent.positions))
        # With other content it is a mistake.
        ann.send(9, message("m1", "bob", "something else"))
        self.assertEqual(ann.next("rejected").code, CODE.ALREADY_EXISTS.value[0])

    def test_offline_and_cursor(self):
        ann = self.session(self.host, "ann")
        for number in range(250):
            ann.send(number, message(f"off{number}", "eve", size=1000))
        for _ in range(250):
            self.assertIsNotNone(ann.next("sent"))
        eve = self.session(self.host, "eve", "tablet")
        got = [eve.next("deliver") for _ in range(100)]
        self.assertEqual([e.message.event.id for e in got], [f"off{n}" for n in range(100)])
        eve.ack(got[-1].sequence)
        wait_for(lambda: self.cursor("eve@localhost", "tablet") == got[-1].sequence, "the cursor to move")
        eve.close()
        # From where it left off.
        eve = self.session(self.host, "eve", "tablet")
        self.assertEqual(eve.next("deliver").sequence, got[-1].sequence + 1)
        # From where the client says.
        eve = self.session(self.host, "eve", "watch", after=sessions.Place(epoch=got[0].epoch, sequence=240))
        self.assertEqual(eve.next("deliver").sequence, 241)

    def cursor(self, mailbox, device):
        from router_protos import mailboxes_rpc
        reply = mailboxes_rpc.MailboxesStub(self.host.channel()).Cursors(mailboxes.CursorsRequest(mailbox=mailbox))
        return {c.device: c.sequence for c in reply.cursors}.get(device)

    def test_several_devices_each_get_everything(self):
        devices = [self.session(self.host, "bob", d, only_new=True) for d in ("phone", "laptop", "")]
        ann = self.session(self.host, "ann")
        for number in range(20):
            ann.send(number, message(f"dev{number}", ["bob@localhost/phone", "ann"], str(number)))
        for device in devices:
            self.assertEqual([device.next("deliver").message.event.text_data for _ in range(20)],
                             [str(n) for n in range(20)])

    def test_a_device_that_connects_anew_takes_the_place(self):
        first = self.session(self.host, "eve", "phone", only_new=True)
        self.session(self.host, "eve", "phone", only_new=True)
        self.assertIsNone(first.next("pong"))
        self.assertEqual(first.code, CODE.ABORTED)

    def test_refusals(self):
        ann = self.session(self.host, "ann", "refused")
        spoofed = message("s1", "bob")
        setattr(spoofed, "from", "bob@localhost")
        foreign = message("s2", "bob")
        foreign.event.source = "im:bob@localhost"
        large = message("s6", "bob", size=2 << 20)
        for number, (sent, code, words) in enumerate([
                (spoofed, CODE.PERMISSION_DENIED, "from"),
                (foreign, CODE.PERMISSION_DENIED, "source"),
                (message("s3", "nobody"), CODE.NOT_FOUND, "nobody"),
                (message("s4", []), CODE.INVALID_ARGUMENT, "to is empty"),
                (message("", "bob"), CODE.INVALID_ARGUMENT, "id is empty"),
                (large, CODE.INVALID_ARGUMENT, "max_message"),
                (message("s7", [f"u{n}" for n in range(1001)]), CODE.INVALID_ARGUMENT, "max_recipients")]):
            ann.send(number, sent)
            refused = ann.next("rejected")
            self.assertEqual((refused.reference, refused.code), (number, code.value[0]), refused.message)
            self.assertIn(words, refused.message)
        ann.put(ping=sessions.Ping(number=5))
        self.assertEqual(ann.next("pong").number, 5)  # the session goes on

    def test_frames_out_of_order_end_the_stream(self):
        stub = sessions_rpc.SessionsStub(self.host.channel())
        for frames, words in [
                ([sessions.ClientFrame(ack=sessions.Ack(sequence=1))], "hello"),
                ([sessions.ClientFrame(hello=sessions.Hello(user="ann")),
                  sessions.ClientFrame(hello=sessions.Hello(user="ann"))], "second"),
                ([sessions.ClientFrame(hello=sessions.Hello(user="ann")), sessions.ClientFrame()], "empty"),
                ([sessions.ClientFrame(hello=sessions.Hello(user="ann", device="x" * 257))], "device"),
                ([sessions.ClientFrame(hello=sessions.Hello())], "user")]:
            with self.assertRaises(grpc.RpcError) as caught:
                for _ in stub.Connect(iter(frames + [sessions.ClientFrame(ping=sessions.Ping())] * 3), timeout=30):
                    pass
            self.assertEqual(caught.exception.code(), CODE.INVALID_ARGUMENT)
            self.assertIn(words, caught.exception.details())

    def test_what_is_sent_before_the_end_is_answered(self):
        stub = sessions_rpc.SessionsStub(self.host.channel())
        frames = [sessions.ClientFrame(hello=sessions.Hello(user="ann"))]
        frames += [sessions.ClientFrame(send=sessions.Send(reference=n, message=message(f"end{n}", "ann")))
                   for n in range(50)]
        replies = list(stub.Connect(iter(frames), timeout=30))
        self.assertEqual([r.sent.reference for r in replies if r.HasField("sent")], list(range(50)))

    def test_users_by_token(self):
        token = login_token(self.host, "bob")
        channel = self.host.channel()
        bob = Session(channel, token, device="t", only_new=True)
        self.addCleanup(bob.close)
        self.assertEqual(bob.next("welcome").user, "bob@localhost")
        other = Session(channel, token, user="ann@localhost")
        self.addCleanup(other.close)
        self.assertIsNone(other.next())
        self.assertEqual(other.code, CODE.PERMISSION_DENIED)

    def test_disabled_and_deleted_users_are_out_at_once(self):
        add_users(self.host, "dan", "dora")
        stub = users_rpc.UsersStub(self.host.channel())
        token = login_token(self.host, "dan")
        by_token = Session(self.host.channel(), token, device="t")
        self.addCleanup(by_token.close)
        by_token.next("welcome")
        by_admin = self.session(self.host, "dan", "a")
        dora = self.session(self.host, "dora")
        stub.Disable(users.DisableUserRequest(user="dan"))
        stub.Delete(users.DeleteUserRequest(user="dora"))
        for session in (by_token, by_admin, dora):
            self.assertIsNone(session.next("pong"))
            self.assertEqual(session.code, CODE.UNAUTHENTICATED, session.details)
        # A message to who is disabled is kept; to who is gone it is refused.
        ann = self.session(self.host, "ann")
        ann.send(1, message("dan1", "dan"))
        self.assertIsNotNone(ann.next("sent"))
        ann.send(2, message("dora1", "dora"))
        self.assertEqual(ann.next("rejected").code, CODE.NOT_FOUND.value[0])


class VerbsTest(RouterCase):
    @classmethod
    def setUpClass(cls):
        cls.context = node()
        cls.host = cls.context.__enter__()
        add_users(cls.host, "ann", "bob", "carla", "dan")

    @classmethod
    def tearDownClass(cls):
        cls.context.__exit__(None, None, None)

    def verb(self, *arguments, code=0, stdin=None):
        result, out, err = self.host.imctl(*arguments, stdin=stdin)
        self.assertEqual(result, code, out + err)
        return out if code == 0 else err

    def test_send_history_watch(self):
        bob = self.session(self.host, "bob", only_new=True)
        self.verb("message", "send", "--to", "bob", "--from", "ann", "lunch?")
        self.assertEqual(bob.next("deliver").message.event.text_data, "lunch?")
        self.verb("message", "send", "--to", "bob", "maintenance at noon")
        self.assertEqual(getattr(bob.next("deliver").message, "from"), "localhost")
        history = json.loads(self.verb("message", "history", "bob", "-o", "json"))
        self.assertEqual([e["message"]["event"]["text_data"] for e in history["entries"]],
                         ["lunch?", "maintenance at noon"])
        only = json.loads(self.verb("message", "history", "bob", "--with", "ann", "-o", "json"))
        self.assertEqual(len(only["entries"]), 1)
        last = json.loads(self.verb("message", "history", "bob", "-l", "1", "-o", "json"))
        self.assertEqual([e["message"]["event"]["text_data"] for e in last["entries"]], ["maintenance at noon"])
        self.assertEqual(last["next_before"], last["entries"][0]["sequence"])
        self.assertIn("there is no user carl", self.verb("message", "send", "--to", "carl", "x", code=3))

    def test_chat(self):
        chats = {}
        before = self.watchers()
        for who, other in (("carla", "dan"), ("dan", "carla")):
            chats[who] = subprocess.Popen(
                [str(IMCTL), "chat", other, "--as", who, "--server", f"127.0.0.1:{self.host.port}"], env=self.host.env,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self.addCleanup(chats[who].stdout.close)
            self.addCleanup(chats[who].kill)
        # Both listen before they say anything.
        wait_for(lambda: self.watchers() == before + 2, "both to listen")
        carla, dan = chats["carla"], chats["dan"]
        carla.stdin.write("hello dan\n")
        carla.stdin.flush()
        self.assertEqual(dan.stdout.readline(), "carla@localhost: hello dan\n")
        dan.stdin.write("hello carla\n")
        dan.stdin.flush()
        self.assertEqual(carla.stdout.readline(), "dan@localhost: hello carla\n")
        for chat in chats.values():
            chat.stdin.close()
        self.assertEqual([chat.wait(30) for chat in chats.values()], [0, 0])

    def watchers(self):
        lines = [line.split() for line in self.verb("debug", "state", "storage-sqlite").splitlines()]
        return int(next(line[2] for line in lines if line[1] == "watchers"))

    def test_status_and_top_say_who_is_online(self):
        ann = self.session(self.host, "ann", only_new=True)

        def load(verb, *arguments):
            reply = json.loads(self.verb(verb, *arguments, "-o", "json"))
            if verb == "top":
                return {i["name"]: i["value"] for i in reply["loads"] if i["module"] == "router"}
            return next(m["load"] for m in reply["modules"] if m["name"] == "router")

        for number in range(100):
            ann.send(number, message(f"load{number}", "bob"))
        wait_for(lambda: re.search(r"online users [1-9].*messages per second [1-9]", load("status")), "the status")
        ann.send(1000, message("load1000", "bob"))
        wait_for(lambda: load("top", "--interval", "100ms", "--watch=0")["online users"] >= 1, "top")

    def test_node_and_session_verbs(self):
        bob = self.session(self.host, "bob", "phone", only_new=True)
        def listed():
            all_ = json.loads(self.verb("session", "list", "bob@localhost", "-o", "json"))["sessions"]
            return [s for s in all_ if s["device"] == "phone"]

        wait_for(listed, "the session to be registered")
        mine = listed()
        self.assertEqual([(s["user"], s["node"]) for s in mine], [("bob@localhost", "one")])
        explained = json.loads(self.verb("route", "explain", "bob", "-o", "json"))
        self.assertIn(mine[0]["session"], [d["session"] for d in explained["destinations"]])
        self.verb("session", "close", mine[0]["session"])
        self.assertIsNone(bob.next("pong"))
        self.assertEqual(bob.code, CODE.ABORTED)
        self.assertIn("no session", self.verb("session", "close", "one/999999", code=3))

        self.verb("node", "cordon", "one", "new disk")
        (one,) = json.loads(self.verb("node", "list", "-o", "json"))["nodes"]
        self.assertEqual((one["state"], one["reason"]), ("cordoned", "new disk"))
        refused = Session(self.host.channel(), user="bob")
        self.addCleanup(refused.close)
        self.assertIsNone(refused.next("pong"))
        self.assertEqual(refused.code, CODE.UNAVAILABLE, refused.details)
        self.verb("node", "uncordon", "one")
        ann = self.session(self.host, "ann")
        bob = self.session(self.host, "bob")
        progress = self.verb("node", "drain", "one", "--time", "1s", "-o", "jsonl")
        last = json.loads(progress.strip().splitlines()[-1])
        self.assertEqual(int(last.get("left", 0)), 0)
        for session in (ann, bob):
            self.assertIsNotNone(session.next("moving"))
            self.assertIsNone(session.next("pong"))
            self.assertEqual(session.code, CODE.UNAVAILABLE)
        self.verb("node", "uncordon", "one")
        self.session(self.host, "ann")


class TwoNodesTest(RouterCase):
    def test_each_reaches_the_other(self):
        with pair() as (one, two):
            add_users(one, "ann", "bob")
            ann = self.session(one, "ann", only_new=True)
            bob = self.session(two, "bob", only_new=True)
            wait_for(lambda: sum(n.registered for n in nodes_of(one).values()) == 2, "both sessions to be known")
            for number in range(200):
                ann.send(number, message(f"a{number}", "bob", str(number)))
                bob.send(number, message(f"b{number}", "ann", str(number)))
            for session in (ann, bob):
                self.assertEqual([session.next("deliver").message.event.text_data for _ in range(200)],
                                 [str(n) for n in range(200)])
            # And not by looking into the storage now and then.
            self.assertGreater(self.state(two)["node.pushes_in"], 100)

    def state(self, host):
        code, out, err = host.imctl("debug", "state", "router", "-o", "json")
        self.assertEqual(code, 0, err)
        items = {i["name"]: i["value"] for i in json.loads(out)["items"]}
        return {name: int(value) if value.isdigit() else value for name, value in items.items()}

    def test_offline_until_connected(self):
        with pair() as (one, two):
            add_users(one, "ann", "bob")
            ann = self.session(one, "ann")
            ann.send(1, message("m", "bob", "later"))
            self.assertIsNotNone(ann.next("sent"))
            self.assertEqual(self.session(two, "bob").next("deliver").message.event.text_data, "later")

    def test_asked_of_a_node_that_is_no_service(self):
        with pair() as (one, two):
            add_users(one, "ann")
            self.session(two, "ann", "phone")
            wait_for(lambda: sum(n.registered for n in nodes_of(one).values()) == 1, "the session to be known")
            code, out, err = two.imctl("session", "list", "-o", "json")
            self.assertEqual(code, 0, err)
            self.assertEqual([s["node"] for s in json.loads(out)["sessions"]], ["two"])
            code, out, err = two.imctl("node", "list", "-o", "name")
            self.assertEqual((code, sorted(out.split())), (0, ["one", "two"]), err)

    def test_drained_from_a_node_that_is_no_service(self):
        with pair() as (one, two):
            add_users(one, "ann")
            ann = self.session(two, "ann", "phone")
            wait_for(lambda: sum(n.registered for n in nodes_of(one).values()) == 1, "the session to be known")
            code, out, err = two.imctl("node", "drain", "two", "--time", "1s", "-o", "jsonl")
            self.assertEqual(code, 0, err)
            self.assertEqual(int(json.loads(out.splitlines()[-1])["left"]), 0)
            self.assertIsNotNone(ann.next("moving"))
            self.assertIsNone(ann.next("pong"))
            self.assertEqual(two.imctl("node", "uncordon", "two")[0], 0)

    def test_a_node_that_stops_is_out(self):
        with pair() as (one, two):
            two.stop()
            wait_for(lambda: set(nodes_of(one)) == {"one"}, "the node to be out")
            two.start()
            wait_for(lambda: set(nodes_of(one)) == {"one", "two"}, "the node to be in")


if __name__ == "__main__":
    unittest.main()
