"""What the environment may say: each variable that is malformed stops the start, and is named without its value."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from urllib.parse import quote

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
        ("DATABASE_URL", "postgresql://me:hun@ter2@there/db"),
        ("DATABASE_URL", "postgresql://me:hun:ter2@there/db"),
        ("DATABASE_URL", "postgresql://me:12/hunter2@there/db"),
        ("DATABASE_URL", "postgresql://me:12?hunter2@there/db"),
        ("DATABASE_URL", "postgresql://me:12#hunter2@there/db"),
        ("DATABASE_URL", "postgresql://me:a@b/hunter2@there/db"),
        ("DATABASE_URL", "postgresql://me:a@b/x#hunter2@there/db"),
        ("DATABASE_URL", "postgresql://me:change-me-hunter2@there/db"),
        ("REDIS_URL", "http://there"),
        ("REDIS_URL", "redis://:hun@ter2@there/0"),
        ("REDIS_URL", "redis://:hun:ter2@there/0"),
        ("REDIS_URL", "redis://:12/hunter2@there/0"),
        ("REDIS_URL", "redis://:12?hunter2@there/0"),
        ("REDIS_URL", "redis://:12#hunter2@there/0"),
        ("REDIS_URL", "redis://:change-me-hunter2@there/0"),
        ("REDIS_URL", "redis://:hunter2@there:notaport/0"),
        ("REDIS_URL", "redis://:hunter2@there/first"),
        ("REDIS_URL", "redis://"),
        ("REDIS_URL", "redis://there/0?colour=hunter2"),
        ("REDIS_URL", "redis://there/0?socket_timeout=hunter2"),
        ("DATABASE_URL", "postgresql://there/db?colour=hunter2"),
        ("PARLEX_ARCHIVE_URL", "ftp://hunter2"),
        ("PARLEX_ARCHIVE_URL", "s3://"),
        ("PARLEX_EXPORT_URL", "file://there/hunter2"),
        ("PARLEX_ALERT_URLS", "hunter2"),
        ("FLOWER_BASIC_AUTH", "hunter2"),
        ("FLOWER_BASIC_AUTH", "me:hunter2,you"),
        ("FLOWER_BASIC_AUTH", "me:hunter2é"),
        ("FLOWER_BASIC_AUTH", "me:x,you:change-me-hunter2"),
        ("PARLEX_CONTACT", "hunter2"),
        ("PARLEX_WEB_PROXIES", "hunter2.example.org"),
        ("PARLEX_WEB_PROXIES", "10.0.0.1, hunter2"),
        ("PARLEX_WEB_PROXIES", "*"),
        ("PARLEX_WEB_PROXIES", "0.0.0.0/0"),
        ("PARLEX_WEB_RATE", "-1"),
        ("PARLEX_CONTACT", "me@hunter2"),
        ("PARLEX_CONTACT", "https://hunter2"),
        ("PARLEX_CONTACT", "me@example.org) hunter2"),
        ("PARLEX_LEGISINFO_RAET", "hunter2"),
        ("PARLEX_SOMETHING_ELSE", "hunter2"),
        ("ALL_PROXY", "ftp://me:hunter2@there"),
        ("https_proxy", "http://me:hun@ter2@there"),
        ("HTTP_PROXY", "http://there:hunter2"),
        ("HTTP_PROXY", "http://"),
        ("SSL_CERT_FILE", "/nowhere/hunter2"),
        ("REQUESTS_CA_BUNDLE", "/dev/null"),
        ("SSL_CERT_DIR", "/nowhere/hunter2"),
        ("SENTRY_DSN", "https://there/1"),
        ("SENTRY_DSN", "https://hunter2@there/project"),
        ("PARLEX_READ_TIMEOUT", "inf"),
        ("PARLEX_LEGISINFO_RATE", "nan"),
        ("PARLEX_FETCH_THREADS", "0"),
        ("PARLEX_LOG_FORMAT", "xml"),
        ("PARLEX_LEGISINFO_URL", "http://there:notaport"),
        ("PARLEX_LEGISINFO_URL", "http://there/path"),
        ("PARLEX_LEGISINFO_URL", "http://me:hunter2@there"),
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
        ("REDIS_URL", "rediss://there/0?ssl_cert_reqs=none&socket_timeout=5"),
        ("PARLEX_ARCHIVE_URL", "s3://bucket/prefix?endpoint=https://there&region=auto"),
        ("PARLEX_ARCHIVE_URL", "documents/of the house"),
        ("PARLEX_EXPORT_URL", "file:///srv/export"),
        ("PARLEX_ALERT_URLS", "json://there/path mailto://me:secret@there"),
        ("DATABASE_URL", "postgresql://me:p%40w%3A@there/db?options=-csearch_path%3Dmine"),
        ("DATABASE_URL", "postgresql:///db?host=/run/postgresql&user=me&password=a@b"),
        ("FLOWER_BASIC_AUTH", "me:sec:ret,you:other"),
        ("PARLEX_CONTACT", "me@example.org"),
        ("PARLEX_CONTACT", "https://example.org/about"),
        ("PARLEX_IMAGE", "registry.example.org/parlex:1"),
        ("PARLEX_TEST_ANYTHING", "1"),
        ("HTTPS_PROXY", "proxy.example.org:3128"),
        ("ALL_PROXY", "http://me:p%40w@proxy.example.org:3128"),
        ("NO_PROXY", "localhost,*.example.org"),
        ("SENTRY_DSN", "https://key@there/path/12"),
        ("PARLEX_READ_TIMEOUT", "0.5"),
        ("PARLEX_LEGISINFO_RATE", "0"),
        ("PARLEX_CONTACT", ""),
    ],
)
def test_what_is_well_formed_is_taken(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    load()


def test_a_misspelt_variable_is_told_its_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEX_LEGISINFO_RAET", "9")
    with pytest.raises(ConfigurationError, match="is PARLEX_LEGISINFO_RATE meant"):
        load()


@pytest.mark.parametrize("sign", "@:/#?")
def test_a_sign_in_is_told_how_to_write_what_ends_it(sign: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, url in (("DATABASE_URL", "postgresql://me:{}@there/db"), ("REDIS_URL", "redis://:{}@there/0")):
        monkeypatch.setenv(variable, url.format(f"12{sign}hunter2"))
        with pytest.raises(ConfigurationError, match=f"write .*{re.escape(sign)} as {quote(sign, safe='')}"):
            load()
        monkeypatch.setenv(variable, url.format(quote(f"12{sign}hunter2", safe="")))
        load()


def test_a_socks_proxy_names_the_package_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://there:1080")
    if find_spec("socksio"):
        load()
    else:
        with pytest.raises(ConfigurationError, match=r"^ALL_PROXY: .*socksio"):
            load()


def test_looking_only_says_what_is_wrong_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """As docker-compose's first service does."""
    monkeypatch.setenv("PARLEX_CONTACT", "hunter2")
    look = [sys.executable, "-m", "parlex.settings"]
    done = subprocess.run(look, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("PARLEX_CONTACT: ")
    assert done.stderr.count("\n") == 1
    monkeypatch.delenv("PARLEX_CONTACT")
    assert subprocess.run(look, capture_output=True, check=False).returncode == 0
