"""Nothing that an archive brings runs without trust, however its records are arranged."""

from __future__ import annotations

import io
import itertools
import pickle
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv import budget, confined
from mconv.errors import CorruptModelError, LimitError, MconvError, NotAModelError, UntrustedError, UsageError
from mconv.torch.sources import exported, open_source, script, unpickle, weights

torch = pytest.importorskip("torch")
from mconv.torch.sources import made as large  # noqa: E402
from tests.torch.sources import archives  # noqa: E402
from tests.torch.sources.archives import ARRANGEMENTS, MARK, PAYLOADS, REFUSED_BY_TORCH  # noqa: E402


class Plain(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.layer(x))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A sound file of each form."""
    folder = tmp_path_factory.mktemp("sound")
    torch.manual_seed(0)
    net = Plain().eval()
    made = {suffix: folder / f"net{suffix}" for suffix in PAYLOADS}
    torch.save(net.state_dict(), made[".pth"])
    torch.jit.script(net).save(made[".pt"])
    rows = {"x": {0: torch.export.Dim("rows")}}
    torch.export.save(torch.export.export(net, (torch.randn(2, 6),), dynamic_shapes=rows), made[".pt2"])
    return made


CASES = [(suffix, payload) for suffix, payloads in PAYLOADS.items() for payload in payloads]


@pytest.mark.parametrize(("suffix", "payload"), CASES)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_nothing_runs(
    suffix: str, payload: str, sound: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every arrangement: refused as untrusted, damaged, or as no model; where it is read, it is the sound one."""
    monkeypatch.chdir(tmp_path)
    held = archives.records(sound[suffix])
    evil, end = PAYLOADS[suffix][payload](held)
    ran = []
    for name, arrange in ARRANGEMENTS.items():
        path = tmp_path / f"x{suffix}"
        path.write_bytes(arrange(evil, held, end))
        for read in (open_source, weights.read):
            try:
                read(path)
            except (UntrustedError, CorruptModelError, NotAModelError, UsageError) as e:
                assert e.message and e.message.isprintable(), name
            else:
                ran.append(f"{name}: read by {read.__name__}")
            if (tmp_path / MARK).exists():
                ran.append(f"{name}: ran in {read.__name__}")
                (tmp_path / MARK).unlink()
    assert not ran
    assert not {p.name for p in tmp_path.iterdir()} - {f"x{suffix}", f"{MARK}_module.py"}


