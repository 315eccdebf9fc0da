"""The conformance kit: every built-in plug-in passes, and every kind of fault is found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import search_spaces
from agd_bench import plugins
from agd_bench.datasets import data_root
from agd_bench.errors import DatasetError, PluginError
from agd_bench.testing import Check, check_algorithm, check_dataset, check_file, check_search_space


def failed(checks: list[Check]) -> dict[str, str]:
    """Return the messages of failed checks by name."""
    return {check.name: check.message for check in checks if not check.passed}


@pytest.mark.parametrize("name", sorted(plugins.find("search_spaces")))
def test_built_in_search_spaces_pass(name: str) -> None:
    """Every built-in search space follows its protocol."""
    checks = check_search_space(plugins.load("search_spaces", name))
    assert failed(checks) == {}
    assert [check.name for check in checks if not check.explanation] == []


@pytest.mark.parametrize("name", sorted(plugins.find("algorithms")))
def test_built_in_algorithms_pass(name: str) -> None:
    """Every built-in algorithm follows its protocol; algorithms with missing packages are skipped."""
    lacking = plugins.missing_packages(plugins.find("algorithms")[name])
    if lacking:
        pytest.skip(f"{name} {lacking}")
    assert failed(check_algorithm(plugins.load("algorithms", name))) == {}


@pytest.mark.parametrize("name", sorted(plugins.find("datasets")))
def test_built_in_data_sets_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every data set with local files follows its protocol; nothing is downloaded."""
    import torchvision.datasets

    def absent(self: object) -> None:
        raise RuntimeError("tests fetch nothing")

    for kind in ("MNIST", "CIFAR10"):
        monkeypatch.setattr(getattr(torchvision.datasets, kind), "download", absent)
    module = plugins.load("datasets", name)
    try:
        module.load(data_root())
    except DatasetError:
        pytest.skip(f"the files of {name} are not in {data_root()}; AGD_BENCH_DATA names another folder")
    assert failed(check_dataset(module, data_root())) == {}


SPACE = '''"""After A. Author, 2020."""
import numpy as np
import torch
from torch import nn
OPTIONS = {"depth": 1}
def sample(rng):
    return f"width-{rng.integers(1, 99)}"
def build(architecture, in_channels, num_classes, depth=1):
    if not architecture.removeprefix("width-").isdecimal():
        raise ValueError("write width-N")
    width = int(architecture.removeprefix("width-"))
    return nn.Sequential(nn.Conv2d(in_channels, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes))
def architectures():
    return [f"width-{width}" for width in range(1, 99)]
def canonical(architecture):
    return architecture
def defect(architecture):
    return ""
'''

FEATURES = "def features(architecture):\n    return {}\n"

