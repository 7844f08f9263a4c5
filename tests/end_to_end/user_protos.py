"""Types and stubs of the services that the module user serves, made by protoc when first imported."""

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

_USER = ROOT / "modules" / "user" / "proto"
_API = ROOT / "modules" / "storage" / "api" / "proto"
_SDK = ROOT / "sdk" / "proto"
_HERE = ROOT / "tests" / "end_to_end"

_folder = tempfile.mkdtemp(prefix="imctl-user-protos-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
subprocess.run(
    ["protoc", f"-I{_USER}", f"-I{_HERE}", f"-I{_API}", f"-I{_SDK}", f"--python_out={_folder}",
     f"--grpc_python_out={_folder}", "--plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin",
     "imctl/user/v1/users.proto", "imctl/user/v1/tokens.proto", "imctl/user/internal/stored.proto",
     "imctl/auth/v1/authenticator.proto", "imctl/auth/v1/login.proto", "rpc_status.proto"],
    check=True)
sys.path.insert(0, _folder)

records = protos.records
records_rpc = protos.records_rpc
mailboxes = protos.mailboxes
mailboxes_rpc = protos.mailboxes_rpc
users = importlib.import_module("imctl.user.v1.users_pb2")
users_rpc = importlib.import_module("imctl.user.v1.users_pb2_grpc")
tokens = importlib.import_module("imctl.user.v1.tokens_pb2")
tokens_rpc = importlib.import_module("imctl.user.v1.tokens_pb2_grpc")
stored = importlib.import_module("imctl.user.internal.stored_pb2")
auth = importlib.import_module("imctl.auth.v1.authenticator_pb2")
auth_rpc = importlib.import_module("imctl.auth.v1.authenticator_pb2_grpc")
login = importlib.import_module("imctl.auth.v1.login_pb2")
login_rpc = importlib.import_module("imctl.auth.v1.login_pb2_grpc")
rpc = importlib.import_module("rpc_status_pb2")
