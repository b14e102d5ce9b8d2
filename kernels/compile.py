"""Compiles the CUDA C++ sources to PTX with NVRTC.

    python compile.py SOURCE_FOLDER OUTPUT_FOLDER

Run by `cargo xtask kernels`, in an environment that has the packages of requirements.txt. Python
because NVRTC is a C library that ships as a Python package; ctypes calls it without a build step.
The first line of each PTX carries a hash of all the text that made it, so that a test can tell,
without a compiler, whether the two still belong together.
"""

import ctypes
import hashlib
import importlib.metadata
import pathlib
import re
import sys

ARCHITECTURE = "compute_75"

# IEEE results: no flush to zero, exact division and square root. A multiplication and an addition
# may fuse, which rounds once instead of twice.
OPTIONS = [
    f"--gpu-architecture={ARCHITECTURE}",
    "--std=c++17",
    "--ftz=false",
    "--prec-div=true",
    "--prec-sqrt=true",
    "--fmad=true",
    # NVRTC's own header of target descriptions would leave 34 unused variables in every module;
    # its guard keeps it out.
    "--define-macro=__NV_TARGET_H",
]

INCLUDE = re.compile(rb'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def texts(source, seen):
    """The bytes of `source`, then of each header of ours that it includes, each once."""
    if source in seen:
        return
    seen.add(source)
    text = source.read_bytes()
    yield text
    for name in INCLUDE.findall(text):
        yield from texts(source.parent / name.decode(), seen)


def source_hash(source):
    digest = hashlib.sha256()
    for text in texts(source, set()):
        digest.update(text)
    return digest.hexdigest()


class Nvrtc:
    """The few calls of NVRTC that turn one source into PTX."""

    def __init__(self):
        package = importlib.metadata.distribution("nvidia-cuda-nvrtc-cu12")
        self.version = package.version
        name = "nvidia/cuda_nvrtc/lib/libnvrtc.so.12"
        self.library = ctypes.CDLL(str(package.locate_file(name)))
        self.library.nvrtcGetErrorString.restype = ctypes.c_char_p

    def call(self, name, *arguments):
        result = getattr(self.library, name)(*arguments)
        if result != 0:
            reason = self.library.nvrtcGetErrorString(result).decode()
            raise RuntimeError(f"{name}: {reason}")

    def text(self, program, what):
        """`what` is PTX or ProgramLog: both are fetched by size, then by value."""
        size = ctypes.c_size_t()
        self.call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self.call(f"nvrtcGet{what}", program, buffer)
        return buffer.value.decode()

    def compile(self, source):
        program = ctypes.c_void_p()
        self.call(
            "nvrtcCreateProgram",
            ctypes.byref(program),
            source.read_bytes(),
            source.name.encode(),
            0,
            None,
            None,
        )
        try:
            options = [*OPTIONS, f"--include-path={source.parent}"]
            array = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
            try:
                self.call("nvrtcCompileProgram", program, len(options), array)
            except RuntimeError as error:
                log = self.text(program, "ProgramLog")
                raise RuntimeError(f"{source.name}: {error}\n{log}") from None
            return self.text(program, "PTX")
        finally:
            self.library.nvrtcDestroyProgram(ctypes.byref(program))


def main():
    sources, output = (pathlib.Path(argument) for argument in sys.argv[1:])
    nvrtc = Nvrtc()
    for source in sorted(sources.glob("*.cu")):
        ptx = nvrtc.compile(source).rstrip()
        head = f"// gpumux source-sha256={source_hash(source)} nvrtc={nvrtc.version}"
        (output / source.with_suffix(".ptx").name).write_text(f"{head}\n{ptx}\n")


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(str(error))