SPACE_FAULTS = {
    "no source": ("2020", "", "the docstring", "add a References section"),
    "paper in numbers": ("OPTIONS =", "PAPER = 2020\nOPTIONS =", "VARIES", "non-empty string"),
    "size in words": ("OPTIONS =", "SIZE = 'ninety-eight'\nOPTIONS =", "VARIES", "positive integer"),
    "more networks than architectures": ("OPTIONS =", "SIZE, NETWORKS = 98, 99\nOPTIONS =", "VARIES", "larger than SIZE = 98"),
    "wrong size": ("OPTIONS =", "SIZE = 99\nOPTIONS =", "architectures()", "lists 98"),
    "wrong number of networks": ("OPTIONS =", "NETWORKS = 97\nOPTIONS =", "architectures()", "gives 98"),
    "options differ": ('{"depth": 1}', '{"depth": 2}', "OPTIONS", "with its default"),
    "loose options": ("depth=1)", "**options)", "OPTIONS", "name each option"),
    "other names": ("in_channels, num_classes, depth", "channels_in, num_classes, depth", "OPTIONS", "must begin with"),
    "global draws": ("rng.integers(1, 99)", "np.random.randint(1, 99)", "sample()", "from `rng` only"),
    "constant draws": ("rng.integers(1, 99)", "7", "sample()", "same architecture"),
    "numbers": ('f"width-{rng.integers(1, 99)}"', "int(rng.integers(1, 99))", "architectures are strings", "as a string"),
    "line breaks": ('return f"width-{', 'return f"\\nwidth-{', "architectures are strings", "must be printable"),
    "anything goes": ('raise ValueError("write width-N")', 'architecture = "width-3"', "build() rejects", "raise a ValueError"),
    "too few logits": ("nn.Linear(width, num_classes)", "nn.Linear(width, 10)", "networks return finite logits", "not logits (4, 7)"),
    "no module": ("return nn.Sequential(", "return lambda images: nn.Sequential(", "networks return finite logits", "return an nn.Module"),
    "only colour": ("nn.Conv2d(in_channels", "nn.Conv2d(3", "networks return finite logits", "raises RuntimeError"),
    "too large": (
        "nn.Linear(width, num_classes))",
        "nn.Linear(width, num_classes), nn.Threshold(float('inf'), float('inf')))",
        "networks return finite logits",
        "non-finite",
    ),
    "unseeded": ("    return nn.Sequential(", "    torch.seed()\n    return nn.Sequential(", "build() is reproducible", "differ"),
    "listed twice": ("range(1, 99)]", "[1, *range(1, 99)]]", "architectures()", "more than once"),
    "not listed": ("range(1, 99)]", "range(1, 3)]", "architectures()", "does not list"),
    "unstable names": ("    return architecture\n", "    return architecture + '0'\n", "canonical()", "differs"),
    "unequal names": ("    return architecture\n", "    return 'width-1'\n", "canonical()", "the networks differ"),
    "features of other names": (
        "def canonical(",
        FEATURES.format("{architecture: 1.0}") + "def canonical(",
        "features()",
        "different names",
    ),
    "endless features": ("def canonical(", FEATURES.format('{"a": float("inf")}') + "def canonical(", "features()", "finite numbers"),
    "unknown small options": ('{"depth": 1}\n', '{"depth": 1}\nSMALL = {"width": 1}\n', "OPTIONS", "only contain options"),
    "a rule with two names": (
        "def canonical(architecture):\n    return architecture\n",
        "RULES = ('one', 'two')\ndef canonical(architecture, rule='one'):\n    return architecture + '0' * (rule == 'two')\n",
        "canonical()",
        "fixed points",
    ),
    "another size": (
        "def canonical(",
        "def size(architecture, in_channels, num_classes, image_size):\n    return 1, 1\ndef canonical(",
        "size()",
        "parameters and multiply-adds",
    ),
    "defect is no text": ('    return ""\n', "    return False\n", "defect()", "return a string"),
}


@pytest.mark.parametrize("fault", SPACE_FAULTS)
def test_faults_of_a_search_space_are_found(tmp_path: Path, fault: str) -> None:
    """A single edit to a correct plug-in fails the expected check, with a message that says how to fix it."""
    old, new, name, message = SPACE_FAULTS[fault]
    assert SPACE.count(old) == 1
    (tmp_path / "space.py").write_text(SPACE.replace(old, new))
    found = failed(check_file(tmp_path / "space.py"))
    assert [text for key, text in found.items() if key.startswith(name) and message in text], found


@pytest.mark.parametrize(
    ("edits", "name", "message"),
    [
        (
            {"    return architecture\n": "    return 'width-1'\n", '    return ""\n': "    return architecture[6:-1]\n"},
            "canonical()",
            "but defect() differs",
        ),
        (
            {'{"depth": 1}\n': '{"depth": 1}\nSMALL = {"depth": 0}\n', "num_classes))": "num_classes + depth))"},
            "networks return",
            "with default options returns logits (4, 8)",
        ),
    ],
)
def test_faults_of_two_edits_are_found(tmp_path: Path, edits: dict[str, str], name: str, message: str) -> None:
    """Some faults need two edits: a canonical name with a different defect, or networks that are correct only with small options."""
    text = SPACE
    for old, new in edits.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    (tmp_path / "space.py").write_text(text)
    found = failed(check_file(tmp_path / "space.py"))
    assert [text for key, text in found.items() if key.startswith(name) and message in text], found


