"""Names that a model's configuration may use: Keras classes that hold no code and open no file.

They are listed, so that a model is validated before TensorFlow is imported, and so that additions
in a new Keras are reviewed before they are allowed: a test compares them with the installed Keras.
"""

import re

# They hold code, or run code by its name.
CARRY_CODE = frozenset(
    """
    Lambda __lambda__ TFSMLayer TorchModuleWrapper JaxLayer FlaxLayer ClassMethod
    """.split()  # noqa: SIM905 - a list of strings takes three times the lines
)
# They can read a file while they are built.
READ_FILES = frozenset({"StringLookup", "IntegerLookup", "TextVectorization"})
# The policies of quantized Keras 3 layers: refused, since their weights can't be trained.
QUANTIZED = frozenset(
    {"QuantizedDTypePolicy", "QuantizedFloat8DTypePolicy", "GPTQDTypePolicy", "AWQDTypePolicy"}
)
# Calls of TensorFlow functions, by their names in the configuration.
CALL_FUNCTIONS = frozenset({"TFOpLambda", "SlicingOpLambda"})

# The modules that classes may be in; classes in others are custom. Keras looks up any name in them,
# so its internal modules are not among them.
MODULES = re.compile(
    r"builtins|(keras|tf_keras)(\.(layers|initializers|regularizers|constraints|activations|models"
    r"|optimizers|optimizers\.schedules|losses|metrics|dtype_policies|saving|mixed_precision))?"
    r"|(keras|tf_keras)(\.src)?\.(engine|models)\.(functional|sequential|training)"
    r"|(keras|tf_keras)(\.src)?\.layers\.core\.tf_op_layer"
    r"|(keras|tf_keras)(\.src)?\.engine\.base_layer"
    r"|keras\.src\.ops\.(numpy|nn|math|core|linalg|image|einops)"
    r"|keras\.src\.activations\.activations"  # ReLU and Mish
)

