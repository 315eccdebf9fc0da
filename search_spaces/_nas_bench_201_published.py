"""Read the published accuracies of NAS-Bench-201, from a table or from the benchmark's own files, without executing pickles.

Supported are

- a table of all architectures (`NAME.csv`, optionally gzipped) with a column `arch_str` and columns `DATASET_SPLIT_EPOCHS` in per cent,
  such as `cifar10_test_200`, each the mean of the published trainings. Single trainings from `NAME_seeds_200.csv` in the same folder
  (columns `index`, a row of the first table, `trial`, and `DATASET_SPLIT_200`) replace the means;
- the benchmark's folder `NATS-tss-v1_0-3ffb9-simple`, with one bzip2-compressed pickle per architecture. Only requested ones are opened,
  by an unpickler that builds dicts, lists, tuples, numbers and strings, and rejects anything else.

The splits are the benchmark's own. CIFAR-10: `validation` accuracies are of networks trained on 25,000 images and measured on the other
25,000, `test` ones of networks trained on all 50,000. CIFAR-100 and ImageNet16-120: both are halves of the published test set;
`validation and test` is all of it.

References:
    X. Dong, L. Liu, K. Musial and B. Gabrys, "NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size", IEEE TPAMI
    44 (7), 2021. Its results are published with code under the MIT licence.
"""

from __future__ import annotations

import bz2
import io
import os
import pickle
import re
from collections import OrderedDict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

VARIABLE = "AGD_BENCH_PUBLISHED"
COLUMNS = ["architecture", "epochs", "split", "training", "trainings", "accuracy"]
SPLITS = {"val": "validation", "test": "test", "valtest": "validation and test"}
PREFIXES = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet16_120": "in16"}
"""Prefix of the table's columns for each data set."""
TRAINING_IMAGES = {"cifar10": 25_000, "cifar100": 50_000, "imagenet16_120": 151_700}
"""Images that the trainings behind the validation accuracies used (Dong & Yang 2020, section 2.3)."""
ZERO_COST = ("synflow", "nwot", "jacov", "snip", "grasp", "fisher", "grad_norm", "l2_norm", "plain", "epe_nas")
"""Scores in tables of zero-cost scores."""
NATS_SETS = {
    "cifar10": {("cifar10-valid", "x-valid"): "validation", ("cifar10", "ori-test"): "test"},
    **{
        name: {(known, "x-valid"): "validation", (known, "x-test"): "test", (known, "ori-test"): "validation and test"}
        for name, known in (("cifar100", "cifar100"), ("imagenet16_120", "ImageNet16-120"))
    },
}
"""For each data set, the trainings of the benchmark's files and the sets on which they were measured, with the split that these are."""


def published(dataset: str, path: Path | str | None = None, architectures: Collection[str] | None = None) -> pd.DataFrame:
    """Return the accuracies that the authors of NAS-Bench-201 published.

    Args:
        dataset: `cifar10`, `cifar100` or `imagenet16_120`.
        path: the table or the folder, or a folder that contains one of them. Default: the environment variable `AGD_BENCH_PUBLISHED`.
        architectures: to return. Default: all 15,625.

    Returns:
        One row per architecture and training, or mean of several: `architecture`; `epochs` (of the training: 12 or 200); `split`
        (`validation`, `test` or `validation and test`, see above); `training` (its number for this architecture, from 0; missing for a
        mean); `trainings` (number of trainings in the mean); `accuracy` (after the last epoch, in [0, 1]).

    Raises:
        LookupError: the benchmark does not have the data set.
        FileNotFoundError: no path is given, or it has no readable results.
        ValueError: a file does not have the expected format.
    """
    if dataset not in PREFIXES:
        raise LookupError(f"NAS-Bench-201 has no results for {dataset!r}; it has {', '.join(PREFIXES)}")
    source = _find(path)
    wanted = None if architectures is None else set(architectures)
    rows = list(_from_folder(source, dataset, wanted) if source.is_dir() else _from_table(source, dataset, wanted))
    table = pd.DataFrame(rows, columns=COLUMNS).astype({"training": "Int64"})
    return table.sort_values(["epochs", "split", "architecture", "training"], ignore_index=True)


