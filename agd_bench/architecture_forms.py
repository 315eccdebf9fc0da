"""Convert architectures from and to the forms that other projects use, exactly in both directions.

References:
    DARTS: H. Liu, K. Simonyan and Y. Yang, ICLR 2019 (`Genotype`).
    NAS-Bench-101: C. Ying et al., ICML 2019 (`ModelSpec`: adjacency matrix and operations).
    NAS-Bench-201: X. Dong and Y. Yang, ICLR 2020 (nodes of (operation, from) pairs).
    NASLib: M. Ruchte et al., "NASLib: A Modular and Flexible Neural Architecture Search Library", 2020 (compact tuples).
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from agd_bench import plugins
from agd_bench.errors import InputError, UnknownNameError

DARTS_OPERATIONS = ("max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5")
"""NASLib numbers them in this order."""
CELL_OPERATIONS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
"""NAS-Bench-201's, in NASLib's order."""
CELL_EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
"""NAS-Bench-201's edges in NASLib's order, which is by source; architecture strings list them by target."""
SPEC_OPERATIONS = {"conv3x3": "conv3x3-bn-relu", "conv1x1": "conv1x1-bn-relu", "maxpool3x3": "maxpool3x3"}
NASLIB_SPEC = ("input", "output", "maxpool3x3", "conv1x1-bn-relu", "conv3x3-bn-relu")


class Genotype(NamedTuple):
    """DARTS' form: two (operation, from) pairs for each node of a cell, and the nodes that form the output."""

    normal: list[tuple[str, int]]
    normal_concat: list[int]
    reduce: list[tuple[str, int]]
    reduce_concat: list[int]


class Form(NamedTuple):
    """The form in which another project represents the architectures of a search space.

    Attributes:
        read: the form → our architecture string; raises TypeError, ValueError, KeyError, IndexError or AttributeError for anything else.
        write: our architecture string → the form.
    """

    read: Callable[[Any], str]
    write: Callable[[str], object]


def convert(search_space: str, given: object, to: str | None = None) -> Any:
    """An architecture in another form.

    Args:
        search_space: `darts`, `nas_bench_101` or `nas_bench_201`.
        given: an architecture string, or any form in `FORMS[search_space]` as an object or as text.
        to: `"genotype"`, `"naslib"` or `"spec"`; None for our architecture string.

    Returns:
        A string, or the object that the form uses.

    Raises:
        UnknownNameError: the search space or the form is not in `FORMS`.
        InputError: not an architecture of the space in any form.

    >>> convert("nas_bench_201", (2, 0, 0, 1, 1, 4))
    '|nor_conv_3x3~0|+|skip_connect~0|none~1|+|skip_connect~0|none~1|avg_pool_3x3~2|'
    >>> convert("nas_bench_101", {"matrix": [[0, 1], [0, 0]], "ops": ["input", "output"]})
    '1:'
    """
    if search_space not in FORMS:
        raise UnknownNameError("search space", search_space, FORMS, advice="Only these have forms of other projects.")
    forms = FORMS[search_space]
    if to is not None and to not in forms:
        raise UnknownNameError(f"form of {search_space!r}:", to, forms)
    architecture = next(_readings(search_space, given), None)
    if architecture is None:
        raise InputError(f"{given!r} is not an architecture of {search_space!r}; give its string or one of the forms {', '.join(forms)}")
    return architecture if to is None else forms[to].write(architecture)


def _readings(search_space: str, given: object) -> Iterator[str]:
    """Possible interpretations of `given`: an architecture string, or one read from a form and valid in the space."""
    is_valid = plugins.load("search_spaces", search_space).canonical  # raises ValueError for an invalid architecture
    objects = [given] if not isinstance(given, str) else [given, *_literal(given)]
    for form in (Form(_as_string, str), *FORMS[search_space].values()):
        for value in objects:
            try:
                architecture = form.read(value)
                is_valid(architecture)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
                continue
            yield architecture


def _as_string(given: object) -> str:
    if not isinstance(given, str):
        raise TypeError("not a string")
    return given


def _literal(text: str) -> list[object]:
    """Parse a Python value, including `Genotype(…)` and `range(…)`, without executing anything."""

    def value(node: ast.expr) -> object:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "range":
                return list(range(*(ast.literal_eval(argument) for argument in node.args)))
            return {str(keyword.arg): value(keyword.value) for keyword in node.keywords} if not node.args else value(node.args[0])
        if isinstance(node, ast.Dict):
            return {ast.literal_eval(key): value(item) for key, item in zip(node.keys, node.values, strict=True) if key is not None}
        return ast.literal_eval(node)

    try:
        return [value(ast.parse(text.strip(), mode="eval").body)]
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError):
        return []


def _part(given: Any, *names: str) -> Any:
    """An entry of a mapping or an attribute of an object, by the first existing of several names."""
    for name in names:
        if isinstance(given, dict):
            if name in given:
                return given[name]
        elif hasattr(given, name):
            return getattr(given, name)
    raise KeyError(names[0])


def _plain(rows: Any) -> list[list[int]]:
    """A matrix as lists of int, also from NumPy."""
    matrix = [[int(entry) for entry in row] for row in rows]
    if any(entry != given for row, given_row in zip(matrix, rows, strict=True) for entry, given in zip(row, given_row, strict=True)):
        raise ValueError("fractions in a matrix")
    return matrix


def _darts_cell(pairs: Sequence[tuple[str, int]]) -> str:
    """Group pairs into nodes of two; the order of edges within a node has no meaning, and ours is by source."""
    if len(pairs) != 8:
        raise ValueError("a cell has eight edges")
    nodes = [sorted((int(source), str(operation)) for operation, source in pairs[start : start + 2]) for start in range(0, 8, 2)]
    return "+".join("|" + "".join(f"{operation}~{source}|" for source, operation in node) for node in nodes)