@pytest.mark.parametrize(("limit", "message"), [("DRAW_SECONDS", "move checks"), ("BUILD_SECONDS", "compute nothing else")])
def test_slow_draws_and_networks_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, message: str) -> None:
    """Slow functions are reported; the limits are set so low that any function exceeds them."""
    from agd_bench.testing import _search_spaces

    monkeypatch.setattr(_search_spaces, limit, 1e-9)
    (tmp_path / "space.py").write_text(SPACE)
    found = failed(check_file(tmp_path / "space.py"))
    assert list(found) == ["sample() and build() are fast"]
    assert message in found[next(iter(found))]


DEAD = """
class Dead(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner, self.spare = inner, nn.Linear(2, 2, bias=False)
    def forward(self, images):
        return BODY
"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("self.inner(images)", "spare.weight"),
        ("self.inner(images * 0) + self.spare.weight.sum()", "return the reason from defect(architecture)"),
    ],
)
def test_parameters_and_images_that_nothing_depends_on_are_found(tmp_path: Path, body: str, message: str) -> None:
    """Unused parameters, and logits that do not depend on the image, are reported."""
    text = SPACE.replace("OPTIONS =", DEAD.replace("BODY", body) + "OPTIONS =").replace(
        "return nn.Sequential(", "return Dead(nn.Sequential("
    )
    (tmp_path / "space.py").write_text(text.replace("nn.Linear(width, num_classes))", "nn.Linear(width, num_classes)))"))
    found = failed(check_file(tmp_path / "space.py"))
    assert list(found) == ["logits depend on the image, and every parameter has a gradient"]
    assert message in found[next(iter(found))]


def test_a_sound_search_space_passes(tmp_path: Path) -> None:
    """The unedited plug-in passes every check."""
    (tmp_path / "space.py").write_text(SPACE)
    checks = check_file(tmp_path / "space.py")
    assert failed(checks) == {}
    assert len(checks) == 19
    assert all(len(check.explanation) > 50 for check in checks), "what is tried, and why"


LAYER = """
class Layer(nn.Module):
    def forward(self, maps):
        return {result}
"""


def layered(result: str) -> str:
    """Return the correct plug-in with a custom layer before the classifier, applied to 2 x 2 maps."""
    text = SPACE.replace("OPTIONS =", LAYER.format(result=result) + "OPTIONS =")
    return text.replace(
        "nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width,", "nn.AdaptiveAvgPool2d(2), Layer(), nn.Flatten(), nn.Linear(4 * width,"
    )


def test_what_fails_in_trials_alone_is_found(tmp_path: Path) -> None:
    """A `view` that fails only in trials, which train in channels_last, is found."""
    (tmp_path / "space.py").write_text(layered("maps.view(len(maps), -1)"))
    found = failed(check_file(tmp_path / "space.py"))
    assert list(found) == ["a short trial succeeds"]
    assert "view size is not compatible" in found["a short trial succeeds"]


def test_what_trials_cannot_count_is_said(tmp_path: Path) -> None:
    """The kit reports why a trial could not count FLOPs, but the plug-in passes."""
    (tmp_path / "space.py").write_text(layered("torch.fft.fft2(maps).abs()"))
    checks = {check.name: check for check in check_file(tmp_path / "space.py")}
    assert failed(list(checks.values())) == {}
    assert "aten._fft_c2c" in checks["a short trial succeeds"].message


ALGORITHM = '''"""Plain gradient descent."""
import torch
from torch import nn
from agd_bench.errors import Refused
RANGES = {"rate": {"low": 0.001, "high": 0.1, "log": True}}
TIER, SOURCE, LICENCE = "externally tuned", "A. Cauchy, 1847", "MIT"
PAPER, EXTRA, PACKAGES = "Cauchy 1847", "descent", ("torch",)
class Descent(torch.optim.SGD):
    calls = 0
def prepare(network, generator):
    return network
def build(network, steps, rate):
    optimizer = Descent(network.parameters(), lr=rate)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / (steps + 1))
def loss(logits, labels):
    return nn.functional.cross_entropy(logits, labels)
'''

OUTSIDE = """    calls = 0
    def step(self, closure=None):
        self.calls += 1
        self.param_groups[0]['lr'] /= self.calls
        super().step()
