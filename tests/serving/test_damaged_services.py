"""The files of a service that somebody else wrote are read, or refused with one line: no recursion, no endless reading."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mconv import api
from mconv.errors import MconvError, NotAModelError
from mconv.serving import servers
from mconv.serving.servers import Binding
from tests.golden import case
from tests.serving.generated import STAGES, ocr_service

# server → its files that are read before it is started
_FILES = {
    "http": ("service.yml", "engine.py"),
    "paddle-serving": ("config.yml",),
    "triton": ("service.json", "models/model/1/engine.py"),
    "openvino-model-server": ("service.json",),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Path], Path]:
    """A service on a server, in a folder of its own."""
    made = tmp_path_factory.mktemp("services")
    api.to_serving(case("2.3.2-mlp").model, out=made / "s")

    def copy(server: str, folder: Path) -> Path:
        kept = made / server
        if not kept.exists():
            api.scaffold(made / "s" / "serving_server", out=kept, service="tensor", server=server)
        return Path(shutil.copytree(kept, folder / "service"))

    return copy


def _sparse(path: Path) -> None:
    os.truncate(path, 1 << 38)


def _kernel(path: Path) -> None:  # an ordinary file, to stat; reading it waits for the kernel to say something
    path.unlink()
    path.symlink_to("/proc/kmsg")


def _deep(path: Path) -> None:
    path.write_text("x = " + "-" * 100_000 + "1\n" if path.suffix == ".py" else "[" * 200_000)


def _sum(path: Path) -> None:
    path.write_text("x = " + "+".join(["1"] * 50_000) + "\n")


def _number(path: Path) -> None:
    path.write_text("x = " + "9" * 20_000 + "\n" if path.suffix == ".py" else '{"name": ' + "9" * 20_000 + "}")


@pytest.mark.parametrize("damage", [_sparse, _kernel, _deep, _sum, _number])
@pytest.mark.parametrize("server, file", [(server, file) for server, files in _FILES.items() for file in files])
def test_a_damaged_file(
    written: Callable[[str, Path], Path], server: str, file: str, damage: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = written(server, tmp_path)
    assert servers.read(folder).server_name == server
    damage(folder / file)
    if damage is _kernel and file == "engine.py":  # is empty to what asks for its size; it says nothing then
        servers.read(folder)
        return
    with pytest.raises(MconvError) as caught:
        servers.read(folder)
    assert len(caught.value.message.splitlines()) == 1 and len(caught.value.message) < 1000


@pytest.mark.parametrize(
    "text", ["", "{", "ENGINE = [1\n", "x = " + "-" * 10_000 + "1\n"], ids=["empty", "no-python", "open", "deep"]
)
@pytest.mark.parametrize("stage", list(STAGES))
def test_a_damaged_engine_of_several(tmp_path: Path, stage: str, text: str) -> None:
    """Whichever it is: reading the service looks at the first alone."""
    ocr_service(server="triton").write(tmp_path)
    path = tmp_path / f"models/{stage}/1/engine.py"
    path.write_text(text)
    with pytest.raises(NotAModelError, match="not a service|not the engine of a service"):
        found = servers.read(tmp_path)
        assert found is not None
        servers.of(found).launch(found, Binding("127.0.0.1", 1))


@pytest.mark.parametrize("server", ["triton", "openvino-model-server"])
def test_without_its_module_for_requests(written: Callable[[str, Path], Path], server: str, tmp_path: Path) -> None:
    folder = written(server, tmp_path)
    (module,) = folder.rglob("tensor_input.py")
    module.unlink()
    with pytest.raises(NotAModelError, match="none of text_input.py, image_input.py, tensor_input.py"):
        servers.read(folder)
