"""Code that runs later, as assets: folders of run-time code, with the names that they share with templates."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from constructs_lib.asset_path import asset_path

SHARED_NAMES = ("batch.py", "problems.py", "relabelled.py", "segments.py")
"""The modules of ``constructs_lib/names`` that functions and jobs import; each needs the standard library only."""

_NAMES = Path(__file__).parent / "names"


def code_asset(
    scope: Construct,
    construct_id: str,
    *,
    root: str,
    folders: Sequence[str],
    also: Sequence[tuple[str, str]] = (),
    shared: Sequence[str] = (),
) -> assets.Asset:
    """Defines a zip of packages and of the shared names, which are imported in it as they are here.

    Args:
        root: Folder of run-time code, such as ``lambda``.
        folders: The packages under it that go into the zip.
        also: Packages under other roots, as pairs of root and folder. Default: none.
        shared: Modules of ``constructs_lib/names`` that only this code shares, such as ``metrics.py``. Default: none.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    with tempfile.TemporaryDirectory() as made:
        for where, folder in (*((root, folder) for folder in folders), *also):
            shutil.copytree(asset_path(where, folder), Path(made, folder), ignore=shutil.ignore_patterns("__pycache__"))
        names = Path(made, "constructs_lib", "names")
        names.mkdir(parents=True)
        for package in (names.parent, names):
            (package / "__init__.py").touch()
        for name in (*SHARED_NAMES, *shared):
            shutil.copyfile(_NAMES / name, names / name)
        return assets.Asset(scope, construct_id, path=made)
