"""Plain data: nested dicts and lists of tensors, numbers and strings, as bytes, as files and as a hash; never pickle.

Memory, keep, tasks and reports are plain, so they cross a wire, a disk and a hash without code of their own.
"""

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_bytes
from safetensors.torch import save as save_bytes
from torch import Tensor

from brainct.core.json_file import DEEPEST
from brainct.errors import Refused, shown

Plain = Any
LONGEST = 4096
"""Bits of a whole number; Python writes none of many more in digits."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says of a disk, a quota or a limit that leaves no room for a file."""
PARTIAL = ".partial"
_TENSOR, _SKELETON = "$tensor", "$skeleton"


def split(value: Plain) -> tuple[dict[str, Tensor], Plain]:
    """The tensors by path, and the rest as JSON with a reference where each tensor stood.

    A tensor that occurs twice is listed once. Tuples become lists. Anything else than dict with string keys, list,
    tensor, str, bool, int, finite float and None is refused with its path.
    """
    tensors: dict[str, Tensor] = {}
    seen: dict[int, str] = {}

    def name_of(tensor: Tensor, path: str) -> str:
        name = seen.setdefault(id(tensor), path)
        tensors.setdefault(name, tensor)
        return name

    return tensors, _walk(value, "", lambda tensor, path: {_TENSOR: name_of(tensor, path)})


