"""The lake: atomic, stamped, byte-stable files."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from argus_core.market.lake import Lake, LakeError, Stamp, content_hash, parquet_bytes, write_atomically

FRAME = pl.DataFrame({"a": [1, 2, None], "b": ["x", None, "z"], "c": [0.5, float("nan"), None]})


def write(lake: Lake, frame: pl.DataFrame, day: str = "2025-01-02", inputs: str = "i") -> object:
    return lake.write("t", frame, keys={"date": day}, config_hash="c", producer="t", inputs_hash=inputs)


def test_a_partition_reads_back_with_its_stamp(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    written = write(lake, FRAME)
    assert lake.read("t", date="2025-01-02").equals(FRAME, null_equal=True)
    stamp = lake.stamp("t", date="2025-01-02")
    assert stamp is not None
    assert stamp.data_hash == written.data_hash == content_hash(FRAME)
    assert (stamp.config_hash, stamp.inputs_hash) == ("c", "i")
    assert lake.rows("t", date="2025-01-02") == 3


def test_the_same_content_gives_the_same_bytes_and_is_not_written_twice(tmp_path: Path) -> None:
    one, two = Lake(tmp_path / "1"), Lake(tmp_path / "2")
    write(one, FRAME)
    write(two, pl.concat([FRAME[:1], FRAME[1:]]))
    paths = [Path(str(lake.path("t", date="2025-01-02"))) for lake in (one, two)]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    before = paths[0].stat().st_mtime_ns
    assert not write(one, FRAME).changed
    assert paths[0].stat().st_mtime_ns == before
    assert write(one, FRAME, inputs="other").changed


def test_content_hash_sees_values_types_names_and_nulls() -> None:
    base = content_hash(pl.DataFrame({"a": [1, None]}))
    for other in (
        pl.DataFrame({"a": [1, 0]}),
        pl.DataFrame({"b": [1, None]}),
        pl.DataFrame({"a": [1.0, None]}),
        pl.DataFrame({"a": [None, 1]}),
    ):
        assert content_hash(other) != base
    assert content_hash(pl.DataFrame({"s": ["a", ""]})) != content_hash(pl.DataFrame({"s": ["", "a"]}))


def test_a_failed_write_leaves_the_last_good_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "part.parquet"
    write_atomically(target, b"good")

    def broken(self: Path, other: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, b"half")
    assert target.read_bytes() == b"good"
    assert [p.name for p in tmp_path.iterdir()] == ["part.parquet"]


def test_a_missing_partition_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match=r"t \(date=2025-01-02\).*Materialise this partition first"):
        Lake(tmp_path).read("t", date="2025-01-02")


def test_read_many_keeps_order_and_leaves_missing_out(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    write(lake, pl.DataFrame({"a": [2]}), "2025-01-03")
    write(lake, pl.DataFrame({"a": [1]}), "2025-01-02")
    found = lake.read_many("t", [{"date": d} for d in ("2025-01-02", "2025-01-03", "2025-01-06")])
    assert found["a"].to_list() == [1, 2]
    assert [k["date"] for k in lake.partitions("t")] == ["2025-01-02", "2025-01-03"]


def test_sql_sees_one_view_per_table(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    write(lake, pl.DataFrame({"a": [1]}), "2025-01-02")
    write(lake, pl.DataFrame({"a": [5]}), "2025-01-03")
    with lake.connect() as connection:
        assert connection.execute("select sum(a) from t").fetchone() == (6,)


def test_footers_hold_no_clock() -> None:
    stamp = Stamp("c", "d", "p")
    assert parquet_bytes(FRAME, stamp) == parquet_bytes(FRAME, stamp)