"""

ALGORITHM_FAULTS = {
    "no tier": ('"externally tuned"', '"tuned"', "TIER", "must be one of"),
    "tier without ranges": ('"externally tuned"', '"self-tuning"', "TIER", "RANGES has entries"),
    "no licence": ('"MIT"', '""', "TIER", "LICENCE is missing"),
    "no paper": ('"Cauchy 1847"', "None", "TIER", "PAPER is missing"),
    "extra of nothing": ('("torch",)', "()", "TIER", "PACKAGES is empty"),
    "packages as text": ('("torch",)', '"torch"', "TIER", "give a tuple"),
    "no generator": ("network, generator", "network, seed", "functions have", "must begin with"),
    "range of nothing": ('{"rate"', '{"speed"', "functions have", "RANGES has speed"),
    "nothing for it": ("rate):", "rate, other):", "functions have", "build() requires other"),
    "upside down": ('"low": 0.001', '"low": 0.5', "RANGES", "low < high"),
    "log of zero": ('"low": 0.001', '"low": 0.0', "RANGES", "low > 0"),
    "strange key": ('"log": True', '"logarithmic": True', "RANGES", "the keys are"),
    "no choices": ('{"low": 0.001, "high": 0.1, "log": True}', '{"choices": []}', "RANGES", "distinct numbers"),
    "loss per image": ("(logits, labels)\n", "(logits, labels, reduction='none')\n", "loss()", "finite scalar"),
    "loss without gradient": ("cross_entropy(logits,", "cross_entropy(logits.detach().requires_grad_(),", "loss()", "no gradient"),
    "own draws": ("    return network", "    nn.init.normal_(network[0].weight)\n    return network", "prepare()", "`generator` only"),
    "uphill": ("lr=rate)", "lr=rate, maximize=True)", "training lowers", "must decrease"),
    "no optimizer": ("return optimizer, torch", "return 3, torch", "training lowers", "return an Optimizer"),
    "refuses all": ("    return network", "    raise Refused('no')", "training lowers", "in both profiles"),
    "schedule by zero": ("(steps + 1)", "(steps - 1)", "training for one", "ZeroDivisionError"),
    "state outside": ("    calls = 0\n", OUTSIDE, "training resumes", "state_dict"),
}


@pytest.mark.parametrize("fault", ALGORITHM_FAULTS)
def test_faults_of_an_algorithm_are_found(tmp_path: Path, fault: str) -> None:
    """A single edit to a correct plug-in fails the expected check, with a message that says how to fix it."""
    old, new, name, message = ALGORITHM_FAULTS[fault]
    assert ALGORITHM.count(old) == 1
    (tmp_path / "descent.py").write_text(ALGORITHM.replace(old, new))
    found = failed(check_file(tmp_path / "descent.py"))
    assert [text for key, text in found.items() if key.startswith(name) and message in text], found


def test_a_sound_algorithm_passes(tmp_path: Path) -> None:
    """The unedited plug-in passes every check."""
    (tmp_path / "descent.py").write_text(ALGORITHM)
    checks = check_file(tmp_path / "descent.py")
    assert failed(checks) == {}
    assert len(checks) == 10
    assert all(len(check.explanation) > 50 for check in checks)


DATASET = '''"""Noise."""
import numpy as np
IN_CHANNELS, NUM_CLASSES, IMAGE_SIZE, CROP_PADDING, FLIP = 1, 4, 6, 0, False
MEAN, STD = (0.5,), (0.29,)
LICENCE, SOURCE = "MIT", "here"
def load(root):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (300, 1, 6, 6), dtype=np.uint8), np.arange(300) % 4
    return {"train": (images[:200], labels[:200]), "val": (images[200:250], labels[200:250]), "test": (images[250:], labels[250:])}
'''

DATASET_FAULTS = {
    "no licence": ('"MIT"', '""', "facts", "LICENCE"),
    "one mean too many": ("(0.5,)", "(0.5, 0.5)", "facts", "one per channel"),
    "mean of bytes": ("(0.5,)", "(127.5,)", "facts", "MEAN"),
    "wrong mean": ("(0.5,)", "(0.1,)", "MEAN", "training pixels in [0, 1] have"),
    "no flip": ("0, False", "0, None", "facts", "FLIP"),
    "wrong size": ("1, 4, 6", "1, 4, 8", "load() returns", "follows from its facts"),
    "class too many": ("% 4", "% 5", "load() returns", "NUM_CLASSES = 4"),
    "class too few": ("% 4", "% 3", "every class", "label in [3]"),
    "random split": ("default_rng(0)", "default_rng()", "load() is reproducible", "fixed seed"),
    "leak": ("images[250:]", "images[150:200]", "splits", "in an earlier split"),
    "no validation": ('"val"', '"valid"', "load() returns", "'val'"),
}


@pytest.mark.parametrize("fault", DATASET_FAULTS)
def test_faults_of_a_data_set_are_found(tmp_path: Path, fault: str) -> None:
    """A single edit to a correct plug-in fails the expected check, with a message that says how to fix it."""
    old, new, name, message = DATASET_FAULTS[fault]
    assert DATASET.count(old) == 1
    (tmp_path / "noise.py").write_text(DATASET.replace(old, new))
    found = failed(check_file(tmp_path / "noise.py"))
    assert [text for key, text in found.items() if key.startswith(name) and message in text], found


def test_a_sound_data_set_passes(tmp_path: Path) -> None:
    """The unedited plug-in passes every check."""
    (tmp_path / "noise.py").write_text(DATASET)
    checks = check_file(tmp_path / "noise.py")
    assert failed(checks) == {}
    assert len(checks) == 7
    assert all(len(check.explanation) > 50 for check in checks)


def test_what_is_no_plugin_is_refused(tmp_path: Path) -> None:
    """A file that is no plug-in or not valid Python raises an error; a plug-in that cannot be imported fails a check."""
    file = tmp_path / "thing.py"
    file.write_text("x = 1")
    with pytest.raises(PluginError, match=r"define sample\(\)"):
        check_file(file)
    file.write_text("def")
    with pytest.raises(PluginError, match="cannot be read as Python"):
        check_file(file)
    file.write_text("import no_such_module_at_all\ndef sample(rng): pass")
    (check,) = check_file(file)
    assert not check.passed
    assert "no_such_module_at_all" in check.message
    file.write_text("def sample(rng): pass")
    (check,) = check_file(file, kind="algorithms")
    assert "does not define prepare(), build(), loss(), RANGES" in check.message


LAYER_SCALE = """\"\"\"Layer scale of one's own. Source: these tests, 2026.\"\"\"
import torch
from torch import nn

