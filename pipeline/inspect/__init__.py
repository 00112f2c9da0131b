"""The use case `inspect`: a look at a source before it is converted, or at a dataset before it is read.

source         what the beginning of a source shows, by
  dialect        delimiter and header
  columns        facts of each column
  label          which one may be the label
  findings       what is suspicious
  command        the conversion that would do
dataset        what a dataset holds, by its manifest
reading_code   how others read it, ready to paste
"""

from pipeline.inspect.dataset import DatasetReport, inspect_dataset, is_dataset
from pipeline.inspect.source import SourceReport, inspect_source

__all__ = ["DatasetReport", "SourceReport", "inspect_dataset", "inspect_source", "is_dataset"]
