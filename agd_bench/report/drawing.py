"""Figures inside the page: SVG that obeys the page's content policy and takes its colours."""

from __future__ import annotations

import html
import re

from markupsafe import Markup

from agd_bench.figures import INK, Picture


def inline_svg(picture: Picture, prefix: str) -> Markup:
    """The picture as an `<svg>` element to be written into an HTML page.

    Style attributes become presentation attributes, because the page's policy admits no inline style; ids get a prefix, because
    several figures share one page; the ink becomes the page's text colour, so that figures follow light and dark.

    Args:
        picture: what to draw.
        prefix: letters and digits that no other figure of the page has.
    """
    svg = picture.svg()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>|<title>.*?</title>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' style="([^"]*)"', _presentation, svg)
    svg = re.sub(r'(\bid=")', rf"\1{prefix}-", svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\1{prefix}-", svg)
    svg = svg.replace(INK, "currentColor")
    box = re.search(r'viewBox="0 0 ([\d.]+) [\d.]+"', svg)
    width = float(box[1]) if box else 460.0
    names = f'role="img" aria-labelledby="{prefix}-title {prefix}-words" data-width="{width:.0f}"'
    opening = re.sub(r' (width|height)="[^"]*"', "", svg[: svg.index(">")])
    labels = (
        f'<title id="{prefix}-title">{html.escape(picture.title)}</title><desc id="{prefix}-words">{html.escape(picture.caption)}</desc>'
    )
    # The lines' joins that matplotlib sets in a style sheet are inherited from the root instead.
    return Markup(f'{opening} {names} stroke-linejoin="round" stroke-linecap="butt">{labels}{svg[svg.index(">") + 1 :]}')


def _presentation(match: re.Match[str]) -> str:
    pairs = (part.split(":", 1) for part in match[1].split(";") if ":" in part)
    return "".join(f' {name.strip()}="{value.strip()}"' for name, value in pairs)
