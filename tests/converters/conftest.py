"""Whatever a test here converts is also described: `inspect` must say what `convert` says."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from converters.reading import conversion, matching
from efn_compose.checkpoints.dialects.dialect import Request
from efn_compose.errors import EfnComposeError


def _described(path: Any, request: Request) -> dict[str, Any] | str:
    """Return what `inspect` says, or the message that it ends with."""
    try:
        return conversion.inspect(path, **dataclasses.asdict(request))
    except EfnComposeError as error:
        return str(error)


@pytest.fixture(autouse=True, scope="session")
def inspect_and_convert_agree() -> Iterator[None]:
    """Have every conversion of a file, refused or not, compared with its description."""
    convert_file = matching.match_checkpoint

    def compared(path: Any, request: Request | None = None) -> Any:
        request = request or Request()
        described = _described(path, request)
        try:
            matched = convert_file(path, request)
        except EfnComposeError as error:
            said = described if isinstance(described, str) else described["open_questions"]
            assert said in (str(error), [str(error)]), f"convert: {error}\ninspect: {said}"
            raise
        assert isinstance(described, dict), f"converted, but inspect ends with: {described}"
        assert described["open_questions"] == []
        assert described["dialects"] == [matched.dialect.name] or request.dialect or request.arch
        assert (described["variant"], described["classes"]) == (
            matched.spec.variant,
            matched.classes,
        )
        assert described["conventions"] == matched.resolved.conventions.to_json()
        return matched

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "match_checkpoint", compared)
        patch.setattr(conversion, "match_checkpoint", compared)
        yield
