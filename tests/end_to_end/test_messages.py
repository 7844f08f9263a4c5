"""What the messages services mean (modules/storage/api/proto), through a stock client."""

import time
import unittest

import grpc

import stubs
from host_fixture import Host
from stubs import event

SMALL = {
    "storage-sqlite.max_batch": "20",
    "storage-sqlite.max_message": "10KiB",
    "storage-sqlite.max_reply": "30KiB",
}


class MessagesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.host = Host(settings=SMALL)
        cls.host.start()
        cls.addClassCleanup(cls.host.discard)
        cls.client = stubs.Client(cls.host.channel())

    def fails(self, code, call, *arguments):
        with self.assertRaises(grpc.RpcError) as caught:
            call(*arguments)
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        return caught.exception.details()

    def invalid(self, call, *arguments):
        return self.fails(grpc.StatusCode.INVALID_ARGUMENT, call, *arguments)

    # -- put and get

    def test_the_seed_comes_back_identical(self):
        seed = stubs.seed()
        self.assertEqual(self.client.put(*seed.msgs), 3)
        self.assertEqual(self.client.get(*[m.id for m in seed.msgs]), list(seed.msgs))

    def test_every_kind_of_attribute_and_data(self):
        message = event("kinds", source="s", type="t")
        attributes = message.attributes
        attributes["b"].ce_boolean = True
        attributes["i"].ce_integer = -7
        attributes["s"].ce_string = "Ä € 😀"
        attributes["y"].ce_bytes = b"\x00\xff"
        attributes["u"].ce_uri = "http://example.org/"
        attributes["r"].ce_uri_ref = "/a"
        attributes["t"].ce_timestamp.FromSeconds(500000000)
        binary = event("binary")
        binary.binary_data = bytes(range(256))
        proto = event("proto")
        proto.proto_data.Pack(attributes["t"].ce_timestamp)
        self.assertEqual(self.client.put(message, binary, proto), 3)
        self.assertEqual(self.client.get("kinds", "binary", "proto"), [message, binary, proto])

    def test_ids_may_be_any_text(self):
        ids = [" ", "a b", "Ä😀", "'; DROP TABLE messages; --", "nul\0nul", "nul", "x" * 5000, "%"]
        self.assertEqual(self.client.put(*[event(i) for i in ids]), len(ids))
        self.assertEqual([m.id for m in self.client.get(*ids)], ids)
        self.assertEqual(self.client.delete("nul\0nul"), 1)
        self.assertEqual([m.id for m in self.client.get("nul\0nul", "nul")], ["nul"])

    def test_get_answers_in_request_order_and_omits_the_missing(self):
        self.client.put(event("o1"), event("o2"), event("o3"))
        found = self.client.get("o3", "none", "o1", "o3", "", "o2")
        self.assertEqual([m.id for m in found], ["o3", "o1", "o3", "o2"])

    def test_empty_requests_are_fine(self):
        self.assertEqual(self.client.put(), 0)
        self.assertEqual(self.client.get(), [])
        self.assertEqual(self.client.delete(), 0)

    # -- the prefix

    def test_same_content_again_is_acknowledged(self):
        self.assertEqual(self.client.put(event("again"), event("again2")), 2)
        self.assertEqual(self.client.put(event("again"), event("again2"), event("again3")), 3)
        self.assertEqual(self.client.put(event("again4"), event("again4")), 2)

    def test_map_order_is_no_difference(self):
        names = [f"name{i}" for i in range(30)]

        def wire(order):
            head = event("maps").SerializeToString()
            for name in order:
                one = stubs.events.CloudEvent()
                one.attributes[name].ce_string = "v" + name
                head += one.SerializeToString()
            return b"\x0a" + varint(len(head)) + head

        put = self.host.channel().unary_unary(
            "/awakari.messages.Service/PutBatch",
            response_deserializer=stubs.service.PutBatchResponse.FromString)
        self.assertEqual(put(wire(names)).ackCount, 1)
        self.assertEqual(put(wire(reversed(names))).ackCount, 1)
        self.assertEqual(len(self.client.get("maps")[0].attributes), 30)

    def test_unknown_fields_are_kept_and_count(self):
        put = self.host.channel().unary_unary(
            "/awakari.messages.Service/PutBatch",
            response_deserializer=stubs.service.PutBatchResponse.FromString)
        get = self.host.channel().unary_unary(
            "/awakari.messages.Service/GetBatch",
            request_serializer=stubs.service.GetBatchRequest.SerializeToString)
        plain = event("unknown").SerializeToString()
        more = plain + b"\xfa\x01\x05hello"
        request = b"\x0a" + varint(len(more)) + more
        self.assertEqual(put(request).ackCount, 1)
        self.assertEqual(put(request).ackCount, 1)
        self.assertEqual(get(stubs.service.GetBatchRequest(ids=["unknown"])), request)
        self.fails(grpc.StatusCode.ALREADY_EXISTS, put, b"\x0a" + varint(len(plain)) + plain)

    def test_other_content_ends_the_prefix(self):
        self.client.put(event("taken", "first"))
        self.assertEqual(self.client.put(event("p1"), event("taken", "second"), event("p2")), 1)
        self.assertEqual([m.id for m in self.client.get("p1", "taken", "p2")], ["p1", "taken"])
        self.assertEqual(self.client.get("taken")[0].text_data, "first")
        self.assertEqual(self.client.put(event("p3"), event("p3", "other"), event("p4")), 1)

    def test_other_content_first_is_an_error_that_names_it(self):
        self.client.put(event("mine", "first"))
        text = self.fails(
            grpc.StatusCode.ALREADY_EXISTS, self.client.put, event("mine", "2"), event("m2"))
        self.assertIn("msgs[0]", text)
        self.assertIn('"mine"', text)
        self.assertEqual(self.client.get("m2"), [])

    def test_an_invalid_message_ends_the_prefix(self):
        bad = {
            "id": event(""),
            "source": event("bad", source=""),
            "type": event("bad", type=""),
            "spec_version": event("bad", spec_version=""),
            "max_message": event("bad", "x" * 10300),
        }
        for number, (reason, message) in enumerate(bad.items()):
            with self.subTest(reason):
                good = f"good{number}"
                self.assertEqual(self.client.put(event(good), message, event("after")), 1)
                self.assertEqual([m.id for m in self.client.get(good, "bad", "after")], [good])
                text = self.invalid(self.client.put, message, event("after"))
                self.assertIn("msgs[0]", text)
                self.assertIn(reason, text)
        self.assertEqual(self.client.get("after"), [])

    def test_bad_utf8_is_invalid(self):
        channel = self.host.channel()
        for method, request in {
            "PutBatch": b"\x0a\x03\x0a\x01\xff",
            "GetBatch": b"\x0a\x01\xff",
            "DeleteBatch": b"\x0a\x01\xff",
        }.items():
            with self.subTest(method):
                self.invalid(channel.unary_unary(f"/awakari.messages.Service/{method}"), request)

    # -- limits

    def test_too_many_at_once(self):
        ids = [f"many{i}" for i in range(21)]
        for call, arguments in ((self.client.put, [event(i) for i in ids]), (self.client.get, ids),
                                (self.client.delete, ids)):
            text = self.invalid(call, *arguments)
            self.assertIn("max_batch", text)
        self.assertEqual(self.client.get(*ids[:20]), [])
        self.assertEqual(self.client.put(*[event(i) for i in ids[:20]]), 20)

    def test_too_much_to_answer(self):
        self.client.put(*[event(f"big{i}", "x" * 9000) for i in range(3)])
        self.assertEqual(len(self.client.get("big0", "big1", "big2")), 3)
        text = self.fails(
            grpc.StatusCode.RESOURCE_EXHAUSTED, self.client.get, "big0", "big1", "big2", "big0")
        self.assertIn("fewer ids", text)
        self.assertEqual(len(self.client.get("big0", "big1")), 2)

    # -- delete

    def test_delete_counts_what_it_removed(self):
        self.client.put(event("d1"), event("d2"))
        self.assertEqual(self.client.delete("d1", "none", "d2", "d1"), 2)
        self.assertEqual(self.client.delete("d1", "d2"), 0)
        self.assertEqual(self.client.get("d1", "d2"), [])
        self.assertEqual(self.client.put(event("d1", "new content")), 1)
        self.assertEqual(self.client.get("d1")[0].text_data, "new content")

    def test_clean_leaves_what_is_young(self):
        self.client.put(event("young"))
        self.assertEqual(self.client.clean(), 0)
        self.assertEqual(len(self.client.get("young")), 1)

    # -- many at once

    def test_many_clients_at_once(self):
        rounds, at_once = 20, 64
        for number in range(rounds):
            calls = [
                self.client.messages.PutBatch.future(
                    stubs.put_request(event(f"c{number}/{i}", "x" * i)), timeout=30)
                for i in range(at_once)
            ]
            self.assertEqual([c.result().ackCount for c in calls], [1] * at_once)
        for number in range(rounds):
            ids = [f"c{number}/{i}" for i in range(20)]
            self.assertEqual([m.id for m in self.client.get(*ids)], ids)

    def test_one_of_many_wins(self):
        calls = [self.client.messages.PutBatch.future(
            stubs.put_request(event("contested", str(i))), timeout=30) for i in range(50)]
        codes = [c.code() for c in calls]
        self.assertEqual(codes.count(grpc.StatusCode.OK), 1)
        self.assertEqual(codes.count(grpc.StatusCode.ALREADY_EXISTS), 49)
        winner = str(codes.index(grpc.StatusCode.OK))
        self.assertEqual(self.client.get("contested")[0].text_data, winner)


