"""`report_environment`: all that an issue needs, and nothing private."""

from pathlib import Path

import tlkeras as tl


def test_it_says_where_tlkeras_runs_and_nothing_private(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TLKERAS_CACHE", str(tmp_path / "secret"))
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["secret:1"]}}')
    found = tl.report_environment()
    printed = capsys.readouterr().out
    assert all(f"{about}: {text}" in printed for about, text in found.items())
    assert "secret" not in printed and str(Path.home()) not in printed
    assert "keras-hub" in found["packages"] and "tensorflow" in found["packages"]
    assert found["devices"] == "no GPU or TPU"
    assert found["configuration"].startswith("precision: ")
    assert found["cache"].startswith("0 entries")
    names = found["environment variables"].split(", ")
    assert {"TF_CONFIG", "TLKERAS_CACHE"} <= {*names}
