"""Where the code lies that runs later: in the folders of a checkout, or inside the installed package."""

from __future__ import annotations

from pathlib import Path

_INSTALLED = Path(__file__).parent / "runtime"
_CHECKOUT = Path(__file__).parent.parent


def asset_path(*parts: str) -> Path:
    """Returns the absolute path of a file or folder of run-time code.

    Args:
        parts: Steps of the path, such as ``"lambda", "judge_model"``; the first is one of ``lambda``,
            ``glue_jobs`` and ``sagemaker_jobs``.

    Raises:
        FileNotFoundError: There is no such file or folder.
    """
    root = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
    path = root.joinpath(*parts)
    if not path.exists():
        raise FileNotFoundError(f"no run-time code {'/'.join(parts)} under {root}")
    return path
