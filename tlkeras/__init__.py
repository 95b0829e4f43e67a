"""tlkeras: transfer learning and fine-tuning on Keras 3, verified phase by phase."""

from tlkeras._validation import UnsupportedError
from tlkeras._version import __version__ as __version__
from tlkeras.adapting import adapt
from tlkeras.backbone_loading import list_backbones, load_backbone
from tlkeras.builders import (
    Heard,
    TransferModel,
    audio_classifier,
    audio_regressor,
    image_classifier,
    image_detector,
    image_regressor,
    series_classifier,
    series_forecaster,
    series_regressor,
    table_classifier,
    table_regressor,
    text_classifier,
    text_regressor,
)
from tlkeras.builders.merging import merge_lora
from tlkeras.cards import ModelCard, model_card
from tlkeras.choosing import (
    AutoResult,
    Between,
    Ranking,
    Tuning,
    auto,
    rank_backbones,
    tune,
)
from tlkeras.compress import DistillationReport, PruningReport, distill, prune
from tlkeras.data import (
    Splits,
    audio_folder,
    boxes_from_coco,
    boxes_from_csv,
    boxes_from_voc,
    boxes_from_yolo,
    from_arrays,
    from_csv,
    from_dataframe,
    from_series,
    from_tfds,
    image_folder,
)
from tlkeras.distribution import WorkerError
from tlkeras.environment import report_environment
from tlkeras.evaluation import (
    Comparison,
    DomainGap,
    Report,
    Temperature,
    boosting_report,
    calibrate,
    compare,
    domain_gap,
    evaluate,
)
from tlkeras.explain import Explanations, SanityCheck, explain, sanity_check
from tlkeras.export import (
    ExportError,
    ExportReport,
    QuantizationReport,
    export,
    quantize,
)
from tlkeras.features import (
    CacheInfo,
    FeatureSet,
    SplitModel,
    cache_info,
    clear_cache,
    extract_features,
    split_model,
)
from tlkeras.few_labels import LabelSuggestions, learn_class, suggest_labels
from tlkeras.freezing import find_backbone, freeze, trainable_summary
from tlkeras.inputs.pictures.decoding import load_images
from tlkeras.inputs.pictures.explaining import ImageExplanation
from tlkeras.inputs.sounds.explaining import SoundExplanation
from tlkeras.inputs.tables.explaining import TableExplanation
from tlkeras.inputs.texts.explaining import TextExplanation
from tlkeras.optimizers import Constant, Cosine, OneCycle
from tlkeras.outputs import (
from tlkeras.metrics.costs import CostCurve
    Boxes,
    Classes,
    Detections,
    Forecast,
    Forecasted,
    Intervals,
    Labels,
    Numbers,
    Prediction,
)
from tlkeras.pretraining import pretrain
from tlkeras.problem import Problem, problem_of
from tlkeras.records import TrainingRecord
from tlkeras.rerunning import rerun
from tlkeras.runtime import Runtime, configure, current_runtime
from tlkeras.saving import load
from tlkeras.suspects import Suspects, find_suspects
from tlkeras.training import (
    CheckpointError,
    FineTuneHistory,
    LearningRateRange,
    PhaseError,
    Plan,
    Recipe,
    WeightAveraging,
    find_learning_rate,
    fine_tune,
    fit_head,
    plan,
)

__all__ = [
    "AutoResult",
    "Between",
    "Boxes",
    "CacheInfo",
    "CheckpointError",
    "Classes",
    "Comparison",
    "Constant",
    "Cosine",
    "Detections",
    "DistillationReport",
    "CostCurve",
    "DomainGap",
    "Explanations",
    "ExportError",
    "ExportReport",
    "FeatureSet",
    "FineTuneHistory",
    "Forecast",
    "Forecasted",
    "Heard",
    "ImageExplanation",
    "Intervals",
    "LabelSuggestions",
    "Labels",
    "LearningRateRange",
    "ModelCard",
    "Numbers",
    "OneCycle",
    "PhaseError",
    "Plan",
    "Prediction",
    "Problem",
    "PruningReport",
    "QuantizationReport",
    "Ranking",
    "Recipe",
    "Report",
    "Runtime",
    "SanityCheck",
    "SoundExplanation",
    "SplitModel",
    "Splits",
    "Suspects",
    "TableExplanation",
    "Temperature",
    "TrainingRecord",
    "TextExplanation",
    "TransferModel",
    "Tuning",
    "UnsupportedError",
    "WeightAveraging",
    "WorkerError",
    "adapt",
    "audio_classifier",
    "audio_folder",
    "audio_regressor",
    "auto",
    "boosting_report",
    "boxes_from_coco",
    "boxes_from_csv",
    "boxes_from_voc",
    "boxes_from_yolo",
    "cache_info",
    "calibrate",
    "clear_cache",
    "compare",
    "configure",
    "current_runtime",
    "distill",
    "domain_gap",
    "evaluate",
    "explain",
    "export",
    "extract_features",
    "find_backbone",
    "find_learning_rate",
    "find_suspects",
    "fine_tune",
    "fit_head",
    "freeze",
    "from_arrays",
    "from_csv",
    "from_dataframe",
    "from_series",
    "from_tfds",
    "image_classifier",
    "image_detector",
    "image_folder",
    "image_regressor",
    "learn_class",
    "list_backbones",
    "load",
    "load_backbone",
    "load_images",
    "merge_lora",
    "model_card",
    "plan",
    "pretrain",
    "problem_of",
    "prune",
    "quantize",
    "rank_backbones",
    "report_environment",
    "rerun",
    "sanity_check",
    "series_classifier",
    "series_forecaster",
    "series_regressor",
    "split_model",
    "suggest_labels",
    "table_classifier",
    "table_regressor",
    "text_classifier",
    "text_regressor",
    "trainable_summary",
    "tune",
]
