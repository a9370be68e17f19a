from pathlib import Path

import pytest

from stacks.toolchain import find_node

find_node()

from aws_cdk import App, Stack  # noqa: E402


@pytest.fixture
def app(tmp_path: Path) -> App:
    """An app with the flags that the platform has, where they change what a construct renders."""
    return App(
        outdir=str(tmp_path / "cdk.out"),
        analytics_reporting=False,
        tree_metadata=False,
        context={
            "@aws-cdk/aws-iam:minimizePolicies": True,
            "@aws-cdk/core:defaultCrossStackReferences": "weak",
        },
    )


@pytest.fixture
def stack(app: App) -> Stack:
    """An empty stack for any account and region."""
    return Stack(app, "Test")
