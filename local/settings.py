"""Where a local platform keeps its things, and which stage and workload a command means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from local.errors import UserError

CHECKOUT = Path(__file__).resolve().parents[1]
ACCOUNT = "000000000000"
REGION = "us-east-1"

_MARKER = ".gapless-state"
_STAGE = re.compile(r"[a-z][a-z0-9]{1,7}")
_WORKLOAD = re.compile(r"[a-z][a-z0-9_]{2,19}")


@dataclass(frozen=True)
class Settings:
    """One local platform: a state directory, and the stage and workload that a command works on.

    Args:
        state_dir: Everything that the platform remembers; the command line's own things are under ``cli/``.
        stage: A stage of ``cdk.json``.
        workload: A folder of ``workloads/``.
        project: The application that is deployed. Default: this checkout.

    Raises:
        UserError: The stage or the workload is not spelled as one.
    """

    state_dir: Path
    stage: str = "dev"
    workload: str = "flight_delays"
    project: Path = CHECKOUT

    def __post_init__(self) -> None:
        if not _STAGE.fullmatch(self.stage):
            raise UserError(f"stage {self.stage!r} is not a stage name (allowed: {_STAGE.pattern})")
        if not _WORKLOAD.fullmatch(self.workload):
            raise UserError(f"workload {self.workload!r} is not a workload name (allowed: {_WORKLOAD.pattern})")

    @property
    def cli_dir(self) -> Path:
        """What the command line writes, apart from what the server writes."""
        return self.state_dir / "cli"

    @property
    def cache_dir(self) -> Path:
        """What can be made again from the checkout, such as synthesised templates."""
        return self.cli_dir / "cache"

    @property
    def home(self) -> Path:
        """The home directory that child processes see."""
        return self.cli_dir / "home"

    @property
    def log_dir(self) -> Path:
        """Full output of the server and of the CDK CLI."""
        return self.cli_dir / "logs"

    @property
    def server_log(self) -> Path:
        """What the server printed since it was last started."""
        return self.log_dir / "server.log"

    @property
    def lock_file(self) -> Path:
        """Locked by the server for as long as it lives; names its process."""
        return self.cli_dir / "server.lock"

    @property
    def port_file(self) -> Path:
        """The port of the first start."""
        return self.cli_dir / "port"

    @property
    def server_file(self) -> Path:
        """What the server says about itself: port, endpoint and root credentials."""
        return self.state_dir / "server.json"

    @property
    def report_file(self) -> Path:
        """The report, unless another file is asked for."""
        return self.state_dir / "report.html"

    @property
    def workload_dir(self) -> Path:
        """The scripts of the workload.

        Raises:
            UserError: There is no such workload.
        """
        folder = self.project / "workloads" / self.workload
        if not (folder / "workload.yaml").is_file():
            known = sorted(path.parent.name for path in self.project.glob("workloads/*/workload.yaml"))
            raise UserError(f"workload {self.workload!r} does not exist (there are: {', '.join(known) or 'none'})")
        return folder

    def prepare(self) -> None:
        """Make the state directory.

        Raises:
            UserError: The directory holds things that are not a local platform's.
        """
        if self.state_dir.exists() and not self.is_state_dir() and any(self.state_dir.iterdir()):
            raise UserError(f"{self.state_dir} is not empty and not the state of a local platform; name another")
        for folder in (self.cache_dir, self.home, self.log_dir):
            folder.mkdir(parents=True, exist_ok=True)
        (self.state_dir / _MARKER).touch()

    def is_state_dir(self) -> bool:
        """Whether ``prepare`` made this directory."""
        return (self.state_dir / _MARKER).is_file()
