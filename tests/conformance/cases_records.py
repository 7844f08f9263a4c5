"""Records without Watch: imctl/storage/v1/records.proto."""

import kit
from kit import (ALREADY_EXISTS, FAILED_PRECONDITION, INVALID_ARGUMENT, NOT_FOUND, delete_record,
                 put_record)


class RecordCase(kit.Case):
    def setUp(self):
        super().setUp()
        self.at = self.collection()

    def put(self, key, value=b"", **fields):
        return self.client.put_record(self.at, key, value, **fields)

    def keys(self, collection=None, **fields):
        return [r.key for r in self.client.all_records(collection or self.at, **fields)]

    def fill(self, *keys, **fields):
        self.client.commit(*[put_record(self.at, key, key.encode(), **fields) for key in keys])


class PutTest(RecordCase):
    def test_what_was_put_comes_back_identical(self):
        indexes = [("name", "value"), ("b", ""), ("a", "Ä😀\0"), ("x" * 64, "y" * 1024)]
        for value in (b"", b"\0", bytes(range(256)) * 40):
            revision = self.put("k", value, indexes=indexes)
            found = self.client.get_record(self.at, "k")
            self.assertEqual((found.key, found.value, found.revision), ("k", value, revision))
            self.assertEqual(sorted((e.name, e.value) for e in found.indexes), sorted(indexes))

    def test_all_of_it_is_replaced(self):
        self.put("k", b"long value", indexes=[("a", "1"), ("b", "2")])
        self.put("k", b"v", indexes=[("c", "3")])
        found = self.client.get_record(self.at, "k")
        self.assertEqual((found.value, [(e.name, e.value) for e in found.indexes]),
                         (b"v", [("c", "3")]))
        self.assertEqual(self.keys(index=("a", "1")), [])
        self.assertEqual(self.keys(index=("c", "3")), ["k"])
        self.put("k")
        self.assertEqual(self.keys(index=("c", "3")), [])

    def test_revisions_are_the_collections(self):
        other = self.collection()
        self.assertEqual([self.put(key) for key in "abab"], [1, 2, 3, 4])
        self.assertEqual(self.client.put_record(other, "a"), 1)
        self.assertEqual(self.client.delete_record(self.at, "a"), 5)
        self.assertEqual(self.put("c"), 6)
        self.assertEqual(self.client.get_record(self.at, "b").revision, 4)
        self.assertEqual(self.client.list_records(self.at).revision, 6)
        self.assertEqual(self.client.list_records(other).revision, 1)

    def test_what_is_refused_takes_no_revision(self):
        self.put("k")
        self.fails(ALREADY_EXISTS, self.put, "k", create=True)
        self.fails(FAILED_PRECONDITION, self.put, "k", revision=7)
        self.fails(NOT_FOUND, self.client.delete_record, self.at, "none")
        self.invalid(self.put, "")
        self.assertEqual(self.put("k"), 2)

    def test_create(self):
        self.assertEqual(self.put("k", b"1", create=True), 1)
        self.fails(ALREADY_EXISTS, self.put, "k", b"2", create=True)
        self.assertEqual(self.client.get_record(self.at, "k").value, b"1")
        self.client.delete_record(self.at, "k")
        self.assertEqual(self.put("k", b"3", create=True), 3)

    def test_compare_and_set(self):
        self.fails(FAILED_PRECONDITION, self.put, "k", b"0", revision=1)
        revision = self.put("k", b"1")
        self.put("other")
        for wrong in (revision + 1, revision + 2, 2**63, 2**64 - 1):
            self.fails(FAILED_PRECONDITION, self.put, "k", b"2", revision=wrong)
        self.assertEqual(self.client.get_record(self.at, "k").value, b"1")
        newer = self.put("k", b"3", revision=revision)
        self.assertEqual(newer, 3)
        self.fails(FAILED_PRECONDITION, self.put, "k", b"4", revision=revision)
        self.client.delete_record(self.at, "k")
        self.fails(FAILED_PRECONDITION, self.put, "k", b"5", revision=newer)
        self.fails(FAILED_PRECONDITION, self.put, "k", b"5", revision=newer + 1)

    def test_keys_are_any_text(self):
        keys = kit.AWKWARD + ["x" * 1024, "é" * 512]
        self.fill(*keys)
        for key in keys:
            self.assertEqual(self.client.get_record(self.at, key).value, key.encode())
        self.client.delete_record(self.at, "a")
        self.fails(NOT_FOUND, self.client.get_record, self.at, "a")
        self.assertEqual(len(self.keys()), len(keys) - 1)

    def test_what_is_invalid(self):
        for what, key, indexes in (
                ("no key", "", []), ("a key of 1025 bytes", "x" * 1025, []),
                ("a key of 1026 bytes", "é" * 513, []), ("an index without name", "k", [("", "v")]),
                ("a name of 65 bytes", "k", [("x" * 65, "v")]),
                ("a name of 66 bytes", "k", [("é" * 33, "v")]),
                ("a value of 1025 bytes", "k", [("n", "x" * 1025)])):
            with self.subTest(what):
                self.invalid(self.put, key, indexes=indexes)
                self.invalid(self.client.commit, put_record(self.at, "good"),
                             put_record(self.at, key, indexes=indexes))
                if not indexes:
                    self.invalid(self.client.get_record, self.at, key)
                    self.invalid(self.client.delete_record, self.at, key)
        self.assertEqual(self.client.list_records(self.at).revision, 0)

    def test_what_is_no_utf8_is_invalid(self):
        call = self.client.channel.unary_unary("/imctl.storage.v1.Records/Put")
        request = put_record(self.at, "").SerializeToString()
        self.invalid(call, request + b"\x12\x01\xff", timeout=kit.TIMEOUT)

    def test_administrators_name_collections_with_their_module(self):
        for name in ("", "users", "/", "/users", "module/"):
            with self.subTest(name):
                self.invalid(self.client.put_record, name, "k")
                self.invalid(self.client.get_record, name, "k")
                self.invalid(self.client.delete_record, name, "k")
                self.invalid(self.client.list_records, name)
                self.invalid(self.client.watch_records, name)
                self.invalid(self.client.commit, put_record(name, "k"))
        self.assertEqual(self.client.put_record("conformance2/" + self.at.split("/")[1], "k"), 1)
        self.fails(NOT_FOUND, self.client.get_record, self.at, "k")