def _walk(value: Plain, path: str, leaf: Callable[[Tensor, str], Plain], level: int = 0) -> Plain:
    if level > DEEPEST:
        raise Refused(f"plain data is nested more than {DEEPEST} levels deep; brainct writes nothing like that")
    if isinstance(value, Tensor):
        return leaf(value, path)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or key.startswith("$"):
                raise Refused(f"plain data at {_at(path)}: key {shown(key)}; wanted a string without a leading $")
        return {key: _walk(item, f"{path}/{key}", leaf, level + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_walk(item, f"{path}/{index}", leaf, level + 1) for index, item in enumerate(value)]
    if value is None or isinstance(value, str | bool) or (isinstance(value, int) and value.bit_length() <= LONGEST):
        return value
    if isinstance(value, float) and value - value == 0:
        return value
    raise Refused(f"plain data at {_at(path)}: {shown(value)} of {type(value).__name__}; wanted finite plain data")


def _at(path: str) -> str:
    return f"{path:.200}" if path else "the top"


def join(tensors: Mapping[str, Tensor], skeleton: Plain, level: int = 0) -> Plain:
    """The value whose `split` gave these; whatever `split` could not have given is refused."""
    if level > DEEPEST:
        raise Refused(f"plain data is nested more than {DEEPEST} levels deep; brainct writes nothing like that")
    if isinstance(skeleton, dict):
        if _TENSOR in skeleton:
            return _referred(tensors, skeleton[_TENSOR])
        return {key: join(tensors, item, level + 1) for key, item in skeleton.items()}
    if isinstance(skeleton, list):
        return [join(tensors, item, level + 1) for item in skeleton]
    if skeleton is None or isinstance(skeleton, str | bool | int | float):
        return skeleton
    raise Refused(f"plain data holds {type(skeleton).__name__}; wanted dicts, lists, tensors, text and numbers")


def _referred(tensors: Mapping[str, Tensor], name: Plain) -> Tensor:
    if not isinstance(name, str) or not isinstance(tensors.get(name), Tensor):
        raise Refused(f"plain data refers to tensor {name!r:.80}, which did not come with it")
    return tensors[name]


def size(value: Plain) -> int:
    """Bytes that a value costs on a wire: its tensors' values and the JSON of the rest, without any envelope."""
    total = 0

    def count(tensor: Tensor, path: str) -> None:
        nonlocal total
        total += tensor.numel() * tensor.element_size()

    return len(json.dumps(_walk(value, "", count), separators=(",", ":"))) + total


def sha256(value: Plain) -> str:
    """64 hex digits over structure and values; the order of a dict's keys does not matter."""
    tensors: list[bytes] = []

    def digest(tensor: Tensor, path: str) -> str:
        flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        tensors.append(flat)
        return f"{tensor.dtype}|{tuple(tensor.shape)}|{hashlib.sha256(flat).hexdigest()}"

    return hashlib.sha256(json.dumps(_walk(value, "", digest), sort_keys=True).encode()).hexdigest()


def pack(value: Plain) -> bytes:
    """One value as bytes: a safetensors file whose extra tensor holds the JSON of the rest."""
    tensors, skeleton = split(value)
    text = json.dumps(skeleton, separators=(",", ":")).encode()
    own = {name: _own(tensor) for name, tensor in tensors.items()}
    content: bytes = save_bytes({**own, _SKELETON: torch.frombuffer(bytearray(text), dtype=torch.uint8)})
    return content


def _own(tensor: Tensor) -> Tensor:
    """A contiguous CPU tensor that shares its storage with no other."""
    tensor = tensor.detach().cpu().contiguous()
    return tensor.clone() if tensor.untyped_storage().nbytes() != tensor.numel() * tensor.element_size() else tensor


def unpack(content: bytes, whose: str = "plain data") -> Plain:
    """The value that was packed; refuses bytes that are cut or were not made by `pack`, and runs nothing in them."""
    try:
        tensors = load_bytes(content)
        skeleton = json.loads(tensors.pop(_SKELETON).numpy().tobytes())
    except (SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise Refused(
            f"{whose} can't be read ({type(error).__name__}); wanted a whole file written by brainct"
        ) from error
    return join(tensors, skeleton)


def save(path: Path, value: Plain) -> None:
    """Write a value, for its owner alone, so that a crash at any moment leaves the file as it was or as it is then."""
    write(path, pack(value), private=True)


def load(path: Path) -> Plain:
    """The value that was saved under this path."""
    return unpack(path.read_bytes(), str(path.name))


def write(path: Path, content: bytes, private: bool = False) -> None:
    """Replace a file's content atomically and flush it to the disk; Refused, the old content left, where it is full.

    private: nobody but its owner may read it or list its folder, whatever the umask, and whoever could before.
    """
    try:
        _write(path, content, private)
    except OSError as error:
        if error.errno not in FULL:
            raise
        path.with_name(path.name + PARTIAL).unlink(missing_ok=True)
        raise Refused(
            f"{path.name} can't be written: the disk of {path.parent} is full; make room there. What was written "
            "before is whole"
        ) from None


def _write(path: Path, content: bytes, private: bool) -> None:
    folder_for(path, private)
    partial = path.with_name(path.name + PARTIAL)
    partial.unlink(missing_ok=True)  # what a crash, or somebody else, left there has rights of its own
    mode, new = 0o600 if private else 0o666, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with open(partial, "wb", opener=lambda name, flags: os.open(name, flags | new, mode)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name, too, outlives a power cut
    finally:
        os.close(folder)


def folder_for(path: Path, private: bool = False) -> None:
    """Make the folder of a file where there is none; a private one is its owner's alone from then on."""
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700 if private else 0o777)
    found = folder.stat()
    if private and found.st_mode & 0o077 and found.st_uid == os.geteuid():
        folder.chmod(0o700)


class OnDisk(Mapping[str, Tensor]):
    """Weights that stay in a safetensors file and come one tensor at a time."""

    def __init__(self, path: Path, weights: Mapping[str, Tensor]):
        self._path, self._keys = path, list(weights)
        folder_for(path, private=True)
        path.write_bytes(save_bytes({key: _own(value) for key, value in weights.items()}))

    def __getitem__(self, key: str) -> Tensor:
        if key not in self._keys:
            raise KeyError(key)
        with safe_open(self._path, framework="pt") as file:
            tensor: Tensor = file.get_tensor(key)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)
