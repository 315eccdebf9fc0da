"""Commands about this machine: `doctor`."""

from __future__ import annotations

import json

from agd_bench.cli.options import JsonOption


def doctor(as_json: JsonOption = False) -> None:
    """Check devices, data sets, Ray and optional packages."""
    from agd_bench.datasets import data_root
    from agd_bench.doctor import examine

    findings = examine(data_root())
    if as_json:
        print(json.dumps([finding._asdict() for finding in findings], indent=2))
        return
    signs = {"ok": "ok     ", "missing": "–      ", "warning": "WARNING"}
    for finding in findings:
        advice = f"; {finding.advice}" if finding.advice else ""
        print(f"{signs[finding.verdict]}  {finding.what}: {finding.detail}{advice}")
