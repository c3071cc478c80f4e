"""RecTools from a log to the sequences that its SASRec trains on: read, `Dataset.construct`, its data preparator."""

from __future__ import annotations

import sys
import warnings

import pandas as pd
from measuring import Stopwatch, peak_megabytes, prepared_line
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models.nn.transformers.sasrec import SASRecDataPreparator

warnings.simplefilter("ignore")

with Stopwatch() as taken:
    frame = pd.read_csv(sys.argv[1], dtype={"user": str, "item": str})
    dataset = Dataset.construct(
        pd.DataFrame(
            {
                Columns.User: frame["user"],
                Columns.Item: frame["item"],
                Columns.Weight: frame["rating"].astype(float),
                Columns.Datetime: pd.to_datetime(frame["timestamp"], unit="s"),
            }
        )
    )
    preparator = SASRecDataPreparator(session_max_len=200, batch_size=128, dataloader_num_workers=0)
    preparator.process_dataset_train(dataset)
    loader = preparator.get_dataloader_train()  # groups the events of each user
prepared_line("rectools", len(loader.dataset), len(frame), taken, peak_megabytes())
