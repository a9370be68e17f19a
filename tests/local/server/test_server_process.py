"""The server as a process: where it listens, whom it lets in, what it keeps and what it leaves behind."""

import http.client
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError
from cryptography import x509

from local.server.children import Children

PRINT_ENVIRONMENT = "import os\n\ndef handler(event, context):\n    return dict(os.environ)\n"
PRINT_PID = "import os\n\ndef handler(event, context):\n    return os.getpid()\n"


def wait_until_gone(pid: int, seconds: float = 10.0) -> None:
    try:
        psutil.Process(pid).wait(seconds)
    except psutil.NoSuchProcess:
        return


def fetch(server: Any, path: str, method: str = "GET") -> int:
    """The status of an unsigned request."""
    context = ssl.create_default_context(cafile=server.ca_file)
    connection = http.client.HTTPSConnection("127.0.0.1", server.document["port"], context=context, timeout=20)
    connection.request(method, path)
    status = connection.getresponse().status
    connection.close()
    return status


def test_listens_on_one_loopback_port_only(local_server: Any) -> None:
    process = psutil.Process(local_server.process.pid)
    sockets = [
        (found.laddr.ip, found.laddr.port)
        for one in (process, *process.children(recursive=True))
        for found in one.net_connections(kind="inet")
        if found.status == psutil.CONN_LISTEN
    ]
    assert sockets == [("127.0.0.1", local_server.document["port"])]


def test_speaks_tls_only(local_server: Any) -> None:
    with socket.create_connection(("127.0.0.1", local_server.document["port"]), timeout=5) as plain:
        plain.sendall(b"GET /_ministack/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert not plain.recv(100).startswith(b"HTTP/1.1 200")


def test_certificate_is_no_authority_and_names_this_machine(local_server: Any) -> None:
    leaf = x509.load_pem_x509_certificate(Path(local_server.ca_file).with_name("server.pem").read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


@pytest.mark.parametrize("name", ["", "tls", "tls/server.key", "server.json", "root.json"])
def test_files_are_for_the_user_only(local_server: Any, name: str) -> None:
    mode = (local_server.state_dir / name).stat().st_mode
    assert stat.S_IMODE(mode) & 0o077 == 0


def test_root_keys_differ_between_state_directories(local_server: Any, own_server: Any) -> None:
    assert local_server.document["credentials"] != own_server.document["credentials"]


@pytest.mark.parametrize("access_key", ["test", "000000000000", "123456789012", "AKIAIOSFODNN7EXAMPLE"])
@pytest.mark.parametrize(("service", "operation"), [("s3", "list_buckets"), ("iam", "list_roles")])
def test_refuses_well_known_keys(local_server: Any, access_key: str, service: str, operation: str) -> None:
    client = local_server.client_as(service, access_key, "test")
    with pytest.raises(ClientError, match=r"security token|does not exist"):
        getattr(client, operation)()


def test_refuses_the_root_key_with_another_secret(local_server: Any) -> None:
    key = local_server.document["credentials"]["access_key_id"]
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        local_server.client_as("s3", key, "guessed").list_buckets()


def test_refuses_unsigned_reads(local_server: Any) -> None:
    local_server.client("s3").create_bucket(Bucket="unsigned-reads")
    local_server.client("s3").put_object(Bucket="unsigned-reads", Key="secret", Body=b"x")
    assert fetch(local_server, "/unsigned-reads/secret") == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/_ministack/reset"), ("POST", "/_ministack/config"), ("GET", "/_localstack/init"), ("GET", "/_aws/sqs")],
)
def test_administrative_paths_are_closed(local_server: Any, method: str, path: str) -> None:
    assert fetch(local_server, path, method) == 404


def test_says_that_it_is_well_without_credentials(local_server: Any) -> None:
    assert fetch(local_server, "/_ministack/health") == 200


def test_ignores_the_users_own_aws_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_local_server: Callable[[Path], Any], functions_of: Any
) -> None:
    users_own = {
        "AWS_PROFILE": "production",
        "AWS_ACCESS_KEY_ID": "AKIAUSERSOWNKEY00000",
        "AWS_SESSION_TOKEN": "users-own",
        "AWS_ENDPOINT_URL": "https://example.invalid",
    }
    with monkeypatch.context() as patched:
        for name, value in users_own.items():
            patched.setenv(name, value)
        server = start_local_server(tmp_path / "state")
    functions = functions_of(server)
    environment = functions.call(functions.create(PRINT_ENVIRONMENT))
    assert server.client("sts").get_caller_identity()["Account"] == "000000000000"
    assert not set(users_own.values()) & set(environment.values())
    assert environment["AWS_ENDPOINT_URL"] == server.endpoint


