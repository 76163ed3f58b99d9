"""What a model's configuration may name: Keras's own classes that carry no code and open no file.

The lists are read off the installed Keras, so that they grow with it; what is dangerous in them
is named here.
"""

from __future__ import annotations

import inspect
from functools import cache

import tf_keras

# They carry code, or run code that they name.
CARRY_CODE = frozenset(
    {
        "Lambda",
        "__lambda__",
        "TFSMLayer",
        "TorchModuleWrapper",
        "JaxLayer",
        "FlaxLayer",
        "ClassMethod",
    }
)
# They can name a file that is read while they are built.
READ_FILES = frozenset({"StringLookup", "IntegerLookup", "TextVectorization"})
# Calls of TensorFlow functions, by their names in the configuration.
CALL_FUNCTIONS = frozenset({"TFOpLambda", "SlicingOpLambda"})

# Base classes, which are no layers of a model.
ABSTRACT = frozenset({"Layer", "Wrapper", "AbstractRNNCell", "InputSpec"})
CONTAINERS = frozenset({"Sequential", "Functional", "Model"})
# Structures of the configuration itself.
STRUCTURES = frozenset(
    {"__keras_tensor__", "__tensor__", "__numpy__", "__tuple__", "TensorShape", "DTypePolicy"}
    | {"Policy", "KerasTensor", "CompileConfig"}
)
# Ops that Keras 3 writes as layers; each is made of a layer or an arithmetic operator here.
KERAS3_OPS = frozenset({"NotEqual", "Any"})

# The modules that classes may be in; a class in another one is somebody else's.
MODULES = ("keras", "tf_keras", "builtins")

# Functions of TensorFlow that only compute. They are matched whole.
HARMLESS_FUNCTIONS = frozenset(
    """
    __operators__.add __operators__.getitem __operators__.sub __operators__.mul
    math.add math.subtract math.multiply math.divide math.truediv math.floordiv math.pow
    math.negative math.abs math.square math.sqrt math.rsqrt math.exp math.log math.log1p
    math.sigmoid math.tanh
    math.maximum math.minimum math.reduce_mean math.reduce_sum math.reduce_max math.reduce_min
    math.reduce_prod math.argmax math.l2_normalize math.softplus math.sin math.cos math.erf math.mod
    math.floordiv math.greater math.less math.equal math.not_equal math.logical_and math.logical_or
    math.logical_not math.greater_equal math.less_equal math.cumsum math.round math.floor math.ceil
    nn.relu nn.relu6 nn.softmax nn.sigmoid nn.silu nn.swish nn.gelu nn.elu nn.selu nn.leaky_relu
    nn.tanh nn.bias_add nn.l2_normalize nn.softplus nn.log_softmax
    linalg.matmul linalg.l2_normalize linalg.matrix_transpose
    reshape concat transpose cast expand_dims squeeze stack unstack split tile pad gather slice
    strided_slice identity zeros_like ones_like shape rank size clip_by_value where reverse
    reduce_mean reduce_sum reduce_max reduce_min compat.v1.transpose compat.v1.shape
    compat.v1.gather compat.v1.nn.softmax compat.v1.squeeze compat.v1.expand_dims einsum
    image.resize broadcast_to one_hot
    """.split()  # noqa: SIM905 - a list of strings takes four times the lines
)


@cache
def class_names() -> frozenset[str]:
    """The names of all built-in classes that a configuration may name."""
    rooms = (
        tf_keras.layers,
        tf_keras.initializers,
        tf_keras.regularizers,
        tf_keras.constraints,
        tf_keras.optimizers,
        tf_keras.optimizers.schedules,
        tf_keras.losses,
        tf_keras.metrics,
    )
    found = {name for room in rooms for name, kind in vars(room).items() if inspect.isclass(kind)}
    return frozenset(found | CONTAINERS | STRUCTURES | KERAS3_OPS) - CARRY_CODE - ABSTRACT


@cache
def function_names() -> frozenset[str]:
    """The names of the built-in activations, losses and metrics."""
    rooms = (tf_keras.activations, tf_keras.losses, tf_keras.metrics)
    found = {name for room in rooms for name, it in vars(room).items() if callable(it)}
    return frozenset(found - {"get", "deserialize", "serialize"})
