"""Which inputs of TFLite's operators are weights."""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

Operator = schema.BuiltinOperator

# The converter leaves constants of fewer elements in float, for their overhead.
SMALL = 1024

# Operator -> which of its inputs are weights.
WEIGHTS: dict[int, tuple[int, ...]] = {
    **dict.fromkeys((Operator.CONV_2D, Operator.DEPTHWISE_CONV_2D, Operator.TRANSPOSE_CONV), (1,)),
    **dict.fromkeys((Operator.CONV_3D, Operator.CONV_3D_TRANSPOSE), (1,)),
    **dict.fromkeys((Operator.FULLY_CONNECTED, Operator.EMBEDDING_LOOKUP), (1,)),
    **dict.fromkeys((Operator.RNN, Operator.UNIDIRECTIONAL_SEQUENCE_RNN), (1, 2)),
    # For each of the four gates, from the input and from the state; the projection.
    **dict.fromkeys((Operator.LSTM, Operator.UNIDIRECTIONAL_SEQUENCE_LSTM), (*range(1, 9), 16)),
    Operator.BATCH_MATMUL: (0, 1),
    Operator.GATHER: (0,),
}
