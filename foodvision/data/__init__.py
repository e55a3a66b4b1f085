"""From a folder, Parquet files or a name to labelled images in splits."""

from foodvision.data.dataset import Dataset, Example, LabelledImages
from foodvision.data.duplicates import Duplicates, find_duplicates
from foodvision.data.inventory import Inventory, take_inventory
from foodvision.data.load import get_data, load_dataset
from foodvision.data.split_csv import split_folder
from foodvision.data.splits import SPLIT_CSV, TrainingSplits, carve, training_splits

__all__ = [
    "SPLIT_CSV",
    "Dataset",
    "Duplicates",
    "Example",
    "Inventory",
    "LabelledImages",
    "TrainingSplits",
    "carve",
    "find_duplicates",
    "get_data",
    "load_dataset",
    "split_folder",
    "take_inventory",
    "training_splits",
]
