"""What time it is in the account of a local AWS."""

from __future__ import annotations

import datetime as dt

from local.errors import UserError
from local.server.clock import NAME, Clock, WentBackwards
from local.settings import Settings


def account_now(settings: Settings) -> dt.datetime:
    """What the account's clock says, in UTC."""
    return dt.datetime.fromtimestamp(_clock(settings).now(), dt.UTC)


def move_clock(settings: Settings, moment: dt.datetime) -> None:
    """Set the account's clock to a later instant.

    Raises:
        UserError: The instant is earlier than what it says.
    """
    try:
        _clock(settings).move(moment)
    except WentBackwards as error:
        raise UserError(f"{error} (allowed: later, as what is dated already would lie in the future)") from error


def _clock(settings: Settings) -> Clock:
    return Clock(settings.state_dir / NAME)
