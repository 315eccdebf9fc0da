"""Compile the stub for the installed version of torch."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = ("runtime.cpp", "libraries.cpp", "driver.c")
LIBRARIES = ("libtorch_cuda.so", "libc10_cuda.so", "libtorch_python.so", "libtorch_cuda_linalg.so", "libtorch_nvshmem.so")
PREFIXES = "cuda|cudnn|cublas|cusolver|cusparse|nccl|cufft|nvrtc"
REAL = re.compile(r"Get(Error|Status|LastError)(Name|String)|Get(Cudart)?Version|GetStatus")
"""Functions for texts and versions, for which the real libraries need no GPU."""


def missing_tool() -> str:
    """Return why the stub cannot be built here, or an empty string if it can."""
    if not torch_library_folder().joinpath("libtorch_cuda.so").exists():
        return "torch is built without CUDA"
    if not runtime_headers():
        return "the CUDA headers of torch's NVIDIA wheels are not installed"
    return ""


def torch_library_folder() -> Path:
    """Return the folder of torch's own libraries."""
    spec = importlib.util.find_spec("torch")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "lib"


def runtime_headers() -> list[Path]:
    """Return the folders with the CUDA runtime headers."""
    site = torch_library_folder().parents[1]
    return sorted({path.parent for path in site.glob("nvidia/**/driver_types.h")})


def build() -> Path:
    """Return the folder with `stub.so`, to be preloaded, and `libcuda.so.1`; the first call compiles them in about ten seconds.

    Raises:
        RuntimeError: the stub cannot be built here; the message says why.
    """
    reason = missing_tool()
    if reason:
        raise RuntimeError(f"the CUDA stub cannot be built: {reason}")
    content = b"".join((HERE / name).read_bytes() for name in (*SOURCES, "build.py"))
    version = hashlib.sha256(content + str(torch_library_folder()).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"agd_bench-cuda_stub-{version}"
    if not (folder / "stub.so").exists():
        folder.mkdir(exist_ok=True)
        (folder / "generic.cpp").write_text(generic_source())
        options = ["-O1", "-fPIC", "-shared", "-w", "-I", str(HERE / "include"), "-I", str(runtime_headers()[0])]
        sources = [str(HERE / "runtime.cpp"), str(HERE / "libraries.cpp"), str(folder / "generic.cpp")]
        _run(["gcc", *options, str(HERE / "driver.c"), "-o", str(folder / "libcuda.so.1"), "-Wl,-soname,libcuda.so.1"])
        _run(["g++", "-std=c++17", *options, *sources, "-o", str(folder / "stub.so.new"), "-lpthread"])
        (folder / "stub.so.new").rename(folder / "stub.so")  # renamed last and atomically, so that a partially built stub is never used
    return folder


def generic_source() -> str:
    """Return C++ code for all other CUDA library functions that torch calls: they succeed, and objects they create are zeros."""
    written = "".join((HERE / name).read_text() for name in SOURCES)
    return "\n".join(_generic(name) for name in sorted(called_functions()) if f" {name}(" not in written and not REAL.search(name))


def called_functions() -> set[str]:
    """Return the CUDA library functions that torch's libraries leave undefined."""
    found: set[str] = set()
    for library in LIBRARIES:
        path = torch_library_folder() / library
        if path.exists():
            symbols = subprocess.run(["nm", "-D", str(path)], capture_output=True, text=True, check=True).stdout
            found |= set(re.findall(rf" U ((?:{PREFIXES})\w+)", symbols))
    return found


def _generic(name: str) -> str:
    if re.search(r"Create\w*(Descriptor|Descr|Desc)$", name):
        return f'extern "C" int {name}(void **made) {{ *made = __builtin_calloc(1, 1024); return 0; }}'
    return f'extern "C" int {name}() {{ return 0; }}'


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the CUDA stub does not compile: {' '.join(command)}\n{done.stderr}")
