"""A model in Paddle Inference, of every version from 1.8 to 3; see ``worker_frames.py`` for where this is executed."""

import os
import re
import tempfile

from worker_feeds import CannotCarry, OtherFormat, check_names, core_of, lod_of


def onednn_operators(paddle):
    """The operators that this Paddle has a kernel of oneDNN for: those that it is used for by default."""
    kernels = core_of(paddle)._get_all_register_op_kernels()
    return {name for name, kinds in kernels.items() if any("MKLDNN]" in kind for kind in kinds)}


class OnPredictor:
    """A model in Paddle Inference's Predictor, before 2.0 the AnalysisPredictor: what servers use."""

    engine = "predictor"

    def __init__(self, request):
        import paddle

        self.version = paddle.__version__
        program, params = request["program"], request["params"]
        self.folder = None
        if params is None and program.endswith(".json"):
            params = ""  # a program of Paddle 3 without parameters: None would be its folder
        files = [program, params] if params is not None else [self.model_folder(program)]
        try:
            from paddle import inference
        except ImportError:
            inference = None
        if inference is not None and hasattr(inference, "create_predictor"):
            config = inference.Config(*files)
            create = inference.create_predictor
        else:  # before 2.0
            from paddle.fluid import core

            config = core.AnalysisConfig(*files)
            config.switch_use_feed_fetch_ops(False)
            config.switch_specify_input_names(True)
            create = core.create_paddle_predictor
        self.configure(config, request)
        self.config = config
        self.predictor = create(config)
        self.lods = request.get("lods", {})

    def model_folder(self, program):
        """Parameters in separate files can only be named by their folder, in which the program is __model__."""
        folder, name = os.path.split(os.path.abspath(program))
        if name == "__model__":
            return folder
        self.folder = tempfile.TemporaryDirectory(prefix="mconv-worker-")
        for entry in os.listdir(folder):
            if entry != "__model__":
                os.symlink(os.path.join(folder, entry), os.path.join(self.folder.name, entry))
        os.symlink(os.path.join(folder, name), os.path.join(self.folder.name, "__model__"))
        return self.folder.name

    @staticmethod
    def configure(config, request):
        config.disable_gpu()
        if not request.get("log"):
            config.disable_glog_info()
        config.set_cpu_math_library_num_threads(request["threads"])
        config.switch_ir_optim(request["ir_optim"])
        # with a .json it ends the loading in 3.3.1: "Not find predictor_id 0 and pass_name memory_optimize_pass"
        if request["memory_optim"] and not request["program"].endswith(".json"):
            config.enable_memory_optim()
        elif "x: bool" in (type(config).enable_memory_optim.__doc__ or ""):
            config.enable_memory_optim(False)  # on by default from 3.0 on
        if request["onednn"]:
            config.enable_mkldnn()
            if request.get("onednn_except"):
                import paddle

                config.set_mkldnn_op(onednn_operators(paddle) - set(request["onednn_except"]))
            if request.get("precision"):
                ask = getattr(config, "enable_mkldnn_" + request["precision"], None)
                if ask is None:
                    raise OtherFormat(f"oneDNN has no {request['precision']} in this Paddle")
                ask()
        elif request["onednn"] is False and hasattr(config, "disable_mkldnn"):
            config.disable_mkldnn()  # before 2.6 it is off unless asked for
        for name in request["passes"]:
            config.pass_builder().append_pass(name)

    def handle(self, kind, name):
        predictor = self.predictor
        get = getattr(predictor, f"get_{kind}_handle", None) or getattr(predictor, f"get_{kind}_tensor")
        return get(name)

    def run(self, feed):
        """Run once on a mapping name → array; returns the output names, their arrays and Paddle's dtype names."""
        names = list(self.predictor.get_input_names())
        check_names(names, feed)
        for name in names:
            tensor, array = self.handle("input", name), feed[name]
            # without an overload for the type the binding converts silently: float64 becomes int32 in 2.3
            bind = getattr(tensor, "_copy_from_cpu_bind", None) or getattr(tensor, "copy_from_cpu_bind", None)
            bind = bind or tensor.copy_from_cpu
            if array.dtype.name not in re.findall(r"ndarray\[(?:numpy\.)?(\w+)\]", bind.__doc__ or ""):
                raise CannotCarry(f"input {name}: the Predictor of Paddle {self.version} takes no {array.dtype}")
            tensor.reshape(list(array.shape))
            tensor.copy_from_cpu(array)
            if self.lods.get(name):
                tensor.set_lod(lod_of(len(array), self.lods[name]))
        if hasattr(self.predictor, "zero_copy_run"):
            self.predictor.zero_copy_run()
        elif self.predictor.run() is False:
            raise RuntimeError("Predictor.run() reported failure without a message")
        outputs, dtypes = [], []
        names = list(self.predictor.get_output_names())
        for name in names:
            tensor = self.handle("output", name)
            try:
                array = tensor.copy_to_cpu()
            except Exception as e:
                if any(t in str(e) for t in ("Unsupported data type", "only supports", "trying to retrieve")):
                    raise CannotCarry(
                        f"output {name}: the Predictor of Paddle {self.version} cannot return its type"
                    ) from None
                raise
            outputs.append(array)
            dtypes.append(array.dtype.name)
        return names, outputs, dtypes
