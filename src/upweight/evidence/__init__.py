"""Evidence records: an answer that an auditor can file, and that can be found out again."""

from upweight.evidence.again import Difference, Reproduction
from upweight.evidence.filed import Evidence
from upweight.evidence.record import evidence, explained

__all__ = ["Difference", "Evidence", "Reproduction", "evidence", "explained"]