def test_state_survives_a_restart(tmp_path: Path, start_local_server: Callable[[Path], Any]) -> None:
    first = start_local_server(tmp_path / "state")
    first.client("s3").create_bucket(Bucket="kept-bucket")
    first.client("s3").put_object(Bucket="kept-bucket", Key="kept", Body=b"content")
    first.client("sqs").create_queue(QueueName="kept")
    first.stop()
    assert not (first.state_dir / "server.json").exists()
    second = start_local_server(tmp_path / "state")
    assert second.client("s3").get_object(Bucket="kept-bucket", Key="kept")["Body"].read() == b"content"
    assert second.client("sqs").get_queue_url(QueueName="kept")
    assert second.document["credentials"] == first.document["credentials"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_server(own_server: Any, functions_of: Any, number: int) -> None:
    functions = functions_of(own_server)
    worker = functions.call(functions.create(PRINT_PID))
    assert psutil.pid_exists(worker)
    own_server.process.send_signal(number)
    own_server.process.wait(20)
    wait_until_gone(worker)
    assert not psutil.pid_exists(worker)


PARENT = """
import subprocess, sys, os
from pathlib import Path
from local.server.children import Children

children = Children()
sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
script = f"import subprocess, time; print(subprocess.Popen({sleeper}).pid, flush=True); time.sleep(600)"
child = children.spawn(
    [sys.executable, "-c", script], env=dict(os.environ), cwd=Path.cwd(), stdout=subprocess.PIPE, stderr=None
)
print(child.pid, child.stdout.readline().decode().strip(), flush=True)
sys.stdin.read()
"""


def test_children_and_grandchildren_die_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        family = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
        parent.wait()
        for pid in family:
            wait_until_gone(pid)
    assert len(family) == 2
    assert not [pid for pid in family if psutil.pid_exists(pid)]


@pytest.fixture
def children() -> Any:
    group = Children()
    yield group
    group.close()


def test_kill_ends_what_ignores_a_polite_request(children: Children, tmp_path: Path) -> None:
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    child = children.spawn(
        [sys.executable, "-c", script], env=dict(os.environ), cwd=tmp_path, stdout=subprocess.PIPE, stderr=None
    )
    assert child.stdout is not None
    child.stdout.readline()
    children.kill(child, grace_seconds=0.1)
    assert child.returncode == -signal.SIGKILL


def test_a_missing_program_is_an_exit_code(children: Children, tmp_path: Path) -> None:
    child = children.spawn(
        ["/no/such/program"], env={}, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert child.stderr is not None
    assert b"No such file" in child.stderr.read()
    assert child.wait() == 127


def test_a_child_that_ends_takes_its_own_children_with_it(children: Children, tmp_path: Path) -> None:
    script = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
        " stdout=subprocess.DEVNULL); print(p.pid, flush=True)"
    )
    child = children.spawn(
        [sys.executable, "-c", script], env=dict(os.environ), cwd=tmp_path, stdout=subprocess.PIPE, stderr=None
    )
    assert child.stdout is not None
    left_behind = int(child.stdout.readline())
    child.wait()
    wait_until_gone(left_behind)
    assert not psutil.pid_exists(left_behind)


def test_server_file_says_where_and_who(local_server: Any) -> None:
    document = json.loads((local_server.state_dir / "server.json").read_text())
    assert document["pid"] == local_server.process.pid
    assert document["endpoint"] == f"https://127.0.0.1:{document['port']}"
