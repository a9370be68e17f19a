"""Crawlers: started, stopped, and what their last crawl came to."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.server import clock
from local.server.glue.crawl import Cancelled, Counts, Crawl
from local.server.glue.records import Record, Records
from local.server.glue.role_log import RoleLog
from local.server.host import Denied, Host, ServiceError

log = logging.getLogger("gapless.glue")

Document = dict[str, Any]

LOG_GROUP = "/aws-glue/crawlers"
_LOST = "the crawl ended with the server that did it"


class Crawls:
    """Every crawl on this server."""

    def __init__(self, host: Host, records: Records) -> None:
        self._host = host
        self._records = records
        self._lock = threading.Lock()
        self._going: dict[str, threading.Event] = {}
        self.operations: dict[str, Callable[[Document], Document]] = {
            "StartCrawler": self._start,
            "StopCrawler": self._stop,
        }

    def end_what_was_running(self) -> None:
        """Close the crawls that the last server left open."""
        for crawler in self._records.all_crawlers():
            if crawler["State"] != "READY" and crawler["Name"] not in self._going:
                crawler["State"] = "READY"
                crawler["LastCrawl"] = _last_crawl(crawler["Name"], clock.now(), "FAILED", _LOST)

    def _start(self, request: Document) -> Document:
        crawler = self._crawler(request["Name"])
        with self._lock:
            if crawler["State"] != "READY":
                raise ServiceError(
                    "CrawlerRunningException", f"Crawler with name {crawler['Name']} has already started"
                )
            crawler["State"] = "RUNNING"
            crawler["CrawlElapsedTime"] = 0
            cancelled = self._going[crawler["Name"]] = threading.Event()
        threading.Thread(target=self._crawl, args=(crawler, cancelled), name=crawler["Name"], daemon=True).start()
        return {}

    def _stop(self, request: Document) -> Document:
        crawler = self._crawler(request["Name"])
        with self._lock:
            if crawler["State"] == "STOPPING":
                raise ServiceError("CrawlerStoppingException", f"Crawler with name {crawler['Name']} is stopping")
            if crawler["State"] != "RUNNING":
                raise ServiceError("CrawlerNotRunningException", f"Crawler with name {crawler['Name']} isn't running")
            crawler["State"] = "STOPPING"
            self._going[crawler["Name"]].set()
        return {}

    def _crawler(self, name: str) -> Record:
        crawler = self._records.crawler(name)
        if crawler is None:
            raise ServiceError("EntityNotFoundException", f"Crawler with name {name} does not exist")
        return crawler

    def _crawl(self, crawler: Record, cancelled: threading.Event) -> None:
        name, started = crawler["Name"], clock.now()
        self._announce(name, "Started", {"startTime": _text(started), "message": "Crawler Started"})
        counts, status, message = Counts(), "SUCCEEDED", ""
        try:
            counts = self._perform(crawler, cancelled)
        except Cancelled:
            status = "CANCELLED"
        except (Denied, ClientError, BotoCoreError) as error:
            status, message = "FAILED", str(error)
        except Exception as error:
            log.exception("crawler %s", name)
            status, message = "FAILED", f"Internal Service Exception: {type(error).__name__}: {error}"
        with self._lock:
            crawler["LastCrawl"] = _last_crawl(name, started, status, message)
            crawler["CrawlElapsedTime"] = 0
            crawler["State"] = "READY"
            del self._going[name]
        self._announce_end(name, started, status, message, counts)

    def _perform(self, crawler: Record, cancelled: threading.Event) -> Counts:
        settings, role = self._host.settings, crawler["Role"]
        arn = role if role.startswith("arn:") else f"arn:aws:iam::{settings.account}:role/{role}"
        source = f"arn:aws:glue:{settings.region}:{settings.account}:crawler/{crawler['Name']}"
        credentials = self._host.mint(arn, "glue.amazonaws.com", "AWS-Crawler", source)
        try:
            clients = {service: self._host.client(service, credentials) for service in ("s3", "glue", "logs")}
            lines = RoleLog(self._host, clients["logs"], LOG_GROUP, crawler["Name"])
            lines.write([f"BENCHMARK : Running Start Crawl for Crawler {crawler['Name']}"])
            crawl = Crawl(crawler, clients["s3"], clients["glue"], lambda line: lines.write([line]), cancelled)
            counts = crawl.run()
            lines.write([f"BENCHMARK : Crawler has finished running: {asdict(counts)}"])
            return counts
        finally:
            self._host.forget(credentials)

    def _announce_end(self, name: str, started: float, status: str, message: str, counts: Counts) -> None:
        if status == "FAILED":
            self._announce(name, "Failed", {"errorMessage": message, "message": "Crawler Failed"})
            return
        done = {
            "message": f"Crawler {status.capitalize()}",
            "completionDate": _text(clock.now()),
            "runningTime (sec)": str(round(clock.now() - started)),
            "tablesCreated": str(counts.tables_created),
            "tablesUpdated": str(counts.tables_updated),
            "tablesDeleted": str(counts.tables_deleted),
            "partitionsCreated": str(counts.partitions_created),
        }
        self._announce(name, status.capitalize(), done)

    def _announce(self, name: str, state: str, detail: Document) -> None:
        whole = {"accountId": self._host.settings.account, "crawlerName": name, "state": state, **detail}
        self._host.emit("aws.glue", "Glue Crawler State Change", whole)


def _last_crawl(name: str, started: float, status: str, message: str) -> Record:
    return {
        "Status": status,
        **({"ErrorMessage": message} if message else {}),
        "LogGroup": LOG_GROUP,
        "LogStream": name,
        "MessagePrefix": str(uuid.uuid4()),
        "StartTime": started,
    }


def _text(instant: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(instant))
