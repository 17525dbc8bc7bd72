"""What every dialect must prove; a new one proves itself by subclassing `ConverterContract`.

A subclass says how to make a checkpoint of its library's own network with random
weights (`make`), which network that is (`variant`) and how to run the library
itself (`oracle`). Everything below then runs against it.
"""

import dataclasses
import functools
import math
from pathlib import Path

import numpy as np
import pytest
from open_checkpoints import convert_raw

from converters import CONVERTERS, convert
from converters.oracles import Oracle, oracle_for
from converters.reading.conversion import Conversion
from converters.reading.verification import (
    FLOAT32_GATE,
    FLOAT64_GATE,
    keras_check,
    relative_error,
    smooth_images,
    structural_check,
)
from efn_compose.arch import arch_spec, parameter_count
from efn_compose.checkpoints.containers.containers import read_checkpoint
from efn_compose.checkpoints.containers.raw import RawTensor
from efn_compose.checkpoints.dialects.dialect import Request
from efn_compose.donors import load_donor
from efn_compose.errors import ConversionError, EfnComposeError

#: An even, an all-odd and a non-square size, (height, width).
SIZES = ((64, 64), (65, 65), (64, 97))


class ConverterContract:
    """Subclass, set the class attributes, define `make`; add tests of what is special."""

    dialect: str
    variant: str
    arch: str | None = None
    classes = 10
    #: Widths and depth of the network made must be those of `variant`.
    spec_is_table_network = True
    #: Whether the dialect is found without `--dialect`.
    is_recognised = True

    def make(self, folder: Path) -> Path:
        """Write a checkpoint of the library's own network; return its path."""
        raise NotImplementedError

    def oracle(self, conversion: Conversion) -> Oracle:
        """Return the library's own network with that checkpoint."""
        return oracle_for(self.dialect, conversion.donor, conversion.raw)

    @pytest.fixture(scope="class")
    @classmethod
    def path(cls, tmp_path_factory) -> Path:
        return cls().make(tmp_path_factory.mktemp(cls.__name__))

    @pytest.fixture(scope="class")
    @classmethod
    def conversion(cls, path) -> Conversion:
        return convert(path, dialect=None if cls.is_recognised else cls.dialect, arch=cls.arch)

    @pytest.fixture(scope="class")
    @classmethod
    def library(cls, conversion) -> Oracle:
        return cls().oracle(conversion)

    def _images(self, conversion: Conversion, size: tuple[int, int]) -> np.ndarray:
        return conversion.donor.preprocess(smooth_images(2, size)).astype(np.float64)

    def test_network_and_dialect_are_recognised(self, conversion):
        assert conversion.report.dialect == self.dialect
        assert conversion.donor.classes == self.classes
        if self.spec_is_table_network:
            assert conversion.donor.spec.same_tensors_as(arch_spec(self.variant))

    def test_report_accounts_for_every_tensor(self, path, conversion):
        mapping = conversion.report.mapping
        raw = read_checkpoint(path)
        counted = len(mapping.mapped) + len(mapping.transposed) + len(mapping.ignored)
        if not mapping.folded:
            assert counted == len(raw.tensors)
        assert not mapping.missing
        assert conversion.report.parameters == parameter_count(
            conversion.donor.spec, conversion.donor.classes
        )
        assert conversion.report.sha256 == raw.sha256
        named = {field.name for field in dataclasses.fields(conversion.donor.conventions)}
        assert set(conversion.report.resolved.sources) == named

    @pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
    def test_structure_equals_the_library_in_float64(self, conversion, library, size):
        if not library.is_exact_at(size):
            pytest.skip(library.note)
        check = structural_check(conversion.donor, library, self._images(conversion, size))
        assert check.error < FLOAT64_GATE

    def test_keras_model_equals_the_library_in_float32(self, conversion, library):
        check = keras_check(conversion.donor, library, self._images(conversion, SIZES[0]))
        assert check.error < FLOAT32_GATE

    def test_wrong_conventions_fail_the_gate(self, conversion, library):
        from efn_compose.models.stepwise import StepwiseNetwork

        donor, images = conversion.donor, self._images(conversion, SIZES[0])
        reference = library.run(images, "float64")
        # What the images change must stand well above the gate, or any error would pass it.
        driven = reference.std(axis=0).mean() / reference.std()
        assert driven > 10 * FLOAT32_GATE, "the network says nothing"
        right = donor.conventions
        other = "symmetric" if right.padding == "same" else "same"
        wrong = {
            "padding": dataclasses.replace(right, padding=other),
            "epsilon": dataclasses.replace(
                right, bn_epsilon=1e-5 if right.bn_epsilon > 1e-4 else 1e-3
            ),
            "activation": dataclasses.replace(
                right, activation="swish" if right.activation != "swish" else "relu"
            ),
        }
        for name, conventions in wrong.items():
            network = StepwiseNetwork(donor.spec, conventions, donor.tensors, "float64")
            assert relative_error(network.run(images).numpy(), reference) > FLOAT32_GATE, name

    def test_name_table_inverts_bit_for_bit(self, conversion):
        from efn_compose.checkpoints.dialects.layouts import LAYOUTS

        donor, raw = conversion.donor, conversion.raw
        for row in CONVERTERS[self.dialect].rows(donor.spec, donor.classes, raw):
            stored = raw.tensors[row.foreign].load()
            back = LAYOUTS[row.layout].to_foreign(donor.tensors[row.canonical])
            assert back.tobytes() == np.ascontiguousarray(stored, np.float32).tobytes(), row

    def test_each_missing_tensor_is_named(self, conversion):
        raw = conversion.raw
        required = {
            row.foreign
            for row in CONVERTERS[self.dialect].rows(
                conversion.donor.spec, conversion.donor.classes, raw
            )
        }
        name = sorted(required)[len(required) // 2]
        kept = {key: value for key, value in raw.tensors.items() if key != name}
        with pytest.raises(EfnComposeError):
            self._convert(dataclasses.replace(raw, tensors=kept), conversion)

    def test_an_unknown_tensor_is_named(self, conversion):
        raw = conversion.raw
        extra = RawTensor("surprise.weight", (3,), "float32", functools.partial(np.zeros, 3))
        with pytest.raises(ConversionError, match=r"surprise\.weight"):
            self._convert(
                dataclasses.replace(raw, tensors={**raw.tensors, "surprise.weight": extra}),
                conversion,
            )

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_a_value_that_is_not_finite_is_refused(self, conversion, value):
        raw = conversion.raw
        name, tensor = next(
            (key, item) for key, item in raw.tensors.items() if item.dtype == "float32"
        )
        values = np.full(tensor.shape, value, np.float32)
        broken = dataclasses.replace(tensor, load=lambda: values)
        with pytest.raises(ConversionError, match="NaN or infinite"):
            self._convert(
                dataclasses.replace(raw, tensors={**raw.tensors, name: broken}), conversion
            )

    def test_saved_donor_is_the_converted_one(self, conversion, tmp_path):
        conversion.donor.save(tmp_path / "donor.h5")
        assert load_donor(tmp_path / "donor.h5").fingerprint == conversion.donor.fingerprint

    def _convert(self, raw, conversion: Conversion) -> Conversion:
        """Convert tensors that are prepared already."""
        dialect = dataclasses.replace(
            CONVERTERS[self.dialect],
            prepare=lambda raw, request: _prepared(raw),
        )
        return convert_raw(raw, dialect, Request(arch=self.arch))


def _prepared(raw):
    from efn_compose.checkpoints.dialects.dialect import Prepared

    return Prepared(raw)
