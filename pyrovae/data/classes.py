"""Keys whose values are classes: which there are, and their numbers in order."""

from __future__ import annotations

from dataclasses import dataclass

from pyrovae.data.checks import Scan
from pyrovae.data.spec import KeySpec
from pyrovae.errors import DataError

__all__ = ["Verdict", "classes_of", "labels_of"]


@dataclass(frozen=True)
class Verdict:
    """What a key is taken for.

    Attributes:
        spec: the key.
        why: a few words for the log.
        warning: a sentence where values change, or another reading is as likely; "" where neither.
    """

    spec: KeySpec
    why: str
    warning: str = ""


def labels_of(found: Scan, number: bool) -> Verdict | None:
    """y as classes, or None where it is an outcome of another kind."""
    shape = found.shape or ()
    if not number:
        if not found.integer or shape != ():
            return None
        _refuse_negative(found)
        return Verdict(KeySpec((), "category", size=max(1, int(found.high) + 1)), "numbers of classes")
    if found.one_hot and len(shape) == 1:
        text = f"y is one-hot and becomes the numbers of its {shape[0]} classes; say kinds={{'y': 'binary'}} to keep it."
        return Verdict(KeySpec((), "category", size=shape[0]), "one-hot", text)
    if "float" in found.types or shape not in ((), (1,)):
        return None
    return classes_of(found, None)


def _refuse_negative(found: Scan) -> None:
    if "text" not in found.types and found.low < -1:
        raise DataError(
            f"{found.where}: {found.key} is {found.low:g} in some row; expected class numbers from 0 up, or -1 for an unknown "
            f"label; say kinds={{{found.key!r}: 'real'}} where it is no class."
        )


def classes_of(found: Scan, size: int | None) -> Verdict:
    """The classes of names or of integers, numbered 0..C-1 in their order."""
    if found.labels is None:
        raise DataError(f"{found.where}: {found.key} has too many different values for classes; give it another kind.")
    _refuse_negative(found)
    labels = sorted((label for label in found.labels if label != -1), key=lambda label: (str(type(label)), label))
    labels = list(found.order or labels)
    shape = () if found.shape == (1,) else found.shape or ()
    if size is not None and labels == [label for label in labels if label in range(size)]:
        return Verdict(KeySpec(shape, "category", size=size), f"classes 0..{size - 1}")
    if size is not None and len(labels) != size:
        raise DataError(
            f"{found.where}: {found.key} is told to have {size} classes and has {len(labels)} names or numbers of some."
        )
    if not labels:
        return Verdict(KeySpec(shape, "category", size=1), "no label is known")
    spec = KeySpec(shape, "category", size=len(labels))
    shown = ", ".join(map(str, labels[:3])) + (f", ... {labels[-1]}" if len(labels) > 3 else "")
    unknown = "; -1 for an unknown label" if "text" not in found.types and found.low < 0 else ""
    if labels == list(range(len(labels))):
        alone = (
            f"{found.key} has one class, {labels[0]}, beside -1, which stands for an unknown label." if found.low < 0 else ""
        )
        return Verdict(spec, f"classes {shown}{unknown}", alone if len(labels) == 1 else "")
    said = f"{found.key} has {len(labels)} classes, {shown}: numbered from 0 in this order{unknown}."
    bools = found.types <= {"bool"}
    return Verdict(
        KeySpec(shape, "category", size=len(labels), labels=tuple(labels)),
        f"names of classes: {shown}" if "text" in found.types or bools else f"classes {shown}",
        "" if "text" in found.types or bools else said,
    )
