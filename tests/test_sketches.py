"""Pictures of search spaces match what the space says about its architectures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import search_spaces
from agd_bench import plugins
from agd_bench.cli import main
from agd_bench.errors import PluginError
from agd_bench.figures.networks import CELL_NODES, Step, draw_networks
from agd_bench.sketches import _network, _panels, sketch

HERE = Path(search_spaces.__path__[0]) / "pictures"


def steps(name: str, architecture: str) -> list[list[Step]]:
    """Return the edges of each panel of an architecture."""
    space = plugins.load("search_spaces", name)
    return [found for _, found in _panels(space, architecture, _network(space, architecture))]


def test_written_cells_are_read() -> None:
    """All edges but `none` are read; a DARTS cell has two inputs, and an architecture has two cells."""
    (cell,) = steps("nas_bench_201", "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|")
    assert cell == [Step(0, 1, "nor_conv_3x3"), Step(1, 2, "skip_connect"), Step(0, 3, "avg_pool_3x3"), Step(2, 3, "nor_conv_1x1")]
    half = "+".join(["|skip_connect~0|sep_conv_3x3~1|"] * 4)
    normal, reduction = steps("darts", f"{half}/{half}")
    assert normal == reduction
    assert normal[:3] == [Step(0, 2, "skip_connect"), Step(1, 2, "sep_conv_3x3"), Step(0, 3, "skip_connect")]


def test_graphs_are_drawn_with_their_channels() -> None:
    """Layers are labelled by their kernels, skips have no operation, and channels are those of the built network."""
    assert steps("plain_chain", "8-32s") == [
        [Step(0, 1, "3 × 3 convolution", 8), Step(1, 2, "3 × 3 convolution", 32), Step(2, 3, "linear layer", 10)]
    ]
    (block,) = steps("preact_resnet", "basic-1-1-1-1-w8")
    assert block[1] == Step(1, 3, "")
    assert block[4] == Step(3, 5, "1 × 1 convolution", 16)


def test_without_a_graph_layers_are_drawn_as_images_pass_them() -> None:
    """Without a graph, layers are drawn in forward order: the patch layer, four linear layers per block, and the classifier."""
    (layers,) = steps("vit", "d2-w64-h2-p4-m2")
    assert [step.channels for step in layers] == [64, 192, 64, 128, 64, 192, 64, 128, 64, 10]
    assert [step.kind for step in layers] == ["4 × 4 convolution"] + ["linear layer"] * 9


@pytest.mark.parametrize("name", ["cnn_dag", "nas_bench_101", "fcn"])
def test_pictures_name_their_architectures(name: str) -> None:
    """Each of the three panels has a valid architecture string as its title, and every call draws the same picture."""
    picture = sketch(name)
    titles = [axes.get_title(loc="left").replace("\n", "") for axes in picture.figure.axes]
    assert len(titles) == 3
    for title in titles:
        plugins.load("search_spaces", name).build(title, 3, 10)
    assert picture.svg() == sketch(name).svg()


def test_every_edge_of_a_cell_is_a_labelled_arrow() -> None:
    """An arrow for each edge, its operation next to it, the number of each node, and no legend."""
    edges = [Step(0, 1, "conv"), Step(0, 1, ""), Step(0, 2, "pool"), Step(1, 2, "conv")]
    figure = draw_networks([("a", edges)], "title", "caption").figure
    (axes,) = figure.axes
    assert [type(patch).__name__ for patch in axes.patches] == ["FancyArrowPatch"] * 4
    assert sorted(text.get_text() for text in axes.texts) == ["0", "1", "2", "conv", "conv", "identity", "pool"]
    assert figure.legends == []


def test_every_edge_becomes_a_bar_or_an_arc() -> None:
    """The first edge between neighbours is a bar; second edges and edges that skip a node are arcs."""
    edges = [Step(0, 1, "3 × 3 convolution", 8), Step(0, 1, ""), Step(0, 2, "linear layer", 16), Step(1, 2, "linear layer", 16)]
    edges += [Step(node, node + 1, "linear layer", 16) for node in range(2, CELL_NODES)]
    (axes,) = draw_networks([("a", edges)], "title", "caption").figure.axes
    kinds = sorted(type(patch).__name__ for patch in axes.patches)
    assert kinds == ["Arc"] * 2 + ["Rectangle"] * CELL_NODES


def test_the_command_writes_svg_or_png(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The format follows the file extension; any other extension is rejected."""
    monkeypatch.chdir(tmp_path)
    for arguments, code in ((["fcn"], 0), (["fcn", "--to", "deep/fcn.png"], 0), (["fcn", "--to", "fcn.jpg"], 2)):
        monkeypatch.setattr(sys, "argv", ["agd-bench", "draw", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert (end.value.code or 0) == code
    assert (tmp_path / "fcn.svg").read_text().startswith("<?xml")
    assert (tmp_path / "deep" / "fcn.png").read_bytes().startswith(b"\x89PNG")
    assert "fcn.jpg: pictures are .svg or .png" in capsys.readouterr().err


def test_a_space_of_defects_has_no_picture(tmp_path: Path) -> None:
    """The message says why there is nothing to draw."""
    text = "def sample(rng): return str(rng.integers(100))\ndef build(architecture, in_channels, num_classes): ...\n"
    (tmp_path / "broken.py").write_text(text + "def defect(architecture): return 'no path'\n")
    with pytest.raises(PluginError, match="rejects all 12 sampled architectures"):
        sketch("broken", [tmp_path])


@pytest.mark.parametrize("name", sorted(plugins.find("search_spaces")))
def test_every_built_in_space_has_a_picture(name: str) -> None:
    """Every built-in space has a picture in the folder, and the README shows it with what the space varies."""
    assert (HERE / f"{name}.png").is_file()
    page = (HERE / "README.md").read_text(encoding="utf-8")
    varies = str(plugins.describe(plugins.find("search_spaces")[name])["VARIES"])
    assert f"]({name}.png)" in page
    assert varies[1:] in page