# Layers of Keras 2, and those of Keras 3 alone. ``MANY`` stands for the suffixes 1D, 2D and 3D.
LAYERS = """
    Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention Average
    AvgPoolMANY AveragePoolingMANY BatchNormalization Bidirectional CategoryEncoding CenterCrop
    Concatenate ConvMANY ConvMANYTranspose ConvLSTMMANY ConvolutionMANY ConvolutionMANYTranspose
    CroppingMANY Dense DenseFeatures DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout ELU
    EinsumDense Embedding Flatten GRU GRUCell GaussianDropout GaussianNoise
    GlobalAveragePoolingMANY GlobalAvgPoolMANY GlobalMaxPoolMANY GlobalMaxPoolingMANY
    GroupNormalization HashedCrossing Hashing Identity InputLayer IntegerLookup LSTM LSTMCell
    LayerNormalization LeakyReLU LocallyConnected1D LocallyConnected2D Masking MaxPoolMANY
    MaxPoolingMANY Maximum Minimum MultiHeadAttention Multiply Normalization PReLU Permute RNN
    RandomBrightness RandomContrast RandomCrop RandomFlip RandomHeight RandomRotation
    RandomTranslation RandomWidth RandomZoom ReLU RepeatVector Rescaling Reshape Resizing
    SeparableConv1D SeparableConv2D SeparableConvolution1D SeparableConvolution2D SimpleRNN
    SimpleRNNCell Softmax SpatialDropoutMANY SpectralNormalization StackedRNNCells StringLookup
    Subtract TextVectorization ThresholdedReLU TimeDistributed UnitNormalization UpSamplingMANY
    ZeroPaddingMANY
"""
KERAS3_LAYERS = """
    AdaptiveAveragePoolingMANY AdaptiveMaxPoolingMANY AugMix AutoContrast
    ContrastLimitedAdaptiveHistogramEqualization CutMix Equalization GroupQueryAttention
    GroupedQueryAttention MaxNumBoundingBoxes MelSpectrogram MixUp Pipeline RMSNormalization
    RandAugment RandomColorDegeneration RandomColorJitter RandomElasticTransform RandomErasing
    RandomGaussianBlur RandomGrayscale RandomHue RandomInvert RandomPerspective
    RandomPosterization RandomSaturation RandomSharpness RandomShear ReversibleEmbedding
    STFTSpectrogram Solarization
"""
# Initializers, regularizers and constraints.
MAKING = """
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal
    LecunUniform Ones Orthogonal OrthogonalInitializer RandomNormal RandomUniform STFT
    STFTInitializer stft TruncatedNormal VarianceScaling Zeros constant glorot_normal glorot_uniform
    he_normal he_uniform identity lecun_normal lecun_uniform ones orthogonal random_normal
    random_uniform truncated_normal variance_scaling zeros
    L1 L1L2 L2 OrthogonalRegularizer l1 l2 l1_l2 orthogonal_regularizer
    MaxNorm MinMaxNorm NonNeg RadialConstraint UnitNorm max_norm min_max_norm non_neg
    radial_constraint unit_norm
"""
# Training settings, which are in the configuration of a nested model that was compiled.
TRAINING = """
    Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lamb Lion LossScaleOptimizer Muon Nadam
    RMSprop SGD ScheduleFreeAdamW
    CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay PiecewiseConstantDecay
    PolynomialDecay
    BinaryCrossentropy BinaryFocalCrossentropy CTC CategoricalCrossentropy
    CategoricalFocalCrossentropy CategoricalGeneralizedCrossEntropy CategoricalHinge Circle
    CosineSimilarity Dice Hinge Huber KLDivergence LogCosh MeanAbsoluteError
    MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError Poisson
    SparseCategoricalCrossentropy SquaredHinge Tversky
    AUC Accuracy BinaryAccuracy BinaryIoU CategoricalAccuracy ConcordanceCorrelation F1Score
    FBetaScore FalseNegatives FalsePositives IoU LogCoshError Mean MeanIoU MeanMetricWrapper
    MeanRelativeError MeanTensor OneHotIoU OneHotMeanIoU PearsonCorrelation Precision
    PrecisionAtRecall R2Score Recall RecallAtPrecision RootMeanSquaredError
    SensitivityAtSpecificity SparseCategoricalAccuracy SparseTopKCategoricalAccuracy
    SpecificityAtSensitivity Sum TopKCategoricalAccuracy TrueNegatives TruePositives
"""
# Structures of the configuration itself; ``add_loss`` and ``add_metric`` of a model make two.
STRUCTURES = """
    AddLoss AddMetric
    Sequential Functional Model __keras_tensor__ __tensor__ __numpy__ __tuple__ __slice__
    __ellipsis__ TensorShape
    TypeSpec DTypePolicy FloatDTypePolicy DTypePolicyMap Policy KerasTensor CompileConfig
"""
# Operations of Keras 3 (keras.ops) in a model: all that call no function themselves, and those that
# only compute masks.
KERAS3_OPS = """
    Abs Absolute AdaptiveAveragePool AdaptiveMaxPool Add AffineTransform All AllClose Amax Amin
    Angle Append Arange Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh Argmax Argmin
    Argpartition Argsort Array ArraySplit Average AveragePool BatchNorm BinaryCrossentropy Bincount
    BitwiseAnd BitwiseInvert BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift BitwiseXor
    BroadcastTo CDist CTCDecode CTCLoss Cast CategoricalCrossentropy Cbrt Ceil Celu Cholesky
    CholeskyInverse Clip Concatenate Conj Conjugate Conv ConvTranspose ConvertToTensor Copy Corrcoef
    Correlate Cos Cosh CountNonzero CropImages Cross Cumprod Cumsum Deg2rad DepthToSpace
    DepthwiseConv Det Diag Diagflat Diagonal Diff Digitize Divide DivideNoNan Dot
    DotProductAttention Dsplit Dstack Eig Eigh Einsum ElasticTransform Elu EmptyLike Equal Erf Erfc
    Erfinv Exp Exp2 ExpandDims Expm1 ExtractPatches ExtractSequences FFT FFT2 Fabs Flip Fliplr
    Flipud Floor FloorDivide Fmax Fmin Fmod Fold Full FullLike GaussianBlur Gcd Gelu Geomspace
    GetItem Glu Greater GreaterEqual HSVToRGB HardShrink HardSigmoid HardSilu HardTanh Heaviside
    Histogram Hsplit Hstack Hypot I0 IFFT2 IRFFT ISTFT Imag InTopK Inner Inv IsIn Isclose Isfinite
    Isinf Isnan Isneginf Isposinf Isreal Kron LayerNorm Lcm Ldexp LeakyRelu LeftShift Less LessEqual
    Linspace Log Log10 Log1p Log2 LogSigmoid LogSoftmax Logaddexp Logaddexp2 Logdet LogicalAnd
    LogicalNot LogicalOr LogicalXor Logspace Logsumexp Lstsq LuFactor MapCoordinates Matmul
    MatrixRank Max MaxPool Maximum Mean Median Meshgrid Min Minimum Mod Moments Moveaxis MultiHot
    Multiply NanToNum Nanargmax Nanargmin Nancumprod Nancumsum Nanmax Nanmean Nanmedian Nanmin
    Nanpercentile Nanprod Nanquantile Nanstd Nansum Nanvar Ndim Negative Nextafter Nonzero Norm
    Normalize OneHot OnesLike Outer PSNR Pad PadImages Percentile PerspectiveTransform Pinv Polar
    Power Prod Ptp Qr Quantile RFFT RGBToGrayscale RGBToHSV RMSNorm Rad2deg Ravel Real Rearrange
    Reciprocal ReLU Relu Relu6 Repeat Reshape Resize RightShift Roll Rot90 Round Rsqrt SSIM STFT SVD
    Mish
    SaturateCast ScaleAndTranslate Scatter ScatterUpdate SearchSorted SegmentMax SegmentMin
    SegmentProd SegmentReduction SegmentSum Select Selu SeparableConv Sigmoid Sign Signbit Silu Sin
    Sinc Sinh Size Slice SliceUpdate Slogdet SobelEdges SoftShrink Softmax Softplus Softsign Solve
    SolveTriangular Sort SpaceToDepth SparseCategoricalCrossentropy SparsePlus SparseSigmoid
    Sparsemax Split Sqrt Square Squareplus Squeeze Stack Std StopGradient Subtract Sum Swapaxes Take
    TakeAlongAxis Tan Tanh TanhShrink Tensordot Threshold Tile TopK Trace Transpose Trapezoid Tril
    Triu TrueDivide Trunc Unfold Unique UnravelIndex Unstack Vander Var Vdot View ViewAsComplex
    ViewAsReal Vsplit Vstack Where ZerosLike
"""
MASK_OPS = """
    All Any ConvertToTensor LogicalAnd LogicalNot LogicalOr LogicalXor NotEqual OnesLike ZerosLike
"""

