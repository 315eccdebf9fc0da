"""The one page writer: reports, leaderboards and reproductions fill its templates."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import jinja2
from markupsafe import Markup

from agd_bench.report.inline_svg import inline_svg

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **context: object) -> str:
    """Fill a template that extends `base.html.jinja`.

    Args:
        template: the file's name.
        context: what it is filled with; a missing name is an error.
    """
    loader = jinja2.FileSystemLoader(TEMPLATES)
    # Always escape: labels and reasons come from plug-ins and submitted results.
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["inline_svg"] = inline_svg
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    # Style and script are admitted by hash, so markup that slips through escaping can still run nothing.
    policy = (
        f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; img-src data:; base-uri 'none'; form-action 'none'"
    )
    page = environment.get_template(template)
    return page.render(style=Markup(style), script=Markup(script), policy=Markup(policy), **context)


def write_page(path: Path, template: str, **context: object) -> Path:
    """Write a filled template to a file, whose folder is made; the file's path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(template, **context), encoding="utf-8", newline="\n")
    return path


def _source(text: str) -> str:
    """The source expression that admits exactly this inline text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
