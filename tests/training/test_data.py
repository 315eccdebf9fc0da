"""The data pipeline: every pixel is in the right place, every image comes once, and results depend only on the seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agd_bench.errors import InputError, PluginError, UnknownNameError
from agd_bench.training.data import LEAST_VALIDATION, ImageSet, batches, load_splits, resident, steps_per_epoch

Array = np.ndarray[Any, Any]
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def random_split(count: int, padding: int = 2, flip: bool = True, height: int = 5, width: int = 7) -> tuple[ImageSet, Array]:
    """Return a split of noise and its raw images, which are not square so that swapped rows and columns are noticed."""
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (count, 3, height, width), dtype=np.uint8)
    return resident(images, np.arange(count), MEAN, STD, padding, "cpu", flip), images


def normalised(image: Array) -> Array:
    """Return a byte image as the network should see it, in double precision."""
    scaled = (image / 255 - np.array(MEAN)[:, None, None]) / np.array(STD)[:, None, None]
    return np.asarray(scaled)


def test_plain_batches_are_the_normalised_images_in_order() -> None:
    """Without augmentation, images are only normalised, and come in the given order in channels_last format."""
    split, images = random_split(10)
    order = torch.tensor([7, 0, 3, 9, 1, 2])
    got = list(batches(split, 4, order))
    assert [len(labels) for _, labels in got] == [4, 2]
    assert torch.equal(torch.cat([labels for _, labels in got]), order)
    pixels = torch.cat([batch for batch, _ in got])
    np.testing.assert_allclose(pixels, np.stack([normalised(images[i]) for i in order]), atol=1e-5)
    assert all(batch.dtype == torch.float32 and batch.is_contiguous(memory_format=torch.channels_last) for batch, _ in got)


@pytest.mark.parametrize("flip", [True, False])
def test_augmented_images_are_crops_of_the_padded_image(flip: bool) -> None:
    """Each augmented image equals a window of the black-padded image, mirrored or not."""
    split, images = random_split(40, padding=2, flip=flip)
    seen = set()
    for batch, labels in batches(split, 16, torch.randperm(40), torch.Generator().manual_seed(1), augment=True):
        for pixels, label in zip(batch, labels, strict=True):
            padded = np.pad(images[label], ((0, 0), (2, 2), (2, 2)))
            windows = {(top, left): padded[:, top : top + 5, left : left + 7] for top in range(5) for left in range(5)}
            turned = {(*corner, False): window for corner, window in windows.items()}
            turned |= {(*corner, True): window[:, :, ::-1] for corner, window in windows.items()}
            (place,) = [place for place, window in turned.items() if np.allclose(normalised(window), pixels, atol=1e-5)]
            seen.add(place)
    assert {place[2] for place in seen} == ({True, False} if flip else {False})
    assert len(seen) > 15


def placed(count: int, seed: int) -> Array:
    """Return row, column and mirroring of every image's window, (count, 3), read from an image with the positions as pixel values.

    The image is 7 x 7 and the padding 2, so the middle three pixels of a window are never padding.
    """
    coded = np.arange(1, 50, dtype=np.uint8).reshape(1, 1, 7, 7)
    split = resident(np.tile(coded, (count, 1, 1, 1)), np.zeros(count, dtype=np.int64), (0.0,), (1.0,), 2, "cpu", flip=True)
    generator = torch.Generator().manual_seed(seed)
    windows = torch.cat([batch for batch, _ in batches(split, 512, torch.arange(count), generator, augment=True)])
    middle = (windows[:, 0, 3] * 255).round().long() - 1
    mirrored = (middle[:, 3] > middle[:, 4]).long()
    return torch.stack([middle[:, 3] // 7 - 1, middle[:, 3] % 7 - 1, mirrored], 1).numpy()


def test_each_image_has_a_crop_and_a_flip_of_its_own() -> None:
    """All 25 offsets and both directions are equally frequent, and neighbours in a batch are independent."""
    count = 20_000
    places = placed(count, seed=0)
    cells = places[:, 0] * 10 + places[:, 1] * 2 + places[:, 2]
    expected = count / 50
    counts = np.bincount(cells, minlength=50)
    assert len(counts) == 50
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)
    for column in places.T:
        assert abs(np.corrcoef(column[:-1], column[1:])[0, 1]) < 5 / np.sqrt(count)


def blanked(count: int, side: int) -> Array:
    """Return where white 8 x 6 images have a hole after augmentation, bool (count, 8, 6); normalised, white is 1 and the mean is 0."""
    white = np.full((count, 1, 8, 6), 255, dtype=np.uint8)
    split = resident(white, np.zeros(count, dtype=np.int64), (0.5,), (0.5,), 0, "cpu", cutout=side)
    plain = torch.cat([batch for batch, _ in batches(split, 512, torch.arange(count))])
    assert torch.equal(plain, torch.ones_like(plain))
    drawn = batches(split, 512, torch.arange(count), torch.Generator().manual_seed(0), augment=True)
    seen = torch.cat([batch for batch, _ in drawn])[:, 0]
    assert np.unique(seen).tolist() == [0.0, 1.0]
    return (seen == 0).numpy()


def test_cutout_blanks_one_square_that_the_border_cuts() -> None:
    """Each hole is a 3 x 3 square, cut off at the border but never empty."""
    shapes = set()
    for hole in blanked(2_000, side=3):
        rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
        assert hole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        shapes.add((rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1))
    assert shapes == {(2, 2), (2, 3), (3, 2), (3, 3)}


def test_centres_of_cutout_are_equally_frequent() -> None:
    """With one-pixel holes, all 48 positions are equally frequent, and neighbours in a batch are independent."""
    count = 20_000
    places = blanked(count, side=1).reshape(count, -1).argmax(1)
    counts = np.bincount(places, minlength=48)
    assert np.abs(counts - count / 48).max() < 5 * np.sqrt(count / 48)
    assert abs(np.corrcoef(places[:-1], places[1:])[0, 1]) < 5 / np.sqrt(count)


def test_a_seed_gives_the_same_pixels_and_another_seed_others() -> None:
    """All randomness comes from the given generator; torch's global one is not used."""
    split, _ = random_split(30)
    before = torch.get_rng_state()
    runs = []
    for seed in (1, 1, 2):
        got = batches(split, 8, torch.arange(30), torch.Generator().manual_seed(seed), augment=True)
        runs.append(torch.cat([batch for batch, _ in got]))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