def _read_genotype(given: Any) -> str:
    for name in ("normal_concat", "reduce_concat"):
        if sorted(_part(given, name)) != [2, 3, 4, 5]:
            raise ValueError(f"{name} must be the four inner nodes")
    return "/".join(_darts_cell(_part(given, name)) for name in ("normal", "reduce"))


def _darts_pairs(cell: str) -> list[tuple[str, int]]:
    return [(operation, int(source)) for operation, source in re.findall(r"([a-z0-9_]+)~(\d)", cell)]


def _write_genotype(architecture: str) -> Genotype:
    normal, reduce = map(_darts_pairs, architecture.split("/"))
    return Genotype(normal, [2, 3, 4, 5], reduce, [2, 3, 4, 5])


def _read_darts_naslib(given: Any) -> str:
    normal, reduce = given
    return "/".join(_darts_cell([(DARTS_OPERATIONS[_number(op)], source) for source, op in cell]) for cell in (normal, reduce))


def _write_darts_naslib(architecture: str) -> tuple[tuple[tuple[int, int], ...], ...]:
    cells = map(_darts_pairs, architecture.split("/"))
    return tuple(tuple((source, DARTS_OPERATIONS.index(operation)) for operation, source in cell) for cell in cells)


def _read_spec(given: Any) -> str:
    matrix, operations = given if isinstance(given, tuple | list) else (_part(given, "matrix", "original_matrix"), _part(given, "ops"))
    rows, words = _plain(matrix), list(operations)
    if len(rows) != len(words) or words[0] != "input" or words[-1] != "output":
        raise ValueError("operations must be input, …, output, one per vertex")
    if any(rows[end][start] for end in range(len(rows)) for start in range(end + 1)):
        raise ValueError("the matrix must be strictly upper triangular")
    ours = {theirs: name for name, theirs in SPEC_OPERATIONS.items()}
    edges = "_".join("".join(str(rows[start][end]) for start in range(end)) for end in range(1, len(rows)))
    return f"{edges}:{','.join(ours[word] for word in words[1:-1])}"


def _write_spec(architecture: str) -> dict[str, list[Any]]:
    edges, _, words = architecture.partition(":")
    columns = [[], *([int(bit) for bit in group] for group in edges.split("_"))]
    matrix = [[columns[end][start] if start < end else 0 for end in range(len(columns))] for start in range(len(columns))]
    return {"matrix": matrix, "ops": ["input", *(SPEC_OPERATIONS[word] for word in words.split(",") if word), "output"]}


def _read_spec_naslib(given: Any) -> str:
    flat = [_number(entry) for entry in given]
    vertices = (math.isqrt(1 + 4 * len(flat)) - 1) // 2  # n² entries of the matrix and n operations
    if vertices * (vertices + 1) != len(flat):
        raise ValueError("not n² + n numbers")
    matrix = [flat[start * vertices : (start + 1) * vertices] for start in range(vertices)]
    return _read_spec((matrix, [NASLIB_SPEC[operation] for operation in flat[vertices**2 :]]))


def _write_spec_naslib(architecture: str) -> tuple[int, ...]:
    spec = _write_spec(architecture)
    return (*(bit for row in spec["matrix"] for bit in row), *(NASLIB_SPEC.index(operation) for operation in spec["ops"]))


def _number(given: Any) -> int:
    """Check the number of an operation; a negative one would count from the end."""
    if int(given) != given or given < 0:
        raise ValueError("not a count")
    return int(given)


def _read_nodes(given: Any) -> str:
    if isinstance(given, str):  # as printed by a Structure of AutoDL-Projects
        (cell,) = re.findall(r"^Structure\(4 nodes with (\|.*\|)\)$", given.strip())
        return str(cell)
    nodes = [sorted((_number(source), str(operation)) for operation, source in node) for node in getattr(given, "nodes", given)]
    if [[source for source, _ in node] for node in nodes] != [[0], [0, 1], [0, 1, 2]]:
        raise ValueError("node n takes one edge from each earlier node")
    return "+".join("|" + "".join(f"{operation}~{source}|" for source, operation in node) for node in nodes)


def _write_nodes(architecture: str) -> tuple[tuple[tuple[str, int], ...], ...]:
    return tuple(tuple((op, int(source)) for op, source in re.findall(r"([a-z0-9_]+)~(\d)", node)) for node in architecture.split("+"))


def _read_cell_naslib(given: Any) -> str:
    if len(given) != len(CELL_EDGES):
        raise ValueError("six numbers")
    operations = {edge: CELL_OPERATIONS[_number(op)] for edge, op in zip(CELL_EDGES, given, strict=True)}
    return _read_nodes([[(operations[source, end], source) for source in range(end)] for end in (1, 2, 3)])


def _write_cell_naslib(architecture: str) -> tuple[int, ...]:
    operations = {(source, end): op for end, node in enumerate(_write_nodes(architecture), 1) for op, source in node}
    return tuple(CELL_OPERATIONS.index(operations[edge]) for edge in CELL_EDGES)


FORMS: dict[str, dict[str, Form]] = {
    "darts": {"genotype": Form(_read_genotype, _write_genotype), "naslib": Form(_read_darts_naslib, _write_darts_naslib)},
    "nas_bench_101": {"spec": Form(_read_spec, _write_spec), "naslib": Form(_read_spec_naslib, _write_spec_naslib)},
    "nas_bench_201": {"genotype": Form(_read_nodes, _write_nodes), "naslib": Form(_read_cell_naslib, _write_cell_naslib)},
}
"""Forms by search space."""
