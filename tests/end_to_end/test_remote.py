"""Services of one host that another one serves: [bind] SERVICE = grpc://HOST:PORT."""

import contextlib
import hashlib
import os
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

import grpc

import stubs
from host_fixture import BUILD, IMCTL, MODULES, Host
from stubs import event
from test_streams import BOUND, MESSAGE, MIB, STREAMS, echo

TEST_MODULES = BUILD / "tests" / "modules"
ECHO = "imctl.test.echo.v1.Echo"
MESSAGES = "awakari.messages.Service"
CLEANER = "awakari.messages.cleaner.Service"

USER, NODE, ADMIN, MODULE = 1, 2, 3, 4

CODE = grpc.StatusCode

# How soon a host that came back is in use again; twice that is waited for.
RECOVERY = 2


def digest(key):
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def resident(host):
    with open(f"/proc/{host.process.pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) << 10
    raise AssertionError("no VmRSS")


class RemoteTest(unittest.TestCase):
    def far(self, modules=("echo",), settings=None, **named):
        """A host with modules, on a port that it keeps."""
        port = free_port()
        all_settings = {"host.module_path": f"{MODULES},{TEST_MODULES}"}
        for module in modules:
            all_settings[f"{module}.isolate"] = "no"
        all_settings.update(settings or {})
        host = Host(settings=all_settings, modules=modules, listen=f"127.0.0.1:{port}", **named)
        host.url = f"grpc://127.0.0.1:{port}"
        self.addCleanup(host.discard)
        return host

    def near(self, far, *services, modules=(), settings=None):
        """A host whose `services` are at `far`: a host or an address."""
        address = far if isinstance(far, str) else far.url
        all_settings = {f"bind.{service}": address for service in services or (ECHO,)}
        all_settings.update(settings or {})
        return self.far(modules, all_settings) if modules else self.bare(all_settings)

    def bare(self, settings):
        empty = tempfile.TemporaryDirectory(prefix="imctl-none-")
        self.addCleanup(empty.cleanup)
        return self.far((), {"host.module_path": empty.name, **settings})

    def method(self, host, kind, name, reply=echo.Payload, service=ECHO, **options):
        return getattr(host.channel(**options), kind)(
            f"/{service}/{name}", request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=reply.FromString)

    def say(self, host, text="hello", **named):
        named.setdefault("timeout", 30)
        return self.method(host, "unary_unary", "Unary")(echo.Payload(text=text), **named).text

    def stats(self, host):
        return self.method(host, "unary_unary", "GetStats", echo.Stats)(echo.Payload(), timeout=20)

    def fails(self, code, call, *arguments, **named):
        with self.assertRaises(grpc.RpcError) as caught:
            call(*arguments, **named)
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        return caught.exception.details()

    def unreachable(self, host, far):
        """A call fails at once and in words; gives them."""
        start = time.monotonic()
        words = self.fails(CODE.UNAVAILABLE, self.say, host)
        self.assertLess(time.monotonic() - start, 5)
        for part in (ECHO, far.url):
            self.assertIn(part, words)
        return words

    def becomes(self, check, seconds=60):
        """Waits until check() is true, or no call of it fails; gives how long that took."""
        start = time.monotonic()
        while True:
            try:
                if check():
                    return time.monotonic() - start
            except grpc.RpcError as error:
                self.assertEqual(error.code(), CODE.UNAVAILABLE, error.details())
            self.assertLess(time.monotonic() - start, seconds)
            time.sleep(0.02)

    def settles(self, value):
        last, since = value(), time.monotonic()
        deadline = since + 60
        while time.monotonic() - since < 1:
            self.assertLess(time.monotonic(), deadline, f"it goes on and on: {last}")
            time.sleep(0.05)
            if (now := value()) != last:
                last, since = now, time.monotonic()
        return last

    def listed(self, host, far):
        code, out, err = host.imctl("module", "list")
        self.assertEqual(code, 0, err)
        return next(line for line in out.splitlines() if line.startswith(far.url))


class CallsTest(RemoteTest):
    """Every kind of call, over a remote host that is there."""

    def setUp(self):
        self.a = self.far(("echo", "storage-sqlite")).start()
        self.b = self.near(self.a, ECHO, MESSAGES, CLEANER).start()

    def test_storage_elsewhere(self):
        here, there = stubs.Client(self.b.channel()), stubs.Client(self.a.channel())
        seed = stubs.seed()
        ids = [m.id for m in seed.msgs]
        self.assertEqual(here.put(*seed.msgs), len(ids))
        self.assertEqual(there.get(*ids), list(seed.msgs))
        self.assertEqual(here.get(*ids), list(seed.msgs))
        self.assertEqual(here.delete(*ids), len(ids))
        self.assertEqual(there.get(*ids), [])
        self.assertEqual(here.clean(), 0)
        words = self.fails(CODE.INVALID_ARGUMENT, here.put, stubs.events.CloudEvent(id="bad"))
        self.assertEqual(
            words, self.fails(CODE.INVALID_ARGUMENT, there.put, stubs.events.CloudEvent(id="bad")))

    def test_verbs_work_the_same_on_both(self):
        stubs.Client(self.b.channel()).put(event("verbs", "some text"))
        for verb in (("message", "get", "verbs"), ("message", "get", "verbs", "-o", "json"),
                     ("message", "--help"), ("message", "put", "--help"), ("echo", "say", "words"),
                     ("message", "delete", "nothing")):
            self.assertEqual(self.a.imctl(*verb), self.b.imctl(*verb), verb)
        self.assertEqual(self.b.imctl("message", "delete", "verbs")[0], 0)
        self.assertEqual(stubs.Client(self.a.channel()).get("verbs"), [])

    def test_module_list_shows_the_host(self):
        line = self.listed(self.b, self.a)
        self.assertIn("active", line)
        self.assertIn(f"{MESSAGES},{CLEANER},{ECHO}".split(",", maxsplit=1)[0], line)
        self.assertIn(ECHO, line)  # one for all its services

    def test_embedded(self):
        stubs.Client(self.a.channel()).put(event("embedded", "over there"))
        with tempfile.TemporaryDirectory(prefix="imctl-embedded-") as folder:
            sets = [argument for key in ("host.module_path", f"bind.{MESSAGES}")
                    for argument in ("--set", f"{key}={self.b.settings[key]}")]
            run = subprocess.run(
                [str(IMCTL), "--embedded", "--set", f"host.data={folder}/data", *sets, "message",
                 "get", "embedded"],
                env=self.b.env, capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(os.stat(f"{folder}/data").st_mode & 0o077, 0)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("over there", run.stdout)

    def test_reflection(self):
        request = stubs.host_type("grpc.reflection.v1.ServerReflectionRequest")
        info = stubs.method(
            self.b.channel(), "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        answer = list(info(iter([request(file_containing_symbol=MESSAGES)]), timeout=20))[0]
        files = [stubs.descriptor_pb2.FileDescriptorProto.FromString(raw)
                 for raw in answer.file_descriptor_response.file_descriptor_proto]
        self.assertIn("Service", [s.name for f in files for s in f.service])

    def test_unary_of_all_sizes(self):
        unary = self.method(self.b, "unary_unary", "Unary", **{
            "grpc.max_receive_message_length": -1})
        for size in (0, 1, 5000, 65536, MIB, 15 * MIB):
            reply = unary(echo.Payload(data=b"x" * size), timeout=60)
            self.assertEqual(len(reply.data), size)

    def test_a_request_over_the_limit_of_the_other_host(self):
        b = self.near(self.a, settings={"host.max_request": "64MiB"}).start()
        unary = self.method(b, "unary_unary", "Unary")
        self.fails(
            CODE.RESOURCE_EXHAUSTED, unary, echo.Payload(data=b"x" * (20 * MIB)), timeout=60)
        self.assertEqual(self.say(b), "hello")

    def test_streams(self):
        source = self.method(self.b, "unary_stream", "Source")
        counts = [m.count for m in source(echo.Payload(count=20000), timeout=60)]
        self.assertEqual(counts, list(range(20000)))
        sink = self.method(self.b, "stream_unary", "Sink")
        messages = (echo.Payload(text=str(i)) for i in range(20000))
        self.assertEqual(sink(messages, timeout=60).count, 20000)
        self.assertEqual(sink(iter(()), timeout=20).count, 0)
        chat = self.method(self.b, "stream_stream", "Chat")
        lines = [echo.Payload(text=f"line {i}") for i in range(2000)]
        self.assertEqual(list(chat(iter(lines), timeout=60)), lines)
        self.assertEqual(list(chat(iter(()), timeout=20)), [])
        self.assertEqual(list(source(echo.Payload(count=1), timeout=20)), [echo.Payload()])

    def test_streams_of_large_messages(self):
        options = {"grpc.max_receive_message_length": -1}
        chat = self.method(self.b, "stream_stream", "Chat", **options)
        large = [echo.Payload(data=bytes([i]) * (3 * MIB)) for i in range(8)]
        self.assertEqual(list(chat(iter(large), timeout=120)), large)

    def test_a_chat_that_waits_for_each_answer(self):
        chat = self.method(self.b, "stream_stream", "Chat")
        answered = threading.Semaphore(1)

        def lines():
            for i in range(200):
                answered.acquire()
                yield echo.Payload(count=i)

        for i, answer in enumerate(chat(lines(), timeout=60)):
            self.assertEqual(answer.count, i)
            answered.release()
        self.assertEqual(i, 199)

    def test_what_a_call_says_of_itself(self):
        context = self.method(self.b, "unary_unary", "Context", echo.Seen)
        metadata = (("x-test", "value"), ("imctl-call-id", "the-id"), ("imctl-dry-run", "1"),
                    ("imctl-principal", "forged"), ("imctl-principal-kind", "user"),
                    ("imctl-caller-module", "forged"))
        seen, call = context.with_call(echo.Payload(), timeout=20, metadata=metadata)
        self.assertEqual(
            (seen.metadata, seen.call_id, seen.dry_run, seen.depth, seen.has_deadline),
            ("value", "the-id", True, 1, True))
        self.assertEqual((seen.principal, seen.caller_module), ("auth=none", ""))
        trailers = dict(call.trailing_metadata())
        self.assertEqual(trailers["x-trailer"], "seen")
        self.assertEqual(trailers["x-test"], "value")
        self.assertFalse(context(echo.Payload()).has_deadline)

    def test_dry_run_is_refused_where_it_is_not_supported(self):
        later = self.method(self.b, "unary_unary", "Later")
        self.fails(CODE.FAILED_PRECONDITION, later, echo.Payload(), timeout=20,
                   metadata=(("imctl-dry-run", "1"),))

    def test_errors_come_back_whole(self):
        fail = self.method(self.b, "unary_unary", "Throw")
        there = self.method(self.a, "unary_unary", "Throw")
        self.assertEqual(self.fails(CODE.INTERNAL, fail, echo.Payload(text="why"), timeout=20),
                         self.fails(CODE.INTERNAL, there, echo.Payload(text="why"), timeout=20))
        self.fails(CODE.UNIMPLEMENTED, self.method(self.b, "unary_unary", "NoSuch"), echo.Payload())

    def test_a_deadline_reaches_the_other_host(self):
        start = time.monotonic()
        hang = self.method(self.b, "unary_unary", "Hang")
        self.fails(CODE.DEADLINE_EXCEEDED, hang, echo.Payload(), timeout=0.3)
        self.assertLess(time.monotonic() - start, 5)
        self.becomes(lambda: self.stats(self.a).cancelled == 1)

    def test_a_cancel_reaches_the_other_host(self):
        hang = self.method(self.b, "unary_unary", "Hang").future(echo.Payload())
        source = self.method(self.b, "unary_stream", "Source")(echo.Payload())
        next(source)
        over = threading.Event()
        deaf = self.method(self.b, "stream_unary", "Deaf").future(
            iter(lambda: echo.Payload() if not over.wait(0.05) else None, None))
        time.sleep(0.3)
        self.assertEqual(self.stats(self.a).cancelled, 0)
        for call in (hang, source, deaf):
            call.cancel()
        over.set()
        self.becomes(lambda: self.stats(self.a).cancelled == 3)

    def test_the_other_side_may_end_a_stream_first(self):
        # The server ends while its client still has the stream open and says nothing.
        proxy = self.method(self.b, "stream_stream", "Proxy")
        over = threading.Event()

        def first_and_then_nothing():
            yield echo.Payload(text="nowhere")
            over.wait(60)

        call = proxy(first_and_then_nothing(), timeout=50)
        start = time.monotonic()
        self.fails(CODE.UNIMPLEMENTED, list, call)
        self.assertLess(time.monotonic() - start, 20)
        over.set()

    def test_a_client_that_does_not_read(self):
        before = {host: resident(host) for host in (self.a, self.b)}
        source = self.method(self.b, "unary_stream", "Source")
        calls = [source(echo.Payload(data=b"x" * MESSAGE)) for _ in range(STREAMS)]
        for call in calls:
            next(call)
        self.settles(lambda: self.stats(self.a).written)
        for host, bytes_before in before.items():
            self.assertLess(resident(host) - bytes_before, 2 * BOUND)
        for i in range(200):
            self.assertEqual(self.say(self.b, str(i)), str(i))
        for call in calls:
            call.cancel()
        self.becomes(lambda: self.stats(self.a).cancelled == STREAMS)

    def test_a_client_that_never_stops_writing(self):
        before = {host: resident(host) for host in (self.a, self.b)}
        sent = [0]
        stopped = threading.Event()

        def endless():
            payload = echo.Payload(data=b"x" * MESSAGE)
            while not stopped.is_set():
                sent[0] += 1
                yield payload

        deaf = self.method(self.b, "stream_unary", "Deaf")
        calls = [deaf.future(endless()) for _ in range(STREAMS)]
        self.settles(lambda: sent[0])
        for host, bytes_before in before.items():
            self.assertLess(resident(host) - bytes_before, 2 * BOUND)
        self.assertEqual(self.say(self.b), "hello")
        stopped.set()
        for call in calls:
            call.cancel()
        self.becomes(lambda: self.stats(self.a).cancelled == STREAMS)

    def test_a_host_stops_while_streams_are_open(self):
        chat = self.method(self.b, "stream_stream", "Chat")
        over = threading.Event()
        call = chat(iter(lambda: echo.Payload() if not over.wait(0.01) else None, None))
        next(call)
        self.assertEqual(self.a.stop(), 0)
        self.fails(CODE.UNAVAILABLE, list, call)
        over.set()
        self.assertEqual(self.b.stop(), 0)

    def test_both_stop_while_calls_are_in_work(self):
        hang = self.method(self.b, "unary_unary", "Hang")
        calls = [hang.future(echo.Payload()) for _ in range(8)]
        sources = [self.method(self.b, "unary_stream", "Source")(echo.Payload()) for _ in range(4)]
        for call in sources:
            next(call)
        self.b.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.b.process.wait(60), 0)
        for call in calls:
            self.assertNotEqual(call.code(), CODE.OK)
        for call in sources:
            with self.assertRaises(grpc.RpcError):
                list(call)
        self.becomes(lambda: self.stats(self.a).cancelled == 12)


class AwayTest(RemoteTest):
    """A host that goes, comes, is silent, or was never there."""

    def test_killed_and_back(self):
        a = self.far().start()
        b = self.near(a).start()
        for _ in range(3):
            hang = self.method(b, "unary_unary", "Hang").future(echo.Payload(), timeout=60)
            source = self.method(b, "unary_stream", "Source")(echo.Payload(), timeout=60)
            next(source)
            time.sleep(0.2)
            killed = time.monotonic()
            a.kill()
            self.fails(CODE.UNAVAILABLE, hang.result)
            self.fails(CODE.UNAVAILABLE, list, source)
            # Far below the calls' own deadline: the end was noticed, and not only waited for.
            self.assertLess(time.monotonic() - killed, 30)
            self.becomes(lambda: "Connection refused" in self.unreachable(b, a), 10)
            self.becomes(lambda: "ill" in (line := self.listed(b, a)) and "refused" in line, 10)
            self.assertNotEqual(self.health(b, ECHO), 1)
            a.start()
            self.assertLess(self.becomes(lambda: self.say(b) == "hello"), 2 * RECOVERY)
            self.becomes(lambda: "active" in self.listed(b, a), 10)
            self.assertEqual(self.health(b, ECHO), 1)

    def health(self, host, service):
        request = stubs.host_type("grpc.health.v1.HealthCheckRequest")(service=service)
        check = stubs.method(host.channel(), "/grpc.health.v1.Health/Check")
        return check(request, timeout=20).status

    def test_killed_again_and_again_under_load(self):
        a = self.far().start()
        b = self.near(a).start()
        stop = threading.Event()
        outcomes, problems = {}, []

        def load():
            unary = self.method(b, "unary_unary", "Unary")
            chat = self.method(b, "stream_stream", "Chat")
            while not stop.is_set():
                start = time.monotonic()
                try:
                    unary(echo.Payload(text="x"), timeout=60)
                    list(chat(iter([echo.Payload()] * 20), timeout=60))
                    outcome = "ok"
                except grpc.RpcError as error:
                    outcome = error.code()
                outcomes[outcome] = outcomes.get(outcome, 0) + 1
                if time.monotonic() - start > 10:
                    problems.append(outcome)

        threads = [threading.Thread(target=load, daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(4):
                time.sleep(0.5)
                a.kill()
                time.sleep(0.3)
                a.start()
            time.sleep(RECOVERY)
        finally:
            stop.set()
        for thread in threads:
            thread.join(60)
            self.assertFalse(thread.is_alive(), "a call hangs")
        self.assertEqual(problems, [])
        self.assertLessEqual(set(outcomes), {"ok", CODE.UNAVAILABLE})
        self.assertIn("ok", outcomes)
        self.assertEqual(self.say(b), "hello")

    def test_a_silent_host_is_found_out(self):
        a = self.far().start()
        b = self.near(a).start()
        hang = self.method(b, "unary_unary", "Hang").future(echo.Payload(), timeout=60)
        time.sleep(0.3)
        a.process.send_signal(signal.SIGSTOP)
        try:
            start = time.monotonic()
            self.fails(CODE.UNAVAILABLE, hang.result, timeout=60)
            self.assertLess(time.monotonic() - start, 20)
            self.becomes(lambda: "ill" in self.listed(b, a), 10)
            for _ in range(5):
                self.unreachable(b, a)
        finally:
            a.process.send_signal(signal.SIGCONT)
        self.assertLess(self.becomes(lambda: self.say(b) == "hello"), 10)

    def test_idle_hosts_stay_connected(self):
        a = self.far().start()
        b = self.near(a).start()
        time.sleep(30)  # several pings of the kind that servers punish when they are too many
        self.assertNotIn("cannot do its work", b.text())
        self.assertEqual(self.say(b), "hello")

    def test_absent_at_first(self):
        a = self.far()
        start = time.monotonic()
        b = self.near(a).start()
        self.assertLess(time.monotonic() - start, 20)
        self.assertIn("not reached yet", self.unreachable(b, a))
        self.assertIn("ill", self.listed(b, a))
        self.assertNotEqual(b.imctl("echo", "say", "hello")[0], 0)
        a.start()
        self.assertLess(self.becomes(lambda: self.say(b) == "hello"), 2 * RECOVERY)
        code, out, err = b.imctl("echo", "say", "hello")
        self.assertEqual(code, 0, err)
        self.assertIn("hello", out)
        self.becomes(lambda: "active" in self.listed(b, a), 10)
        chat = self.method(b, "stream_stream", "Chat")
        self.assertEqual(len(list(chat(iter([echo.Payload()] * 10), timeout=20))), 10)

    def test_a_silent_host_does_not_hold_up_the_start(self):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(16)
            start = time.monotonic()
            b = self.near(f"grpc://127.0.0.1:{silent.getsockname()[1]}").start()
            self.assertLess(time.monotonic() - start, 15)
            self.fails(CODE.UNAVAILABLE, self.say, b)

    def test_what_was_known_is_known_after_a_restart(self):
        a = self.far().start()
        b = self.near(a).start()
        a.kill()
        b.restart()
        code, out, _ = b.imctl("echo", "say", "--help")
        self.assertEqual(code, 0)
        self.assertIn("text", out.lower())
        self.assertIn("cannot be reached", self.unreachable(b, a))
        a.start()
        self.assertLess(self.becomes(lambda: self.say(b) == "hello"), 2 * RECOVERY)

    def test_another_host_in_its_place(self):
        a = self.far(("echo", "storage-sqlite")).start()
        b = self.near(a, ECHO, MESSAGES).start()
        a.stop()
        a.settings["host.modules"] = "storage-sqlite"
        del a.settings["echo.isolate"]
        a.start()
        self.becomes(lambda: "ill" in (line := self.listed(b, a)) and "does not serve" in line, 20)

    def test_a_service_that_the_host_does_not_serve(self):
        a = self.far().start()
        code, text = self.near(a, ECHO, MESSAGES).fails()
        self.assertNotIn(code, (0, None))
        for part in (MESSAGES, a.url, "does not serve", ECHO):
            self.assertIn(part, text)
        self.assertNotIn("grpc.health", text)

    def test_addresses_that_are_none(self):
        for address in ("grpc://", "grpc://nowhere", "grpc://:1", "grpc://a:b", "grpc://::1:50"):
            code, text = self.bare({f"bind.{ECHO}": address}).fails()
            self.assertNotIn(code, (0, None), address)
            self.assertIn("grpc://HOST:PORT", text)

    def test_a_name_that_does_not_resolve(self):
        b = self.near("grpc://no-such-host.invalid:50051").start()
        words = self.fails(CODE.UNAVAILABLE, self.say, b)
        self.assertIn("no-such-host.invalid", words)

    def test_a_circle_of_hosts_ends(self):
        a = self.far().start()
        b = self.near(a).start()
        a.stop()
        c = self.near(b)  # takes the place of a
        c.settings["host.listen"] = a.settings["host.listen"]
        c.start()
        self.becomes(lambda: "Connection refused" not in self.listed(b, a), 20)
        words = self.fails(CODE.RESOURCE_EXHAUSTED, self.say, b)
        self.assertIn("circle", words)

    def test_two_hops(self):
        a = self.far().start()
        b = self.near(a).start()
        c = self.near(b).start()
        self.assertEqual(self.say(c), "hello")
        seen = self.method(c, "unary_unary", "Context", echo.Seen)(echo.Payload(), timeout=20)
        self.assertEqual(seen.depth, 2)
        a.kill()
        self.assertIn(a.url, self.fails(CODE.UNAVAILABLE, self.say, c))
        self.becomes(lambda: "ill" in self.listed(c, b), 20)

    def test_the_first_host_of_two_hops_comes_last(self):
        a = self.far()
        b = self.near(a).start()
        c = self.near(b).start()
        self.fails(CODE.UNAVAILABLE, self.say, c)
        a.start()
        self.assertLess(self.becomes(lambda: self.say(c) == "hello"), 10)


class TrustTest(RemoteTest):
    """Who is believed."""

    KEY = "a key that nobody guesses".replace(" ", "-")

    def guarded(self, **named):
        """A host that believes node b, and nobody else who comes over TCP."""
        return self.far(settings={"host.auth": "required", "nodes.b": digest(self.KEY)},
                        **named).start()

    def node(self, far, *services, key=None, name="b", **named):
        settings = {"bind.node": name, "bind.node_key": key or self.KEY}
        settings.update(named.pop("settings", {}))
        return self.near(far, *services, settings=settings, **named)

    def seen(self, host, metadata=()):
        context = self.method(host, "unary_unary", "Context", echo.Seen)
        return context(echo.Payload(), timeout=20, metadata=metadata)

    def test_the_principal_goes_with_the_call(self):
        a = self.guarded()
        b = self.node(a).start()
        seen = self.seen(b)
        self.assertEqual((seen.principal_kind, seen.principal), (ADMIN, "b/auth=none"))
        # On behalf of the caller, by a module over there, and back here no more.
        nested = self.method(b, "unary_unary", "Nest", echo.Seen)(
            echo.Payload(count=2), timeout=20)
        self.assertEqual((nested.principal, nested.depth), ("b/auth=none", 3))
        self.assertEqual(nested.caller_module, "echo")
        code, _, err = b.imctl("echo", "say", "hello")
        self.assertEqual(code, 0, err)

    def test_nobody_else_is_believed(self):
        a = self.guarded()
        unary = self.method(a, "unary_unary", "Unary")
        chat = self.method(a, "stream_stream", "Chat")
        forged = (("imctl-principal-kind", "admin"), ("imctl-principal", "root"))
        for metadata in ((), forged):
            words = self.fails(CODE.UNAUTHENTICATED, unary, echo.Payload(), timeout=20,
                               metadata=metadata)
            self.assertIn("credential", words)
            self.fails(CODE.UNAUTHENTICATED, list,
                       chat(iter([echo.Payload()]), timeout=20, metadata=metadata))
        # What anybody may.
        check = stubs.method(a.channel(), "/grpc.health.v1.Health/Check")
        request = stubs.host_type("grpc.health.v1.HealthCheckRequest")()
        self.assertEqual(check(request, timeout=20).status, 1)
        # The operator, on the socket.
        run = subprocess.run([str(IMCTL), "module", "list", "--server",
                              f"unix:{a.data}/imctl.sock"], env=a.env, capture_output=True,
                             text=True, timeout=60, check=False)
        self.assertEqual(run.returncode, 0, run.stderr)

    def test_wrong_keys_and_names_look_the_same(self):
        a = self.guarded()
        words = set()
        for node in ((("imctl-node", "b"), ("imctl-node-key", "wrong")),
                     (("imctl-node", "nobody"), ("imctl-node-key", self.KEY)),
                     (("imctl-node", "b"),),
                     (("imctl-node", ""), ("imctl-node-key", ""))):
            metadata = node + (("imctl-principal-kind", "admin"), ("imctl-principal", "root"))
            for kind, name in (("unary_unary", "Unary"), ("unary_unary", "GetStats")):
                call = self.method(a, kind, name)
                words.add(self.fails(CODE.UNAUTHENTICATED, call, echo.Payload(), timeout=20,
                                     metadata=metadata))
            chat = self.method(a, "stream_stream", "Chat")
            words.add(self.fails(CODE.UNAUTHENTICATED, list,
                                 chat(iter([echo.Payload()]), timeout=20, metadata=metadata)))
            source = self.method(a, "unary_stream", "Source")
            words.add(self.fails(CODE.UNAUTHENTICATED, list,
                                 source(echo.Payload(count=1), timeout=20, metadata=metadata)))
        self.assertEqual(len(words), 1, words)

    def test_a_wrong_node_is_refused_where_all_else_is_open(self):
        a = self.far().start()
        self.fails(CODE.UNAUTHENTICATED, self.say, a, metadata=(("imctl-node", "b"),))

    def test_a_node_of_its_own(self):
        a = self.guarded()
        node = (("imctl-node", "b"), ("imctl-node-key", self.KEY))
        catalog = stubs.method(a.channel(), "/imctl.host.v1.Catalog/Get")
        request = stubs.host_type("imctl.host.v1.GetCatalogRequest")()
        self.assertTrue(catalog(request, timeout=20, metadata=node).manifests)
        self.fails(CODE.UNAUTHENTICATED, catalog, request, timeout=20)
        self.fails(CODE.PERMISSION_DENIED, self.say, a, metadata=node)

    def test_what_a_node_forwards(self):
        a = self.guarded()
        node = (("imctl-node", "b"), ("imctl-node-key", self.KEY))
        seen = self.seen(a, node + (("imctl-principal-kind", "admin"),
                                    ("imctl-principal", "Gr%C3%BC%C3%9Fe%2e%25"),
                                    ("imctl-caller-module", "router"), ("imctl-depth", "3"),
                                    ("x-test", "kept")))
        self.assertEqual((seen.principal_kind, seen.principal), (ADMIN, "b/Grüße.%"))
        self.assertEqual((seen.caller_module, seen.depth), ("router", 3))
        self.assertEqual(seen.metadata, "kept")
        seen = self.seen(a, node + (("imctl-principal-kind", "module"),
                                    ("imctl-principal", "router"),
                                    ("imctl-caller-module", "router")))
        self.assertEqual((seen.principal_kind, seen.principal), (MODULE, "router"))
        # What this user may do the other host has looked at.
        seen = self.seen(a, node + (("imctl-principal-kind", "user"), ("imctl-principal", "ann@localhost")))
        self.assertEqual(seen.principal, "ann@localhost")
        for kind in ("node", "none"):
            with self.assertRaises(grpc.RpcError):
                self.seen(a, node + (("imctl-principal-kind", kind), ("imctl-principal", "x")))
        with self.assertRaises(grpc.RpcError) as caught:
            self.seen(a, node + (("imctl-principal-kind", "wizard"),))
        self.assertEqual(caught.exception.code(), CODE.INVALID_ARGUMENT)
        with self.assertRaises(grpc.RpcError) as caught:
            self.seen(a, node + (("imctl-principal-kind", "admin"), ("imctl-depth", "17")))
        self.assertEqual(caught.exception.code(), CODE.RESOURCE_EXHAUSTED)

    def test_a_module_as_itself(self):
        twin = "imctl.test.twin.v1.Twin"
        a = self.far(("echo", "twin-a"), settings={
            "host.auth": "required", "nodes.b": digest(self.KEY)}).start()
        b = self.node(a, twin, modules=("echo",)).start()
        as_itself = self.method(b, "unary_unary", "AsItself")
        as_itself(echo.Payload(text=f"/{twin}/Get"), timeout=20)

    def test_a_host_with_the_wrong_key(self):
        a = self.guarded()
        b = self.node(a, key="wrong").start()
        # Not the client's credential is what is wrong.
        words = self.fails(CODE.UNAVAILABLE, self.say, b)
        self.assertIn("[nodes]", words)
        self.assertIn("[nodes]", self.listed(b, a))
        self.assertNotIn("wrong", b.text())
        self.assertNotIn(self.KEY, a.text())
        # It was known once, and is no more.
        b.stop()
        b.settings["bind.node_key"] = self.KEY
        b.start()
        self.assertEqual(self.say(b), "hello")
        a.stop()
        a.settings["nodes.b"] = digest("another")
        a.start()
        self.becomes(lambda: "[nodes]" in self.fails(CODE.UNAVAILABLE, self.say, b), 20)
        self.assertIn("does not accept this host", self.fails(CODE.UNAVAILABLE, self.say, b))

    def test_two_hops_of_trust(self):
        a = self.guarded()
        b = self.node(a, settings={"host.auth": "required", "nodes.c": digest("c-key")}).start()
        c = self.node(b, name="c", key="c-key").start()
        self.assertEqual(self.seen(c).principal, "b/c/auth=none")

    def test_strangers_are_refused(self):
        a = self.far(settings={"host.auth": "required"}).start()
        self.fails(CODE.UNAUTHENTICATED, self.say, a)

    def test_a_key_that_metadata_cannot_carry(self):
        a = self.guarded()
        code, text = self.node(a, key="two words").fails()
        self.assertNotIn(code, (0, None))
        self.assertIn("bind.node_key", text)
        self.assertNotIn("two words", text)


class TlsTest(RemoteTest):
    """grpcs://, to a host behind what ends TLS."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="imctl-tls-")
        cls.addClassCleanup(cls.folder.cleanup)

        def openssl(*arguments):
            subprocess.run(["openssl", *arguments], cwd=cls.folder.name, check=True,
                           capture_output=True)

        with open(cls.file("names"), "w", encoding="ascii") as names:
            names.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        for ca in ("ca", "other"):
            openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                    "-nodes", "-days", "2", "-subj", f"/CN={ca}", "-keyout", f"{ca}.key",
                    "-out", f"{ca}.pem")
        for name in ("server", "client"):
            openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
            openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                    "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", f"{name}.pem")

    @classmethod
    def file(cls, name):
        return os.path.join(cls.folder.name, name)

    def tls_in_front_of(self, host, client_certificates=False):
        """The address of a port that ends TLS and hands the bytes on to `host`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file("server.pem"), self.file("server.key"))
        context.set_alpn_protocols(["h2"])
        if client_certificates:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.file("ca.pem"))
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def hand_on(source, target):
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    target.sendall(data)
            for end in (source, target):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

        def serve(raw):
            with raw, contextlib.suppress(OSError), \
                    context.wrap_socket(raw, server_side=True) as near, \
                    socket.create_connection(("127.0.0.1", host.port)) as far:
                back = threading.Thread(target=hand_on, args=(far, near))
                back.start()
                hand_on(near, far)
                back.join()

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return f"grpcs://localhost:{listener.getsockname()[1]}"

    def test_tls(self):
        a = self.far().start()
        address = self.tls_in_front_of(a)
        b = self.near(address, settings={"bind.tls_ca": self.file("ca.pem")}).start()
        self.assertEqual(self.say(b), "hello")
        chat = self.method(b, "stream_stream", "Chat")
        self.assertEqual(len(list(chat(iter([echo.Payload()] * 100), timeout=20))), 100)

    def test_a_certificate_of_somebody_else(self):
        a = self.far().start()
        address = self.tls_in_front_of(a)
        for settings in ({"bind.tls_ca": self.file("other.pem")}, {}):
            b = self.near(address, settings=settings).start()
            words = self.fails(CODE.UNAVAILABLE, self.say, b)
            self.assertIn("certificate verify failed", words.lower().replace("_", " "))

    def test_plain_to_tls(self):
        a = self.far().start()
        address = self.tls_in_front_of(a).replace("grpcs:", "grpc:")
        self.fails(CODE.UNAVAILABLE, self.say, self.near(address).start())

    def test_a_certificate_of_ones_own(self):
        a = self.far().start()
        address = self.tls_in_front_of(a, client_certificates=True)
        settings = {"bind.tls_ca": self.file("ca.pem")}
        self.fails(CODE.UNAVAILABLE, self.say, self.near(address, settings=settings).start())
        settings.update({"bind.tls_cert": self.file("client.pem"),
                         "bind.tls_key": self.file("client.key")})
        self.assertEqual(self.say(self.near(address, settings=settings).start()), "hello")

    def test_a_file_that_is_not_there(self):
        code, text = self.near("grpcs://localhost:1",
                               settings={"bind.tls_ca": "/no/such.pem"}).fails()
        self.assertNotIn(code, (0, None))
        self.assertIn("bind.tls_ca: /no/such.pem", text)


if __name__ == "__main__":
    unittest.main()
