"""What a stock client has: code that protoc makes of the storage services' .proto files, in a
temporary folder when this is first imported."""

import atexit
import importlib
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
_API = ROOT / "modules" / "storage" / "api" / "proto"
_SDK = ROOT / "sdk" / "proto"

_folder = tempfile.mkdtemp(prefix="imctl-conformance-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)

subprocess.run(
    ["protoc", f"-I{_API}", f"-I{_SDK}", f"--python_out={_folder}", f"--grpc_python_out={_folder}",
     "--plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin", "imctl/options.proto",
     *[str(path.relative_to(_API)) for path in sorted(_API.rglob("*.proto"))]],
    check=True)
sys.path.insert(0, _folder)

events = importlib.import_module("api.grpc.cloudevents.cloudevent_pb2")
messages = importlib.import_module("api.grpc.service_pb2")
messages_rpc = importlib.import_module("api.grpc.service_pb2_grpc")
cleaner = importlib.import_module("api.grpc.cleaner.service_pb2")
cleaner_rpc = importlib.import_module("api.grpc.cleaner.service_pb2_grpc")
mailboxes = importlib.import_module("imctl.storage.v1.mailboxes_pb2")
mailboxes_rpc = importlib.import_module("imctl.storage.v1.mailboxes_pb2_grpc")
records = importlib.import_module("imctl.storage.v1.records_pb2")
records_rpc = importlib.import_module("imctl.storage.v1.records_pb2_grpc")
snapshots = importlib.import_module("imctl.storage.v1.snapshots_pb2")
snapshots_rpc = importlib.import_module("imctl.storage.v1.snapshots_pb2_grpc")