OPTIONS = {}


class Scale(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.layer_scale = nn.Parameter(torch.full((channels,), 0.5))

    def forward(self, maps):
        return self.layer_scale[:, None, None] * maps


def sample(rng):
    return str(rng.choice(["4", "8"]))


def build(architecture, in_channels, num_classes):
    if architecture not in ("4", "8"):
        raise ValueError(f"{architecture!r} is neither 4 nor 8")
    width = int(architecture)
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3), Scale(width), nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(width, num_classes),
    )
"""


def test_a_space_whose_networks_algorithms_refuse_is_told_which_and_what_to_change(tmp_path: Path) -> None:
    """Custom parameters that the matrix-only profile cannot remove give a note naming the algorithms that refuse them, not a failure."""
    (tmp_path / "scaled.py").write_text(LAYER_SCALE, encoding="utf-8")
    (found,) = [check for check in check_file(tmp_path / "scaled.py") if "built-in algorithms" in check.name]
    assert found.passed
    assert found.noted
    assert re.search(r"refused by agd, agd_dual, agd_operator: parameter 1 \(1\.layer_scale\)", found.message)
    assert "agd_all_layers" not in found.message
    assert "Scale.layer_scale" in found.message
    assert "option to build()" in found.message


def test_a_space_of_torchs_own_layers_has_no_note() -> None:
    """Refusals by the algorithms for chains alone do not give a note."""
    path = Path(search_spaces.__file__).parent / "nas_bench_201.py"
    (found,) = [check for check in check_file(path) if "built-in algorithms" in check.name]
    assert (found.passed, found.noted) == (True, False)
