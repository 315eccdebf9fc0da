"""Reading, verifying and publishing results where nothing that trains is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

from agd_bench.errors import TRAINING_PACKAGES
from agd_bench.leaderboard import publish_results
from tests.analysis.synthetic import simulate_results, simulate_trials

ROOT = Path(__file__).parents[2]
# found before site-packages, and so in every Python that a command starts
BLOCK = f"""
import importlib.abc, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted(TRAINING_PACKAGES)}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refuse())
"""
READ = """
import json, sys
from pathlib import Path
import agd_bench
from agd_bench.cli import main
from agd_bench.report import sections

board = agd_bench.load_board(sys.argv[1])
found = {"ranking": list(board.ranking["algorithm"]), "codes": []}
sections.PARTS = ()  # the pictures and tables of a page take longest
boards = str(Path(sys.argv[1]).parent)
for arguments in (
    ["verify", sys.argv[1]],
    ["site", boards, "--to", f"{boards}/../site"],
    ["publish", sys.argv[1], "--to", f"{boards}/again"],
    ["list", "algorithms"],
    ["plan", "quickstart"],
    ["run", "quickstart", "--executor", "in-process"],
):
    sys.argv = ["agd-bench", *arguments]
    try:
        main()
    except SystemExit as end:
        found["codes"].append(end.code or 0)
Path(boards, "../found.json").write_text(json.dumps(found))
"""


def test_results_are_read_verified_and_published_without_torch(tmp_path: Path) -> None:
    """Commands that train end with one line that says what to install; all others work."""
    folder = publish_results(simulate_results(simulate_trials(8, 3, gain=-0.1)), tmp_path / "boards" / "first")
    (tmp_path / "block").mkdir()
    (tmp_path / "block" / "sitecustomize.py").write_text(BLOCK)
    here = os.environ | {"PYTHONPATH": f"{tmp_path / 'block'}{os.pathsep}{ROOT}"}
    done = subprocess.run([sys.executable, "-c", READ, str(folder)], env=here, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["ranking"] == ["sgd", "agd"]
    assert found["codes"] == [0, 0, 0, 0, 4, 4], done.stderr
    assert done.stderr.count("pip install 'agd-bench[train]'") == 2
    assert "Traceback" not in done.stderr
    assert (tmp_path / "site" / "first" / "leaderboard.json").is_file()


def test_what_trains_is_an_extra_that_the_default_group_installs() -> None:
    """`pip install agd-bench` brings no torch; `uv run` in a clone does."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    names = {"scikit-learn": "sklearn"}

    def modules(requirements: list[str]) -> set[str]:
        bare = [one.partition(">")[0].partition("[")[0].partition("=")[0] for one in requirements]
        return {names.get(name, name) for name in bare}

    assert not modules(project["project"]["dependencies"]) & TRAINING_PACKAGES
    assert modules(project["project"]["optional-dependencies"]["train"]) == TRAINING_PACKAGES
    (own,) = [one for one in project["dependency-groups"]["dev"] if one.startswith("agd-bench[")]
    assert "train" in own
    assert "dev" in project["tool"]["uv"].get("default-groups", ["dev"])