class GetAndDeleteTest(RecordCase):
    def test_there_is_none(self):
        self.fails(NOT_FOUND, self.client.get_record, self.at, "k")
        self.fails(NOT_FOUND, self.client.delete_record, self.at, "k")
        self.put("k")
        self.fails(NOT_FOUND, self.client.get_record, self.at, "K")
        self.fails(NOT_FOUND, self.client.get_record, self.at, "k ")
        self.fails(NOT_FOUND, self.client.get_record, self.at, "k\0")
        self.fails(NOT_FOUND, self.client.get_record, self.collection(), "k")

    def test_delete(self):
        self.put("k", b"v", indexes=[("n", "v")])
        self.assertEqual(self.client.delete_record(self.at, "k"), 2)
        self.fails(NOT_FOUND, self.client.get_record, self.at, "k")
        self.fails(NOT_FOUND, self.client.delete_record, self.at, "k")
        self.assertEqual(self.keys(), [])
        self.assertEqual(self.keys(index=("n", "v")), [])

    def test_delete_of_a_revision(self):
        revision = self.put("k")
        self.fails(FAILED_PRECONDITION, self.client.delete_record, self.at, "k", revision + 1)
        newer = self.put("k")
        self.fails(FAILED_PRECONDITION, self.client.delete_record, self.at, "k", revision)
        self.assertEqual(self.client.delete_record(self.at, "k", newer), 3)


