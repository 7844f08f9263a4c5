"""Mailboxes without Watch: imctl/storage/v1/mailboxes.proto."""

import time

import kit
from kit import ALREADY_EXISTS, FAILED_PRECONDITION, NOT_FOUND, OUT_OF_RANGE, message


class MailboxCase(kit.Case):
    def append(self, *recipients, text="text"):
        """A new message; gives it and the answer."""
        sent = message(self.name("m"), text)
        return sent, self.client.append(sent, *recipients)

    def fill(self, mailbox, count):
        """Gives the messages."""
        return [self.append(mailbox)[0] for _ in range(count)]

    def places(self, answer):
        return [(p.mailbox, p.sequence) for p in answer.positions]


class AppendTest(MailboxCase):
    def test_numbers_without_gaps(self):
        a, b = self.mailbox(), self.mailbox()
        for number in range(1, 6):
            self.assertEqual(self.places(self.append(a)[1]), [(a, number)])
        self.assertEqual(self.places(self.append(b, a)[1]), [(b, 1), (a, 6)])
        self.assertEqual(self.places(self.append(a, b)[1]), [(a, 7), (b, 2)])

    def test_one_from_elsewhere_keeps_its_time(self):
        box, before = self.mailbox(), int(time.time())
        for number, given in enumerate((1_577_934_245, before + 100_000, None), 1):
            request = kit.mb.AppendRequest(message=message(self.name("m")), recipients=[box])
            if given:
                request.time.FromNanoseconds(given * 10**9 + 123_456_789)
            answer = self.client.mailboxes.Append(request, timeout=kit.TIMEOUT)
            self.assertEqual(self.places(answer), [(box, number)])
            entry = self.client.read(box, after=number - 1).entries[0]
            if number == 1:
                self.assertEqual(entry.time.ToNanoseconds(), given * 10**9 + 123_000_000)
            else:  # now
                self.assertTrue(before <= entry.time.seconds <= time.time() + 1, entry.time)
        request.time.FromNanoseconds(-10**9)
        request.message.event.id = "before 1970"
        self.fails(kit.INVALID_ARGUMENT, self.client.mailboxes.Append, request)

    def test_the_message_comes_back_identical(self):
        box = self.mailbox()
        sent = message(self.name(), "Ä😀\0", to=("a@b", "c@d/e", "a@b"))
        sent.event.attributes["a"].ce_bytes = b"\xff"
        answer = self.client.append(sent, box)
        (entry,) = self.client.read(box).entries
        self.assertEqual(entry.time, answer.time)
        self.assertEqual(entry.message, sent)
        self.assertEqual(entry.sequence, 1)
        self.assertGreater(entry.time.seconds, 1_600_000_000)

    def test_one_named_twice_gets_it_once(self):
        a, b, c = self.mailbox(), self.mailbox(), self.mailbox()
        _, answer = self.append(b, a, b, b, c, a)
        self.assertEqual(self.places(answer), [(b, 1), (a, 1), (c, 1)])
        self.assertEqual(len(self.client.read(b).entries), 1)

    def test_the_recipients_have_nothing_to_do_with_the_addresses(self):
        box = self.mailbox()
        self.client.append(message(self.name(), to=()), box)
        self.assertEqual(self.client.read(box).last, 1)

    def test_a_duplicate_gets_the_first_answer(self):
        a, b, c = self.mailbox(), self.mailbox(), self.mailbox()
        sent, first = self.append(a, b)
        self.assertFalse(first.duplicate)
        self.append(a)
        for recipients in ((a, b), (b, a), (a,), (c,), (a, c, b)):
            again = self.client.append(sent, *recipients)
            self.assertTrue(again.duplicate)
            self.assertEqual(again.positions, first.positions)
            self.assertEqual(again.time, first.time)
        self.assertEqual([self.client.read(box).last for box in (a, b, c)], [2, 1, 0])
        self.assertEqual(len(self.client.list_mailboxes(c).mailboxes), 0)

    def test_source_and_id_together_name_a_message(self):
        box, id = self.mailbox(), self.name()
        # Also when their texts in a row are the same.
        for number, (source, name) in enumerate(
                [("a", id), ("ab", id), ("a", "b" + id), ("", ""), ("a\0", id), ("a", "\0" + id)], 1):
            if source:
                answer = self.client.append(message(name, source=source), box)
                self.assertFalse(answer.duplicate, (source, name))
        self.assertEqual(self.client.read(box).last, number - 1)

    def test_other_content_is_refused(self):
        box, id = self.mailbox(), self.name()
        self.client.append(message(id), box)
        event = message(id)
        event.event.attributes["x"].ce_string = "x"
        for other in (message(id, "other"), message(id, sender="eve@example.org"), event,
                      message(id, to=()), message(id, to=("bob@example.org",) * 2),
                      message(id, type="other")):
            self.fails(ALREADY_EXISTS, self.client.append, other, box)
            self.fails(ALREADY_EXISTS, self.client.append, other, self.mailbox())
        self.assertEqual(self.client.read(box).last, 1)

    def test_the_order_of_attributes_does_not_matter(self):
        box = self.mailbox()
        head = message(self.name())
        parts = []
        for number in range(30):
            one = kit.protos.events.CloudEvent()
            one.attributes[f"name{number}"].ce_string = f"value{number}"
            parts.append(kit.mb.Message(event=one).SerializeToString())
        call = self.client.channel.unary_unary(
            "/imctl.storage.v1.Mailboxes/Append",
            response_deserializer=kit.mb.AppendResponse.FromString)
        duplicates = []
        for order in (parts, parts[::-1]):
            body = head.SerializeToString() + b"".join(order)  # fields that come twice are merged
            merged = kit.mb.Message.FromString(body)
            self.assertEqual(len(merged.event.attributes), 30)
            request = kit.mb.AppendRequest(recipients=[box]).SerializeToString()
            length = bytes([len(body) & 0x7F | 0x80, len(body) >> 7])
            answer = call(b"\x0a" + length + body + request, timeout=kit.TIMEOUT)
            duplicates.append(answer.duplicate)
        self.assertEqual(duplicates, [False, True])

    def test_what_is_invalid(self):
        box = self.mailbox()
        for what, sent, recipients in (
                ("no id", message(""), [box]), ("no source", message(self.name(), source=""), [box]),
                ("no recipient", message(self.name()), []), ("no message", None, [box]),
                ("no event", kit.mb.Message(to=["a"]), [box]),
                ("a name without bytes", message(self.name()), [box, ""]),
                ("a name of 1025 bytes", message(self.name()), [box, "x" * 1025]),
                ("a name of 1026 bytes", message(self.name()), ["é" * 513])):
            with self.subTest(what):
                self.invalid(self.client.append, sent, *recipients)
        self.assertEqual(self.client.read(box).last, 0)
        self.assertEqual(len(self.client.list_mailboxes(box).mailboxes), 0)

    def test_what_is_no_utf8_is_invalid(self):
        call = self.client.channel.unary_unary("/imctl.storage.v1.Mailboxes/Append")
        sent = kit.mb.AppendRequest(message=message(self.name())).SerializeToString()
        self.invalid(call, sent + b"\x12\x01\xff", timeout=kit.TIMEOUT)

    def test_the_longest_name(self):
        name = self.name()
        for box in (name + "x" * (1024 - len(name)), name + "x" * (1023 - len(name)),
                    name[:22].ljust(22, "y") + "é" * 501):
            self.append(box)
            self.assertEqual(self.client.read(box).last, 1)
            self.assertEqual([m.mailbox for m in self.client.all_mailboxes(box)], [box] if
                             len(box.encode()) == 1024 else [box, box + "x"])

    def test_no_message_goes_astray_among_awkward_names(self):
        prefix = self.name()
        boxes = [prefix + text for text in kit.AWKWARD]
        sent, answer = self.append(*boxes)
        self.assertEqual(self.places(answer), [(box, 1) for box in boxes])
        for box in boxes:
            own = self.append(box)[0]
            self.assertEqual([e.message for e in self.client.read(box).entries], [sent, own])


