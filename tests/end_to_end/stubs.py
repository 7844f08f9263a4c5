"""What a stock client has: code and types that protoc makes of the .proto files, in a temporary
folder when this is first imported."""

import atexit
import importlib
import shutil
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

from host_fixture import ROOT

_folder = tempfile.mkdtemp(prefix="imctl-stubs-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)

_API = ROOT / "modules" / "storage" / "api" / "proto"
_SDK = ROOT / "sdk" / "proto"
_HOST = ROOT / "host" / "proto"

subprocess.run(
    ["protoc", f"-I{_API}", f"-I{_SDK}", f"--python_out={_folder}", f"--grpc_python_out={_folder}",
     "--plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin",
     "api/grpc/service.proto", "api/grpc/cloudevents/cloudevent.proto",
     "api/grpc/cleaner/service.proto", "imctl/options.proto"],
    check=True)
sys.path.insert(0, _folder)
service = importlib.import_module("api.grpc.service_pb2")
service_grpc = importlib.import_module("api.grpc.service_pb2_grpc")
events = importlib.import_module("api.grpc.cloudevents.cloudevent_pb2")
cleaner = importlib.import_module("api.grpc.cleaner.service_pb2")
cleaner_grpc = importlib.import_module("api.grpc.cleaner.service_pb2_grpc")


def _host_types():
    # Their Python packages would be called grpc.health and so on, beside gRPC's own: types only.
    path = f"{_folder}/host.pb"
    subprocess.run(
        ["protoc", f"-I{_HOST}", f"-I{_SDK}", "--include_imports", f"--descriptor_set_out={path}",
         "grpc/health/v1/health.proto", "grpc/reflection/v1/reflection.proto",
         "grpc/reflection/v1alpha/reflection.proto", "imctl/host/v1/host.proto"],
        check=True)
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet()
    with open(path, "rb") as file:
        files.ParseFromString(file.read())
    for file in files.file:
        pool.Add(file)
    return pool, message_factory.MessageFactory(pool)


_pool, _factory = _host_types()


def host_type(name):
    """The class of a message of the host's own services, by its full name."""
    return _factory.GetPrototype(_pool.FindMessageTypeByName(name))


def method(channel, name):
    """A method of the host's own services, by its path, as something to call."""
    service_name, short = name.lstrip("/").rsplit("/", 1)
    described = _pool.FindServiceByName(service_name).FindMethodByName(short)
    proto = descriptor_pb2.MethodDescriptorProto()
    described.CopyToProto(proto)
    kind = ("stream" if proto.client_streaming else "unary") + "_" + (
        "stream" if proto.server_streaming else "unary")
    return getattr(channel, kind)(
        name, request_serializer=lambda m: m.SerializeToString(),
        response_deserializer=host_type(described.output_type.full_name).FromString)


def seed():
    """The payload of awakari/messages' document."""
    with open(ROOT / "tests" / "end_to_end" / "seed.json", encoding="utf-8") as file:
        return json_format.Parse(file.read(), service.PutBatchRequest())


def event(id, text="text", **fields):
    values = {
        "source": "example/uri", "spec_version": "1.0", "type": "example.type", "text_data": text}
    values.update(fields)
    return events.CloudEvent(id=id, **values)


def put_request(*messages):
    return service.PutBatchRequest(msgs=messages)


class Client:
    """A stock client of the messages services."""

    def __init__(self, channel):
        self.messages = service_grpc.ServiceStub(channel)
        self.cleaner = cleaner_grpc.ServiceStub(channel)

    def put(self, *messages, timeout=30):
        return self.messages.PutBatch(put_request(*messages), timeout=timeout).ackCount

    def get(self, *ids, timeout=30):
        return list(self.messages.GetBatch(service.GetBatchRequest(ids=ids), timeout=timeout).msgs)

    def delete(self, *ids, timeout=30):
        request = service.DeleteBatchRequest(ids=ids)
        return self.messages.DeleteBatch(request, timeout=timeout).ackCount

    def clean(self, timeout=30):
        return self.cleaner.Clean(cleaner.CleanRequest(), timeout=timeout).count
