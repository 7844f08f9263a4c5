"""Messages by id: api/grpc/service.proto, api/grpc/cleaner/service.proto."""

import time

import kit
from kit import ALREADY_EXISTS, OK, event


def wire(*parts):
    """A PutBatchRequest with one message, of serialized parts of it."""
    body = b"".join(parts)
    length, number = bytearray(), len(body)
    while number >= 0x80:
        length.append(number & 0x7F | 0x80)
        number >>= 7
    length.append(number)
    return b"\x0a" + bytes(length) + body


class MessagesCase(kit.Case):
    def ids(self, *found):
        return [m.id for m in self.client.get(*found)]

    def raw_put(self, request):
        return self.client.channel.unary_unary(
            "/awakari.messages.Service/PutBatch",
            response_deserializer=kit.protos.messages.PutBatchResponse.FromString)(
                request, timeout=kit.TIMEOUT).ackCount


class PutTest(MessagesCase):
    def test_what_was_put_comes_back_identical(self):
        id = self.name()
        attributed = event(id + "a")
        values = attributed.attributes
        values["b"].ce_boolean = True
        values["i"].ce_integer = -7
        values["s"].ce_string = "Ä € 😀 \0"
        values["y"].ce_bytes = b"\x00\xff"
        values["u"].ce_uri = "http://example.org/"
        values["r"].ce_uri_ref = "/a"
        values["t"].ce_timestamp.FromSeconds(500000000)
        binary = event(id + "b")
        binary.binary_data = bytes(range(256))
        proto = event(id + "p")
        proto.proto_data.Pack(values["t"].ce_timestamp)
        bare = kit.protos.events.CloudEvent(id=id, source="s", spec_version="v", type="t")
        sent = [attributed, binary, proto, bare]
        self.assertEqual(self.client.put(*sent), 4)
        self.assertEqual(self.client.get(*[m.id for m in sent]), sent)

    def test_ids_are_any_text(self):
        prefix = self.name()
        ids = [prefix + text for text in kit.AWKWARD] + [prefix + "x" * 5000, prefix + "x" * 5001]
        self.assertEqual(self.client.put(*[event(i, i[:50]) for i in ids]), len(ids))
        self.assertEqual(self.client.get(*ids), [event(i, i[:50]) for i in ids])
        self.assertEqual(self.client.delete(prefix + "a"), 1)
        ids.remove(prefix + "a")
        self.assertEqual(self.ids(*ids), ids)

    def test_empty_requests(self):
        self.assertEqual(self.client.put(), 0)
        self.assertEqual(self.client.get(), [])
        self.assertEqual(self.client.delete(), 0)

    def test_same_content_again_is_acknowledged(self):
        a, b, c = self.name(), self.name(), self.name()
        self.assertEqual(self.client.put(event(a), event(b)), 2)
        self.assertEqual(self.client.put(event(a), event(b)), 2)
        self.assertEqual(self.client.put(event(b), event(a), event(c)), 3)
        self.assertEqual(self.ids(a, b, c), [a, b, c])

    def test_same_content_twice_in_one_request(self):
        id = self.name()
        self.assertEqual(self.client.put(event(id), event(id)), 2)
        self.assertEqual(self.client.get(id), [event(id)])

    def test_the_order_of_attributes_does_not_matter(self):
        id = self.name()
        attributes = []
        for number in range(30):
            one = kit.protos.events.CloudEvent()
            one.attributes[f"name{number}"].ce_string = f"value{number}"
            attributes.append(one.SerializeToString())
        head = event(id).SerializeToString()
        self.assertEqual(self.raw_put(wire(head, *attributes)), 1)
        self.assertEqual(self.raw_put(wire(head, *reversed(attributes))), 1)
        self.assertEqual(len(self.client.get(id)[0].attributes), 30)
        self.fails(ALREADY_EXISTS, self.raw_put, wire(head, *attributes[1:]))

    def test_unknown_fields_are_kept_and_matter(self):
        id = self.name()
        plain, unknown = event(id).SerializeToString(), b"\xfa\x01\x05hello"
        self.assertEqual(self.raw_put(wire(plain, unknown)), 1)
        self.assertEqual(self.raw_put(wire(plain, unknown)), 1)
        self.fails(ALREADY_EXISTS, self.raw_put, wire(plain))
        get = self.client.channel.unary_unary("/awakari.messages.Service/GetBatch")
        request = kit.protos.messages.GetBatchRequest(ids=[id]).SerializeToString()
        self.assertEqual(get(request, timeout=kit.TIMEOUT), wire(plain, unknown))

    def test_other_content_ends_the_prefix(self):
        taken, before, after = self.name(), self.name(), self.name()
        self.client.put(event(taken, "first"))
        self.assertEqual(self.client.put(event(before), event(taken, "2"), event(after)), 1)
        self.assertEqual(self.client.get(before, taken, after), [event(before), event(taken, "first")])

    def test_other_content_within_one_request_ends_the_prefix(self):
        id, after = self.name(), self.name()
        self.assertEqual(self.client.put(event(id), event(id, "other"), event(after)), 1)
        self.assertEqual(self.client.get(id, after), [event(id)])

    def test_every_field_is_content(self):
        id = self.name()
        attributed = event(id)
        attributed.attributes["a"].ce_string = "a"
        binary = event(id)
        binary.binary_data = b"text"
        self.client.put(event(id))
        for other in (event(id, source="other"), event(id, type="other"), attributed, binary,
                      event(id, spec_version="other"), event(id, "text "), event(id, "Text")):
            self.fails(ALREADY_EXISTS, self.client.put, other)
        self.assertEqual(self.client.get(id), [event(id)])

    def test_a_conflict_at_the_first_is_an_error_that_names_it(self):
        id, after = self.name(), self.name()
        self.client.put(event(id, "first"))
        text = self.fails(ALREADY_EXISTS, self.client.put, event(id, "2"), event(after))
        self.assertIn("0", text)
        self.assertIn(id, text)
        self.assertEqual(self.ids(after), [])

    def test_invalid_messages_end_the_prefix(self):
        bad = self.name()
        for field, message in {
            "id": event(""), "source": event(bad, source=""), "type": event(bad, type=""),
            "spec_version": event(bad, spec_version=""),
        }.items():
            with self.subTest(field):
                good, after = self.name(), self.name()
                self.assertEqual(self.client.put(event(good), message, event(after)), 1)
                self.assertEqual(self.ids(good, bad, after), [good])
                self.assertIn(field, self.invalid(self.client.put, message, event(after)))
                self.assertEqual(self.ids(after), [])

    def test_what_is_no_utf8_is_invalid_as_a_whole(self):
        good = self.name()
        for method, request in {
            "PutBatch": wire(event(good).SerializeToString()) + b"\x0a\x03\x0a\x01\xff",
            "GetBatch": b"\x0a\x01\xff",
            "DeleteBatch": b"\x0a\x01\xff",
        }.items():
            with self.subTest(method):
                call = self.client.channel.unary_unary(f"/awakari.messages.Service/{method}")
                self.invalid(call, request, timeout=kit.TIMEOUT)
        self.assertEqual(self.ids(good), [])


