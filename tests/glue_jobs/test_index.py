import json
from pathlib import Path

from constructs_lib.names.batch import index_key
from gapless_glue.index import read_index


def enter(folder: Path, version: str, as_of: str) -> None:
    path = folder / index_key(version, as_of)
    path.parent.mkdir(parents=True, exist_ok=True)
    uris = {name: f"s3://datasets/{version}/{name}.json" for name in ("manifest_uri", "report_uri", "profile_uri")}
    path.write_text(json.dumps({"version": version, "as_of": as_of, **uris}))


def versions(folder: Path, *, before: str, newest: int = 10) -> list[str]:
    return [entry.version for entry in read_index(f"file://{folder}/", before=before, newest=newest)]


def test_lists_datasets_from_old_to_new_whatever_their_versions_are(tmp_path: Path) -> None:
    enter(tmp_path, "a", "2013-03-01T00:00:00Z")
    enter(tmp_path, "b", "2013-01-01T00:00:00Z")
    enter(tmp_path, "c", "2013-01-01T00:00:00.000001Z")
    assert versions(tmp_path, before="2014-01-01T00:00:00Z") == ["b", "c", "a"]


def test_sees_only_what_is_strictly_older(tmp_path: Path) -> None:
    enter(tmp_path, "old", "2013-01-01T00:00:00Z")
    enter(tmp_path, "same", "2013-02-01T00:00:00Z")
    enter(tmp_path, "later", "2013-02-01T00:00:01Z")
    assert versions(tmp_path, before="2013-02-01T01:00:00+01:00") == ["old"]


def test_reads_only_the_newest_ones_that_are_asked_for(tmp_path: Path) -> None:
    for month in (1, 2, 3):
        enter(tmp_path, f"v{month}", f"2013-0{month}-01T00:00:00Z")
    assert versions(tmp_path, before="2014-01-01T00:00:00Z", newest=2) == ["v2", "v3"]


def test_there_is_nothing_before_the_first(tmp_path: Path) -> None:
    assert versions(tmp_path, before="2014-01-01T00:00:00Z") == []