# Functions of TensorFlow that only compute; whole names.
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
    nn.dropout random.normal random.uniform random.truncated_normal random.categorical
    random.shuffle random.stateless_normal random.stateless_uniform
    random.stateless_truncated_normal
    """.split()  # noqa: SIM905 - as above
)

# Activations, losses and metrics, as functions.
FUNCTION_NAMES = frozenset(
    """
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu
    linear log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus
    softsign sparse_plus sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold
    KLD MAE MAPE MSE MSLE binary_accuracy binary_crossentropy binary_focal_crossentropy
    categorical_accuracy categorical_crossentropy categorical_focal_crossentropy
    categorical_generalized_cross_entropy categorical_hinge circle concordance_correlation
    cosine_similarity ctc dice hinge huber kl_divergence kld kullback_leibler_divergence log_cosh
    logcosh mae mape mean_absolute_error mean_absolute_percentage_error mean_squared_error
    mean_squared_logarithmic_error mse msle pearson_correlation poisson sparse_categorical_accuracy
    sparse_categorical_crossentropy sparse_top_k_categorical_accuracy squared_hinge
    top_k_categorical_accuracy tversky
    """.split()  # noqa: SIM905 - as above
)


def _all(*texts: str) -> frozenset[str]:
    names = " ".join(texts).split()
    return frozenset(name.replace("MANY", end) for name in names for end in ("1D", "2D", "3D"))


CLASS_NAMES = (
    _all(LAYERS, KERAS3_LAYERS, MAKING, TRAINING, STRUCTURES, KERAS3_OPS, MASK_OPS) | CALL_FUNCTIONS
)