class RetentionTest(unittest.TestCase):
    def test_expired_is_absent_and_cleaned(self):
        settings = {"storage-sqlite.retention": "700ms", "storage-sqlite.clean_interval": "1h"}
        with Host(settings=settings) as host:
            client = stubs.Client(host.channel())
            self.assertEqual(client.put(event("a"), event("b")), 2)
            self.assertEqual(len(client.get("a", "b")), 2)
            time.sleep(0.9)
            self.assertEqual(client.get("a", "b"), [])
            self.assertEqual(client.delete("a"), 0)
            self.assertEqual(client.put(event("a", "other content")), 1)
            self.assertEqual(client.get("a")[0].text_data, "other content")
            self.assertEqual(client.clean(), 2)  # "b", and what "a" was before
            self.assertEqual(client.clean(), 0)

    def test_cleans_more_than_one_part(self):
        settings = {"storage-sqlite.retention": "1s", "storage-sqlite.clean_interval": "1h"}
        with Host(settings=settings) as host:
            client = stubs.Client(host.channel())
            for part in range(4):
                self.assertEqual(client.put(*[event(f"{part}/{i}") for i in range(900)]), 900)
            time.sleep(1.1)
            self.assertEqual(client.clean(), 3600)

    def test_cleans_on_a_schedule(self):
        settings = {"storage-sqlite.retention": "100ms", "storage-sqlite.clean_interval": "200ms"}
        with Host(settings=settings) as host:
            client = stubs.Client(host.channel())
            client.put(event("a"))
            time.sleep(0.8)
            self.assertEqual(client.clean(), 0)


def varint(number):
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


if __name__ == "__main__":
    unittest.main()
