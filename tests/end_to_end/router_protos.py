"""Types and stubs of the services that the module router serves, made by protoc when first imported."""

import atexit
import importlib
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))

import protos  # noqa: F401: what they import
from host_fixture import ROOT

_ROUTER = ROOT / "modules" / "router" / "proto"
_LOCATIONS = ROOT / "modules" / "router" / "locations" / "api" / "proto"
_API = ROOT / "modules" / "storage" / "api" / "proto"
_SDK = ROOT / "sdk" / "proto"

_folder = tempfile.mkdtemp(prefix="imctl-router-protos-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
subprocess.run(
    ["protoc", f"-I{_ROUTER}", f"-I{_LOCATIONS}", f"-I{_API}", f"-I{_SDK}", f"--python_out={_folder}",
     f"--grpc_python_out={_folder}", "--plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin",
     "imctl/session/v1/sessions.proto", "imctl/message/v1/messages.proto", "imctl/cluster/v1/cluster.proto",
     "imctl/cluster/v1/link.proto", "imctl/cluster/v1/locations.proto"],
    check=True)
sys.path.insert(0, _folder)
for package in ("imctl",):
    importlib.import_module(package).__path__.append(f"{_folder}/{package}")

events = protos.events
mailboxes = protos.mailboxes
mailboxes_rpc = protos.mailboxes_rpc
sessions = importlib.import_module("imctl.session.v1.sessions_pb2")
sessions_rpc = importlib.import_module("imctl.session.v1.sessions_pb2_grpc")
messages = importlib.import_module("imctl.message.v1.messages_pb2")
messages_rpc = importlib.import_module("imctl.message.v1.messages_pb2_grpc")
cluster = importlib.import_module("imctl.cluster.v1.cluster_pb2")
cluster_rpc = importlib.import_module("imctl.cluster.v1.cluster_pb2_grpc")
link = importlib.import_module("imctl.cluster.v1.link_pb2")
locations = importlib.import_module("imctl.cluster.v1.locations_pb2")
