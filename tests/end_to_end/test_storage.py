"""The storage services beyond what the conformance suite says of every back end: whose records are
whose, the verbs, and a back end that is replaced under those who watch."""

import json
import pathlib
import subprocess
import sys
import unittest

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))

import protos
from host_fixture import BUILD, IMCTL, MODULES, ROOT, Host, clean_environment

TEST_MODULES = BUILD / "tests" / "modules"
RECORDS = "/imctl.storage.v1.Records/"


def keeper_types():
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    import tempfile
    with tempfile.NamedTemporaryFile() as file:
        subprocess.run(["protoc", f"-I{ROOT}/tests/modules/keeper", "keeper.proto",
                        f"--descriptor_set_out={file.name}"], check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(file.read())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(files.file[0])
    factory = message_factory.MessageFactory(pool)
    return (factory.GetPrototype(pool.FindMessageTypeByName(f"imctl.test.keeper.v1.{name}"))
            for name in ("CallRequest", "CallReply"))


CallRequest, CallReply = keeper_types()


class OwnershipTest(unittest.TestCase):
    """Records belong to the module that calls."""

    def start(self, **settings):
        host = Host(settings={"host.module_path": f"{MODULES},{TEST_MODULES}", **settings},
                    modules=("storage-sqlite", "keeper"))
        host.start()
        self.addCleanup(host.stop)
        channel = host.channel()
        self.keeper = channel.unary_unary(
            "/imctl.test.keeper.v1.Keeper/Call", request_serializer=CallRequest.SerializeToString,
            response_deserializer=CallReply.FromString)
        self.admin = protos.records_rpc.RecordsStub(channel)

    def call(self, method, request, reply):
        answer = self.keeper(CallRequest(method=RECORDS + method, request=request.SerializeToString()),
                             timeout=30)
        return reply.FromString(answer.reply)

    def put(self, collection, key="k", value=b"v"):
        return self.call("Put", protos.records.PutRecordRequest(
            collection=collection, key=key, value=value), protos.records.PutRecordResponse)

    def denied(self, collection):
        with self.assertRaises(grpc.RpcError) as raised:
            self.put(collection)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.PERMISSION_DENIED)
        return raised.exception.details()

    def test_a_module_names_its_own_plainly(self):
        self.start()
        self.assertEqual(self.put("notes").revision, 1)
        record = self.admin.Get(protos.records.GetRecordRequest(collection="keeper/notes", key="k"))
        self.assertEqual(record.value, b"v")
        self.assertEqual(self.put("keeper/notes").revision, 2)

    def test_others_are_denied_until_granted(self):
        self.start()
        self.assertIn("keeper=user/users", self.denied("user/users"))

    def test_a_grant(self):
        self.start(**{"storage-sqlite.record_grants": "keeper=user/users,keeper=jobs/*"})
        self.assertEqual(self.put("user/users").revision, 1)
        self.assertEqual(self.put("jobs/any").revision, 1)
        self.denied("user/other")
        self.denied("backup/users")

    def test_a_module_sees_its_own_collections(self):
        self.start(**{"storage-sqlite.record_grants": "keeper=jobs/*"})
        for collection in ("user/users", "jobs/all", "keeper/notes"):
            self.admin.Put(protos.records.PutRecordRequest(collection=collection, key="k"))
        found = self.call("Collections", protos.records.CollectionsRequest(),
                          protos.records.CollectionsResponse)
        self.assertEqual([c.collection for c in found.collections], ["jobs/all", "keeper/notes"])
        everything = self.admin.Collections(protos.records.CollectionsRequest())
        self.assertEqual(len(everything.collections), 3)


class VerbsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.host = Host()
        cls.host.start()

    @classmethod
    def tearDownClass(cls):
        cls.host.stop()

    def imctl(self, *arguments, input=None, code=0):
        done = subprocess.run(
            [str(IMCTL), *arguments, "--server", f"127.0.0.1:{self.host.port}"], input=input,
            capture_output=True, text=True, env=clean_environment(), timeout=60)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def test_mailboxes(self):
        message = {"message": {"from": "bob@b", "event": {
            "id": "1", "source": "bob@b", "spec_version": "1.0", "type": "im", "text_data": "hello"}}}
        appended = self.imctl("mailbox", "append", "ann@a", "eve@a", "-f", "-",
                              input=json.dumps(message))
        self.assertIn("eve@a", appended)
        self.assertIn("hello", self.imctl("mailbox", "read", "ann@a"))
        self.assertIn("phone", self.imctl("mailbox", "ack", "ann@a", "phone", "1"))
        cursors = json.loads(self.imctl("mailbox", "cursors", "ann@a", "-o", "json"))
        self.assertEqual(cursors["cursors"][0]["device"], "phone")
        self.assertIn("eve@a", self.imctl("mailbox", "list"))
        self.imctl("mailbox", "forget", "ann@a", "phone")
        self.assertIn("--yes", self.imctl("mailbox", "delete", "eve@a", code=2))
        self.imctl("mailbox", "delete", "eve@a", "--yes")
        self.assertNotIn("eve@a", self.imctl("mailbox", "list"))
        self.assertIn("eve@a", self.imctl("mailbox", "delete", "eve@a", "--yes", code=3))

    def test_records(self):
        self.imctl("record", "put", "user/users", "ann", "-f", "-",
                   input=json.dumps({"value": "eA==", "indexes": [{"name": "mail", "value": "a@b"}]}))
        record = json.loads(self.imctl("record", "get", "user/users", "ann", "-o", "json"))
        self.assertEqual(record["value"], "eA==")
        self.assertIn("ann", self.imctl("record", "list", "user/users"))
        self.assertIn("user/users", self.imctl("record", "collections"))
        self.imctl("record", "delete", "user/users", "ann")
        self.imctl("record", "get", "user/users", "ann", code=3)


if __name__ == "__main__":
    unittest.main()
