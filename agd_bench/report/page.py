"""Fill a page: escaping always on, one style sheet and one script, and a policy that admits nothing else."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import jinja2
from markupsafe import Markup

from agd_bench.report.inline_svg import inline_svg

HERE = Path(__file__).parent


def render(template: str, folder: Path = HERE, **context: object) -> str:
    """The page of a template, which finds `style`, `script` and `policy` (for the Content-Security-Policy) beside its context.

    Args:
        template: the file's name.
        folder: where it lies.
        context: what it is filled with; a missing name is an error.
    """
    loader = jinja2.FileSystemLoader([folder, HERE])
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["inline_svg"] = inline_svg
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    policy = (
        f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; img-src data:; base-uri 'none'; form-action 'none'"
    )
    page = environment.get_template(template)
    return page.render(style=Markup(style), script=Markup(script), policy=Markup(policy), **context)


def _source(text: str) -> str:
    """The source expression that admits exactly this inline text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
