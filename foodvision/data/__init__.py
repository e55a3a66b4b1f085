"""From a folder, Parquet files or a name to labelled, split pictures."""

from foodvision.data.inventory import Inventory, take_inventory
from foodvision.data.sources import Dataset, Example, Pictures, load_dataset
from foodvision.data.splits import carve, training_splits, write_split_csv

__all__ = [
    "Dataset",
    "Example",
    "Inventory",
    "Pictures",
    "carve",
    "load_dataset",
    "take_inventory",
    "training_splits",
    "write_split_csv",
]
