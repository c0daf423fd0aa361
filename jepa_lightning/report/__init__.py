"""The report of a run: one HTML file, made from what lies in the run's folder."""

from jepa_lightning.report.files import new_names, newest_names
from jepa_lightning.report.writing import write_report

__all__ = ["new_names", "newest_names", "write_report"]
