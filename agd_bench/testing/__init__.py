"""Check that a plug-in follows the protocol of its kind, and say how to fix it where it does not.

`agd-bench check FILE` prints the checks. The package's tests run them over every built-in plug-in.
"""

from __future__ import annotations

from pathlib import Path

from agd_bench import plugins
from agd_bench.datasets import data_root
from agd_bench.errors import PluginError
from agd_bench.testing._algorithms import check_algorithm
from agd_bench.testing._checking import Check
from agd_bench.testing._datasets import check_dataset
from agd_bench.testing._search_spaces import check_search_space
from agd_bench.testing._searchers import check_searcher

LOADS = "The file can be imported and defines the functions and facts of its kind. The file name is the plug-in's name."

__all__ = ["Check", "check_algorithm", "check_dataset", "check_file", "check_search_space", "check_searcher"]


def check_file(path: Path, kind: plugins.Kind | None = None) -> list[Check]:
    """Run all checks on a plug-in in a file.

    Args:
        path: the plug-in.
        kind: of the plug-in. None: inferred from its functions.

    Raises:
        PluginError: the file cannot be parsed as Python, or its kind cannot be inferred.
    """
    kind = kind or _kind_of(path)
    what = kind.replace("_", " ")
    try:
        module = plugins.load_source(plugins.Source(kind, path.stem, path.resolve(), None, str(path.parent)), with_facts=False)
    except PluginError as error:
        return [Check("it can be loaded and defines its protocol", False, str(error), LOADS)]
    loads = [Check("it can be loaded and defines its protocol", True, f"kind: {what}", LOADS)]
    if kind == "datasets":
        return loads + check_dataset(module, data_root())
    checks = {"search_spaces": check_search_space, "algorithms": check_algorithm, "searchers": check_searcher}
    return loads + checks[kind](module)


def _kind_of(path: Path) -> plugins.Kind:
    """Infer the kind from the names that the file defines at its top level."""
    names = plugins.names_defined(path)
    distinctive: dict[str, plugins.Kind] = {
        "sample": "search_spaces", "prepare": "algorithms", "RANGES": "algorithms", "load": "datasets", "ask": "searchers"
    }  # fmt: skip
    for name, kind in distinctive.items():
        if name in names:
            return kind
    raise PluginError(
        f"{path}: not a plug-in: define sample() for a search space, prepare() for an algorithm, load() for a data set or ask() for a"
        " search method"
    )
