"""gRPC as clients expect it: reflection, health, deadlines, compression, limits, codes."""

import time
import unittest

import grpc

import stubs
from host_fixture import Host
from stubs import event

SERVICES = {
    "awakari.messages.Service", "awakari.messages.cleaner.Service", "grpc.health.v1.Health",
    "imctl.host.v1.Modules", "imctl.host.v1.Metrics", "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
}

NOT_FOUND = grpc.StatusCode.NOT_FOUND.value[0]


class GrpcTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.host = Host(settings={"host.max_request": "256KiB"})
        cls.host.start()
        cls.addClassCleanup(cls.host.discard)
        cls.channel = cls.host.channel()
        cls.client = stubs.Client(cls.channel)

    def fails(self, code, call, *arguments, **named):
        with self.assertRaises(grpc.RpcError) as caught:
            call(*arguments, **named)
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        return caught.exception.details()

    # -- reflection

    def test_reflection(self):
        for version in ("v1", "v1alpha"):
            with self.subTest(version):
                package = f"grpc.reflection.{version}"
                request = stubs.host_type(f"{package}.ServerReflectionRequest")
                info = stubs.method(
                    self.channel, f"/{package}.ServerReflection/ServerReflectionInfo")
                questions = [
                    request(list_services=""),
                    request(file_containing_symbol="awakari.messages.Service"),
                    request(file_containing_symbol="awakari.messages.Service.PutBatch"),
                    request(file_containing_symbol="pb.CloudEvent"),
                    request(file_by_filename="api/grpc/service.proto"),
                    request(file_containing_symbol="no.such.Thing"),
                    request(file_by_filename="no/such.proto"),
                ]
                answers = list(info(iter(questions), timeout=20))
                self.assertEqual([a.original_request for a in answers], questions)
                listed = {s.name for s in answers[0].list_services_response.service}
                self.assertLessEqual(SERVICES, listed)
                for answer in answers[1:5]:
                    self.assertTrue(answer.file_descriptor_response.file_descriptor_proto)
                for answer in answers[5:]:
                    self.assertEqual(answer.error_response.error_code, NOT_FOUND)

    # -- health

    def check(self, service, **named):
        request = stubs.host_type("grpc.health.v1.HealthCheckRequest")(service=service)
        check = stubs.method(self.channel, "/grpc.health.v1.Health/Check")
        return check(request, timeout=20, **named).status

    def test_health_check(self):
        serving = 1
        self.assertEqual(self.check(""), serving)
        self.assertEqual(self.check("awakari.messages.Service"), serving)
        self.assertEqual(self.check("awakari.messages.cleaner.Service"), serving)
        self.fails(grpc.StatusCode.NOT_FOUND, self.check, "no.such.Service")

    def test_health_watch(self):
        request = stubs.host_type("grpc.health.v1.HealthCheckRequest")
        watch = stubs.method(self.channel, "/grpc.health.v1.Health/Watch")
        for service, status in (("awakari.messages.Service", 1), ("", 1), ("no.such.Service", 3)):
            with self.subTest(service):
                call = watch(request(service=service), timeout=20)
                self.assertEqual(next(call).status, status)
                call.cancel()

    # -- deadlines

    def test_deadline_ends_a_stream(self):
        request = stubs.host_type("grpc.health.v1.HealthCheckRequest")()
        start = time.monotonic()
        call = stubs.method(self.channel, "/grpc.health.v1.Health/Watch")(request, timeout=0.5)
        self.fails(grpc.StatusCode.DEADLINE_EXCEEDED, list, call)
        self.assertLess(time.monotonic() - start, 5)
        self.assertTrue(self.host.alive())

    # -- compression, limits, codes

    def test_gzip(self):
        text = "all work and no play " * 9000
        for algorithm in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            name = f"compressed{algorithm}"
            done = self.client.messages.PutBatch(
                stubs.put_request(event(name, text)), compression=algorithm, timeout=20)
            self.assertEqual(done.ackCount, 1)
            found = self.client.messages.GetBatch(
                stubs.service.GetBatchRequest(ids=[name]), compression=algorithm, timeout=20)
            self.assertEqual(found.msgs[0].text_data, text)

    def test_request_over_the_limit(self):
        large = event("large", "x" * 300_000)
        self.fails(grpc.StatusCode.RESOURCE_EXHAUSTED, self.client.put, large)
        self.assertEqual(self.client.put(event("not large", "x" * 200_000)), 1)

    def test_compressed_request_over_the_limit(self):
        self.fails(grpc.StatusCode.RESOURCE_EXHAUSTED, self.client.messages.PutBatch,
                   stubs.put_request(event("large", "x" * 3_000_000)), timeout=20,
                   compression=grpc.Compression.Gzip)

    def test_unknown_methods(self):
        names = ("/awakari.messages.Service/NoSuch", "/no.such.Service/PutBatch", "/x", "/x/y/z")
        for name in names:
            with self.subTest(name):
                code = grpc.StatusCode.UNIMPLEMENTED
                self.fails(code, self.channel.unary_unary(name), b"", timeout=20)
                stream = self.channel.stream_stream(name)
                self.fails(code, list, stream(iter([b""]), timeout=20))

    def test_malformed_request(self):
        put = self.channel.unary_unary("/awakari.messages.Service/PutBatch")
        for request in (b"\x0a", b"\xff" * 20, b"\x0a\x05abc", b"\x00"):
            self.fails(grpc.StatusCode.INVALID_ARGUMENT, put, request, timeout=20)


if __name__ == "__main__":
    unittest.main()