class ReadTest(MailboxCase):
    def test_one_that_nobody_wrote_to(self):
        page = self.client.read(self.mailbox())
        self.assertEqual((len(page.entries), page.epoch, page.first, page.last), (0, 0, 1, 0))

    def test_after_and_limit(self):
        box = self.mailbox()
        sent = self.fill(box, 10)
        for after, limit in ((0, 0), (0, 3), (4, 3), (8, 3), (9, 0), (10, 0), (11, 5), (2**63, 1),
                             (2**64 - 1, 0), (0, 2**32 - 1)):
            with self.subTest(after=after, limit=limit):
                page = self.client.read(box, after, limit)
                wanted = list(range(1, 11))[after:][:limit or None]
                self.assertEqual([e.sequence for e in page.entries], wanted)
                self.assertEqual([e.message for e in page.entries], [sent[n - 1] for n in wanted])
                self.assertEqual({e.epoch for e in page.entries} - {page.epoch}, set())
                self.assertEqual((page.first, page.last), (1, 10))

    def test_the_epoch(self):
        box = self.mailbox()
        _, answer = self.append(box)
        epoch = answer.positions[0].epoch
        self.assertGreater(epoch, 0)
        self.assertEqual(self.client.read(box, epoch=epoch).epoch, epoch)
        self.assertEqual(self.client.read(box).epoch, epoch)
        self.fails(FAILED_PRECONDITION, self.client.read, box, epoch=epoch + 1)
        self.fails(FAILED_PRECONDITION, self.client.read, box, epoch=epoch - 1)
        self.fails(FAILED_PRECONDITION, self.client.read, self.mailbox(), epoch=epoch)

    def test_the_time_stays(self):
        box = self.mailbox()
        self.append(box)
        first = self.client.read(box).entries[0]
        self.append(box)
        self.assertEqual(self.client.read(box).entries[0], first)

    def test_names_that_are_invalid(self):
        for box in ("", "x" * 1025):
            for call, more in ((self.client.read, ()), (self.client.watch, ()),
                               (self.client.ack, ("d", 1)), (self.client.cursors, ()),
                               (self.client.forget, ("d",)), (self.client.delete_mailbox, ())):
                with self.subTest(box=box[:3], call=call.__name__):
                    self.invalid(call, box, *more)


