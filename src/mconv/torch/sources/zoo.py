"""Models of timm, by name."""

from __future__ import annotations

import pickle
from typing import Any

from mconv.errors import MissingDependencyError, NotAModelError, UsageError
from mconv.factory.inputs import Input
from mconv.factory.loading import user_code
from mconv.program.dtypes import DType
from mconv.torch.sources import unpickle
from mconv.torch.sources.forms import Form
from mconv.torch.sources.source import Source


def open_timm(name: str, arguments: dict[str, Any], *, pretrained: bool, trust: bool) -> Source:
    """``timm.create_model``; the input has the size that the model was trained with.

    Args:
        pretrained: with the weights that timm downloads, unless *arguments* say otherwise.

    Raises:
        MissingDependencyError: timm is not installed.
        NotAModelError: it has no model of that name, or the weights cannot be had.
    """
    try:
        import timm  # type: ignore[import-not-found,unused-ignore]
    except ImportError as e:
        raise MissingDependencyError(f"{name}: needs timm ({e})", "pip install timm") from None
    model = name[len("timm:") :] if name.startswith("timm:") else name
    if not timm.is_model(model) and not model.startswith(("hf-hub:", "hf_hub:")):
        near = timm.list_models(f"*{model.partition('.')[0][:8]}*")[:5]
        raise NotAModelError(
            f"{name}: neither a path nor a model of timm {timm.__version__}",
            f"timm has {', '.join(near)}" if near else "timm.list_models() names them",
        )
    options = {"pretrained": pretrained, **arguments}
    with unpickle.restricted(name, trust=trust), user_code(name):
        try:
            made = timm.create_model(model, **options)
        except TypeError as e:
            raise UsageError(f"{name}: {e}", "arguments are those of timm.create_model") from None
        except Exception as e:
            if not options["pretrained"] or isinstance(e, pickle.UnpicklingError):
                raise
            raise NotAModelError(
                f"{name}: its weights cannot be had ({type(e).__name__}: {(str(e).splitlines() or [''])[0][:200]})",
                "give a file with --weights, or take random ones with --arg pretrained=False",
            ) from e
    size = made.pretrained_cfg.get("input_size") or (3, 224, 224)
    fixed = made.pretrained_cfg.get("fixed_input_size", False)
    dims = tuple(int(d) for d in size[1:]) if fixed else ("height", "width")
    source = Source(Form.TIMM, type(made).__name__, made, [Input("x", DType.FP32, ("batch", int(size[0]), *dims))])
    source.facts = {"model": model, "pretrained": bool(options["pretrained"])}
    if not fixed:
        source.sizes = {"height": (int(size[1]), int(size[1]) + 32), "width": (int(size[2]), int(size[2]) + 64)}
    return source