def test_a_gpu_gives_the_pixels_of_the_cpu() -> None:
    """With the same seed and order, pixels are bitwise equal on both devices."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (300, 3, 32, 32), dtype=np.uint8), np.arange(300)
    runs = []
    for device in ("cpu", "cuda"):
        split = resident(images, labels, MEAN, STD, 4, device, flip=True)
        got = batches(split, 128, torch.arange(300).flip(0), torch.Generator().manual_seed(5), augment=True)
        runs.append(torch.cat([batch for batch, _ in got]).cpu())
    assert torch.equal(*runs)


@given(count=st.integers(1, 400), batch_size=st.integers(2, 60))
def test_every_image_comes_once_and_never_alone(count: int, batch_size: int) -> None:
    """A single leftover image joins the previous batch, and `steps_per_epoch` agrees with the number of batches."""
    split = ImageSet(torch.zeros(count, 1, 1, 1, dtype=torch.uint8), torch.arange(count), torch.zeros(1), torch.ones(1))
    sizes = [len(labels) for _, labels in batches(split, batch_size, torch.arange(count))]
    assert sum(sizes) == count
    assert len(sizes) == steps_per_epoch(count, batch_size)
    assert max(sizes) <= batch_size + 1
    assert min(sizes) >= min(2, count)


def test_augmenting_needs_a_generator() -> None:
    """Augmentation without a generator is an error; there is no global fallback."""
    with pytest.raises(ValueError, match="give a generator"):
        next(batches(random_split(4)[0], 2, torch.arange(4), augment=True))


def load_digits(share: float) -> Any:
    """Return the digits data set on the CPU."""
    return load_splits("digits", Path("nowhere"), (), share, "cpu")


def rows(split: ImageSet) -> set[bytes]:
    """Return the images of a split."""
    return {image.numpy().tobytes() for image in split.pixels}


def test_a_share_is_nested_balanced_and_leaves_the_test_split_whole() -> None:
    """Smaller shares are subsets of larger ones, with class proportions kept to within about one image."""
    whole, half, tenth = load_digits(1.0), load_digits(0.5), load_digits(0.1)
    assert [len(s.train.labels) for s in (whole, half, tenth)] == [1257, 628, 126]
    assert [len(s.val.labels) for s in (whole, half, tenth)] == [180, 180, 180]
    assert rows(tenth.train) < rows(half.train) < rows(whole.train)
    assert torch.equal(tenth.test.pixels, whole.test.pixels)
    counts = torch.bincount(whole.train.labels)
    for splits, share in ((half, 0.5), (tenth, 0.1)):
        assert (torch.bincount(splits.train.labels) - share * counts).abs().max() <= 1.5


def test_splits_stay_loaded() -> None:
    """Loading the same splits again in a process returns the same tensors."""
    assert load_digits(0.3) is load_digits(0.3)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, 0.001, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    """The message says how many images would be left."""
    with pytest.raises(InputError, match="give a larger one, up to 1"):
        load_digits(share)


PLUGIN = """
import numpy as np
IN_CHANNELS, NUM_CLASSES, IMAGE_SIZE, MEAN, STD = 1, 3, 4, (0.5,), (0.5,)
def load(root):
    images, labels = np.zeros((9, 1, 4, 4), np.uint8), np.arange(9) % 3
    splits = {"train": (images, labels), "val": (images, labels), "test": (images, labels)}
    {change}
    return splits
