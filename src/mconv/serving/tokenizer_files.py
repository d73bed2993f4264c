"""The tokenizer of a text model: which file it is, and what is known of it without any library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from mconv.errors import CorruptModelError, UsageError
from mconv.printable import printable
from mconv.program.paths import PathLike
from mconv.serving.sidecars import read_json, read_text

# the names that files of a kind go by, the best kind first
NAMES = {
    "json": ("tokenizer.json",),
    "vocab": ("vocab.txt",),
    "sentencepiece": ("spiece.model", "sentencepiece.model", "spm.model", "tokenizer.model"),
}
# SentencePiece's numbers are not the model's own: XLM-R and its like shift them
_SHIFTED = "sentencepiece.bpe.model"
_PADS = ("[PAD]", "<pad>", "<PAD>", "<|pad|>", "<|endoftext|>")
DEFAULT_LENGTH = 512
_NO_LIMIT = 1_000_000  # a library writes 1e30 for none


@dataclass(frozen=True)
class TokenizerFile:
    """A tokenizer.

    Attributes:
        path: the file.
        kind: ``json`` (the tokenizers library's), ``vocab`` (WordPiece, one token a line) or ``sentencepiece``.
        pad: the number that fills up short texts.
        length: how many tokens the model takes at most, where that is written down.
        lowercase: whether texts are made lower case first; None where the file itself says so.
    """

    path: Path
    kind: str
    pad: int = 0
    length: Optional[int] = None
    lowercase: Optional[bool] = None

    @property
    def name(self) -> str:
        """What the service calls it."""
        return {"json": "tokenizer.json", "vocab": "vocab.txt"}.get(self.kind, "tokenizer.model")


def find(given: Optional[PathLike], beside: Optional[Path]) -> Optional[TokenizerFile]:
    """The tokenizer that the user names, a file or a folder with one, or the one beside the model; None if there is none.

    Raises:
        UsageError: the given path is no tokenizer that a service can use.
        CorruptModelError: the file is damaged.
    """
    if given is None:
        inside = _in_folder(beside) if beside is not None and beside.is_dir() else None
        try:
            return None if inside is None else _read(inside)
        except UsageError:  # something else by that name, which nobody has pointed at
            return None
    path = Path(given)
    if path.is_dir():
        inside = _in_folder(path)
        if inside is None:
            if (path / _SHIFTED).is_file():
                return _read(path / _SHIFTED)
            every = ", ".join(name for names in NAMES.values() for name in names)
            raise UsageError(f"--tokenizer: {path} holds no tokenizer", f"looked for {every}")
        path = inside
    if not path.is_file():
        raise UsageError(f"--tokenizer: {path}: no such file")
    return _read(path)


def _in_folder(folder: Path) -> Optional[Path]:
    return next((folder / n for names in NAMES.values() for n in names if (folder / n).is_file()), None)


def _read(path: Path) -> TokenizerFile:
    if path.name == _SHIFTED:
        raise UsageError(
            f"--tokenizer: {path}: the models that come with this file count their tokens in another way than it",
            "save tokenizer.json: transformers.AutoTokenizer.from_pretrained(…).save_pretrained(FOLDER)",
        )
    settings = {**read_json(path.with_name("config.json")), **read_json(path.with_name("tokenizer_config.json"))}
    numbers = [settings.get("max_position_embeddings"), settings.get("model_max_length")]
    lengths = [int(n) for n in numbers if isinstance(n, (int, float)) and 1 <= n < _NO_LIMIT]
    length = min(lengths, default=None)
    if path.suffix == ".json":
        return _tokenizer_json(path, length)
    if path.suffix == ".model":
        return TokenizerFile(path, "sentencepiece", 0, length)
    tokens = read_text(path).splitlines()
    if "[CLS]" not in tokens or "[SEP]" not in tokens or "[UNK]" not in tokens:
        raise UsageError(
            f"--tokenizer: {path} is no WordPiece vocabulary: it lacks [CLS], [SEP] or [UNK]",
            "give tokenizer.json, vocab.txt or SentencePiece's .model",
        )
    lowercase = settings.get("do_lower_case")
    if not isinstance(lowercase, bool):  # a vocabulary without capitals would know no word that has one
        lowercase = not any(c.isascii() and c.isupper() for t in tokens if not t.startswith("[") for c in t)
    pad = tokens.index("[PAD]") if "[PAD]" in tokens else 0
    return TokenizerFile(path, "vocab", pad, length, lowercase)


def _tokenizer_json(path: Path, length: Optional[int]) -> TokenizerFile:
    content = read_json(path)
    model = content.get("model")
    if not isinstance(model, dict):
        raise CorruptModelError(f"{path}: not a tokenizer.json of the tokenizers library: it has no model")
    cut = _number(path, content, "truncation", "max_length", 1)
    length = cut if cut is not None and cut < _NO_LIMIT else length
    pad = _number(path, content, "padding", "pad_id", 0)
    if pad is not None:
        return TokenizerFile(path, "json", pad, length)
    added = content.get("added_tokens") or []
    if not isinstance(added, list) or not all(isinstance(t, dict) and isinstance(t.get("content"), str) for t in added):
        raise CorruptModelError(f"{path}: added_tokens is no list of tokens")
    numbers = {t["content"]: _number(path, {"added_tokens": t}, "added_tokens", "id", 0) for t in added}
    pads = [number for number in map(numbers.get, _PADS) if number is not None]
    return TokenizerFile(path, "json", pads[0] if pads else 0, length)


def _number(path: Path, content: dict[str, Any], part: str, key: str, least: int) -> Optional[int]:
    """A number in a part of a tokenizer.json; None where it says none.

    Raises:
        CorruptModelError: it is no number of a token, or of tokens.
    """
    within = content.get(part)
    value = within.get(key) if isinstance(within, dict) else None
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 1 << 64:
        raise CorruptModelError(f"{path}: {part}: {key} is {printable(repr(value), 60)}")
    return value
