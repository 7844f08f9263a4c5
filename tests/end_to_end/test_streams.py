"""Clients that misbehave on streams: memory stays bounded and others are not disturbed. Also two modules
whose .proto files have the same path, seen through reflection."""

import importlib
import itertools
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import grpc

import stubs
from host_fixture import BUILD, ROOT, Host

TEST_MODULES = BUILD / "tests" / "modules"
MIB = 1 << 20
STREAMS = 20
MESSAGE = 64 << 10
# Of the host, for all the streams together: a window of ours and one of gRPC's for each, with a message
# more on either side. Without bounds each stream alone would pass this within a second.
BOUND = 32 * MIB


def echo_messages():
    folder = tempfile.mkdtemp(prefix="imctl-echo-")
    try:
        subprocess.run(["protoc", f"-I{ROOT}/tests/modules/echo", f"-I{ROOT}/sdk/proto",
                        f"--python_out={folder}", "echo.proto"], check=True)
        sys.path.insert(0, folder)
        return importlib.import_module("echo_pb2")
    finally:
        sys.path.remove(folder)
        shutil.rmtree(folder)


echo = echo_messages()


class StreamsTest(unittest.TestCase):
    def setUp(self):
        self.host = Host(settings={"host.module_path": str(TEST_MODULES)},
                         modules=("echo", "twin-a", "twin-b"))
        self.host.start()
        self.addCleanup(self.host.discard)
        self.channel = self.host.channel()

    def method(self, kind, name, reply=echo.Payload, channel=None):
        return getattr(channel or self.channel, kind)(
            f"/imctl.test.echo.v1.Echo/{name}", request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=reply.FromString)

    def resident(self):
        with open(f"/proc/{self.host.process.pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) << 10
        raise AssertionError("no VmRSS")

    def stats(self):
        return self.method("unary_unary", "GetStats", echo.Stats)(echo.Payload(), timeout=20)

    def settles(self, value):
        """Waits until value() has not changed for a second; gives it."""
        last, since = value(), time.monotonic()
        deadline = since + 60
        while time.monotonic() - since < 1:
            self.assertLess(time.monotonic(), deadline, f"it goes on and on: {last}")
            time.sleep(0.05)
            now = value()
            if now != last:
                last, since = now, time.monotonic()
        return last

    def becomes(self, value, expected):
        deadline = time.monotonic() + 60
        while (now := value()) != expected:
            self.assertLess(time.monotonic(), deadline, f"it is {now}, not {expected}")
            time.sleep(0.01)

    def undisturbed(self):
        unary = self.method("unary_unary", "Unary", channel=self.host.channel())
        for i in range(200):
            self.assertEqual(unary(echo.Payload(text=str(i)), timeout=20).text, str(i))

    def test_a_client_that_does_not_read(self):
        before = self.resident()
        source = self.method("unary_stream", "Source")
        calls = [source(echo.Payload(data=b"x" * MESSAGE)) for _ in range(STREAMS)]
        for call in calls:
            next(call)
        written = self.settles(lambda: self.stats().written)
        self.assertGreaterEqual(written, STREAMS)
        self.assertLess(self.resident() - before, BOUND)
        self.undisturbed()
        for call in calls:
            call.cancel()
        self.becomes(lambda: self.stats().cancelled, STREAMS)

    def test_a_client_that_never_stops_writing(self):
        before = self.resident()
        sent = itertools.count()
        counts = [0]
        stopped = threading.Event()

        def endless():
            payload = echo.Payload(data=b"x" * MESSAGE)
            while not stopped.is_set():
                counts[0] = next(sent)
                yield payload

        deaf = self.method("stream_unary", "Deaf")
        calls = [deaf.future(endless()) for _ in range(STREAMS)]
        self.settles(lambda: counts[0])
        self.assertLess(self.resident() - before, BOUND)
        self.undisturbed()
        stopped.set()
        for call in calls:
            call.cancel()
        self.becomes(lambda: self.stats().cancelled, STREAMS)

    def test_a_deadline_ends_the_call_and_is_told_to_the_handler(self):
        hang = self.method("unary_unary", "Hang")
        with self.assertRaises(grpc.RpcError) as caught:
            hang(echo.Payload(), timeout=0.2)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.becomes(lambda: self.stats().cancelled, 1)

    def test_a_reader_gets_all_in_order(self):
        source = self.method("unary_stream", "Source")
        for i, message in enumerate(source(echo.Payload(count=20000), timeout=60)):
            self.assertEqual(message.count, i)
        self.assertEqual(i, 19999)

    def test_chat(self):
        chat = self.method("stream_stream", "Chat")
        lines = [echo.Payload(text=f"line {i}") for i in range(1000)]
        self.assertEqual(list(chat(iter(lines), timeout=60)), lines)

    def test_files_of_the_same_path_resolve_by_symbol(self):
        request = stubs.host_type("grpc.reflection.v1.ServerReflectionRequest")
        info = stubs.method(self.channel, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        services = ["imctl.test.twin.v1.Twin", "imctl.test.twin.v1.TwinB"]
        answers = list(info(iter([request(file_containing_symbol=s) for s in services]), timeout=20))
        names = []
        for service, answer in zip(services, answers):
            files = [stubs.descriptor_pb2.FileDescriptorProto.FromString(raw)
                     for raw in answer.file_descriptor_response.file_descriptor_proto]
            own = [f for f in files if service.rsplit(".", 1)[1] in [s.name for s in f.service]]
            self.assertEqual(len(own), 1, service)
            names.append(own[0].name)
        self.assertEqual(names, ["twin.proto", "twin-b/twin.proto"])
        again = list(info(iter([request(file_by_filename=n) for n in names]), timeout=20))
        for name, answer in zip(names, again):
            first = answer.file_descriptor_response.file_descriptor_proto[0]
            self.assertEqual(stubs.descriptor_pb2.FileDescriptorProto.FromString(first).name, name)


if __name__ == "__main__":
    unittest.main()
