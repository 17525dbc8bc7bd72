"""How many images of each class each patient has: of a thousand classes a patient has few."""

import itertools
from dataclasses import dataclass, replace

import numpy as np

#: Numbers of a dense part that are held at a time.
_PART = 2**20


@dataclass(frozen=True, eq=False)
class ClassCounts:
    """Counts above 0, patient by patient; memory grows with the images, not with patients · classes.

    Args:
        patients: Number of patients.
        classes: Number of classes.
        patient: (entry,) patient numbers, ascending.
        label: (entry,) class numbers, ascending within a patient.
        images: (entry,) images of that patient and class, float64; or shares of the class's.
    """

    patients: int
    classes: int
    patient: np.ndarray
    label: np.ndarray
    images: np.ndarray

    @classmethod
    def of(cls, patient_of_image: np.ndarray, labels: np.ndarray, classes: int) -> "ClassCounts":
        """Count the images of each patient and class.

        Args:
            patient_of_image: (image,) patient numbers from 0, each of which occurs.
            labels: (image,) class numbers.
            classes: Number of classes.

        Example:
            >>> ClassCounts.of(np.array([0, 1, 1, 1]), np.array([2, 0, 2, 2]), 3).dense(0, 2).tolist()
            [[0.0, 0.0, 1.0], [1.0, 0.0, 2.0]]
        """
        pairs = patient_of_image.astype(np.int64) * classes + labels
        found, images = np.unique(pairs, return_counts=True)
        patient, label = np.divmod(found, max(classes, 1))
        patients = int(patient_of_image.max(initial=-1)) + 1
        return cls(patients, classes, patient, label, images.astype(np.float64))

    @property
    def starts(self) -> np.ndarray:
        """(patient + 1,) the first entry of each patient, and the number of entries."""
        return np.searchsorted(self.patient, np.arange(self.patients + 1))

    @property
    def sizes(self) -> np.ndarray:
        """(patient,) images of each patient, float64."""
        return np.bincount(self.patient, self.images, self.patients)

    @property
    def class_sizes(self) -> np.ndarray:
        """(class,) images of each class, float64."""
        return np.bincount(self.label, self.images, self.classes)

    @property
    def class_patients(self) -> np.ndarray:
        """(class,) patients that have the class."""
        return np.bincount(self.label, minlength=self.classes)

    def dense(self, first: int, last: int) -> np.ndarray:
        """Return the counts of patients `first` to before `last`, (patient, class) float64."""
        begin, end = np.searchsorted(self.patient, [first, last])
        found = np.zeros((last - first, self.classes))
        found[self.patient[begin:end] - first, self.label[begin:end]] = self.images[begin:end]
        return found

    def relative(self) -> "ClassCounts":
        """Return the counts as shares of each class's images."""
        return replace(self, images=self.images / np.maximum(self.class_sizes, 1)[self.label])

    def spread(self) -> np.ndarray:
        """Return the standard deviation of each patient's counts over the classes, (patient,)."""
        step = max(1, _PART // max(self.classes, 1))
        parts = [
            self.dense(first, min(first + step, self.patients)).std(axis=1)
            for first in range(0, self.patients, step)
        ]
        return np.concatenate(parts)

    def commonest(self) -> np.ndarray:
        """Return the class of which a patient has most images, (patient,); of equals the first."""
        order = np.lexsort((self.label, -self.images, self.patient))
        return self.label[order][self.starts[:-1]]

    def kinds(self) -> np.ndarray:
        """Return which patients have the same set of classes, (patient,) numbers from 0.

        Kinds are numbered as the rows of a table patients x classes would be sorted, of which an entry says
        whether the patient has the class.

        Example:
            >>> ClassCounts.of(np.array([0, 1, 1, 2]), np.array([1, 0, 1, 1]), 2).kinds().tolist()
            [0, 1, 0]
        """
        # Of two rows the one that has the earlier class at their first difference comes later; a row
        # that has more after an equal beginning does, too.
        earliest_last = (-self.label).tolist()
        starts = self.starts.tolist()
        sets = [tuple(earliest_last[begin:end]) for begin, end in itertools.pairwise(starts)]
        number = {members: place for place, members in enumerate(sorted(set(sets)))}
        return np.array([number[members] for members in sets], np.int64)