class AckTest(MailboxCase):
    def test_a_cursor_only_moves_forward(self):
        box = self.mailbox()
        self.fill(box, 5)
        first = self.client.ack(box, "phone", 2)
        self.assertEqual((first.device, first.sequence), ("phone", 2))
        self.assertGreater(first.time.seconds, 1_600_000_000)
        self.assertEqual(self.client.ack(box, "phone", 1), first)
        self.assertEqual(self.client.ack(box, "phone", 2), first)
        self.assertEqual(self.client.ack(box, "phone", 5).sequence, 5)
        self.assertEqual(self.client.ack(box, "phone", 4).sequence, 5)
        self.assertEqual([c.sequence for c in self.client.cursors(box).cursors], [5])

    def test_not_beyond_the_end(self):
        box = self.mailbox()
        self.fails(OUT_OF_RANGE, self.client.ack, box, "phone", 1)
        self.fill(box, 3)
        for sequence in (4, 2**63 - 1, 2**63, 2**64 - 1):
            self.fails(OUT_OF_RANGE, self.client.ack, box, "phone", sequence)
        self.assertEqual(len(self.client.cursors(box).cursors), 0)
        self.assertEqual(self.client.ack(box, "phone", 3).sequence, 3)
        self.fails(OUT_OF_RANGE, self.client.ack, box, "phone", 4)
        self.assertEqual(self.client.cursors(box).cursors[0].sequence, 3)
        self.append(box)
        self.assertEqual(self.client.ack(box, "phone", 4).sequence, 4)

    def test_the_epoch(self):
        box = self.mailbox()
        epoch = self.append(box)[1].positions[0].epoch
        self.fails(FAILED_PRECONDITION, self.client.ack, box, "phone", 1, epoch + 1)
        self.fails(FAILED_PRECONDITION, self.client.ack, box, "phone", 1, epoch - 1)
        self.assertEqual(len(self.client.cursors(box).cursors), 0)
        self.assertEqual(self.client.ack(box, "phone", 1, epoch).sequence, 1)

    def test_an_ack_removes_nothing(self):
        box = self.mailbox()
        self.fill(box, 3)
        self.client.ack(box, "phone", 3)
        self.assertEqual(len(self.client.read(box).entries), 3)

    def test_devices_have_cursors_of_their_own(self):
        box = self.mailbox()
        self.fill(box, len(kit.AWKWARD))
        for number, device in enumerate(kit.AWKWARD, 1):
            self.client.ack(box, device, number)
        answer = self.client.cursors(box)
        self.assertEqual([(c.device, c.sequence) for c in answer.cursors],
                         [(device, number) for number, device in enumerate(kit.AWKWARD, 1)])
        self.assertEqual(answer.epoch, self.client.read(box).epoch)
        other = self.mailbox()
        self.fill(other, 1)
        self.assertEqual(len(self.client.cursors(other).cursors), 0)

    def test_names_of_devices(self):
        box = self.mailbox()
        self.fill(box, 1)
        for device in ("", "x" * 257, "é" * 129):
            self.invalid(self.client.ack, box, device, 1)
            self.invalid(self.client.forget, box, device)
        for device in ("x" * 256, "é" * 128):
            self.assertEqual(self.client.ack(box, device, 1).device, device)
            self.client.forget(box, device)

    def test_no_cursors(self):
        answer = self.client.cursors(self.mailbox())
        self.assertEqual((len(answer.cursors), answer.epoch), (0, 0))

    def test_a_forgotten_device(self):
        box = self.mailbox()
        self.fill(box, 3)
        self.client.ack(box, "phone", 3)
        self.client.ack(box, "tablet", 2)
        self.client.forget(box, "phone")
        self.assertEqual([c.device for c in self.client.cursors(box).cursors], ["tablet"])
        self.fails(NOT_FOUND, self.client.forget, box, "phone")
        self.fails(NOT_FOUND, self.client.forget, self.mailbox(), "phone")
        self.assertEqual(self.client.ack(box, "phone", 1).sequence, 1)


