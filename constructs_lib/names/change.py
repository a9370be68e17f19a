"""Words that templates and the guard of changes share."""

from __future__ import annotations

LET_GO_METADATA = "gapless:let-go"
"""Key of the template metadata in which a resource that is about to leave its stack says why."""
