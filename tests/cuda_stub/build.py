"""Compile the stub for the torch that is installed."""

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
"""Texts and versions, which the real libraries give without a GPU."""


def missing_tool() -> str:
    """Why the stub cannot be built here; empty if it can."""
    if not torch_library_folder().joinpath("libtorch_cuda.so").exists():
        return "torch is built without CUDA"
    if not runtime_headers():
        return "the CUDA headers of torch's NVIDIA wheels are not installed"
    return ""


def torch_library_folder() -> Path:
    """Where torch's own libraries are."""
    spec = importlib.util.find_spec("torch")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "lib"


def runtime_headers() -> list[Path]:
    """Folders with the headers of the CUDA runtime."""
    site = torch_library_folder().parents[1]
    return sorted({path.parent for path in site.glob("nvidia/**/driver_types.h")})


def build() -> Path:
    """The folder with `stub.so`, to be preloaded, and `libcuda.so.1`; compiled at the first call, in about ten seconds.

    Raises:
        RuntimeError: it cannot be built here, with the reason.
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
        (folder / "stub.so.new").rename(folder / "stub.so")  # last and at once, so that a half-built stub is never used
    return folder


def generic_source() -> str:
    """C++ of every other function of CUDA's libraries that torch calls: it succeeds, and what it creates is a block of zeros."""
    written = "".join((HERE / name).read_text() for name in SOURCES)
    return "\n".join(_generic(name) for name in sorted(called_functions()) if f" {name}(" not in written and not REAL.search(name))


def called_functions() -> set[str]:
    """Functions of CUDA's libraries that torch's libraries leave undefined."""
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
