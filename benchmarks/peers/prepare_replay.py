"""RePlay from a log to the sequences that its SasRec trains on: read, `Dataset`, `SequenceTokenizer`."""

from __future__ import annotations

import sys
import warnings

import pandas as pd
from measuring import Stopwatch, peak_megabytes, prepared_line
from replay.data import Dataset, FeatureHint, FeatureInfo, FeatureSchema, FeatureSource, FeatureType
from replay.data.nn import SequenceTokenizer, TensorFeatureInfo, TensorFeatureSource, TensorSchema

warnings.simplefilter("ignore")

with Stopwatch() as taken:
    frame = pd.read_csv(sys.argv[1], dtype={"user": str, "item": str})
    schema = FeatureSchema(
        [
            FeatureInfo("user", FeatureType.CATEGORICAL, FeatureHint.QUERY_ID),
            FeatureInfo("item", FeatureType.CATEGORICAL, FeatureHint.ITEM_ID),
            FeatureInfo("timestamp", FeatureType.NUMERICAL, FeatureHint.TIMESTAMP),
        ]
    )
    dataset = Dataset(schema, interactions=frame[["user", "item", "timestamp"]])
    tensors = TensorSchema(
        [
            TensorFeatureInfo(
                name="item",
                is_seq=True,
                feature_type=FeatureType.CATEGORICAL,
                feature_sources=[TensorFeatureSource(FeatureSource.INTERACTIONS, "item")],
                feature_hint=FeatureHint.ITEM_ID,
            )
        ]
    )
    sequences = SequenceTokenizer(tensors).fit_transform(dataset)
prepared_line("replay", len(sequences), len(frame), taken, peak_megabytes())