class ListTest(RecordCase):
    def test_a_collection_that_nobody_wrote_to(self):
        page = self.client.list_records(self.at)
        self.assertEqual((len(page.records), page.next_page_token, page.revision), (0, "", 0))

    def test_by_key_in_pages_of_any_size(self):
        self.fill(*reversed(kit.AWKWARD))
        for limit in (0, 1, 2, 7, len(kit.AWKWARD), 1000, 2**32 - 1):
            with self.subTest(limit):
                found = self.client.all_records(self.at, limit=limit)
                self.assertEqual([r.key for r in found], kit.AWKWARD)
                self.assertEqual([r.value for r in found], [k.encode() for k in kit.AWKWARD])
                self.assertTrue(all(r == self.client.get_record(self.at, r.key) for r in found[:5]))

    def test_limits_hold(self):
        self.fill(*"abcde")
        page = self.client.list_records(self.at, limit=2)
        self.assertEqual([r.key for r in page.records], ["a", "b"])
        self.assertNotEqual(page.next_page_token, "")
        self.assertEqual(self.client.list_records(self.at, limit=5).next_page_token, "")

    def test_prefixes(self):
        self.fill(*kit.AWKWARD)
        for prefix in kit.AWKWARD + ["c", "\U0010fffe", "%%", "__", "a\0b\0", "x" * 1024]:
            with self.subTest(prefix):
                wanted = [key for key in kit.AWKWARD if key.startswith(prefix)]
                self.assertEqual(self.keys(prefix=prefix), wanted)
                self.assertEqual(self.keys(prefix=prefix, limit=1), wanted)

    def test_behind_a_key(self):
        keys = sorted({key for key in kit.AWKWARD if key} | {"pa", "pb", "pc", "q"}, key=str.encode)
        self.fill(*keys, indexes=[("n", "v")])

        def behind(after, **fields):
            return [r.key for r in self.client.list_records(self.at, after=after, **fields).records]

        for after in [*keys, "p", "pbb", "\x01", "~~~"]:
            with self.subTest(after):
                wanted = [key for key in keys if key.encode() > after.encode()]
                self.assertEqual(behind(after), wanted)
                self.assertEqual(behind(after, index=("n", "v")), wanted)
                self.assertEqual(behind(after, prefix="p"), [key for key in wanted if key.startswith("p")])
                self.assertEqual(behind(after, limit=1), wanted[:1])
        page = self.client.list_records(self.at, limit=1)
        self.invalid(self.client.list_records, self.at, after="a", page_token=page.next_page_token)
        self.invalid(self.client.list_records, self.at, after="a", index=("n", ""), index_prefix=True)

    def test_keys_only(self):
        self.fill("a", "b", indexes=[("n", "v")])
        for fields in ({}, {"index": ("n", "v")}):
            found = self.client.all_records(self.at, keys_only=True, **fields)
            self.assertEqual([(r.key, r.value, r.revision) for r in found],
                             [("a", b"", 1), ("b", b"", 2)])

    def test_by_index(self):
        for number, value in enumerate(kit.AWKWARD):
            for copy in "21":
                self.put(f"{copy}{number}", indexes=[("n", value), ("m", "x"), ("o" + copy, value)])
        for number, value in enumerate(kit.AWKWARD):
            with self.subTest(value):
                for limit in (0, 1):
                    self.assertEqual(self.keys(index=("n", value), limit=limit),
                                     [f"1{number}", f"2{number}"])
                self.assertEqual(self.keys(index=("o1", value)), [f"1{number}"])
        self.assertEqual(self.keys(index=("n", "none")), [])
        self.assertEqual(self.keys(index=("N", "a")), [])
        self.assertEqual(len(self.keys(index=("m", "x"), limit=10)), 2 * len(kit.AWKWARD))

    def test_by_prefix_of_an_index(self):
        wanted = []
        for number, value in enumerate(kit.AWKWARD):
            self.put(f"2{number}", indexes=[("n", value)])
            self.put(f"1{number}", indexes=[("n", value)])
            wanted += [(value, f"1{number}"), (value, f"2{number}")]
        for prefix in kit.AWKWARD + ["", "c", "%%"]:
            for limit in (0, 3):
                with self.subTest(prefix=prefix, limit=limit):
                    self.assertEqual(
                        self.keys(index=("n", prefix), index_prefix=True, limit=limit),
                        [key for value, key in wanted if value.startswith(prefix)])

    def test_several_values_of_one_name(self):
        self.put("k", indexes=[("n", "a"), ("n", "b")])
        self.put("l", indexes=[("n", "b")])
        self.assertEqual(self.keys(index=("n", "a")), ["k"])
        self.assertEqual(self.keys(index=("n", "b")), ["k", "l"])

    def test_indexes_of_other_collections(self):
        self.put("k", indexes=[("n", "v")])
        self.assertEqual(self.keys(self.collection(), index=("n", "v")), [])

    def test_what_is_invalid(self):
        self.invalid(self.client.list_records, self.at, prefix="a", index=("n", "v"))
        self.invalid(self.client.list_records, self.at, index=("", "v"))

    def test_pages_while_records_come_and_go(self):
        self.fill(*"abcdef", indexes=[("n", "v")])
        for fields in ({}, {"index": ("n", "v")}):
            with self.subTest(**fields):
                page = self.client.list_records(self.at, limit=3, **fields)
                self.client.delete_record(self.at, page.records[-1].key)
                self.put("cc", indexes=[("n", "v")])
                rest = self.client.list_records(self.at, page_token=page.next_page_token, **fields)
                self.assertEqual([r.key for r in rest.records], ["cc", "d", "e", "f"])
                self.client.delete_record(self.at, "cc")
                self.fill(page.records[-1].key, indexes=[("n", "v")])


