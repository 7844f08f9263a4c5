"""Random, truncated and damaged requests to every method that reflection shows: the host lives on,
and a client's mistake is never UNKNOWN or INTERNAL.

IMCTL_FUZZ_REQUESTS: how many a method (10000). IMCTL_FUZZ_SEED: of the random numbers.
"""

import concurrent.futures
import os
import random
import unittest

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor

import stubs
from host_fixture import Host
from stubs import event

REQUESTS = int(os.environ.get("IMCTL_FUZZ_REQUESTS", "10000"))
SEED = int(os.environ.get("IMCTL_FUZZ_SEED", "1"))
WATCHES = 0.02  # seconds, before the test goes away from what may never answer
AT_ONCE = 64
TEXTS = ("", "a", "b", "Ä", "\0", "x" * 300, "awakari.messages.Service")
NEVER = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)


def described_methods(channel):
    """(path, MethodDescriptorProto, request class) of every method, by reflection."""
    request = stubs.host_type("grpc.reflection.v1.ServerReflectionRequest")
    info = stubs.method(channel, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
    (listed,) = info(iter([request(list_services="")]), timeout=20)
    found = []
    for service in listed.list_services_response.service:
        (answer,) = info(iter([request(file_containing_symbol=service.name)]), timeout=20)
        pool = pool_of(info, request, answer)
        described = pool.FindServiceByName(service.name)
        for method in described.methods:
            proto = descriptor_pb2.MethodDescriptorProto()
            method.CopyToProto(proto)
            type_of = message_factory.MessageFactory(pool).GetPrototype(method.input_type)
            found.append((f"/{service.name}/{method.name}", proto, type_of))
    return found


def pool_of(info, request, answer):
    """A pool with the files of an answer and, asked for one by one, all that they import."""
    files = {}
    waiting = list(answer.file_descriptor_response.file_descriptor_proto)
    while waiting:
        file = descriptor_pb2.FileDescriptorProto.FromString(waiting.pop())
        if file.name in files:
            continue
        files[file.name] = file
        for name in file.dependency:
            if name not in files:
                (more,) = info(iter([request(file_by_filename=name)]), timeout=20)
                waiting += more.file_descriptor_response.file_descriptor_proto
    pool = descriptor_pool.DescriptorPool()
    added = set()

    def add(name):
        if name not in added:
            added.add(name)
            for dependency in files[name].dependency:
                add(dependency)
            pool.Add(files[name])

    for name in files:
        add(name)
    return pool


class Maker:
    """Makes requests: nonsense, well-formed ones with random content, and those with damage."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def request(self, type_of, samples):
        kind = self.random.randrange(5)
        if kind == 0:
            return self.random.randbytes(self.random.randrange(200))
        if kind == 1 and samples:
            good = self.random.choice(samples)
        else:
            message = type_of()
            self.fill(message, 0)
            good = message.SerializeToString()
        if kind == 2:
            return good
        damaged = bytearray(good)
        for _ in range(self.random.randrange(4)):
            if damaged:
                damaged[self.random.randrange(len(damaged))] = self.random.randrange(256)
        if self.random.randrange(2):
            del damaged[self.random.randrange(len(damaged) + 1):]
        return bytes(damaged)

    def fill(self, message, depth):
        for field in message.DESCRIPTOR.fields:
            if self.random.randrange(3) == 0 or depth > 4:
                continue
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                value = field.message_type.fields_by_name["value"]
                for _ in range(self.random.randrange(3)):
                    key = self.scalar(field.message_type.fields_by_name["key"])
                    if value.message_type is not None:
                        self.fill(getattr(message, field.name)[key], depth + 1)
                    else:
                        getattr(message, field.name)[key] = self.scalar(value)
            elif field.label == FieldDescriptor.LABEL_REPEATED:
                for _ in range(self.random.randrange(4)):
                    if field.message_type is not None:
                        self.fill(getattr(message, field.name).add(), depth + 1)
                    else:
                        getattr(message, field.name).append(self.scalar(field))
            elif field.message_type is not None:
                getattr(message, field.name).SetInParent()
                self.fill(getattr(message, field.name), depth + 1)
            else:
                setattr(message, field.name, self.scalar(field))

    def scalar(self, field):
        kind = field.cpp_type
        if kind == FieldDescriptor.CPPTYPE_STRING:
            if field.type == FieldDescriptor.TYPE_BYTES:
                return self.random.randbytes(self.random.randrange(50))
            return self.random.choice(TEXTS)
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            return self.random.random() < 0.5
        if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
            return self.random.choice([0.0, -1.5, float("nan"), float("inf")])
        if kind == FieldDescriptor.CPPTYPE_ENUM:
            return self.random.choice(field.enum_type.values).number
        bits = 31 if "32" in kind_name(field) else 63
        low = 0 if "UINT" in kind_name(field) else -2**bits
        return self.random.choice([0, 1, low, 2**bits - 1])


def kind_name(field):
    return {
        FieldDescriptor.CPPTYPE_INT32: "INT32", FieldDescriptor.CPPTYPE_INT64: "INT64",
        FieldDescriptor.CPPTYPE_UINT32: "UINT32", FieldDescriptor.CPPTYPE_UINT64: "UINT64",
    }[field.cpp_type]


# Each of them looks at the whole host or the whole audit log, and hardly any takes anything that could be wrong.
COSTLY = ("/imctl.host.v1.Debug/Stacks", "/imctl.host.v1.Debug/Bundle", "/imctl.host.v1.Audit/Verify",
          "/imctl.host.v1.Audit/List", "/imctl.backup.v1.Backups/Create", "/imctl.backup.v1.Backups/Restore",
          "/imctl.backup.v1.Backups/List", "/imctl.backup.v1.Backups/Get", "/imctl.backup.v1.Backups/Verify",
          "/imctl.backup.v1.Backups/Delete", "/imctl.backup.v1.Data/Export", "/imctl.backup.v1.Data/Import",
          "/imctl.backup.v1.Data/Migrate",
          "/imctl.user.v1.Users/Dump")


def requests_of(path):
    return REQUESTS // 100 if path in COSTLY else REQUESTS


def waits_for_news(path):
    return path.endswith("/Watch") or path in (
        "/imctl.host.v1.Audit/Tail", "/imctl.host.v1.Log/Tail", "/imctl.host.v1.Status/Top",
        "/imctl.session.v1.Sessions/Connect", "/imctl.cluster.v1.Cluster/Join", "/imctl.cluster.v1.Nodes/Drain",
        "/imctl.message.v1.Messages/Chat")


class FuzzTest(unittest.TestCase):
    def test_no_request_harms(self):
        samples = {
            "/awakari.messages.Service/PutBatch": [stubs.seed().SerializeToString()],
            "/awakari.messages.Service/GetBatch": [
                stubs.service.GetBatchRequest(
                    ids=[m.id for m in stubs.seed().msgs]).SerializeToString()],
        }
        # Passwords are hashed for real, and quickly. The audit log gets a record of almost every request, and
        # methods that read all of it are among them.
        settings = {"user.argon2_memory": "8KiB", "user.argon2_time": "1", "user.scram_iterations": "4096",
                    "host.audit_file_size": "1MiB", "host.audit_files": "2"}
        with Host(settings, modules=("storage-sqlite", "user", "router", "locations-memory", "backup")) as host:
            channel = host.channel()
            client = stubs.Client(channel)
            self.assertEqual(client.put(event("before")), 1)
            methods = described_methods(channel)
            self.assertGreaterEqual(len(methods), 8)
            maker = Maker(SEED)
            for path, proto, type_of in methods:
                with self.subTest(path):
                    requests = [maker.request(type_of, samples.get(path)) for _ in range(requests_of(path))]
                    self.throw(channel, path, proto, requests)
                    self.assertTrue(host.alive(), host.text()[-3000:])
            for message in client.get("before"):
                self.assertEqual(message, event("before"))
            self.assertEqual(client.put(event("after")), 1)

    def throw(self, channel, path, proto, requests):
        timeout = WATCHES if waits_for_news(path) else 30
        if not proto.client_streaming and not proto.server_streaming:
            method = channel.unary_unary(path)
            for start in range(0, len(requests), AT_ONCE):
                part = requests[start:start + AT_ONCE]
                calls = [method.future(request, timeout=timeout) for request in part]
                for request, call in zip(part, calls):
                    self.judge(path, request, call)
            return
        kind = ("stream" if proto.client_streaming else "unary") + "_" + (
            "stream" if proto.server_streaming else "unary")
        method = getattr(channel, kind)(path)

        def one(request):
            # A stream may go on for ever after its first answer.
            messages = iter([request]) if proto.client_streaming else request
            if not proto.server_streaming:
                call = method.future(messages, timeout=timeout)
                call.exception()
                return call
            call = method(messages, timeout=timeout)
            try:
                next(call, None)
                call.cancel()
            except grpc.RpcError:
                pass
            return call

        # What waits takes time and no processor.
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE if waits_for_news(path) else 8) as pool:
            for request, call in zip(requests, pool.map(one, requests)):
                self.judge(path, request, call)

    def judge(self, path, request, call):
        code = call.code()
        if code == grpc.StatusCode.DEADLINE_EXCEEDED and waits_for_news(path):
            return
        if code in NEVER or code == grpc.StatusCode.DEADLINE_EXCEEDED:
            self.fail(f"{path} answers {code} ({call.details()}) to {request.hex()}")


if __name__ == "__main__":
    unittest.main()