class GetAndDeleteTest(MessagesCase):
    def test_get_answers_in_the_order_asked_for(self):
        a, b, c = self.name(), self.name(), self.name()
        self.client.put(event(a), event(b), event(c))
        self.assertEqual(self.ids(c, self.name(), a, c, "", b), [c, a, c, b])

    def test_delete_counts_what_it_removed(self):
        a, b = self.name(), self.name()
        self.client.put(event(a), event(b))
        self.assertEqual(self.client.delete(a, self.name(), b, a, ""), 2)
        self.assertEqual(self.client.delete(a, b), 0)
        self.assertEqual(self.ids(a, b), [])

    def test_a_deleted_id_is_free(self):
        id = self.name()
        self.client.put(event(id))
        self.client.delete(id)
        self.assertEqual(self.client.put(event(id, "other")), 1)
        self.assertEqual(self.client.get(id), [event(id, "other")])

    def test_clean_leaves_what_is_young(self):
        id = self.name()
        self.client.put(event(id))
        self.client.clean()
        self.assertEqual(self.ids(id), [id])

    def test_mailboxes_are_something_else(self):
        id, box = self.name(), self.mailbox()
        self.client.append(kit.message(id), box)
        self.assertEqual(self.ids(id), [])
        self.assertEqual(self.client.delete(id), 0)
        self.assertEqual(self.client.put(event(id, "other")), 1)
        self.client.clean()
        self.assertEqual(self.client.delete(id), 1)
        self.assertEqual(self.client.read(box).entries[0].message, kit.message(id))


class ManyAtOnceTest(MessagesCase):
    def test_one_of_many_wins(self):
        id = self.name()
        calls = [self.client.messages.PutBatch.future(
            kit.protos.messages.PutBatchRequest(msgs=[event(id, str(i))]), timeout=kit.TIMEOUT)
            for i in range(50)]
        codes = [call.code() for call in calls]
        self.assertEqual((codes.count(OK), codes.count(ALREADY_EXISTS)), (1, 49))
        self.assertEqual(self.client.get(id), [event(id, str(codes.index(OK)))])

    def test_the_same_from_many_is_stored_once(self):
        id = self.name()
        request = kit.protos.messages.PutBatchRequest(msgs=[event(id)])
        calls = [self.client.messages.PutBatch.future(request, timeout=kit.TIMEOUT)
                 for _ in range(50)]
        self.assertEqual([call.result().ackCount for call in calls], [1] * 50)
        deletes = [self.client.messages.DeleteBatch.future(
            kit.protos.messages.DeleteBatchRequest(ids=[id]), timeout=kit.TIMEOUT)
            for _ in range(20)]
        self.assertEqual(sum(call.result().ackCount for call in deletes), 1)


class RetentionTest(MessagesCase):
    def test_expired_is_absent_whether_cleaned_or_not(self):
        client = self.fresh(retention="1s", clean_interval="1h").client
        self.assertEqual(client.put(event("a"), event("b")), 2)
        self.assertEqual(client.get("a", "b"), [event("a"), event("b")])
        time.sleep(0.5)
        client.put(event("a"))  # its time does not change
        time.sleep(0.7)
        self.assertEqual(client.get("a", "b"), [])
        self.assertEqual(client.delete("a"), 0)
        self.assertEqual(client.put(event("a", "other")), 1)
        self.assertEqual(client.get("a", "b"), [event("a", "other")])

    def test_clean_counts_what_it_removed(self):
        client = self.fresh(retention="2s", clean_interval="1h").client
        for part in range(4):
            self.assertEqual(client.put(*[event(f"{part}/{i}") for i in range(900)]), 900)
        time.sleep(2.2)
        client.put(event("young"))
        self.assertEqual(client.clean(), 3600)
        self.assertEqual(client.clean(), 0)
        self.assertEqual(client.get("young"), [event("young")])