class CommitTest(RecordCase):
    def test_all_are_done(self):
        other = self.collection()
        self.put("old", b"1")
        revisions = self.client.commit(
            put_record(self.at, "a", b"1", [("n", "v")]), put_record(other, "a", b"2"),
            put_record(self.at, "old", b"3", revision=1), put_record(other, "b", create=True),
            put_record(self.at, "c"))
        self.assertEqual(revisions, [2, 1, 3, 2, 4])
        self.assertEqual([(r.key, r.value, r.revision) for r in self.client.all_records(self.at)],
                         [("a", b"1", 2), ("c", b"", 4), ("old", b"3", 3)])
        self.assertEqual(self.keys(other), ["a", "b"])
        self.assertEqual(self.keys(index=("n", "v")), ["a"])
        self.assertEqual(self.client.commit(delete_record(self.at, "a"),
                                            delete_record(other, "b", 2)), [5, 3])
        self.assertEqual(self.keys(), ["c", "old"])
        self.assertEqual(self.keys(other), ["a"])

    def test_or_none_is(self):
        other = self.collection()
        self.put("there", b"1")
        good = [put_record(other, str(n), b"x") for n in range(3)]
        for code, bad in (
                (ALREADY_EXISTS, put_record(self.at, "there", b"2", create=True)),
                (FAILED_PRECONDITION, put_record(self.at, "there", b"2", revision=9)),
                (FAILED_PRECONDITION, put_record(self.at, "none", b"2", revision=1)),
                (FAILED_PRECONDITION, delete_record(self.at, "there", 9)),
                (NOT_FOUND, delete_record(self.at, "none")),
                (NOT_FOUND, delete_record(other, "none"))):
            with self.subTest(code=code, bad=bad):
                text = self.fails(code, self.client.commit, *good, bad, put_record(self.at, "more"))
                self.assertTrue(kit.names_index(text, 3), f"write 3 is not named: {text}")
                self.assertEqual(self.keys(other), [])
                self.assertEqual(self.client.list_records(other).revision, 0)
        self.assertEqual([(r.key, r.value, r.revision) for r in self.client.all_records(self.at)],
                         [("there", b"1", 1)])

    def test_the_first_condition_that_does_not_hold(self):
        self.put("there")
        text = self.fails(NOT_FOUND, self.client.commit, put_record(self.at, "a"),
                          delete_record(self.at, "none"),
                          put_record(self.at, "there", create=True))
        self.assertTrue(kit.names_index(text, 1), text)

    def test_two_writes_of_one_record_are_invalid(self):
        for second in (put_record(self.at, "a"), delete_record(self.at, "a")):
            self.invalid(self.client.commit, put_record(self.at, "a"), put_record(self.at, "b"),
                         second)
        self.assertEqual(self.keys(), [])
        other = self.collection()
        self.client.commit(put_record(self.at, "a"), put_record(other, "a"))

    def test_a_write_of_nothing_is_invalid(self):
        with self.assertRaises(kit.grpc.RpcError) as caught:
            self.client.records.Commit(kit.rec.CommitRequest(writes=[
                kit.write(put_record(self.at, "a")), kit.rec.Write()]), timeout=kit.TIMEOUT)
        self.assertEqual(caught.exception.code(), INVALID_ARGUMENT)
        self.assertEqual(self.keys(), [])


class CollectionsTest(RecordCase):
    def test_those_with_a_write_by_name(self):
        names = [self.at + text for text in ("", "2", "10", "a", "b", "_")]
        for name in reversed(names):
            self.client.put_record(name, "k")
        self.client.delete_record(names[0], "k")
        self.client.list_records(self.collection())
        self.fails(NOT_FOUND, self.client.get_record, self.at + "none", "k")
        listed = self.client.collections()
        everything = [c.collection for c in listed]
        self.assertEqual(everything, sorted(set(everything), key=str.encode))
        own = [(c.collection, c.revision) for c in listed if c.collection.startswith(self.at)]
        self.assertEqual(own, [(name, 2 if name == names[0] else 1) for name in sorted(names)])
        for one in listed:
            self.assertLessEqual(one.watchable_from, one.revision)
