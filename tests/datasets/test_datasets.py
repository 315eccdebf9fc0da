"""Data sets: their contents, their validation images, and the errors if files are missing."""

from __future__ import annotations

import gzip
import pickle
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agd_bench import datasets, plugins
from agd_bench.datasets import cifar10, cifar100, data_root, digits, fashion_mnist, mnist
from agd_bench.datasets._drawing import balanced_order, hold_out
from agd_bench.errors import DatasetError, InputError

Array = np.ndarray[Any, Any]


def write_idx(path: Path, values: Array) -> None:
    """Write an array of bytes in the format of MNIST's files."""
    path.write_bytes(struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes())


def write_mnist(root: Path, name: str, train: int = 6_030, test: int = 20) -> Array:
    """Write a small data set in the layout of torchvision's MNIST and return its training images."""
    folder = root / name / "raw"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (train, 28, 28), dtype=np.uint8)
    write_idx(folder / "train-images-idx3-ubyte", images)
    write_idx(folder / "train-labels-idx1-ubyte", (np.arange(train) % 10).astype(np.uint8))
    write_idx(folder / "t10k-images-idx3-ubyte", images[:test])
    write_idx(folder / "t10k-labels-idx1-ubyte", (np.arange(test) % 10).astype(np.uint8))
    return images


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make downloads fail, as on a machine without a network."""
    import torchvision.datasets

    def fail(self: object) -> None:
        raise RuntimeError("Error downloading\nsomething")

    for name in ("MNIST", "CIFAR10"):  # the other two inherit from these
        monkeypatch.setattr(getattr(torchvision.datasets, name), "download", fail)


@pytest.mark.parametrize(("module", "name"), [(mnist, "MNIST"), (fashion_mnist, "FashionMNIST")])
def test_grey_images_come_as_torchvision_stores_them(tmp_path: Path, module: Any, name: str) -> None:
    """6,000 images are held out for validation, no image is lost, and labels stay with their images."""
    images = write_mnist(tmp_path, name)
    arrays = module.load(tmp_path)
    assert {split: pair[0].shape for split, pair in arrays.items()} == {
        "train": (30, 1, 28, 28),
        "val": (6_000, 1, 28, 28),
        "test": (20, 1, 28, 28),
    }
    label_of = {image.tobytes(): number % 10 for number, image in enumerate(images)}
    together = [(image.tobytes(), label) for split in ("train", "val") for image, label in zip(*arrays[split], strict=True)]
    assert len({image for image, _ in together}) == len(images)
    assert all(label_of[image] == label for image, label in together)
    assert np.bincount(arrays["val"][1]).tolist() == [600] * 10


@pytest.mark.parametrize(("module", "key"), [(cifar10, b"labels"), (cifar100, b"fine_labels")])
def test_colour_images_come_channels_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, key: bytes) -> None:
    """5,000 images are held out for validation, and the colour planes are those of the files."""
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    folder = tmp_path / ("cifar-10-batches-py" if module is cifar10 else "cifar-100-python")
    folder.mkdir()
    names = [*(f"data_batch_{part}" for part in range(1, 6)), "test_batch"] if module is cifar10 else ["train", "test"]
    count = 5_010 // (len(names) - 1)
    planes = np.repeat(np.array([10, 20, 30], dtype=np.uint8), 1024)
    labels = [number % module.NUM_CLASSES for number in range(count)]
    for name in names:
        entry = {"data": np.tile(planes, (count, 1)), key.decode(): labels}
        (folder / name).write_bytes(pickle.dumps(entry))
    (folder / ("batches.meta" if module is cifar10 else "meta")).write_bytes(pickle.dumps({"label_names": [], "fine_label_names": []}))
    arrays = module.load(tmp_path)
    assert [arrays[split][0].shape for split in ("train", "val", "test")] == [(10, 3, 32, 32), (5_000, 3, 32, 32), (count, 3, 32, 32)]
    assert arrays["val"][0].mean((0, 2, 3)).tolist() == [10, 20, 30]


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("module", [mnist, fashion_mnist, cifar10, cifar100])
def test_missing_files_say_what_to_do(tmp_path: Path, module: Any) -> None:
    """The one-line error says where the files were expected, how to get them, and which variable sets the folder."""
    with pytest.raises(DatasetError) as caught:
        module.load(tmp_path / "empty")
    message = str(caught.value)
    assert "\n" not in message
    for part in ("empty", "Error downloading something", "AGD_BENCH_DATA", "download=True"):
        assert part in message


@pytest.mark.usefixtures("offline")
def test_a_file_that_is_cut_short_is_no_data_set(tmp_path: Path) -> None:
    """Half a file is an error, not half a data set."""
    write_mnist(tmp_path, "MNIST")
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(DatasetError, match="no sound files"):
        mnist.load(tmp_path)


def test_packed_files_are_not_needed(tmp_path: Path) -> None:
    """Only unpacked files are read; the .gz files next to them do not matter."""
    write_mnist(tmp_path, "MNIST")
    (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"other"))
    assert len(mnist.load(tmp_path)["val"][0]) == 6_000


def test_digits_are_split_once_and_for_all() -> None:
    """Digits need no download, have balanced splits, and are split in the same way in every version."""
    arrays = digits.load(Path("nowhere"))
    assert {split: len(labels) for split, (_, labels) in arrays.items()} == {"train": 1257, "val": 180, "test": 360}
    images = np.concatenate([images for images, _ in arrays.values()])
    assert images.dtype == np.uint8
    assert (images.min(), images.max()) == (0, 255)
    for _, labels in arrays.values():
        counts = np.bincount(labels)
        assert counts.max() - counts.min() <= 7
    assert arrays["val"][1][:20].tolist() == [1, 0, 3, 8, 4, 0, 6, 7, 1, 0, 0, 6, 6, 9, 4, 4, 5, 6, 9, 7]


@pytest.mark.parametrize("name", sorted(plugins.find("datasets")))
def test_importing_a_data_set_imports_no_reader(name: str) -> None:
    """Facts can be read without torchvision, scikit-learn or torch."""
    code = f"import sys, agd_bench.datasets.{name}; print([m for m in ('torch', 'torchvision', 'sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_beginning_of_a_balanced_order_is_balanced() -> None:
    """However many images are taken, every class is within one and a half images of its share."""
    labels = np.repeat(np.arange(4), [40, 80, 120, 160])
    np.random.default_rng(0).shuffle(labels)
    order = balanced_order(labels, "some name")
    assert sorted(order.tolist()) == list(range(400))
    for count in range(1, 401):
        taken = np.bincount(labels[order[:count]], minlength=4)
        assert np.abs(taken - count * np.array([0.1, 0.2, 0.3, 0.4])).max() <= 1.5
    assert not np.array_equal(order, balanced_order(labels, "another name"))


def test_holding_out_loses_nothing_and_keeps_the_order() -> None:
    """The two parts add up to the whole, each in the order of the source."""
    images, labels = np.arange(50, dtype=np.uint8).reshape(50, 1, 1, 1), np.arange(50) % 5
    rest, held = hold_out(images, labels, 10, "key")
    numbers = [part[0].ravel().tolist() for part in (rest, held)]
    assert sorted(numbers[0] + numbers[1]) == list(range(50))
    assert all(part == sorted(part) for part in numbers)
    assert held[1].tolist() == [number % 5 for number in numbers[1]]
    assert np.bincount(held[1]).tolist() == [2] * 5


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"AGD_BENCH_DATA": "/somewhere"}, "/somewhere"),
        ("linux", {"XDG_CACHE_HOME": "/cache"}, "/cache/agd-bench"),
        ("linux", {}, "/home/me/.cache/agd-bench"),
        ("darwin", {"XDG_CACHE_HOME": "/cache"}, "/home/me/Library/Caches/agd-bench"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/agd-bench"),
        ("win32", {}, "/home/me/AppData/Local/agd-bench"),
    ],
)
def test_the_data_root_is_named_or_the_platforms_cache(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], expected: str
) -> None:
    """`AGD_BENCH_DATA` takes precedence over the platform's folder for caches."""
    for name in ("AGD_BENCH_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert datasets.data_root() == Path(expected)


def test_a_user_without_a_home_directory_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a home directory, as in some containers, the error names the variable to set, which is then enough."""
    for name in ("AGD_BENCH_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(InputError, match="AGD_BENCH_DATA"):
        data_root()
    monkeypatch.setenv("AGD_BENCH_DATA", "/data")
    assert data_root() == Path("/data")
