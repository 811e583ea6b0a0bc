"""What the environment may say: each variable that is malformed stops the start, and is named without its value."""

from __future__ import annotations

import pytest

from parlex.errors import ConfigurationError
from parlex.settings import load


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", "mysql://me:hunter2@there/db"),
        ("DATABASE_URL", "postgresql://me:hunter2@there:notaport/db"),
        ("DATABASE_URL", "postgresql://me:hunter2/with-a-slash@there/db"),
        ("DATABASE_URL", "postgresql://"),
        ("DATABASE_URL", "postgresql://me:hunter2@there"),
        ("REDIS_URL", "http://there"),
        ("REDIS_URL", "redis://:hunter2@there:notaport/0"),
        ("REDIS_URL", "redis://:hunter2@there/first"),
        ("REDIS_URL", "redis://"),
        ("PARLEX_ARCHIVE_URL", "ftp://hunter2"),
        ("PARLEX_ARCHIVE_URL", "s3://"),
        ("PARLEX_EXPORT_URL", "file://there/hunter2"),
        ("PARLEX_ALERT_URLS", "hunter2"),
        ("FLOWER_BASIC_AUTH", "hunter2"),
        ("FLOWER_BASIC_AUTH", "me:hunter2,you"),
        ("SENTRY_DSN", "https://there/1"),
        ("SENTRY_DSN", "https://hunter2@there/project"),
        ("PARLEX_READ_TIMEOUT", "inf"),
        ("PARLEX_LEGISINFO_RATE", "nan"),
        ("PARLEX_FETCH_THREADS", "0"),
        ("PARLEX_LOG_FORMAT", "xml"),
        ("PARLEX_LEGISINFO_URL", "http://there:notaport"),
        ("PARLEX_LEGISINFO_URL", "http://there/path"),
    ],
)
def test_a_malformed_variable_is_named_without_its_value(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as error:
        load()
    assert str(error.value).startswith(f"{variable}: ")
    assert "hunter2" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", "postgres://me:p%2Fw@there:5433/db?sslmode=require"),
        ("DATABASE_URL", "postgresql:///db?host=/run/postgresql"),
        ("REDIS_URL", "rediss://me:secret@there"),
        ("REDIS_URL", "redis://[::1]:6380/3"),
        ("PARLEX_ARCHIVE_URL", "s3://bucket/prefix?endpoint=https://there&region=auto"),
        ("PARLEX_ARCHIVE_URL", "documents/of the house"),
        ("PARLEX_EXPORT_URL", "file:///srv/export"),
        ("PARLEX_ALERT_URLS", "json://there/path mailto://me:secret@there"),
        ("FLOWER_BASIC_AUTH", "me:sec:ret,you:other"),
        ("SENTRY_DSN", "https://key@there/path/12"),
        ("PARLEX_READ_TIMEOUT", "0.5"),
        ("PARLEX_LEGISINFO_RATE", "0"),
        ("PARLEX_CONTACT", ""),
    ],
)
def test_what_is_well_formed_is_taken(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    load()