class ListTest(MailboxCase):
    def setUp(self):
        super().setUp()
        self.prefix = self.name("list")
        self.boxes = [self.prefix + text for text in kit.AWKWARD]
        self.append(*self.boxes)

    def listed(self, prefix, limit=0):
        return [m.mailbox for m in self.client.all_mailboxes(prefix, limit)]

    def test_in_order_of_bytes_in_pages_of_any_size(self):
        for limit in (0, 1, 2, 7, len(self.boxes), 1000, 2**32 - 1):
            with self.subTest(limit):
                self.assertEqual(self.listed(self.prefix, limit), self.boxes)

    def test_prefixes(self):
        for text in kit.AWKWARD + ["c", "\U0010fffe", "%%", "__", "a\0b\0", "aé"]:
            prefix = self.prefix + text
            with self.subTest(text):
                wanted = [box for box in self.boxes if box.startswith(prefix)]
                self.assertEqual(self.listed(prefix), wanted)
                self.assertEqual(self.listed(prefix, 1), wanted)

    def test_what_a_list_says(self):
        prefix = self.name("state")
        answer = self.append(prefix + "a", prefix + "b")[1]
        self.append(prefix + "b")
        self.assertEqual(
            list(self.client.list_mailboxes(prefix).mailboxes),
            [kit.mb.MailboxState(mailbox=p.mailbox, epoch=p.epoch, first=1, last=last)
             for p, last in zip(answer.positions, (1, 2))])

    def test_pages_while_mailboxes_come_and_go(self):
        page = self.client.list_mailboxes(self.prefix, limit=10)
        last = page.mailboxes[-1].mailbox
        self.client.delete_mailbox(last)
        added = self.boxes[10] + "\0"
        self.append(added)
        rest = self.client.list_mailboxes(self.prefix, page_token=page.next_page_token)
        self.assertEqual([m.mailbox for m in rest.mailboxes],
                         sorted(self.boxes[10:] + [added], key=str.encode))

    def test_the_last_page_has_no_token(self):
        page = self.client.list_mailboxes(self.prefix, limit=len(self.boxes))
        self.assertEqual((len(page.mailboxes), page.next_page_token), (len(self.boxes), ""))

    def test_all_mailboxes(self):
        """Without a prefix; others' mailboxes may be among them."""
        listed = self.listed("", 50)
        self.assertEqual(listed, sorted(set(listed), key=str.encode))
        self.assertEqual([box for box in listed if box.startswith(self.prefix)], self.boxes)


