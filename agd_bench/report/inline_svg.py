"""Figures inside the page: SVG that obeys the page's content policy and takes its colours."""

from __future__ import annotations

import functools
import html
import re
from collections import Counter

from markupsafe import Markup

from agd_bench.figures import INK, STYLE, Picture

GRID = re.compile(
    rf'<path d="(M[\d.-]+ [\d.-]+([HV])[\d.-]+)"([^>]* stroke="{STYLE["grid.color"]}" stroke-opacity="{STYLE["grid.alpha"]}"[^>]*)/>'
)


def inline_svg(picture: Picture, prefix: str) -> Markup:
    """The picture as an `<svg>` element to be written into an HTML page.

    Style attributes become presentation attributes, because the page's policy admits no inline style; ids get a prefix, because
    several figures share one page; the ink becomes the page's text colour, so that figures follow light and dark. What a reader
    cannot see is left out: a page may hold dozens of figures. The file beside the page has the figure as it was drawn.

    Args:
        picture: what to draw.
        prefix: letters and digits that no other figure of the page has.
    """
    svg = picture.svg()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>|<title>.*?</title>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' style="([^"]*)"', _presentation, svg)
    svg = _slim(_name_anew(svg, prefix)).replace(INK, "currentColor")
    box = re.search(r'viewBox="0 0 ([\d.]+) [\d.]+"', svg)
    width = float(box[1]) if box else 460.0
    names = f'role="img" aria-labelledby="{prefix}-title {prefix}-words" data-width="{width:.0f}"'
    opening = re.sub(r' (width|height)="[^"]*"', "", svg[: svg.index(">")])
    labels = (
        f'<title id="{prefix}-title">{html.escape(picture.title)}</title><desc id="{prefix}-words">{html.escape(picture.caption)}</desc>'
    )
    # The lines' joins that matplotlib sets in a style sheet, and the font that texts repeat, are inherited from the root instead.
    inherited, inside = ' stroke-linejoin="round" stroke-linecap="butt"', svg[svg.index(">") + 1 :]
    for attribute in ("font-family", "font-size"):
        for value, _ in Counter(re.findall(rf' {attribute}="[^"]*"', inside)).most_common(1):
            inherited, inside = inherited + value, inside.replace(value, "")
    return Markup(f"{opening} {names}{inherited}>{labels}{inside}")


def _presentation(match: re.Match[str]) -> str:
    pairs = (part.split(":", 1) for part in match[1].split(";") if ":" in part)
    return "".join(f' {name.strip()}="{value.strip()}"' for name, value in pairs)


def _name_anew(svg: str, prefix: str) -> str:
    """Ids that something refers to, short and with the prefix; the others are dropped."""
    referred = re.findall(r'(?:url\(#|href="#)([^)"]+)', svg)
    names = {old: f"{prefix}-{number}" for number, old in enumerate(dict.fromkeys(referred))}
    svg = re.sub(r' id="([^"]*)"', lambda match: f' id="{names[match[1]]}"' if match[1] in names else "", svg)
    return re.sub(r'(url\(#|href="#)([^)"]+)', lambda match: match[1] + names[match[2]], svg)


def _slim(svg: str) -> str:
    """The same drawing without blanks between tags, digits under a hundredth of a point, turns by nothing and what is said twice."""
    svg = re.sub(r">\s+<", "><", svg)
    for name, own in re.findall(r'<defs><path id="([^"]*)"([^>]*)/></defs>', svg):  # marks repeat what their shape says already
        said = "|".join(re.escape(attribute) for attribute in re.findall(r' stroke[^ =]*="[^"]*"', own))
        if said:
            svg = re.sub(rf'(?<=<use xlink:href="#{name}")[^>]*', functools.partial(_without, said), svg)
    svg = re.sub(r' transform="rotate\(-?0 [^"]*"', "", svg)
    svg = re.sub(r' (?:x|y|transform)="(?!scale|matrix|translate)[^"]*"', lambda match: _rounded(match[0]), svg)
    svg = re.sub(r' d="([^"]*)"', lambda match: f' d="{_straightened(_rounded(match[1]))}"', svg)
    return (
        _without_plain_groups(_with_one_grid(svg))
        .replace("xlink:href=", "href=")
        .replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "")
    )


def _with_one_grid(svg: str) -> str:
    """The grid lines of one direction as one path, which repeats neither their colour nor what they are clipped to."""
    lines: dict[tuple[str, str], list[str]] = {}
    for place, direction, attributes in GRID.findall(svg):
        lines.setdefault((direction, attributes), []).append(place)
    return GRID.sub(lambda match: _take_all(lines, match[2], match[3]), svg)


def _take_all(lines: dict[tuple[str, str], list[str]], direction: str, attributes: str) -> str:
    places = lines.pop((direction, attributes), None)  # the first of them stands for all
    return f'<path d="{"".join(places)}"{attributes}/>' if places else ""


def _without(pattern: str, match: re.Match[str]) -> str:
    return re.sub(pattern, "", match[0])


def _rounded(numbers: str) -> str:
    """Coordinates in points with two decimals."""
    return re.sub(r"\d+\.\d{3,}", lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), numbers)


def _straightened(path: str) -> str:
    """A path whose lines along an axis say where they end on that axis, those that go on the same way as one."""
    said: list[str] = []
    here, run, begun = ["", ""], "", ""
    for command, text in re.findall(r"([MLCQz])([^MLCQz]*)", path):
        before, numbers = here, text.split()
        here = numbers[-2:] or here
        if command != "L" or (here[0] != before[0] and here[1] != before[1]):
            said.append(command + " ".join(numbers))
            run = ""
            continue
        axis = int(here[1] != before[1])
        if run == "HV"[axis] and _goes_on(begun, before[axis], here[axis]):
            said.pop()
        else:
            run, begun = "HV"[axis], before[axis]
        said.append(run + here[axis])
    return "".join(said)


def _goes_on(first: str, second: str, third: str) -> bool:
    """Whether three places on an axis follow one another one way."""
    return (float(second) - float(first)) * (float(third) - float(second)) >= 0


def _without_plain_groups(svg: str) -> str:
    """Without the tags of groups that have no attribute."""
    kept: list[str] = []
    plain: list[bool] = []  # of each group that is open
    for piece in re.split(r"(</?g\b[^>]*>)", svg):
        if piece == "</g>":
            if plain.pop():
                continue
        elif piece.startswith("<g") and not piece.endswith("/>"):
            plain.append(piece == "<g>")
            if plain[-1]:
                continue
        elif piece == "<g/>":
            continue
        kept.append(piece)
    return "".join(kept)
