"""Published accuracies of NAS-Bench-201: an excerpt of the table, files in the benchmark's own format, and invalid files."""

from __future__ import annotations

import bz2
import gzip
import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from search_spaces import nas_bench_201
from search_spaces.nas_bench_201 import published

ARCHITECTURES = (
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|",
)
TABLE = f"""index,arch_str,n_seeds_200,cifar10_val_12,cifar10_test_12,cifar100_val_200,cifar10_val_200,cifar10_test_200
0,{ARCHITECTURES[0]},3,63.364,69.55,52.7,81.98267,85.86333
1,{ARCHITECTURES[1]},3,82.834,88.22,69.82667,90.76933,93.66
"""
SEEDS = """index,trial,cifar10_val_200,cifar100_valtest_200
0,0,82.092,51.93
0,1,81.616,53.38
1,0,90.712,70.64
"""
"""Real rows of the benchmark, with some left out."""


class Payload:
    """An object whose pickle calls a function when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("open('executed', 'w').close()",)


def write_table(folder: Path) -> Path:
    """Write the excerpt, compressed as it is distributed, together with the file of its single trainings, and return its path."""
    (folder / "nb201_tss_seeds_200.csv.gz").write_bytes(gzip.compress(SEEDS.encode()))
    path = folder / "nb201_tss.csv.gz"
    path.write_bytes(gzip.compress(TABLE.encode()))
    return path


def write_pickle(path: Path, content: object) -> None:
    """Write a compressed pickle like the benchmark's."""
    buffer = io.BytesIO()
    pickle.dump(content, buffer)
    path.write_bytes(bz2.compress(buffer.getvalue()))


def write_folder(folder: Path) -> Path:
    """Write two architectures in the benchmark's format, with three trainings on CIFAR-10 and one on CIFAR-100; return the folder."""
    own = folder / "NATS-tss-v1_0-3ffb9-simple"
    own.mkdir()
    write_pickle(own / "meta.pickle.pbz2", {"meta_archs": list(ARCHITECTURES), "total_archs": 2})
    for number, name in enumerate(ARCHITECTURES):
        runs = {
            ("cifar10-valid", 777): {"epochs": 2, "eval_acc1es": {"x-valid@0": 10.0, "x-valid@1": 62.712 + number, "ori-test@1": 62.82}},
            ("cifar10-valid", 111): {"epochs": 2, "eval_acc1es": {"x-valid@0": 11.0, "x-valid@1": 64.016 + number}},
            ("cifar10", 111): {"epochs": 2, "eval_acc1es": {"ori-test@1": 69.55 + number}},
            ("cifar100", 111): {"epochs": 2, "eval_acc1es": {"x-valid@1": 31.84, "x-test@1": 31.26, "ori-test@1": 31.55}},
        }
        content = OrderedDict({"12": {"arch_str": name, "all_results": OrderedDict(runs)}})
        write_pickle(own / f"{number:06d}.pickle.pbz2", content)
    return own


def test_a_table_gives_shares_by_budget(tmp_path: Path) -> None:
    """Single trainings replace their mean where available; other budgets are means over the known number of trainings."""
    found = published("cifar10", write_table(tmp_path))
    shown = found[["epochs", "split", "architecture", "trainings", "accuracy"]].astype({"architecture": "str"}).values.tolist()
    first, second = ARCHITECTURES
    assert shown == [
        [12, "test", first, 1, 0.6955], [12, "test", second, 1, 0.8822],
        [12, "validation", first, 2, 0.63364], [12, "validation", second, 2, 0.82834],
        [200, "test", first, 3, 0.8586333], [200, "test", second, 3, 0.9366],
        [200, "validation", first, 1, 0.82092], [200, "validation", first, 1, 0.81616], [200, "validation", second, 1, 0.90712],
    ]  # fmt: skip
    assert found["training"].isna().tolist() == [True] * 6 + [False] * 3
    assert found["training"].dropna().tolist() == [0, 1, 0]


