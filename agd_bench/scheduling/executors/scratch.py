"""Checkpoints on a node's own disk: where they are, who may touch them, and when they go.

An attempt that is repeated on the same node goes on from them; on another node it starts from its first epoch, with the same result.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

FORGOTTEN_SECONDS = 7 * 86_400.0
"""A trial's checkpoints that were not touched for so long are of a run that went on elsewhere, or never."""

log = logging.getLogger(__name__)


def name_of(checkpoints: Path) -> str:
    """A run's folder in the scratch of its nodes.

    Args:
        checkpoints: where the checkpoints would be on the driver's host.
    """
    return hashlib.sha256(str(checkpoints).encode()).hexdigest()[:16]


def open_scratch(name: str) -> Path | None:
    """The folder of a run in this node's temporary folder, without what earlier runs left there.

    Args:
        name: as `name_of` says.

    Returns:
        The folder; None: it cannot be made, or is another user's, and there are no checkpoints.
    """
    root = Path(tempfile.gettempdir()) / f"agd-bench-{os.getuid()}"
    try:
        (root / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        # In a folder that everybody can write to, another user may have made it first, to have us load what is there.
        if root.is_symlink() or root.stat().st_uid != os.getuid():
            log.warning("%s belongs to somebody else; no checkpoints are written", root)
            return None
        root.chmod(0o700)
    except OSError as error:
        log.warning("%s cannot be used: %s; no checkpoints are written", root, error)
        return None
    _forget(root)
    return root / name


def _forget(root: Path) -> None:
    for folder in root.glob("*/*"):
        with suppress(OSError):  # another worker removes it at this moment
            if time.time() - folder.stat().st_mtime > FORGOTTEN_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
