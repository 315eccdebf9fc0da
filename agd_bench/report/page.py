"""The page writer: fills the templates of reports, leaderboards and reproductions, and makes SVG figures and Markdown safe for pages."""

from __future__ import annotations

import base64
import hashlib
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from agd_bench.figures import INK, Picture
from agd_bench.store import written_beside

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **context: object) -> str:
    """Fill a template that extends `base.html.jinja`.

    Args:
        template: the file's name.
        context: values for the template; a missing name is an error.
    """
    loader = jinja2.FileSystemLoader(TEMPLATES)
    # Always escape, because labels and reasons come from plug-ins and submitted results.
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["inline_svg"] = inline_svg
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    # Style and script are allowed by hash, so markup that escapes escaping still cannot run anything.
    policy = (
        f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; img-src data:; base-uri 'none'; form-action 'none'"
    )
    page = environment.get_template(template)
    return page.render(style=Markup(style), script=Markup(script), policy=Markup(policy), **context)


def write_page(path: Path, template: str, **context: object) -> Path:
    """Write a filled template to a file at once, create its folder, and return the file's path."""
    text = render(template, **context)
    with written_beside(path.parent) as beside:
        (beside / path.name).write_text(text, encoding="utf-8", newline="\n")
    return path


def _source(text: str) -> str:
    """The source expression that allows exactly this inline text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"
LINK, URL = re.compile(r"^#(.+)"), re.compile(r"url\(#([^)]+)\)")
PLACES = ("d", "x", "y")

# Otherwise every tag gets the prefix ns0, which HTML parsers do not recognise as SVG.
ET.register_namespace("", SVG[1:-1])


def inline_svg(picture: Picture, prefix: str) -> Markup:
    """The picture as an `<svg>` element for an HTML page.

    Args:
        picture: what to draw.
        prefix: letters and digits, unique among the figures of the page.
    """
    root = ET.fromstring(picture.svg())
    for unused in (root.find(f"{SVG}metadata"), root.find(f"{SVG}title"), root.find(f"{SVG}defs")):  # metadata, our title, a style sheet
        if unused is not None:
            root.remove(unused)
    _present(root)
    _leave_paint_to_shapes(root)
    # Several figures share one page, where an id must be unique.
    _rename_ids(root, prefix)
    # Last, because groups have no attributes left only after losing their styles and ids.
    _flatten(root)
    width = float(root.attrib["viewBox"].split()[2])
    # The style sheet sets the size; viewBox keeps the proportions.
    del root.attrib["width"], root.attrib["height"]
    root.attrib |= {"role": "img", "aria-labelledby": f"{prefix}-title {prefix}-words", "data-width": f"{width:.0f}"}
    root.attrib |= {"stroke-linejoin": "round", "stroke-linecap": "butt"}  # from matplotlib's style sheet
    # Safe only for fonts: they are inherited, and shapes ignore them.
    for attribute in ("font-family", "font-size"):
        _inherit(root, attribute)
    for name, text in (("words", picture.caption), ("title", picture.title)):
        label = ET.Element(SVG + ("title" if name == "title" else "desc"), id=f"{prefix}-{name}")
        label.text = text
        root.insert(0, label)
    return Markup(ET.tostring(root, encoding="unicode"))


def _present(root: ET.Element) -> None:
    """Turn styles into attributes, draw ink in the page's colour, and remove invisible blanks and digits."""
    for element in root.iter():
        # The page's policy forbids inline styles but allows presentation attributes.
        for declaration in filter(None, element.attrib.pop("style", "").split(";")):
            name, _, value = declaration.partition(":")
            # "currentColor" follows the page's light or dark theme.
            element.set(name.strip(), value.strip().replace(INK, "currentColor"))
        if element.get("fill") == INK:
            element.set("fill", "currentColor")
        for name in PLACES:
            if name in element.attrib:
                element.set(name, _rounded(element.attrib[name]))
        # matplotlib writes this no-op for every unrotated text.
        if element.get("transform", "").startswith("rotate(-0 "):
            del element.attrib["transform"]
        element.tail = None
        if element.tag != SVG + "text" and element.text and not element.text.strip():
            element.text = None


def _leave_paint_to_shapes(root: ET.Element) -> None:
    """Remove paint attributes from uses of a shape that defines its own, because the shape's attributes win."""
    shapes = {element.attrib["id"]: element.attrib.keys() for element in root.iter() if "id" in element.attrib}
    # In SVG a property of the shape overrides one inherited from its <use>.
    for use in root.iter(f"{SVG}use"):
        for attribute in shapes[use.attrib[HREF][1:]] & use.attrib.keys() - {"id"}:
            del use.attrib[attribute]


def _inherit(root: ET.Element, attribute: str) -> None:
    """Set the most frequent value of an attribute once, at the root."""
    counted = Counter(element.attrib[attribute] for element in root.iter() if attribute in element.attrib)
    for value, _ in counted.most_common(1):
        for element in root.iter():
            if element.get(attribute) == value:
                del element.attrib[attribute]
        root.set(attribute, value)


def _rounded(numbers: str) -> str:
    """Round coordinates in points to two decimals and remove blanks around path commands."""
    short = re.sub(r"\d+\.\d{3,}", lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), numbers)
    return re.sub(r"\s*([A-Za-z])\s*", r"\1", short)


def _rename_ids(root: ET.Element, prefix: str) -> None:
    """Shorten and prefix the ids that are referenced; drop the others."""
    names: dict[str, str] = {}
    for element in root.iter():
        for attribute, value in element.attrib.items():
            for old in (LINK if attribute == HREF else URL).findall(value):
                element.set(attribute, value.replace(old, names.setdefault(old, f"{prefix}-{len(names)}")))
    for element in root.iter():
        if HREF in element.attrib:
            # SVG 2 accepts plain href; xlink would need a namespace declaration.
            element.set("href", element.attrib.pop(HREF))
        old = element.attrib.pop("id", None)
        if old in names:
            element.set("id", names[old])


def _flatten(parent: ET.Element) -> None:
    """Replace groups without attributes and names by their contents."""
    children: list[ET.Element] = []
    for child in parent:
        _flatten(child)
        plain = child.tag == f"{SVG}g" and not child.attrib and child.find(f"{SVG}title") is None
        children += list(child) if plain else [child]
    parent[:] = children


def as_plain_markdown(text: str) -> str:
    """Escape text for one line of Markdown, so submitted results cannot inject markup."""
    line = " ".join(text.split())
    return "".join(f"&#{ord(letter)};" if letter in "<>&|[]`*!" else letter for letter in line)


def format_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a table whose cells are already Markdown.

    >>> print(format_table(["a", "b"], [["1", "2"]]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = [head, *rows]
    written = [f"| {' | '.join(cells)} |" for cells in lines]
    return "\n".join([written[0], "|" + "---|" * len(head), *written[1:]])
