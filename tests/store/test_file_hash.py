"""The hash of a file, against a vector that NIST published."""

from efn_compose.store.file_hash import file_sha256


def test_a_file_of_three_letters_has_the_published_hash(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_sha256(tmp_path / "file") == wanted
