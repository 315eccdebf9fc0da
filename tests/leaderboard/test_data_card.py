"""Published folders as repositories of a data hub: the documented keys, and, where its library is installed, what it loads."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from agd_bench.leaderboard.data_card import TYPES, front_matter
from agd_bench.store import load_results
from tests.analysis.synthetic import simulate_results, simulate_trials

PUBLISHED = sorted(path.parent for path in (Path(__file__).parents[2] / "leaderboards").glob("*/manifest.json"))
LOAD = """
import sys
import datasets
for table in datasets.get_dataset_config_names(sys.argv[1]):
    rows = datasets.load_dataset(sys.argv[1], table, split="train")
    rows.to_parquet(f"{sys.argv[2]}/{table}.parquet")
"""


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda folder: folder.name)
def test_types_are_stated_for_the_columns_of_every_file(folder: Path) -> None:
    """Each listed file exists and has the stated columns in order, each table has files and types, and the README names a licence."""
    stated = json.loads((folder / TYPES).read_text(encoding="utf-8"))
    names = [config["config_name"] for config in stated["configs"]]
    assert names == [info["config_name"] for info in stated["dataset_info"]] == ["trials", "curves", "attempts"]
    for config, info in zip(stated["configs"], stated["dataset_info"], strict=True):
        columns = [feature["name"] for feature in info["features"]]
        assert {feature["dtype"] for feature in info["features"]} <= {"string", "int64", "float64"}
        for name in config["data_files"]:
            with (folder / name).open(encoding="utf-8") as file:
                assert file.readline().rstrip("\n").split(",") == columns, name
    assert re.match(
        r'---\nlicense: "mit"\npretty_name: "[^"\n]+"\ntags: \["[^\n]+"\]\n---\n\n# ', (folder / "README.md").read_text("utf-8")
    )


def test_a_name_cannot_leave_the_front_matter() -> None:
    """Every value of the front matter is one line of JSON, which is YAML."""
    lines = front_matter(simulate_results(simulate_trials(2, 2))).splitlines()
    assert lines[0] == lines[-1] == "---"
    assert [json.loads(line.partition(": ")[2]) for line in lines[1:-1]][1] == "synthetic"


@pytest.mark.skipif(find_spec("datasets") is None, reason="the hub's library is not installed; see the extra `hub`")
@pytest.mark.parametrize("name", ["four_papers-digits-cpu", "nas_bench_201-digits-tuning_scope"])
def test_the_hubs_library_loads_the_published_numbers(name: str, tmp_path: Path) -> None:
    """A board and a plain folder: each table is loaded with all its rows, and numbers are the published ones to the last digit."""
    import pandas as pd

    folder = next(one for one in PUBLISHED if one.name == name)
    results: Any = load_results(folder)
    here = os.environ | {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", LOAD, str(folder), str(tmp_path)], check=True, env=here)
    for table, key in (("trials", ["trial_id"]), ("curves", ["trial_id", "epoch"]), ("attempts", ["trial_id", "attempt"])):
        found = pd.read_parquet(tmp_path / f"{table}.parquet").set_index(key).sort_index()
        rows = getattr(results, table).set_index(key).sort_index()
        # of trials that reuse the results of an equal network, the folder has no rows
        rows = rows.loc[rows.index.isin(found.index)]
        assert len(rows) == len(found) > 0
        for column in rows.select_dtypes("number"):
            if column != "position":  # on a board, entries are numbered apart
                pd.testing.assert_series_equal(
                    found[column].astype("float64"), rows[column].astype("float64"), check_exact=True, check_index_type=False
                )