@pytest.mark.parametrize(("suffix", "payload"), [c for c in CASES if c[1] not in REFUSED_BY_TORCH])
def test_the_payloads_would_run(
    suffix: str, payload: str, sound: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With trust each does, so that the test above can fail."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop(f"{MARK}_module", None)
    evil, _ = PAYLOADS[suffix][payload](archives.records(sound[suffix]))
    path = tmp_path / f"y{suffix}"
    path.write_bytes(archives.pack(evil))
    try:
        source = open_source(path, trust=True)
        source.module(torch.zeros(2, 6))
    except Exception:  # noqa: BLE001 - what it becomes does not matter
        pass
    assert (tmp_path / MARK).exists()


@pytest.mark.skipif(not confined.available(), reason="the kernel has no Landlock")
@pytest.mark.parametrize(("suffix", "payload"), [c for c in CASES if c[1] not in REFUSED_BY_TORCH])
def test_the_second_wall(
    suffix: str, payload: str, sound: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were a payload overlooked, its command would not run and its file would not be written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop(f"{MARK}_module", None)
    monkeypatch.setattr(script, "_check", lambda path: None)
    monkeypatch.setattr(exported, "_check", lambda path: None)
    monkeypatch.setattr(unpickle, "check", lambda path, data=None: False)
    monkeypatch.setattr(unpickle, "restricted", lambda where, trust: nullcontext())
    load = torch.load
    monkeypatch.setattr(torch, "load", lambda *a, **options: load(*a, **{**options, "weights_only": False}))
    evil, _ = PAYLOADS[suffix][payload](archives.records(sound[suffix]))
    path = tmp_path / f"y{suffix}"
    path.write_bytes(archives.pack(evil))
    try:
        source = open_source(path)
        source({"x": torch.zeros(2, 6)})
    except Exception:  # noqa: BLE001 - what it becomes does not matter
        pass
    assert not (tmp_path / MARK).exists()


def hidden(suffix: str, payload: str, arrangement: str, sound: dict[str, Path]) -> bytes:
    held = archives.records(sound[suffix])
    evil, end = PAYLOADS[suffix][payload](held)
    return ARRANGEMENTS[arrangement](evil, held, end)


@pytest.mark.parametrize(
    ("suffix", "payload", "arrangement"),
    [(".pt2", "expression", "another ending"), (".pt2", "expression", "upper case"), (".pt", "save", "upper case")],
)
def test_torchs_own_reader_takes_them(
    suffix: str, payload: str, arrangement: str, sound: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The arrangements are no invention: the library alone runs what is hidden so."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"z{suffix}"
    path.write_bytes(hidden(suffix, payload, arrangement, sound))
    try:
        (torch.export.load if suffix == ".pt2" else torch.jit.load)(path)(torch.zeros(2, 6))
    except Exception:  # noqa: BLE001
        pass
    assert (tmp_path / MARK).exists()


@pytest.mark.parametrize("suffix", [".pdparams", ".safetensors", ".npz"])
def test_forms_that_are_no_archives_of_torch(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle instead of them, plain, within an archive, and behind a sound file's beginning."""
    from mconv.dygraph import weights as paddle_weights
    from mconv.proof.feeds import npz_arrays

    monkeypatch.chdir(tmp_path)
    readers: dict[str, Any] = {".pdparams": paddle_weights.read, ".safetensors": weights.read, ".npz": npz_arrays}
    path = tmp_path / f"x{suffix}"
    evil = [
        pickle.dumps({"w": value}, protocol) for value in (archives.Runs(), archives.Opens()) for protocol in range(6)
    ]
    objects = np.empty(1, object)
    objects[0] = archives.Runs()
    np.save(tmp_path / "objects.npy", objects, allow_pickle=True)
    array = (tmp_path / "objects.npy").read_bytes()
    (tmp_path / "objects.npy").unlink()
    inner = [("x.npy", array)], [("x/data.pkl", evil[0])], [("X.NPY", array)]
    files = [*evil, array, *(archives.pack(i) for i in inner), (8).to_bytes(8, "little") + b"{}      " + evil[0]]
    for raw in files:
        path.write_bytes(raw)
        with pytest.raises(MconvError):
            readers[suffix](path)
        assert not (tmp_path / MARK).exists()
    with np.load(path_of(tmp_path, archives.pack(inner[0])), allow_pickle=True) as trusted:
        trusted["x"]
    assert (tmp_path / MARK).exists()


def path_of(folder: Path, raw: bytes) -> Path:
    (folder / "any.npz").write_bytes(raw)
    return folder / "any.npz"


# what is read ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("suffix", list(PAYLOADS))
def test_archives_packed_again_are_read(suffix: str, compressed: bool, sound: dict[str, Path], tmp_path: Path) -> None:
    """By Python's zipfile, with entries for folders, compressed: the same numbers."""
    import zipfile

    held = archives.records(sound[suffix])
    root = held[0][0].partition("/")[0]
    path = tmp_path / f"again{suffix}"
    folders = [(f"{root}/", b""), (f"{root}/data/", b"")]
    path.write_bytes(archives.pack(folders + held, zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED))
    if suffix == ".pth":
        got, want = weights.read(path).tensors, weights.read(sound[suffix]).tensors
        assert list(got) == list(want)
        torch.testing.assert_close(list(got.values()), list(want.values()), rtol=0, atol=0)
        return
    given = {"x": torch.randn(3, 6)}
    torch.testing.assert_close(open_source(path)(given), open_source(sound[suffix])(given), rtol=0, atol=0)


def test_an_entry_for_the_folder_of_models(sound: dict[str, Path], tmp_path: Path, capfd: Any) -> None:
    """torch takes it for a model; what it logs of that is not shown."""
    held = archives.records(sound[".pt2"])
    path = tmp_path / "x.pt2"
    path.write_bytes(archives.pack([("net/models/", b""), *held]))
    with pytest.raises(CorruptModelError, match="takes for a model"):
        open_source(path)
    path.write_bytes(archives.pack([(n, b"{}" if n.endswith("models/model.json") else c) for n, c in held]))
    with pytest.raises(CorruptModelError):
        open_source(path)
    assert capfd.readouterr() == ("", "")


def test_programs_of_torch_before_2_8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another layout, without a folder; its pickles and expressions are looked at, too."""
    monkeypatch.chdir(tmp_path)
    from torch._export.serde import serialize

    net = Plain().eval()
    rows = {"x": {0: torch.export.Dim("rows")}}
    made = serialize.serialize(torch.export.export(net, (torch.randn(2, 6),), dynamic_shapes=rows))
    held = [
        ("version", b"8.14"),
        ("serialized_exported_program.json", made.exported_program),
        ("serialized_state_dict.pt", made.state_dict),
        ("serialized_constants.pt", made.constants),
        ("serialized_example_inputs.pt", made.example_inputs),
    ]
    path = tmp_path / "old.pt2"
    path.write_bytes(archives.pack(held))
    given = torch.randn(3, 6)
    torch.testing.assert_close(open_source(path)({"x": given}), net(given))
    evil, end = PAYLOADS[".pth"]["system"]([("x/data.pkl", b""), ("x/version", b"3"), ("x/byteorder", b"little")])
    for name, content in (
        ("serialized_state_dict.pt", archives.pack(evil)),
        ("serialized_example_inputs.pt", pickle.dumps(archives.Runs(), 2)),
    ):
        path.write_bytes(archives.pack([(n, content if n == name else c) for n, c in held]))
        with pytest.raises((UntrustedError, CorruptModelError)):
            open_source(path)
        assert not (tmp_path / MARK).exists()
    # a new archive within an old one
    path.write_bytes(
        archives.pack([("extra_files/archive_format", b"pt2"), *held, ("extra_files/models/model.jsox", b"{}")])
    )
    open_source(path)
    assert not (tmp_path / MARK).exists()


# sizes ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["9**9**9**9", "(" * 90 + "1" + ")" * 90, "*".join(["9**60"] * 100), "1<<99999", "Pow(9, Pow(9, 9))", "2**s0",
     "+".join(["s0"] * 3000), "LShift(1, 10**9)", "s0**60*s0**60", "9^9^9^9", "factorial(10**9)", "Float('1e999999999')",
     "RoundDecimal(s0, 999999)"],
)  # fmt: skip
def test_sizes_that_no_memory_holds(text: str, sound: dict[str, Path], tmp_path: Path) -> None:
    held, _ = archives._in_graph(archives._sizes(text))(archives.records(sound[".pt2"]))
    path = tmp_path / "x.pt2"
    path.write_bytes(archives.pack(held))
    with pytest.raises((LimitError, UntrustedError)):
        open_source(path)


def test_archives_that_unfold(sound: dict[str, Path], tmp_path: Path) -> None:
    """Zeros that become a hundred times as much: refused before they are unpacked."""
    import zipfile

    held = archives.records(sound[".pth"])
    zeros = bytes(40 << 20)
    for suffix in (".pth", ".npz"):
        path = tmp_path / f"x{suffix}"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, content in held:
                archive.writestr(name, content)
            for number in range(3):
                archive.writestr(f"{held[0][0].partition('/')[0]}/data/{number + 7}", zeros)
        from mconv.proof.feeds import npz_arrays

        with budget.command("60M"), pytest.raises(LimitError, match="unpacking"):
            (npz_arrays if suffix == ".npz" else weights.read)(path)


class Made(torch.nn.Module):
    """What it makes on the way is far larger than it and its results."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Any) -> Any:
        return x + torch.full((self.size,), 1.0).cumsum(0)[-1:]


@pytest.mark.parametrize(("size", "refused"), [(1000, False), (900_000_000, True)])
def test_a_graph_that_makes_large_tensors(size: int, refused: bool) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True):
        program = torch.export.export(Made(size), (torch.ones(3),))
    with budget.command("1G"), pytest.raises(LimitError, match="tensor full") if refused else nullcontext():
        large.check_graph(program, "m.pt2")


def _tensor(
    sizes: tuple[int, ...], strides: tuple[int, ...], numel: int = 12, offset: int = 0, key: str = "0"
) -> bytes:
    """A pickle of a state dict with one tensor, as torch writes it."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return ("storage", torch.FloatStorage, key, "cpu", numel) if value is Tensor else None

    class Tensor:
        def __reduce__(self) -> Any:
            return torch._utils._rebuild_tensor_v2, (Tensor, offset, sizes, strides, False, {})

    out = io.BytesIO()
    Pickler(out, 2).dump({"layer.weight": Tensor()})
    return out.getvalue()


@pytest.mark.parametrize("form", ["state dict", "TorchScript"])
@pytest.mark.parametrize(
    "tensor",
    [{"sizes": (2, 6), "strides": (6, 1), "numel": 10**12}, {"sizes": (2, 10**9), "strides": (6, 1)},
     {"sizes": (10**6, 10**6), "strides": (0, 0)}, {"sizes": (2, 6), "strides": (6, 1), "offset": 10**9},
     {"sizes": (2, 6), "strides": (6, 1), "key": "77"}, {"sizes": (2, 6), "strides": (6,)},
     {"sizes": (-2, 6), "strides": (6, 1)}],
    ids=str,
)  # fmt: skip
def test_tensors_that_are_larger_than_their_file(
    tensor: dict[str, Any], form: str, sound: dict[str, Path], tmp_path: Path
) -> None:
    suffix = ".pth" if form == "state dict" else ".pt"
    held = archives.rewritten(archives.records(sound[suffix]), "data.pkl", lambda _: _tensor(**tensor))
    path = tmp_path / f"x{suffix}"
    path.write_bytes(archives.pack(held))
    with pytest.raises((CorruptModelError, LimitError)):
        open_source(path)


@pytest.mark.parametrize("damage", list(itertools.product([".pth", ".pt", ".pt2"], range(6))), ids=str)
def test_damaged_archives(damage: tuple[str, int], sound: dict[str, Path], tmp_path: Path) -> None:
    """Bytes of the records that torch's readers follow, changed one by one: no reader's own error comes out."""
    import random

    suffix, seed = damage
    rng = random.Random(seed)
    held = archives.records(sound[suffix])
    path = tmp_path / f"x{suffix}"
    followed = [n for n, _ in held if n.endswith((".pkl", ".json", "version", ".pt", ".py"))]
    for _ in range(6 if suffix == ".pth" else 2):
        name = rng.choice(followed)
        changed = bytearray(dict(held)[name])
        for _ in range(rng.randrange(1, 4)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        cut = bytes(changed) if rng.random() < 0.7 else bytes(changed[: rng.randrange(len(changed))])
        path.write_bytes(archives.pack([(n, cut if n == name else c) for n, c in held]))
        try:
            open_source(path)
        except MconvError as e:
            assert e.message.isprintable()


@pytest.mark.parametrize("key", [("module", "a", "b"), "storage", 3, ("storage",)])
def test_a_tensor_of_what_is_no_storage(key: Any, tmp_path: Path) -> None:
    """What a pickle keeps outside of itself can be anything."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return key if value is Pickler else None

    class Tensor:
        def __reduce__(self) -> Any:
            return torch._utils._rebuild_tensor_v2, (Pickler, 0, (2,), (1,), False, {})

    out = io.BytesIO()
    Pickler(out, 2).dump({"w": Tensor()})
    path = tmp_path / "x.pth"
    path.write_bytes(archives.pack([("x/data.pkl", out.getvalue()), ("x/version", b"3")]))
    with pytest.raises(CorruptModelError, match="a storage without|a tensor without a storage"):
        weights.read(path)


@pytest.mark.parametrize("keys", [[0], [b"0"], ["0", 0], [None], {"0"}, [["0"]]])
def test_names_of_storages_in_files_before_1_6(keys: Any, tmp_path: Path) -> None:
    out = io.BytesIO()
    torch.save({"w": torch.zeros(2)}, out, _use_new_zipfile_serialization=False)
    raw = out.getvalue()
    at = raw.rindex(b"\x80\x02]")  # the pickle of the names
    end = raw.index(b".", at) + 1
    path = tmp_path / "x.pth"
    path.write_bytes(raw[:at] + pickle.dumps(keys, 2) + raw[end:])
    with pytest.raises(CorruptModelError, match="damaged pickle"):
        weights.read(path)
    path.write_bytes(raw)
    assert list(weights.read(path).tensors) == ["w"]
