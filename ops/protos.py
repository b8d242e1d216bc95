"""Generates the Python code of `protos/` into `gen/`, and the image that buf checks.

Why: generated code is not committed, so every machine must be able to make it, offline and in one step (F-60).
"""

import argparse
import compileall
import hashlib
import shutil
import sys
import tempfile
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from ops.local.paths import exclusively

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
GEN = ROOT / "gen"
STAMP = ".stamp"
IMAGE = GEN / "image.binpb"
TOOLS = ("grpcio-tools", "mypy-protobuf", "protobuf", "protovalidate")
VALIDATE = "buf/validate/validate.proto"


def generate(source: Path = PROTOS, target: Path = GEN) -> bool:
    """Make `target` from `source` unless it is up to date; True when it was made. Processes take turns."""
    with exclusively(target.parent / f".{target.name}.lock"):
        wanted = _digest(source)
        stamp = target / STAMP
        if stamp.is_file() and stamp.read_text() == wanted:
            return False
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
            fresh = Path(folder) / "fresh"
            fresh.mkdir()
            _build(source, fresh)
            (fresh / STAMP).write_text(wanted)
            _swap(fresh, target, Path(folder) / "old")
        return True


def build_image(source: Path, image: Path) -> None:
    """Write the descriptor image of `source`, with comments, for buf and for the events catalogue."""
    with tempfile.TemporaryDirectory(prefix="onefold-image-") as folder:
        foundation = _foundation(Path(folder))
        _protoc(source, foundation, [f"-o{image}", "--include_imports", "--include_source_info"], _names(source))


def _names(source: Path) -> list[str]:
    return sorted(str(path.relative_to(source)) for path in source.rglob("*.proto"))


def _digest(source: Path) -> str:
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for tool in TOOLS:
        digest.update(f"{tool}={version(tool)}\n".encode())
    for name in _names(source):
        digest.update(name.encode() + b"\0" + (source / name).read_bytes() + b"\0")
    return digest.hexdigest()


def _foundation(folder: Path) -> Path:
    """The descriptor set of what our protos import: google's own types and buf/validate.

    protovalidate ships neither `validate.proto` nor `validate_pb2`, only its descriptor, under a private path:
    the version is pinned (F-59, F-60).
    """
    from google.protobuf import descriptor_pb2, duration_pb2, empty_pb2, field_mask_pb2, timestamp_pb2
    from protovalidate._gen.buf.validate import validate_pb

    foundation = descriptor_pb2.FileDescriptorSet()
    for module in (descriptor_pb2, duration_pb2, empty_pb2, field_mask_pb2, timestamp_pb2):
        foundation.file.add().ParseFromString(module.DESCRIPTOR.serialized_pb)
    foundation.file.add().ParseFromString(validate_pb.desc().proto.to_binary())
    path = folder / "foundation.binpb"
    path.write_bytes(foundation.SerializeToString())
    return path


def _protoc(source: Path, foundation: Path, outputs: list[str], names: list[str]) -> None:
    from grpc_tools import protoc

    include = files("grpc_tools") / "_proto"
    arguments = [f"-I{source}", f"-I{include}", f"--descriptor_set_in={foundation}", *outputs, *names]
    if protoc.main(["protoc", *arguments]) != 0:
        raise SystemExit("protos do not compile (see above)")


def _build(source: Path, target: Path) -> None:
    scripts = Path(sys.executable).parent
    with tempfile.TemporaryDirectory(prefix="onefold-protos-") as folder:
        foundation = _foundation(Path(folder))
        names = _names(source)
        plugins = [f"--plugin=protoc-gen-{name}={scripts}/protoc-gen-{name}" for name in ("mypy", "mypy_grpc")]
        stubs = [f"--python_out={target}", f"--mypy_out=quiet:{target}"]
        _protoc(source, foundation, [*plugins, *stubs], [*names, VALIDATE])
        services = [name for name in names if name.endswith("_service.proto")]
        calls = [f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet,only_async:{target}"]
        _protoc(source, foundation, [*plugins, *calls], services)
    build_image(source, target / IMAGE.name)
    for folder_path in sorted({path.parent for path in target.rglob("*.py")}):
        while folder_path != target:
            (folder_path / "__init__.py").touch()
            folder_path = folder_path.parent
    if not compileall.compile_dir(target, quiet=2, stripdir=str(target), prependdir=str(GEN)):
        raise SystemExit("the generated code does not compile")


def _swap(fresh: Path, target: Path, old: Path) -> None:
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def main() -> None:
    """Command line: `python -m ops.protos`, or `--image FILE` for the image alone."""
    parser = argparse.ArgumentParser(description="Generate gen/ from protos/.")
    parser.add_argument("--image", type=Path, help="write only the image, to this file")
    image = parser.parse_args().image
    if image is not None:
        build_image(PROTOS, image)
    else:
        generate()


if __name__ == "__main__":
    main()