def test_one_place_is_found_in_several_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table can be given as a file, a folder or the environment variable, and only requested rows are returned."""
    path = write_table(tmp_path)
    whole = published("cifar100", path)
    assert whole.equals(published("cifar100", tmp_path))
    monkeypatch.setenv("AGD_BENCH_PUBLISHED", str(tmp_path))
    assert whole.equals(published("cifar100"))
    assert list(published("cifar100", architectures=ARCHITECTURES[1:])["accuracy"]) == [0.6982667, 0.7064]
    assert set(whole["split"]) == {"validation", "validation and test"}


def test_the_benchmarks_own_files(tmp_path: Path) -> None:
    """Accuracies are those of each training's last epoch on the right split; files of other architectures are not opened."""
    own = write_folder(tmp_path)
    found = published("cifar10", tmp_path)
    rows = found[["split", "training", "accuracy"]].astype({"training": "int"}).values.tolist()
    assert rows == [
        ["test", 0, 0.6955], ["test", 0, 0.7055],
        ["validation", 0, 0.64016], ["validation", 1, 0.62712], ["validation", 0, 0.65016], ["validation", 1, 0.63712],
    ]  # fmt: skip
    hundred = published("cifar100", own)
    assert dict(zip(hundred["split"], hundred["accuracy"], strict=True)) == {
        "validation": 0.3184,
        "test": 0.3126,
        "validation and test": 0.3155,
    }
    (own / "000001.pickle.pbz2").write_bytes(b"damaged")
    assert len(published("cifar10", own, ARCHITECTURES[:1])) == 3
    with pytest.raises(ValueError, match="000001"):
        published("cifar10", own, ARCHITECTURES)


def test_no_pickle_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle that would execute code is rejected without executing it."""
    monkeypatch.chdir(tmp_path)
    own = write_folder(tmp_path)
    write_pickle(own / "000000.pickle.pbz2", {"12": Payload()})
    with pytest.raises(ValueError, match=r"without running code.*names builtins.eval"):
        published("cifar10", own)
    assert not (tmp_path / "executed").exists()


def test_what_is_not_at_hand_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing path, an empty folder and a data set without results each raise an error."""
    monkeypatch.delenv("AGD_BENCH_PUBLISHED", raising=False)
    with pytest.raises(FileNotFoundError, match=r"no published results .* --published or AGD_BENCH_PUBLISHED"):
        published("cifar10")
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        published("cifar10", tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match="holds no published results"):
        published("cifar10", tmp_path)
    with pytest.raises(LookupError, match="no results for 'digits'; it has cifar10, cifar100, imagenet16_120"):
        published("digits", tmp_path)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a,b\n1,2\n", "arch_str"),
        (TABLE.replace("69.55", "169.55"), "no per cent"),
        ("", "cannot be read"),
        ("a\n1,2,3\n4\n5,6", "CSV|arch_str"),
    ],
)
def test_damaged_tables_are_refused(tmp_path: Path, text: str, fault: str) -> None:
    """The message names the file and says what is wrong."""
    path = tmp_path / "x.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=fault):
        published("cifar10", path)


def test_folders_that_contradict_themselves_are_refused(tmp_path: Path) -> None:
    """A file with the wrong architecture, a missing file and an invalid list are rejected."""
    own = write_folder(tmp_path)
    (own / "000001.pickle.pbz2").write_bytes((own / "000000.pickle.pbz2").read_bytes())
    with pytest.raises(ValueError, match=r"000001.*restore the folder"):
        published("cifar10", own)
    (own / "000001.pickle.pbz2").unlink()
    with pytest.raises(FileNotFoundError, match="000001"):
        published("cifar10", own)
    write_pickle(own / "meta.pickle.pbz2", {"archs": []})
    with pytest.raises(ValueError, match="meta_archs"):
        published("cifar10", own)


def test_the_architectures_are_the_spaces() -> None:
    """The excerpt's architectures belong to the search space."""
    assert all(nas_bench_201.operations_of(name) for name in ARCHITECTURES)
