"""A client of the endpoint that asks all the time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError, ClientError

from local.errors import Failure
from local.predict import golden_request, model_of, predict
from local.steps import Platform


@dataclass
class Traffic:
    """Requests of a client that asks all the time.

    Attributes:
        answered, failed: How many there were of each.
    """

    target: Platform
    answered: int = 0
    failed: int = 0
    _stopped: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        """Ask until told to stop; what goes wrong is counted, as a client would."""
        request = golden_request(self.target.settings)
        model = model_of(self.target.settings, request)
        while not self._stopped.wait(0.05):
            try:
                predict(self.target.aws, self.target.outputs, request, model)
                self.answered += 1
            except (Failure, ClientError, BotoCoreError):
                self.failed += 1

    @contextmanager
    def going_on(self) -> Iterator[Traffic]:
        """Ask while the block runs."""
        thread = threading.Thread(target=self.ask, name="traffic", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            thread.join(30)

    def told(self) -> str:
        """What clients saw."""
        return f"{self.answered:,} requests answered meanwhile, {self.failed:,} not"
