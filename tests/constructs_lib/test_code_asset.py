import ast
import subprocess
import sys
from pathlib import Path

from aws_cdk import App, Stack

from constructs_lib.code_asset import SHARED_NAMES, code_asset

ROOT = Path(__file__).parents[2]
SHIPPED = ("lambda", "glue_jobs")


def staged(tmp_path: Path, root: str, folder: str) -> Path:
    """Where the content of an asset is."""
    app = App(outdir=str(tmp_path))
    asset = code_asset(Stack(app, "Stack"), "Code", root=root, folders=[folder])
    return tmp_path / asset.asset_path


def test_code_finds_the_shared_names_where_nothing_of_synthesis_is(tmp_path: Path) -> None:
    code = staged(tmp_path, "lambda", "gapless_lambda")
    for name in SHARED_NAMES:
        program = f"import sys; sys.path[:0] = [{str(code)!r}]; import constructs_lib.names.{Path(name).stem} as found"
        program += "; print(found.__file__)"
        found = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
        )
        assert found.stdout.strip() == str(code / "constructs_lib" / "names" / name)


def test_ships_every_name_that_code_imports() -> None:
    imported = {
        (path.parent.name, f"{node.module}.{each.name}" if node.module == "constructs_lib.names" else node.module)
        for root in SHIPPED
        for path in (ROOT / root).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("constructs_lib")
        for each in node.names
    }
    asked = {
        "record_delivery": ("delivery", "metrics"),
        "choose_rows": ("metrics",),
        "import_labels": ("metrics",),
        "gapless_lambda": ("metrics",),  # by what these functions alone import
        "unpack_models": ("bundle",),
    }
    own = {(folder, f"constructs_lib.names.{name}") for folder, names in asked.items() for name in names}
    assert own <= imported, "what single constructs ask to be shipped"
    assert {name for _, name in imported - own} == {f"constructs_lib.names.{Path(name).stem}" for name in SHARED_NAMES}


def test_holds_nothing_but_the_packages_and_the_names(tmp_path: Path) -> None:
    code = staged(tmp_path, "glue_jobs", "gapless_glue")
    assert {path.name for path in code.iterdir()} == {"gapless_glue", "constructs_lib"}
    names = {path.relative_to(code).as_posix() for path in (code / "constructs_lib").rglob("*") if path.is_file()}
    assert names == {
        "constructs_lib/__init__.py",
        "constructs_lib/names/__init__.py",
        *(f"constructs_lib/names/{name}" for name in SHARED_NAMES),
    }
    assert not list(code.rglob("__pycache__"))
