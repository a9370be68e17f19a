"""S3 with encryption that counts: whoever writes or reads an object under a KMS key needs the key too."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from local.server import hooks
from local.server.host import Caller, Denied, Host

log = logging.getLogger("gapless.s3")

ALGORITHM = "x-amz-server-side-encryption"
KEY_ID = "x-amz-server-side-encryption-aws-kms-key-id"
MANAGED_KEY = "alias/aws/s3"
"""S3's own key: everybody with the S3 permission may use it."""

_SUBRESOURCES = frozenset({"acl", "tagging", "attributes", "legal-hold", "retention", "torrent", "restore"})

RawResponse = tuple[int, dict[str, str], Any]
Handler = Callable[..., Awaitable[RawResponse]]


def register(host: Host) -> None:
    """Put the check in front of ministack's S3."""
    hooks.replace("services.s3:handle_request", KeyCheck(host, hooks.get("services.s3:handle_request")).handle_request)


class KeyCheck:
    """Checks KMS permissions of object requests, then lets ministack serve them."""

    def __init__(self, host: Host, serve: Handler) -> None:
        self._host = host
        self._serve = serve

    async def handle_request(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query_params: Mapping[str, Any],
        *arguments: Any,
        **options: Any,
    ) -> RawResponse:
        """Serve one request of an ASGI handler; internal ones are not checked."""
        bucket, _, key = path.lstrip("/").partition("/")
        if options.get("internal") or not key or _SUBRESOURCES & set(query_params):
            return await self._serve(method, path, headers, body, query_params, *arguments, **options)
        headers = _with_default_key(bucket, headers)
        try:
            caller = self._host.caller(headers, query_params)
            if method in ("PUT", "POST"):
                await self._check_write(caller, bucket, headers, query_params)
            response = await self._serve(method, path, headers, body, query_params, *arguments, **options)
            if method == "GET" and response[0] in (200, 206):
                self._check_key(caller, "kms:Decrypt", response[1].get(KEY_ID))
        except Denied as error:
            return _refusal("AccessDenied", str(error), 403)
        except KeyUnusable as error:
            return _refusal(error.code, str(error), 400)
        return response

    async def _check_write(
        self, caller: Caller, bucket: str, headers: Mapping[str, str], query: Mapping[str, Any]
    ) -> None:
        key_id = headers.get(KEY_ID) or _default_key(bucket)
        self._check_key(caller, "kms:GenerateDataKey", key_id)
        if "uploadId" in query:  # AWS decrypts the data key of an upload for every part
            self._check_key(caller, "kms:Decrypt", key_id)
        source = headers.get("x-amz-copy-source")
        if source:
            self._check_key(caller, "kms:Decrypt", await self._key_of(unquote(source).partition("?")[0]))

    async def _key_of(self, source: str) -> str | None:
        path = "/" + quote(source.lstrip("/"))
        answer = await self._serve("HEAD", path, {}, b"", {}, internal=True)
        return answer[1].get(KEY_ID)

    def _check_key(self, caller: Caller, action: str, key_id: str | None) -> None:
        if not key_id or key_id.endswith(MANAGED_KEY):
            return
        key = hooks.get("services.kms:_resolve_key")(key_id)
        if key is None:
            raise KeyUnusable("KMS.NotFoundException", f"Key '{key_id}' does not exist")
        context = {"kms:ViaService": f"s3.{self._host.settings.region}.amazonaws.com"}
        self._host.check(caller, action, key["Arn"], context)
        if not key["Enabled"]:
            raise KeyUnusable("KMS.DisabledException", f"{key['Arn']} is disabled.")


class KeyUnusable(Exception):
    """A key that does not exist or is disabled."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _default_key(bucket: str) -> str | None:
    headers: Mapping[str, str] = hooks.get("services.s3:_bucket_default_sse_headers")(bucket)
    return headers.get(KEY_ID)


def _with_default_key(bucket: str, headers: dict[str, str]) -> dict[str, str]:
    """A request for ``aws:kms`` that names no key means the bucket's key or S3's own; ministack refuses it."""
    if headers.get(ALGORITHM) != "aws:kms" or headers.get(KEY_ID):
        return headers
    return {**headers, KEY_ID: _default_key(bucket) or MANAGED_KEY}


def _refusal(code: str, message: str, status: int) -> RawResponse:
    document = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    )
    return status, {"Content-Type": "application/xml"}, document.encode()
