"""REST APIs from an OpenAPI document: who may ask, what the gateway refuses itself, and in which words."""

import base64
import io
import json
import shlex
import shutil
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from local.predict import curl_request
from local.server_file import Server
from tests.local.server.conftest import Functions, any_name, wait_until

ECHO = """
import json

def handler(event, context):
    return {"statusCode": 200, "headers": {}, "body": json.dumps({"got": json.loads(event["body"])})}
"""
REFUSAL = '{"error": "no request", "field": "body"}'


def document(function_arn: str) -> dict[str, Any]:
    integration = {
        "type": "aws_proxy",
        "httpMethod": "POST",
        "uri": f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{function_arn}/invocations",
    }
    operation = {
        "parameters": [
            {"name": "x-customer", "in": "header", "required": True, "schema": {"type": "string"}},
            {"name": "x-other", "in": "header", "required": False, "schema": {"type": "string"}},
        ],
        "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Envelope"}}}},
        "security": [{"caller": []}],
        "x-amazon-apigateway-request-validator": "all",
        "x-amazon-apigateway-integration": integration,
    }
    envelope = {"type": "object", "required": ["instances"], "properties": {"instances": {"type": "array"}}}
    scheme = {
        "type": "apiKey",
        "name": "Authorization",
        "in": "header",
        "x-amazon-apigateway-authtype": "awsSigv4",
    }
    return {
        "openapi": "3.0.1",
        "info": {"title": "test", "version": "1"},
        "paths": {"/predictions": {"post": operation}},
        "components": {"schemas": {"Envelope": envelope}, "securitySchemes": {"caller": scheme}},
        "x-amazon-apigateway-request-validators": {
            "all": {"validateRequestBody": True, "validateRequestParameters": True}
        },
        "x-amazon-apigateway-gateway-responses": {
            "BAD_REQUEST_BODY": {"statusCode": "400", "responseTemplates": {"application/json": REFUSAL}}
        },
    }