"""


def test_a_plugin_of_a_folder_loads(tmp_path: Path) -> None:
    """A plug-in that does not define crops, flips or cutout gets none."""
    (tmp_path / "mine.py").write_text(PLUGIN.replace("{change}", "pass"))
    splits = load_splits("mine", tmp_path, (tmp_path,), 1.0, "cpu")
    assert (splits.train.padding, splits.train.flip, splits.train.cutout) == (0, False, 0)
    with pytest.raises(UnknownNameError):
        load_splits("minx", tmp_path, (tmp_path,), 1.0, "cpu")


def test_cutout_is_for_training_images_alone(tmp_path: Path) -> None:
    """Cutout defined by a plug-in applies only to the training split."""
    (tmp_path / "mine.py").write_text(PLUGIN.replace("{change}", "pass") + "CUTOUT = 2\n")
    splits = load_splits("mine", tmp_path, (tmp_path,), 1.0, "cpu")
    assert (splits.train.cutout, splits.val.cutout, splits.test.cutout) == (2, 0, 0)


@pytest.mark.parametrize(("share", "kept"), [(1.0, 900), (0.5, 450), (0.25, LEAST_VALIDATION)])
def test_a_share_leaves_enough_to_validate(tmp_path: Path, share: float, kept: int) -> None:
    """The validation split shrinks with the share, but keeps a minimum size."""
    (tmp_path / "mine.py").write_text(
        PLUGIN.replace("{change}", "splits['val'] = (np.zeros((900, 1, 4, 4), np.uint8), np.arange(900) % 3)")
    )
    splits = load_splits("mine", tmp_path, (tmp_path,), share, "cpu")
    assert len(splits.val.labels) == kept
    assert torch.bincount(splits.val.labels).tolist() == [kept // 3] * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("del splits['val']", "no 'val' split"),
        ("splits['test'] = (images.astype(float), labels)", "images of 'test' are float64"),
        ("splits['train'] = (images[:, 0], labels)", r"images of 'train' are uint8 \(9, 4, 4\)"),
        ("splits['train'] = (images, labels[:8])", r"labels of 'train' are int64 \(8,\)"),
        ("splits['val'] = (images, labels + 1)", "lie in 1..3; NUM_CLASSES = 3 allows 0..2"),
        ("global MEAN; MEAN = (0.5, 0.5)", ""),
    ],
)
def test_arrays_that_break_the_promise_are_refused(tmp_path: Path, change: str, message: str) -> None:
    """The message names the split, and says what it contains and what is expected."""
    text = PLUGIN.replace("{change}", change)
    if not message:
        text, message = PLUGIN.replace("{change}", "pass").replace("(0.5,), (0.5,)", "(0.5,), (0.0,)"), "STD above 0"
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(PluginError, match=message):
        load_splits("mine", tmp_path, (tmp_path,), 1.0, "cpu")
