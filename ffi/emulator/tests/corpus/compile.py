"""Compiles the corpus with the NVRTC of the environment that runs this.

    python compile.py SOURCE_FOLDER OUTPUT_FOLDER [ARCHITECTURE...]

Each source is compiled for each architecture, with and without fast arithmetic, to
NAME.CUDA.ARCHITECTURE.MODE.ptx. Python, because NVRTC is a C library that ships as a Python package.
"""

import ctypes
import pathlib
import re
import sys
import sysconfig

ARCHITECTURES = ["75", "80", "86", "90"]
MODES = {"plain": [], "fast": ["--use_fast_math", "--generate-line-info"]}


class Nvrtc:
    """The few calls of NVRTC that turn one source into PTX."""

    def __init__(self):
        packages = pathlib.Path(sysconfig.get_path("purelib")) / "nvidia"
        (path,) = [p for p in packages.glob("**/libnvrtc.so.*") if not p.name.endswith("alt.so")]
        self.library = ctypes.CDLL(str(path))
        self.library.nvrtcGetErrorString.restype = ctypes.c_char_p
        folders = [*packages.glob("*/include"), *packages.glob("*/include/cccl")]
        self.includes = [str(path) for path in folders]
        major, minor = ctypes.c_int(), ctypes.c_int()
        self.call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        self.version = f"{major.value}-{minor.value}"

    def call(self, name, *arguments):
        result = getattr(self.library, name)(*arguments)
        if result != 0:
            raise RuntimeError(f"{name}: {self.library.nvrtcGetErrorString(result).decode()}")

    def text(self, program, what):
        """`what` is PTX or ProgramLog: both are fetched by size, then by value."""
        size = ctypes.c_size_t()
        self.call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self.call(f"nvrtcGet{what}", program, buffer)
        return buffer.value.decode()

    def compile(self, source, options):
        program, text = ctypes.c_void_p(), source.read_bytes()
        name = source.name.encode()
        self.call("nvrtcCreateProgram", ctypes.byref(program), text, name, 0, None, None)
        options = [*options, "--std=c++17", "--device-int128"]
        options += [f"--include-path={path}" for path in self.includes]
        array = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        try:
            self.call("nvrtcCompileProgram", program, len(options), array)
            # Line information names the source by where it lay, which is nobody's business.
            return re.sub(r'(\.file\s+\d+ ")[^"]*/', r"\1", self.text(program, "PTX"))
        except RuntimeError as error:
            log = self.text(program, "ProgramLog")
            raise RuntimeError(f"{source.name}: {error}\n{log}") from None
        finally:
            self.library.nvrtcDestroyProgram(ctypes.byref(program))


def main():
    sources, output = (pathlib.Path(argument) for argument in sys.argv[1:3])
    architectures = sys.argv[3:] or ARCHITECTURES
    nvrtc = Nvrtc()
    files = sorted(sources.glob("*.cu")) if sources.is_dir() else [sources]
    for source in files:
        for architecture in architectures:
            for mode, options in MODES.items():
                options = [f"--gpu-architecture=compute_{architecture}", *options]
                name = f"{source.stem}.{nvrtc.version}.{architecture}.{mode}.ptx"
                try:
                    (output / name).write_text(nvrtc.compile(source, options).rstrip("\n\0") + "\n")
                except RuntimeError as error:
                    sys.exit(f"{name}: {error}")


if __name__ == "__main__":
    main()