class Api:
    """A deployed API; requests are signed by whoever is named.

    Args:
        judge: The function that judges tokens. Default: IAM judges signatures.
    """

    def __init__(self, server: Any, functions: Functions, judge: str | None = None) -> None:
        self.server = server
        self.formation = server.client("cloudformation")
        name = functions.create(ECHO)
        arn = functions.client.get_function_configuration(FunctionName=name)["FunctionArn"]
        self.stack = any_name("stack")
        content = document(arn)
        if judge is not None:
            uri = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{judge}/invocations"
            scheme = content["components"]["securitySchemes"]["caller"]
            scheme["x-amazon-apigateway-authtype"] = "custom"
            scheme["x-amazon-apigateway-authorizer"] = {
                "type": "token",
                "authorizerUri": uri,
                "authorizerResultTtlInSeconds": 0,
                "identityValidationExpression": r"^Bearer \S+$",
            }
            content["x-amazon-apigateway-gateway-responses"]["AUTHORIZER_FAILURE"] = {
                "statusCode": "503",
                "responseTemplates": {"application/json": '{"error": "unchecked"}'},
            }
        self.settled = self.deploy(content)

    def deploy(self, content: dict[str, Any]) -> str:
        resources = {
            "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": self.stack, "Body": content}},
            "Deployment": {"Type": "AWS::ApiGateway::Deployment", "Properties": {"RestApiId": {"Ref": "Api"}}},
            "Stage": {
                "Type": "AWS::ApiGateway::Stage",
                "Properties": {
                    "RestApiId": {"Ref": "Api"},
                    "DeploymentId": {"Ref": "Deployment"},
                    "StageName": "v1",
                },
            },
        }
        self.formation.create_stack(StackName=self.stack, TemplateBody=json.dumps({"Resources": resources}))

        def state() -> str | None:
            found: str = self.formation.describe_stacks(StackName=self.stack)["Stacks"][0]["StackStatus"]
            return None if found.endswith("IN_PROGRESS") else found

        settled: str = wait_until(state, 30)
        return settled

    @property
    def arn(self) -> str:
        return f"arn:aws:execute-api:us-east-1:000000000000:{self.api_id}/v1/POST/predictions"

    @property
    def api_id(self) -> str:
        found = self.formation.describe_stack_resources(StackName=self.stack)["StackResources"]
        ids = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found}
        return str(ids["Api"])

    def post(self, body: bytes, keys: tuple[str, str] | None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Status and answer of a request."""
        url = f"{self.server.endpoint}/restapis/{self.api_id}/v1/_user_request_/predictions"
        given = {"content-type": "application/json", **({"x-customer": "a"} if headers is None else headers)}
        request = AWSRequest("POST", url, data=body, headers=given)
        if keys is not None:
            SigV4Auth(Credentials(*keys), "execute-api", "us-east-1").add_auth(request)
        return sent(self.server, url, body, dict(request.headers.items()))


def sent(server: Any, url: str, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
    context = ssl.create_default_context(cafile=server.ca_file)
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")  # noqa: S310 - our own server
    try:
        with urllib.request.urlopen(request, context=context, timeout=20) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.fixture(scope="module")
def api(local_server: Any, functions: Functions) -> Api:
    made = Api(local_server, functions)
    assert made.settled == "CREATE_COMPLETE"
    return made


@pytest.fixture(scope="module")
def allowed(local_server: Any, api: Api) -> tuple[str, str]:
    """Keys of somebody who may ask this API and do nothing else."""
    keys: tuple[str, str] = local_server.user({"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": api.arn})
    return keys


def test_whoever_may_invoke_the_method_gets_the_functions_answer(api: Api, allowed: tuple[str, str]) -> None:
    assert api.post(b'{"instances": [1]}', allowed) == (200, {"got": {"instances": [1]}})


def test_what_the_command_line_prints_is_understood_by_curl(api: Api, allowed: tuple[str, str]) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl on this machine")
    process, certificate = api.server.document["pid"], Path(api.server.ca_file)
    url = f"{api.server.endpoint}/restapis/{api.api_id}/v1/_user_request_/predictions"
    for keys, answer in ((allowed, {"got": {"instances": [1]}}), (("nobody", "knows"), None)):
        server = Server(process, api.server.endpoint, certificate, *keys)
        command = shlex.split(curl_request(server, "execute-api", url, {"instances": [1]}))
        done = subprocess.run([*command, "-H", "x-customer: a"], capture_output=True, text=True, timeout=30, check=True)
        assert (json.loads(done.stdout) == answer) is (answer is not None), done.stdout


def test_nobody_else_is_answered(api: Api, local_server: Any) -> None:
    other = local_server.user({"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": f"{api.arn}/other"})
    assert api.post(b'{"instances": [1]}', other)[0] == 403
    assert api.post(b'{"instances": [1]}', None)[0] == 403


@pytest.mark.parametrize("body", [b"{}", b'{"instances": 1}', b"[]", b"no JSON"])
def test_a_body_that_is_no_request_is_refused_in_the_documents_words(
    api: Api, allowed: tuple[str, str], body: bytes
) -> None:
    assert api.post(body, allowed) == (400, json.loads(REFUSAL))


def test_a_required_header_must_be_there_and_another_need_not(api: Api, allowed: tuple[str, str]) -> None:
    status, answer = api.post(b'{"instances": [1]}', allowed, headers={})
    assert status == 400
    assert "x-customer" in answer["message"]


def test_an_extension_that_nobody_applies_is_refused_by_name(local_server: Any, functions: Functions) -> None:
    made = Api.__new__(Api)
    made.server, made.formation, made.stack = local_server, local_server.client("cloudformation"), any_name("stack")
    content = {**document("arn:aws:lambda:us-east-1:000000000000:function:none")}
    content["x-amazon-apigateway-binary-media-types"] = ["*/*"]
    assert made.deploy(content) == "ROLLBACK_COMPLETE"
    events = made.formation.describe_stack_events(StackName=made.stack)["StackEvents"]
    said = " ".join(event.get("ResourceStatusReason", "") for event in events)
    assert "does not apply x-amazon-apigateway-binary-media-types" in said


# --- tokens of an OpenID provider ------------------------------------------------------------------------------------


class Issuer:
    """An OpenID provider on this machine, with a certificate that functions trust."""

    def __init__(self, server: Any) -> None:
        self.key = rsa.generate_private_key(65_537, 2048)
        self.ec_key = ec.generate_private_key(ec.SECP256R1())
        self.down = False
        issuer = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(issuer.configuration() if "openid" in self.path else issuer.keys()).encode()
                self.send_response(503 if issuer.down else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Answers)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        folder = Path(server.ca_file).parent
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.url = f"https://localhost:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def configuration(self) -> dict[str, Any]:
        return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}

    def keys(self) -> dict[str, Any]:
        public, point = self.key.public_key().public_numbers(), self.ec_key.public_key().public_numbers()
        x, y = (encoded(each.to_bytes(32)) for each in (point.x, point.y))
        return {
            "keys": [
                {"kty": "RSA", "kid": "k1", "n": encoded(public.n.to_bytes(256)), "e": "AQAB"},
                {"kty": "EC", "crv": "P-256", "kid": "k2", "x": x, "y": y},
            ]
        }

    def ec_token(self) -> str:
        """A token that is signed with ES256."""
        claims = {"iss": self.url, "aud": "echo", "sub": "somebody", "exp": time.time() + 300, "scope": "ask"}
        content = ".".join(encoded(json.dumps(each).encode()) for each in ({"alg": "ES256", "kid": "k2"}, claims))
        r, s = decode_dss_signature(self.ec_key.sign(content.encode(), ec.ECDSA(hashes.SHA256())))
        return f"Bearer {content}.{encoded(r.to_bytes(32) + s.to_bytes(32))}"

    def token(self, key: rsa.RSAPrivateKey | None = None, **changes: Any) -> str:
        claims = {"iss": self.url, "aud": "echo", "sub": "somebody", "exp": time.time() + 300, "scope": "ask"} | changes
        head = {"alg": "RS256", "kid": "k1"}
        content = ".".join(encoded(json.dumps(each).encode()) for each in (head, claims))
        signature = (key or self.key).sign(content.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"Bearer {content}.{encoded(signature)}"


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def issuer(local_server: Any) -> Iterator[Issuer]:
    made = Issuer(local_server)
    yield made
    made.http.shutdown()


def judge(functions: Functions, issuer: Issuer) -> str:
    """The function that judges tokens, as it is deployed."""
    archive = io.BytesIO()
    root = Path(__file__).parents[3] / "lambda"
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in (each for folder in ("authorize_token", "gapless_lambda") for each in (root / folder).glob("*.py")):
            zipped.write(path, path.relative_to(root))
    rules = {"issuer": issuer.url, "audiences": ["echo"], "scopes": ["ask"], "claims": {}}
    made = functions.client.create_function(
        FunctionName=any_name("judge"),
        Runtime="python3.13",
        Handler="authorize_token.handler.handler",
        Role=functions.server.role("lambda.amazonaws.com"),
        Code={"ZipFile": archive.getvalue()},
        Environment={"Variables": {"RULES": json.dumps(rules)}},
        Timeout=20,
    )
    return str(made["FunctionArn"])


@pytest.fixture(scope="module")
def judged(local_server: Any, functions: Functions, issuer: Issuer) -> Api:
    made = Api(local_server, functions, judge(functions, issuer))
    assert made.settled == "CREATE_COMPLETE"
    return made


def asked(api: Api, authorization: str | None) -> tuple[int, Any]:
    headers = {"x-customer": "a", **({} if authorization is None else {"authorization": authorization})}
    return api.post(b'{"instances": [1]}', None, headers)


def test_whoever_has_a_token_of_the_issuer_is_answered(judged: Api, issuer: Issuer) -> None:
    assert asked(judged, issuer.token()) == (200, {"got": {"instances": [1]}})
    assert asked(judged, issuer.ec_token())[0] == 200
    assert asked(judged, issuer.ec_token()[:-8] + "AAAAAAAA")[0] == 401


def test_others_are_told_401_and_whoever_lacks_a_scope_403(judged: Api, issuer: Issuer) -> None:
    assert asked(judged, issuer.token(scope="look"))[0] == 403
    forged = issuer.token(rsa.generate_private_key(65_537, 2048))
    for bad in (None, "Basic YTpi", forged, issuer.token(exp=time.time() - 3600), issuer.token(aud="other")):
        assert asked(judged, bad)[0] == 401


def test_while_nobody_can_check_tokens_nobody_is_let_through(
    local_server: Any, functions: Functions, issuer: Issuer
) -> None:
    made = Api(local_server, functions, judge(functions, issuer))
    issuer.down = True
    try:
        assert asked(made, issuer.token()) == (503, {"error": "unchecked"})
    finally:
        issuer.down = False