def published_costs(dataset: str, path: Path | str | None = None) -> pd.DataFrame:
    """Return what one training of each architecture costs, from the table of all architectures.

    Args:
        dataset: `cifar10`, `cifar100` or `imagenet16_120`.
        path: as in `published`.

    Returns:
        One row per architecture: `architecture`; `seconds_per_epoch` (of training; for CIFAR-10 on 25,000 images); `flops_per_epoch`
        (training, 2 per multiply-add, the backward pass as two forward passes); `parameters`.

    Raises:
        LookupError: the benchmark does not have the data set.
        FileNotFoundError: no path is given, or only the benchmark's folder, from which costs are not read.
        ValueError: the table has no columns of costs.
    """
    table, file = _whole_table(dataset, path)
    prefix = PREFIXES[dataset]
    seconds = f"train_s_200_{prefix}{'valid' if dataset == 'cifar10' else ''}"
    columns = [seconds, f"flops_M_{prefix}", f"params_M_{prefix}"]
    missing = [column for column in columns if column not in table]
    if missing:
        raise ValueError(f"{file}: has no column {', '.join(missing)}; give a table with the cost of each architecture")
    # flops_M counts multiply-adds in millions: times 2 for FLOPs, times 3 for forward and backward.
    flops = 6e6 * TRAINING_IMAGES[dataset] * table[columns[1]]
    costs = {"seconds_per_epoch": table[seconds] / 200, "flops_per_epoch": flops, "parameters": 1e6 * table[columns[2]]}
    return pd.DataFrame({"architecture": table["arch_str"], **costs})


def published_scores(dataset: str, path: Path | str | None = None) -> pd.DataFrame:
    """Return stored zero-cost scores, from a table `NAME_zero_cost_N.csv` next to the table of all architectures.

    Args:
        dataset: `cifar10`, `cifar100` or `imagenet16_120`.
        path: as in `published`.

    Returns:
        One row per scored architecture: `architecture`, and one column per score; larger is better. Empty without such a table.

    Raises:
        LookupError, FileNotFoundError, ValueError: as `published_costs`.
    """
    table, file = _whole_table(dataset, path)
    files = sorted(file.parent.glob(f"{file.name.split('_tss')[0]}_zero_cost_*.csv*"))
    if not files:
        return pd.DataFrame({"architecture": []})
    scores = _read_csv(files[0])
    scores = scores[scores["dataset"] == {"imagenet16_120": "ImageNet16-120"}.get(dataset, dataset)]
    architectures = scores["index"].map(table["arch_str"])
    return scores[[name for name in ZERO_COST if name in scores]].assign(architecture=architectures)


def _whole_table(dataset: str, path: Path | str | None) -> tuple[pd.DataFrame, Path]:
    """Return the table of all architectures, and its file."""
    if dataset not in PREFIXES:
        raise LookupError(f"NAS-Bench-201 has no results for {dataset!r}; it has {', '.join(PREFIXES)}")
    file = _find(path)
    if file.is_dir():
        raise FileNotFoundError(f"{file}: costs are read from a table of all architectures (nb201_tss.csv.gz) only; give its path")
    return _read_csv(file), file


def _find(path: Path | str | None) -> Path:
    """Return the path of the table or of the folder of pickles."""
    given = path or os.environ.get(VARIABLE)
    advice = (
        f"name the table (nb201_tss.csv.gz), the folder NATS-tss-v1_0-3ffb9-simple or one that holds either, by --published or {VARIABLE}"
    )
    if not given:
        raise FileNotFoundError(f"no published results of NAS-Bench-201 are at hand; {advice}")
    place = Path(given)
    if not place.exists():
        raise FileNotFoundError(f"{place}: no such file or folder; {advice}")
    if place.is_file() or (place / "meta.pickle.pbz2").is_file():
        return place
    tables = sorted(file for ending in ("csv", "csv.gz") for file in place.glob(f"*tss*.{ending}") if "_seeds_" not in file.name)
    folders = sorted(file.parent for file in place.glob("NATS-tss-*/meta.pickle.pbz2"))
    found = [*tables, *folders]
    if not found:
        raise FileNotFoundError(f"{place}: holds no published results of NAS-Bench-201; {advice}")
    return found[0]


