"""Reads datasets for training: batches for NumPy, TensorFlow or PyTorch, in an order that is exact.

order          which records follow each other, in which blocks, and whose: arithmetic
rows           some records as arrays
read_parquet   a range of records of one shard; read_tfrecord likewise
reader         one rank's share of an epoch as permuted blocks
batches        NumPy batches, without TensorFlow
tfdata         the same batches as a tf.data pipeline
torchdata      the same batches as an IterableDataset of PyTorch
state          where a reader stands, to go on there
check          is the dataset there, whole, and of one run
"""

from pipeline.loader.batches import batches
from pipeline.loader.check import check_dataset
from pipeline.loader.state import LoaderState
from pipeline.loader.tfdata import dataset
from pipeline.loader.torchdata import torch_dataset

__all__ = ["LoaderState", "batches", "check_dataset", "dataset", "torch_dataset"]
