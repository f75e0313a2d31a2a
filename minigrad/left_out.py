"""The names of torch that minigrad leaves out, and what to do instead: the text of AttributeError."""

from __future__ import annotations

LINEAR = "use Linear layers on flattened inputs"
NUMPY = "compute it with NumPy: mg.from_numpy(f(x.numpy()))"

CONVOLUTION = """
    Conv* ConvTranspose* LazyConv* MaxPool* AvgPool* AdaptiveMaxPool* AdaptiveAvgPool* MaxUnpool* Fold Unfold Upsample*
    PixelShuffle ZeroPad2d BatchNorm2d BatchNorm3d Dropout2d Dropout3d conv1d conv2d conv3d conv_transpose2d max_pool1d
    max_pool2d avg_pool1d avg_pool2d adaptive_avg_pool2d interpolate pad unfold fold
"""
SETTINGS = """
    set_default_device set_default_dtype set_default_tensor_type get_default_dtype use_deterministic_algorithms
    set_float32_matmul_precision set_num_threads get_num_threads
"""

# What is left out: (names, what to do). A name that ends in * stands for all that start so.
SUBJECTS: dict[str, tuple[str, str]] = {
    "convolution and pooling": (CONVOLUTION, LINEAR),
    "recurrence and attention": (
        "RNN* LSTM* GRU* Transformer* MultiheadAttention scaled_dot_product_attention EmbeddingBag",
        "build it of Linear, softmax and @",
    ),
    "complex numbers": (
        "complex* cfloat cdouble chalf real imag view_as_real view_as_complex polar angle conj",
        "use two Tensors",
    ),
    "dtypes besides bool, uint8, int8 to int64, float32 and float64": (
        "float16 half bfloat16 float8* quint8 qint8 qint32 uint16 uint32 uint64 HalfTensor BFloat16Tensor",
        "use float32",
    ),
    "Fourier transforms": ("fft stft istft hann_window", NUMPY),
    "decompositions and solvers": ("linalg svd eig qr lu cholesky solve lstsq pinverse", NUMPY),
    "special functions": ("special lgamma digamma gamma igamma erfinv bessel*", NUMPY),
    "probability distributions": ("distributions", "use rand, randn, normal, bernoulli or multinomial"),
    "compilation": ("compile jit fx export _dynamo", "use replay(step) to run a training step faster"),
    "mixed precision": ("amp autocast GradScaler", "use float32 without it"),
    "several devices and processes": (
        "distributed multiprocessing DataParallel nccl",
        "use one device",
    ),
    "sparse and quantized Tensors": ("sparse* quantization ao quantize* nested", "use dense Tensors"),
    "export and profiling": ("onnx profiler package hub monitor", "use save and load, or Python's profilers"),
    "function transforms": ("func vmap functorch", "use autograd.functional, or grad(create_graph=True)"),
    "global settings": (
        SETTINGS,
        "leave the call out; pass dtype= and device= where Tensors are made, and use no_grad",
    ),
    "other optimizers": ("LBFGS Adadelta Adamax NAdam RAdam ASGD Rprop SparseAdam", "use Adam, or subclass Optimizer"),
    "TensorBoard": ("tensorboard", "keep the losses in a list, and plot them"),
    "parametrizations": ("weight_norm spectral_norm parametrize prune", "compute the weight in forward()"),
}


def left_out(module: str, name: str) -> AttributeError:
    """The error for a name that a module, or the class Tensor, does not have."""
    for subject, (names, advice) in SUBJECTS.items():
        for pattern in names.split():
            if name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1])):
                return AttributeError(f"minigrad has no {module}.{name}; it leaves out {subject}; {advice}")
    return AttributeError(f"minigrad has no {module}.{name}; use the names that dir() lists, or NumPy")