def _from_table(file: Path, dataset: str, wanted: set[str] | None) -> Iterator[tuple[object, ...]]:
    """Yield the rows of a table: single trainings if available, otherwise means."""
    table = _read_csv(file)
    if "arch_str" not in table:
        raise ValueError(f"{file}: no table of NAS-Bench-201, which has a column arch_str; it has {', '.join(table.columns[:6])}")
    counts = table["n_seeds_200"] if "n_seeds_200" in table else pd.Series(1, index=table.index)
    beside = _seeds_file(file)
    seeds = _read_csv(beside) if beside else pd.DataFrame({"index": []})
    seeds["arch_str"] = seeds["index"].map(table["arch_str"])
    single = {(split, epochs) for split, epochs, _ in _columns_of(seeds, dataset)}
    for split, epochs, column in _columns_of(table, dataset):
        if (split, epochs) not in single:
            trained = counts if epochs == 200 else pd.Series(2 if (dataset, split) == ("cifar10", "validation") else 1, index=table.index)
            for name, value, count in zip(table["arch_str"], table[column], trained, strict=True):
                if wanted is None or name in wanted:
                    yield name, epochs, split, None, int(count), _share(value, file, column)
    for split, epochs, column in _columns_of(seeds, dataset):
        for name, number, value in zip(seeds["arch_str"], seeds["trial"], seeds[column], strict=True):
            if wanted is None or name in wanted:
                yield name, epochs, split, int(number), 1, _share(value, file, column)


def _read_csv(file: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(file)
    except (OSError, EOFError, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{file}: cannot be read as a CSV table ({' '.join(str(error).split())[:100]}); restore the file") from None


def _seeds_file(file: Path) -> Path | None:
    """Return the table of single trainings that belongs to a table, or None."""
    stem = file.name.split(".csv")[0]
    return next((beside for ending in ("csv", "csv.gz") if (beside := file.with_name(f"{stem}_seeds_200.{ending}")).is_file()), None)


def _columns_of(table: pd.DataFrame, dataset: str) -> list[tuple[str, int, str]]:
    """Return split, epochs and name of each column of a data set."""
    found = [(re.fullmatch(rf"{PREFIXES[dataset]}_(val|test|valtest)_(\d+)", column), column) for column in table.columns]
    return [(SPLITS[match[1]], int(match[2]), column) for match, column in found if match]


def _share(value: float, file: Path, where: str) -> float:
    if not 0 <= value <= 100:
        raise ValueError(f"{file}: {where} holds {value}, which is no per cent")
    return round(float(value) / 100, 9)


def _from_folder(folder: Path, dataset: str, wanted: set[str] | None) -> Iterator[tuple[object, ...]]:
    """Yield the rows of the benchmark's own files: the last epoch of every training."""
    names = _load(folder / "meta.pickle.pbz2").get("meta_archs")
    if not isinstance(names, list):
        raise ValueError(f"{folder / 'meta.pickle.pbz2'}: has no list meta_archs; restore the file")
    for number, name in enumerate(names):
        if wanted is not None and name not in wanted:
            continue
        file = folder / f"{number:06d}.pickle.pbz2"
        if not file.is_file():
            raise FileNotFoundError(f"{file}: not there, though meta.pickle.pbz2 lists {name}; restore the folder")
        try:
            yield from _trainings(_load(file), name, dataset, file)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{file}: not as NATS-Bench writes it ({type(error).__name__}: {error}); restore the file") from None


def _trainings(found: dict[str, Any], name: str, dataset: str, file: Path) -> Iterator[tuple[object, ...]]:
    """Yield all trainings of one architecture on one data set."""
    for budget in found.values():
        if budget["arch_str"] != name:
            raise ValueError(f"{file}: of {budget['arch_str']}, where meta.pickle.pbz2 lists {name}; restore the folder")
        numbers: dict[str, int] = {}
        for (trained, _), run in sorted(budget["all_results"].items()):
            for key, value in run["eval_acc1es"].items():
                measured, epoch = key.split("@")
                split = NATS_SETS[dataset].get((trained, measured))
                if split and int(epoch) == run["epochs"] - 1:
                    number = numbers[split] = numbers.get(split, -1) + 1
                    yield name, int(run["epochs"]), split, number, 1, _share(value, file, key)


class _Reader(pickle.Unpickler):
    """Unpickler for built-in types and ordered dicts only."""

    def find_class(self, module: str, name: str) -> Any:
        """Return OrderedDict, the only class in these files."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        raise pickle.UnpicklingError(f"names {module}.{name}, which would be code to run")


def _load(file: Path) -> dict[str, Any]:
    try:
        found = _Reader(io.BytesIO(bz2.decompress(file.read_bytes()))).load()
    except (OSError, EOFError, ValueError, pickle.UnpicklingError, IndexError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{file}: cannot be read without running code, or is damaged ({' '.join(str(error).split())[:100]}); "
            "give the folder NATS-tss-v1_0-3ffb9-simple, without weights"
        ) from None
    if not isinstance(found, dict):
        raise ValueError(f"{file}: holds a {type(found).__name__}, not a dictionary; restore the file")
    return found