class DeleteTest(MailboxCase):
    def test_all_of_it_is_gone(self):
        box = self.mailbox()
        self.fill(box, 3)
        self.client.ack(box, "phone", 2)
        epoch = self.client.read(box).epoch
        self.client.delete_mailbox(box)
        page = self.client.read(box)
        self.assertEqual((len(page.entries), page.epoch, page.first, page.last), (0, 0, 1, 0))
        self.assertEqual(len(self.client.list_mailboxes(box).mailboxes), 0)
        self.assertEqual(len(self.client.cursors(box).cursors), 0)
        self.fails(NOT_FOUND, self.client.delete_mailbox, box)
        self.fails(FAILED_PRECONDITION, self.client.read, box, epoch=epoch)
        self.fails((FAILED_PRECONDITION, OUT_OF_RANGE), self.client.ack, box, "phone", 1, epoch)

    def test_there_is_none(self):
        self.fails(NOT_FOUND, self.client.delete_mailbox, self.mailbox())

    def test_it_begins_again_with_a_larger_epoch(self):
        box = self.mailbox()
        epochs = []
        for _ in range(5):
            position = self.append(box)[1].positions[0]
            self.assertEqual(position.sequence, 1)
            epochs.append(position.epoch)
            self.client.delete_mailbox(box)
        self.assertEqual(epochs, sorted(set(epochs)))
        self.append(box)
        self.fails(FAILED_PRECONDITION, self.client.read, box, epoch=epochs[-1])
        self.fails(FAILED_PRECONDITION, self.client.ack, box, "phone", 1, epochs[-1])
        self.assertEqual(len(self.client.cursors(box).cursors), 0)

    def test_others_keep_the_message(self):
        a, b = self.mailbox(), self.mailbox()
        sent, first = self.append(a, b)
        self.client.delete_mailbox(a)
        self.assertEqual([e.message for e in self.client.read(b).entries], [sent])
        again = self.client.append(sent, a, b)
        self.assertTrue(again.duplicate)
        self.assertEqual(list(again.positions), list(first.positions)[1:])
        self.assertEqual(self.client.read(a).last, 0)
        # Another life of the mailbox is another mailbox.
        self.append(a)
        self.assertEqual(list(self.client.append(sent, a).positions), list(first.positions)[1:])

    def test_a_message_that_is_nowhere_any_more_is_new(self):
        a, b = self.mailbox(), self.mailbox()
        sent, first = self.append(a, b)
        self.client.delete_mailbox(a)
        self.client.delete_mailbox(b)
        again = self.client.append(sent, a)
        self.assertFalse(again.duplicate)
        self.assertEqual(self.places(again), [(a, 1)])
        self.assertGreater(again.positions[0].epoch, first.positions[0].epoch)

    def test_a_large_one(self):
        box, other = self.mailbox(), self.mailbox()
        calls = [self.client.mailboxes.Append.future(
            kit.mb.AppendRequest(message=message(self.name()), recipients=[box]),
            timeout=kit.TIMEOUT) for _ in range(1500)]
        for call in calls:
            call.result()
        sent, _ = self.append(box, other)
        self.client.delete_mailbox(box)
        self.assertEqual(self.client.read(box).last, 0)
        self.append(box)
        self.assertEqual(self.client.read(box).last, 1)
        self.assertEqual([e.message for e in self.client.read(other).entries], [sent])
